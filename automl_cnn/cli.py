"""The command line. Heavy imports stand inside the commands, so that `--help` and `predict` start at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from automl_cnn import __version__
from automl_cnn.console import screen_progress
from automl_cnn.errors import AutoMLError, ConfigError

if TYPE_CHECKING:
    from automl_cnn.export.verify import Check


class _Commands(click.Group):
    """A group whose commands end with 2 and one clear message where the mistake is the user's."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except AutoMLError as error:
            click.echo(f"automl-cnn: {error}", err=True)
            context.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="automl-cnn")
def main() -> None:
    """From a folder of labelled images to an audited, leak-free, quantized classifier."""


@main.command()
@click.argument("name", type=click.Choice(["elpv", "digits"]))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def sample(name: str, folder: Path) -> None:
    """Write a sample data set as class folders.

    elpv: 2,624 solar cells, functional or defective (CC BY-NC-SA 4.0, not for commercial use).
    digits: 1,797 handwritten digits, small (UCI, CC BY 4.0).
    """
    from automl_cnn.data.samples import write_digits, write_elpv

    with screen_progress("sample") as progress:
        written = (write_elpv if name == "elpv" else write_digits)(folder, progress)
    click.echo(f"{folder}: {written:,} images in class folders")
    if name == "elpv":
        click.echo("Licence of the images: CC BY-NC-SA 4.0 (Buerhop-Lutz et al. 2018); not for commercial use.")


@main.command(name="set")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE…")
def set_params(assignments: tuple[str, ...]) -> None:
    """Change values in params.yaml, comments kept: automl-cnn set search.preset=balanced."""
    from automl_cnn.params_file import assign

    assign(Path("params.yaml"), [_key_and_value(assignment) for assignment in assignments])


@main.command()
def run() -> None:
    """Run what changed of the pipeline (dvc repro), then print what came of it."""
    from automl_cnn.pipeline import run_pipeline
    from automl_cnn.summary import print_summary

    code = run_pipeline(Path())
    if code:
        sys.exit(code)
    print_summary(Path("artifacts"))


@main.command()
def resplit() -> None:
    """Put the split's ledger aside, so that the next run splits all images anew. Nothing is deleted."""
    from automl_cnn.artifacts import Files
    from automl_cnn.split.ledger import retire_ledger

    retired = retire_ledger(Files(Path("artifacts")).ledger)
    if retired is None:
        click.echo("There is no ledger: the next `automl-cnn run` splits all images anew.")
        return
    click.echo(f"The ledger lies at {retired} now. The next `automl-cnn run` splits all images anew.")
    click.echo(
        "Scores on the new test split cannot be compared with earlier ones: models have seen some of its images."
    )


@main.command()
@click.option("--open/--no-open", "opened", default=True, help="Open the page in the browser.")
def review(opened: bool) -> None:
    """Write the page for judging labels, copies and odd pictures anew, with decisions.csv as it is now, and open it."""
    from automl_cnn.artifacts import Files
    from automl_cnn.audit.review.session import renew_review
    from automl_cnn.config import load_params

    files, page = Files(Path("artifacts")), Path("artifacts") / "review.html"
    with screen_progress("review") as progress:
        state = renew_review(files, Path(load_params().audit.decisions), page, progress)
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in state["open"].items())
    click.echo(f"{page.resolve()}: {sum(state['open'].values()):,} to judge{f' ({kinds})' if kinds else ''}")
    if state["stop"]:
        click.echo("You can stop: under 10 % of the last fifty suspected labels were wrong.")
    if opened:
        click.launch(page.resolve().as_uri())


@main.command()
def summary() -> None:
    """Print times, test accuracy, size and latency of the last run."""
    from automl_cnn.summary import print_summary

    print_summary(Path("artifacts"))


@main.group(invoke_without_command=True)
@click.pass_context
def cache(context: click.Context) -> None:
    """Show what lies in .automl-cnn: engines, features, logs and checkpoints, how large, when last used."""
    if context.invoked_subcommand is None:
        from automl_cnn.features.inventory import describe, inventory

        click.echo("\n".join(describe(inventory(_cache_folder()))))


