"""Stage audit: broken files, duplicates, suspect labels and the groups that keep images together → audit/."""

import numpy as np

from automl_cnn import artifacts
from automl_cnn.artifacts import ISSUES, MANIFEST, read_table, write_json, write_table
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.audit.duplicates import find_duplicates
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.audit.files import find_file_issues
from automl_cnn.audit.labels import find_label_issues
from automl_cnn.audit.problems import read_problems
from automl_cnn.audit.properties import measure_properties
from automl_cnn.audit.review.session import prepare_review
from automl_cnn.audit.settled import Settled, read_sides, settle_labels
from automl_cnn.audit.summary import duplicate_issues, label_issues, summarise
from automl_cnn.audit.thumbnails import grey_thumbnails
from automl_cnn.audit.verdicts import apply_decisions, apply_to_duplicates
from automl_cnn.data.issues import add_issues
from automl_cnn.data.store import ImageStore
from automl_cnn.split.groups import build_groups
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    params, files, split = stage.params.audit, stage.files, stage.params.split
    manifest, store = read_table(files.manifest, MANIFEST), ImageStore.open(files.images)
    decisions = read_decisions(files.decisions, checked=True)
    decided, unfit = apply_decisions(manifest, decisions)
    usable = decided[decided["status"] == "ok"]
    embeddings = join_embeddings([files.features / name / "base.npy" for name in params.backbones], usable)
    thumbnails = grey_thumbnails(usable, store, stage.progress)
    duplicates = find_duplicates(usable, thumbnails, embeddings, params, stage.progress)
    resolved = apply_to_duplicates(decided, duplicates, decisions)
    decided, duplicates = resolved.decided, resolved.duplicates
    usable = decided[decided["status"] == "ok"]
    groups = build_groups(
        decided, duplicates, split.group_by, stage.params.data.group_column, split.pattern,
        split.session_gap_minutes, resolved.joins,
    )  # fmt: skip
    judged = ~usable["excluded"].to_numpy(bool)
    group_of = groups.table.set_index("image_id")["group"].loc[usable["image_id"]].to_numpy(np.object_)
    found = find_label_issues(
        usable[judged], embeddings[judged], group_of[judged], params.folds, params.seed, stage.progress,
        params.second_opinion,
    )  # fmt: skip
    labels = settle_labels(found.table, decided, Settled(decided, decisions))
    properties = measure_properties(usable, store, stage.progress)
    issues = find_file_issues(decided, properties, read_table(files.scan_issues, ISSUES), params.thresholds)
    issues = add_issues(issues, duplicate_issues(duplicates, len(usable)) + label_issues(labels))
    for table, frame in (
        (ISSUES, issues), (artifacts.PROPERTIES, properties), (artifacts.LABELS, labels),
        (artifacts.DUPLICATES, duplicates), (artifacts.GROUPS, groups.table),
        (artifacts.JOINS, groups.joins),
    ):  # fmt: skip
        write_table(files.audit / f"{table.name}.parquet", frame, table)
    problems = [*read_problems(files.decision_problems), *unfit, *resolved.problems]
    problems.sort(key=lambda problem: problem.line)
    review = prepare_review(
        files.audit / "review.html", decided, issues, labels, duplicates, decisions, problems, read_sides(files), store,
        stage.progress,
    )  # fmt: skip
    summary = summarise(decided, issues, duplicates, labels, found.report, groups.unnamed, problems, review)
    write_json(files.audit / "summary.json", summary)
    for problem in problems:
        print(problem)


if __name__ == "__main__":
    run_stage("audit", main)
