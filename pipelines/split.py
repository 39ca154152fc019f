"""Stage split: groups and decisions → train, validation, test and quarantine, with the proof that nothing leaks."""

from dataclasses import asdict

import numpy as np

from automl_cnn.artifacts import DUPLICATES, GROUPS, JOINS, MANIFEST, SPLITS, read_table, write_json, write_table
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.audit.verdicts import apply_decisions, apply_to_duplicates
from automl_cnn.split.assign import split_images
from automl_cnn.split.leak_price import measure_leak_price
from automl_cnn.split.ledger import extend_ledger, find_stand, read_ledger, write_ledger
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    files, params = stage.files, stage.params
    manifest = read_table(files.manifest, MANIFEST)
    decisions = read_decisions(files.decisions, checked=True)
    decided, _ = apply_decisions(manifest, decisions)
    groups, joins = (read_table(files.audit / f"{table.name}.parquet", table) for table in (GROUPS, JOINS))
    resolved = apply_to_duplicates(decided, read_table(files.audit / "duplicates.parquet", DUPLICATES), decisions)
    # an out that is read before it is written: what this stage remembers of its own earlier runs
    ledger = read_ledger(files.ledger)
    stand = find_stand(resolved.decided, groups, joins, ledger)
    for line in stand.lines():
        print(line)
    split = split_images(
        resolved.decided, stand.groups, resolved.duplicates, params.split, stand.earlier, stand.left_out, joins
    )
    inside = split.table["split"].isin(["train", "validation"]).to_numpy()
    stored = [files.features / name / "base.npy" for name in params.audit.backbones]
    price = measure_leak_price(
        lambda rows: join_embeddings(stored, resolved.decided[inside].iloc[rows]),
        split.table.loc[inside, "label"].to_numpy(np.object_), split.table.loc[inside, "group"].to_numpy(np.object_),
        params.split.seed, stage.progress,
    )  # fmt: skip
    write_table(files.split / "splits.parquet", split.table, SPLITS)
    report = {**split.report, "ledger": stand.report(split.table), "leak_price": asdict(price)}
    write_json(files.split / "report.json", report)
    write_ledger(files.ledger, extend_ledger(ledger, resolved.decided, split.table["split"].tolist()))
    sizes = ", ".join(f"{name} {count:,}" for name, count in split.report["images"].items())
    print(f"{sizes}; {split.report['groups']:,} groups, {split.report['leaks']} on two sides")
    print(price.sentence)


if __name__ == "__main__":
    run_stage("split", main)
