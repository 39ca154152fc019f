"""Stage audit: broken files, duplicates, suspect labels and the groups that keep images together → audit/."""

from automl_cnn.artifacts import ISSUES, MANIFEST, read_table, write_json, write_table
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.audit.problems import read_problems
from automl_cnn.curate.examine import Ingested, examine
from automl_cnn.data.store import ImageStore
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    files = stage.files
    stored = [files.embeddings / name / "base.npy" for name in stage.params.audit.backbones]
    store = ImageStore.open(files.images)
    ingested = Ingested(
        manifest=read_table(files.manifest, MANIFEST),
        scanned=read_table(files.scan_issues, ISSUES),
        decisions=read_decisions(files.decisions, checked=True),
        problems=read_problems(files.decision_problems),
        store=store,
        embed=lambda usable: join_embeddings(stored, usable, store.digest),
    )
    found = examine(ingested, stage.params, files.audit / "review.html", stage.progress)
    for table, frame in found.tables:
        write_table(files.audit / f"{table.name}.parquet", frame, table)
    write_json(files.audit / "summary.json", found.summary)
    for problem in found.problems:
        print(problem)


if __name__ == "__main__":
    run_stage("audit", main)