@cache.command(name="prune")
@click.option("--keep-days", type=click.FloatRange(min=0), help="Also remove what was not used for so many days.")
@click.option("--all", "everything", is_flag=True, help="Remove everything; the next run computes it anew.")
def prune_cache(keep_days: float | None, everything: bool) -> None:
    """Remove damaged and outdated files from .automl-cnn, and on request more."""
    from automl_cnn.features.inventory import describe, megabytes, prune

    removed = prune(_cache_folder(), keep_days, everything)
    if removed:
        click.echo("\n".join(describe(removed)[:-1]))
    click.echo(f"{megabytes(sum(entry.bytes for entry in removed))} freed")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.option("--input-size", type=click.IntRange(32, 1024), metavar="N", help="Count multiply-adds for N×N pixels.")
@click.option("--weights-dir", metavar="FOLDER", help="Look here for weights first; search.weights_dir by default.")
def backbones(as_json: bool, input_size: int | None, weights_dir: str | None) -> None:
    """List the networks that search.backbones can name: their costs, and whether their weights are here."""
    from dataclasses import asdict

    from automl_cnn.config import load_params
    from automl_cnn.models.listing import list_backbones, print_backbones

    if weights_dir is None and Path("params.yaml").exists():
        weights_dir = load_params().search.weights_dir
    rows = list_backbones(weights_dir, input_size)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_backbones(rows)


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, in the order given.")
@click.option("--threads", default=1, show_default=True, help="CPU threads.")
@click.option("--log", type=click.Path(path_type=Path, file_okay=False), help="Also log the answers here, for monitor.")
def predict(model: Path, images: tuple[Path, ...], as_json: bool, threads: int, log: Path | None) -> None:
    """Label images with a shipped .tflite file."""
    from dataclasses import asdict

    from automl_cnn.serve.predict import Predictor

    predictor = Predictor(model, threads)
    if log is None:
        predictions = predictor.predict(images)
    else:
        from automl_cnn.serve.logged import predict_and_log

        predictions = predict_and_log(predictor, images, log)
    if as_json:
        click.echo(json.dumps([asdict(prediction) for prediction in predictions], indent=2, ensure_ascii=False))
        return
    for prediction in predictions:
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        others = ", ".join(f"{label} {probability:.3f}" for label, probability in ranked[1:4])
        line = f"{prediction.path}: {prediction.label} {prediction.probability:.3f}  ({others})"
        line += "; too doubtful to rely on" if prediction.abstain else ""
        click.echo(line + ("; strange to the model" if prediction.out_of_distribution else ""))


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--workers", type=click.IntRange(1), help="Processes that label images; one a core by default.")
@click.option("--max-bytes", default=16 * 2**20, show_default=True, type=click.IntRange(1), help="Of a request.")
@click.option("--max-pixels", default=50_000_000, show_default=True, type=click.IntRange(1), help="Of an image.")
@click.option("--max-images", default=64, show_default=True, type=click.IntRange(1), help="In a request.")
@click.option("--max-queue", default=64, show_default=True, type=click.IntRange(1),
              help="Images that may wait; while so many do, requests are answered with 429.")  # fmt: skip
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="Seconds for an answer.")  # fmt: skip
@click.option("--client-timeout", default=20.0, show_default=True, type=click.FloatRange(0, min_open=True),
              help="Seconds for a client to send a request's head, and again for its body.")  # fmt: skip
@click.option("--log", "log_folder", type=click.Path(path_type=Path, file_okay=False),
              help="Log every prediction here, for `automl-cnn monitor`.")  # fmt: skip
