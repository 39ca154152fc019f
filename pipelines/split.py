"""Stage split: groups and decisions → train, validation, test and quarantine, with the proof that nothing leaks."""

from automl_cnn.artifacts import DUPLICATES, GROUPS, MANIFEST, SPLITS, read_table, write_json, write_table
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.audit.verdicts import apply_decisions, apply_to_duplicates
from automl_cnn.split.assign import split_images
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    files = stage.files
    manifest = read_table(files.manifest, MANIFEST)
    decisions = read_decisions(files.decisions, checked=True)
    decided, _ = apply_decisions(manifest, decisions)
    groups = read_table(files.audit / "groups.parquet", GROUPS)
    duplicates = read_table(files.audit / "duplicates.parquet", DUPLICATES)
    resolved = apply_to_duplicates(decided, duplicates, decisions)
    split = split_images(resolved.decided, groups, resolved.duplicates, stage.params.split)
    write_table(files.split / "splits.parquet", split.table, SPLITS)
    write_json(files.split / "report.json", split.report)
    sizes = ", ".join(f"{name} {count:,}" for name, count in split.report["images"].items())
    print(f"{sizes}; {split.report['groups']:,} groups, {split.report['leaks']} on two sides")


if __name__ == "__main__":
    run_stage("split", main)
