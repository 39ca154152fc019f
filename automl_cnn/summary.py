"""What a person wants to see when the pipeline has ended, in one table."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from automl_cnn.artifacts import Files, read_json

STAGES = (
    "ingest", "features", "audit", "split", "search", "train", "quantize", "evaluate", "explain", "report", "register",
)  # fmt: skip


def print_summary(artifacts: Path, console: Console | None = None) -> None:
    """Print the time of every stage, test accuracy, size and latency, and where the report is.

    Args:
        artifacts: the folder of a finished run.
        console: where to print; the terminal by default.
    Raises:
        ArtifactError: the run did not get as far as evaluate.
    """
    files = Files(artifacts)
    metrics = read_json(files.evaluation / "metrics.json")
    console = console or Console(highlight=False)
    seconds = {name: value for name in STAGES if (value := _seconds(files, name)) is not None}
    budget = read_json(files.search / "budget.json") if (files.search / "budget.json").exists() else None
    promised = budget["promised"] if budget else {}
    times = Table(title="Time", box=None, title_justify="left", title_style="bold")
    for column in ("stage", "seconds", "promised"):
        times.add_column(column, justify="left" if column == "stage" else "right")
    for name, value in seconds.items():
        times.add_row(name, f"{value:,.1f}", f"{promised[name]:,.1f}" if name in promised else "")
    times.add_row("total", f"{sum(seconds.values()):,.1f}", "", style="bold")
    if budget:
        taken_s = sum(seconds.get(name, 0.0) for name in promised)
        times.add_row("search to evaluate", f"{taken_s:,.1f}", f"{budget['budget_s']:,.1f}", style="bold")

    result = Table(title="Result on the locked test split", box=None, title_justify="left", title_style="bold")
    for column in ("", "accuracy", "95 % interval", "macro F1"):
        result.add_column(column, justify="left" if not column else "right")
    for name, key in ((f"shipped file ({metrics['model']['rung']})", "test"), ("float model", "float")):
        low, high = metrics[key]["accuracy_ci95"]
        scores = metrics[key]
        result.add_row(name, f"{scores['accuracy']:.3f}", f"{low:.3f} to {high:.3f}", f"{scores['macro_f1']:.3f}")

    model = metrics["model"]
    for part in (times, result):
        console.print()
        console.print(part)
    console.print()
    if budget:
        share = taken_s / budget["budget_s"]
        console.print(f"budget   {share:.0%} of search.budget_minutes was used; the search ended: {budget['ended']}")
    console.print(f"{metrics['test']['n']:,} test images")
    console.print(
        f"model    {artifacts / model['path']}, {model['size_bytes'] / 1e6:.2f} MB, "
        f"{model['latency_ms_median']:.1f} ms an image (p95 {model['latency_ms_p95']:.1f} ms)"
    )
    console.print(f"report   {files.report / 'report.html'}")
    console.print("record   make ui, then http://127.0.0.1:5000")


def _seconds(files: Files, stage: str) -> float | None:
    path = files.timings / f"{stage}.json"
    return float(read_json(path)["seconds"]) if path.exists() else None