def serve(
    model: Path, host: str, port: int, workers: int | None, max_bytes: int, max_pixels: int, max_images: int,
    max_queue: int, timeout: float, client_timeout: float, log_folder: Path | None,
) -> None:  # fmt: skip
    """Label images over HTTP with a .tflite file, or a folder with model.tflite; http://HOST:PORT/docs says how."""
    from automl_cnn.data.decode_pool import available_cpus
    from automl_cnn.serve.limits import Limits
    from automl_cnn.serve.run import serve_model

    limits = Limits(
        max_bytes=max_bytes, max_pixels=max_pixels, max_images=max_images, max_queue=max_queue, timeout_s=timeout,
        client_timeout_s=client_timeout,
    )  # fmt: skip
    serve_model(model, host, port, workers or available_cpus(), limits, log_folder)


@main.command()
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), default=Path("artifacts/quantized/model.tflite"),
              show_default=True, help="The model that wrote the log; reference.npz lies beside it.")  # fmt: skip
@click.option("--since", metavar="TIME", help="Rows from here on: 2026-11-22T08:00 (UTC), or 12h or 7d ago.")
@click.option("--until", metavar="TIME", help="Rows before this time.")
@click.option("--window", metavar="N|TIME", help="Test the last N images, or the last 12h or 7d; all by default.")
@click.option(
    "--labels", type=click.Path(path_type=Path), help="Take the true labels of this CSV (id, label) in first."
)
@click.option("--alpha", default=0.05, show_default=True, type=click.FloatRange(0.005, 0.5),
              help="Share of looks that may raise a false alarm.")  # fmt: skip
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def monitor(
    log: Path, model: Path, since: str | None, until: str | None, window: str | None, labels: Path | None,
    alpha: float, html: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Say whether logged images are still like those that the model was judged on. Ends with 3 where they are not."""
    from datetime import UTC, datetime

    from automl_cnn.monitor.describe import as_object, describe
    from automl_cnn.monitor.labels import add_labels
    from automl_cnn.monitor.page import write_page
    from automl_cnn.monitor.read import read_log
    from automl_cnn.monitor.times import parse_time, parse_window
    from automl_cnn.monitor.watch import watch
    from automl_cnn.reference.record import REFERENCE, Reference

    reference = Reference.load(model.with_name(REFERENCE))
    now = datetime.now(UTC)
    bounds = [None if text is None else parse_time(option, text, now)
              for option, text in (("--since", since), ("--until", until))]  # fmt: skip
    length = None if window is None else parse_window("--window", window)
    if labels is not None:
        arrived = add_labels(log, labels)
        counts = f"{arrived.in_log:,} of images in the log, {arrived.changed:,} changed"
        click.echo(f"{labels}: {arrived.labels:,} labels, {counts}", err=True)
    found = watch(read_log(log, *bounds), reference, window=length, alpha=alpha)
    click.echo(json.dumps(as_object(found), indent=2, ensure_ascii=False) if as_json else "\n".join(describe(found)))
    try:
        if html is not None:
            write_page(found, log.name, html)
            click.echo(f"page     {html}", err=True)
    except AutoMLError as error:
        if found.verdict != "alarm":
            raise
        click.echo(f"automl-cnn: {error}", err=True)
    if found.verdict == "alarm":
        sys.exit(3)


@main.command()
@click.option("--format", "formats", default="tflite", show_default=True,
              help="tflite, keras, savedmodel, onnx, openvino; several with commas.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("export"), show_default=True,
              help="The folder to write; an earlier export in it is replaced.")  # fmt: skip
def export(formats: str, out: Path) -> None:
    """Write the model for other runtimes, with golden images, and check every file that can be run here."""
    from automl_cnn.artifacts import Files
    from automl_cnn.export.formats import chosen_formats
    from automl_cnn.export.write import write_export

    chosen = chosen_formats(formats)
    with screen_progress("export") as progress:
        failed = write_export(Files(Path("artifacts")), chosen, out, progress)
    for each in chosen:
        if each.name not in failed:
            click.echo(f"{out / each.file}: {each.about}")
    for problem in failed.values():
        click.echo(f"automl-cnn: {problem}", err=True)
    _verify(out)
    if failed:
        sys.exit(2)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def verify(folder: Path) -> None:
    """Replay the golden images of an export in every runtime that is installed."""
    from automl_cnn.errors import ExportError

    checks = _verify(folder)
    if all(check.passed is None for check in checks):
        raise ExportError(
            str(folder), expected="a runtime that runs one of its files",
            received=f"none of {', '.join(check.runtime for check in checks)} here",
            action="Install one of them with pip, then verify again.",
        )  # fmt: skip


def _verify(folder: Path) -> list[Check]:
    from automl_cnn.errors import ExportError
    from automl_cnn.export.verify import describe, verify_export

    with screen_progress("verify") as progress:
        checks = verify_export(folder, progress)
    for check in checks:
        click.echo(describe(check))
    if wrong := [check for check in checks if check.passed is False]:
        raise ExportError(
            str(folder), expected="the answers that the model gave when it was exported",
            received=f"others or none from {', '.join(f'{check.file} in {check.runtime}' for check in wrong)}",
            action="Do not ship these files; export again, or use another runtime.",
        )  # fmt: skip
    return checks


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--threads", multiple=True, type=click.IntRange(1), help="CPU threads, may be repeated; by default 1 and all."
)
@click.option("--runs", default=100, show_default=True, type=click.IntRange(1), help="Timed runs.")
@click.option("--warm-up", default=10, show_default=True, type=click.IntRange(1), help="Runs before them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def benchmark(model: Path, threads: tuple[int, ...], runs: int, warm_up: int, as_json: bool) -> None:
    """Time a .tflite file on this machine, and tell its memory and whether it is int8 throughout."""
    from dataclasses import asdict

    from automl_cnn.data.decode_pool import available_cpus
    from automl_cnn.evaluate.benchmark import benchmark_file, describe

    with screen_progress("benchmark") as progress:
        cost = benchmark_file(model, threads or sorted({1, available_cpus()}), runs, warm_up, progress)
    click.echo(json.dumps(asdict(cost), indent=2) if as_json else "\n".join(describe(cost)))


@main.command()
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Whatever the comparison says; a reason has to be given.")
@click.option("--reason", metavar="TEXT", help="Why, for those who come later; recorded with the version.")
def promote(version: str | None, force: bool, reason: str | None) -> None:
    """Make a registered VERSION (challenger by default) champion, if it is shown to be better than the champion.

    Both are compared on the same test images, in search.objective of the version's run; it may not be worse in balanced
    accuracy or macro F1 either. "Too small to tell" is not better.
    """
    from automl_cnn.config import load_params
    from automl_cnn.tracking.promotion import promote as make_champion

    if force != bool(reason and reason.strip()):
        raise click.UsageError('--force and --reason "…" belong together.')
    params = load_params()
    with screen_progress("promote") as progress:
        promotion = make_champion(params, version, reason, progress)
    click.echo(promotion.sentence())


@main.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, lists in full.")
def compare(first: str, second: str, as_json: bool) -> None:
    """Print what differs between two runs: data, parameters, decisions, scores with intervals, answers.

    RUN: a folder of artifacts, an MLflow run id, or a model version: 3, champion, challenger, NAME/3, NAME@champion.
    """
    from automl_cnn.config import load_params
    from automl_cnn.tracking.compare import compare_runs, describe
    from automl_cnn.tracking.differences import as_json as differences_as_json

    folders = Path(first).is_dir() and Path(second).is_dir()
    params = None if folders and not Path("params.yaml").exists() else load_params()
    with screen_progress("compare") as progress:
        found = compare_runs(first, second, params, progress)
    if as_json:
        click.echo(json.dumps(differences_as_json(found), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(describe(found)))


def _cache_folder() -> Path:
    from automl_cnn.stage import CACHE

    return CACHE


def _key_and_value(assignment: str) -> tuple[str, str]:
    key, equals, value = assignment.partition("=")
    if not equals or not key:
        raise ConfigError(
            [
                AutoMLError(
                    assignment, expected="KEY=VALUE", received="no equals sign", action="Write search.preset=quick."
                )
            ]
        )
    return key, value
