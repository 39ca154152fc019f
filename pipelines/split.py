"""Stage split: groups and decisions → train, validation, test and quarantine, with the proof that nothing leaks."""

from automl_cnn.artifacts import (
    DUPLICATES,
    GROUPS,
    JOINS,
    MANIFEST,
    NEAR_PAIRS,
    SPLITS,
    read_table,
    write_json,
    write_table,
)
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.curate.divide import Audited, divide
from automl_cnn.split.ledger import read_ledger, write_ledger
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    files, params = stage.files, stage.params
    stored = [files.embeddings / name / "base.npy" for name in params.audit.backbones]
    manifest = read_table(files.manifest, MANIFEST)
    tables = [
        read_table(files.audit / f"{table.name}.parquet", table) for table in (DUPLICATES, NEAR_PAIRS, GROUPS, JOINS)
    ]
    audited = Audited(manifest, *tables, read_decisions(files.decisions, checked=True))
    # an out that is read before it is written: what this stage remembers of its own earlier runs
    ledger = read_ledger(files.ledger)
    divided = divide(audited, ledger, lambda rows: join_embeddings(stored, rows), params.split, stage.progress)
    write_table(files.split / "splits.parquet", divided.table, SPLITS)
    write_json(files.split / "report.json", divided.report)
    write_ledger(files.ledger, divided.ledger)
    print(*divided.lines, sep="\n")


if __name__ == "__main__":
    run_stage("split", main)
