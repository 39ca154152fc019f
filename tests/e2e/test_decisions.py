"""A reviewer's decisions.csv changes exactly what it says, and nothing beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY, copy_project, sample_digits, stages_run

from automl_cnn.artifacts import DUPLICATES, LABELS, MANIFEST, SPLITS, Files, read_table

CLOTHING = REPOSITORY.parent / "shared" / "data" / "clothing"
SETS = {
    "digits": ("data.root=data/digits", "data.working_size_px=64"),
    "clothing": (
        f"data.root={CLOTHING / 'images'}", "data.labels=third.csv", "data.group_column=sender_id",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class State:
    """What the stages up to the split left behind."""

    manifest: pd.DataFrame
    labels: pd.DataFrame
    duplicates: pd.DataFrame
    splits: pd.DataFrame

    @classmethod
    def of(cls, files: Files) -> State:
        return cls(
            *(
                read_table(path, table).set_index("image_id")
                for path, table in (
                    (files.manifest, MANIFEST), (files.audit / "labels.parquet", LABELS),
                    (files.audit / "duplicates.parquet", DUPLICATES), (files.split / "splits.parquet", SPLITS),
                )
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Reviewed:
    """A set before and after four decisions, what was decided, and which stages ran for it."""

    before: State
    after: State
    relabelled: str
    new_label: str
    excluded: str
    kept: str
    kept_one: str | None
    stages: list[str]
    later: list[str]


@pytest.fixture(scope="module", params=["digits", pytest.param("clothing", marks=pytest.mark.real_data)])
def reviewed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, engines: Path) -> Reviewed:
    name = request.param
    if name == "clothing" and not CLOTHING.exists():
        pytest.skip("../shared/data/clothing is not there")
    project = copy_project(tmp_path_factory.mktemp("decisions") / name, engines)
    if name == "digits":
        sample_digits(project)
    else:
        photographs = pd.read_csv(CLOTHING / "metadata.csv")
        photographs[photographs["sender_id"] % 3 == 0].to_csv(project.folder / "third.csv", index=False)
    assert project.run("set", *SETS[name], "search.augmentations=[none]").returncode == 0
    project.initialise()
    first = project.dvc("repro", "split")
    assert first.returncode == 0, first.stdout[-2000:] + first.stderr[-2000:]
    files = Files(project.folder / "artifacts")
    before = State.of(files)
    choice = choose(before)
    write(project.folder / "decisions.csv", before, choice)
    second = project.dvc("repro", "split")
    assert second.returncode == 0, second.stdout[-2000:] + second.stderr[-2000:]
    later = stages_run(project.dvc("repro", "--dry").stdout)
    return Reviewed(before, State.of(files), *choice, stages_run(second.stdout), later)


def choose(state: State) -> tuple[str, str, str, str, str | None]:
    """An image to relabel, its new label, one to exclude, the most suspected one, one of a cluster or None."""
    clustered = state.duplicates[~state.duplicates["label_conflict"]]
    alone = state.splits[~state.splits.index.isin(state.duplicates.index)]
    ranked = state.labels[state.labels.index.isin(alone.index)]
    kept = ranked.index[ranked["flagged"]][0]
    relabelled = ranked.index.drop(kept)[0]
    others = alone.index.difference([relabelled, kept])
    excluded = alone.loc[others][alone.loc[others, "split"] == "validation"].index[0]
    new_label = state.labels.loc[relabelled, "suggested_label"]
    return relabelled, new_label, excluded, kept, (clustered.index[0] if len(clustered) else None)


def write(path: Path, state: State, choice: tuple[str, str, str, str, str | None]) -> None:
    relabelled, new_label, excluded, kept, kept_one = choice
    sha = state.manifest["sha256"]
    lines = [
        f"{sha[relabelled]},suspect_label,relabel,{new_label},ana",
        f"{sha[excluded]},,exclude,,ana",
        f"{sha[kept]},suspect_label,keep,,ana",
        *([f"{sha[kept_one]},near_duplicate,keep_one,,ana"] if kept_one else []),
    ]
    path.write_text("sha256,issue,decision,new_label,reviewer\n" + "\n".join(lines) + "\n", encoding="utf-8")


def left_out(reviewed: Reviewed) -> set[str]:
    """The excluded image, and the copies of the one that was kept."""
    if reviewed.kept_one is None:
        return {reviewed.excluded}
    clusters = reviewed.before.duplicates["cluster"]
    copies = set(clusters.index[clusters == clusters[reviewed.kept_one]]) - {reviewed.kept_one}
    return {reviewed.excluded} | copies


def test_a_decision_runs_the_audit_and_the_split_and_neither_decodes_nor_embeds(reviewed: Reviewed) -> None:
    assert reviewed.stages == ["ingest", "audit", "split"]
    assert reviewed.after.manifest.equals(reviewed.before.manifest)


def test_the_search_is_due_again(reviewed: Reviewed) -> None:
    assert reviewed.later == ["ingest", "search"]


def test_only_the_relabelled_image_has_another_label(reviewed: Reviewed) -> None:
    before, after = reviewed.before.splits["label"], reviewed.after.splits["label"]
    assert list(before.index[before != after]) == [reviewed.relabelled]
    assert after[reviewed.relabelled] == reviewed.new_label


def test_only_what_was_left_out_has_another_place(reviewed: Reviewed) -> None:
    before, after = reviewed.before.splits["split"], reviewed.after.splits["split"]
    assert set(before.index[before != after]) == left_out(reviewed)
    assert (after[list(left_out(reviewed))] == "quarantine").all()


def test_what_was_looked_at_is_not_flagged_again(reviewed: Reviewed) -> None:
    flagged = reviewed.after.labels["flagged"]
    assert reviewed.before.labels["flagged"][reviewed.kept]
    assert not flagged[reviewed.kept]
    assert not flagged[reviewed.relabelled]
