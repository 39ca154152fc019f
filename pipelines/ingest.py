"""Stage ingest: the analyst's folder → manifest.parquet and images/; the reviewer's decisions.csv, checked."""

from pathlib import Path

from automl_cnn.data.ingest import ingest
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    from automl_cnn.artifacts import MANIFEST, read_table
    from automl_cnn.audit.decisions import read_decisions, write_decisions
    from automl_cnn.audit.problems import write_problems
    from automl_cnn.audit.verdicts import apply_decisions

    summary = ingest(stage.params.data, stage.files, stage.cache, stage.progress)
    decisions = read_decisions(Path(stage.params.audit.decisions))
    write_decisions(stage.files.decisions, decisions)
    write_problems(stage.files.decision_problems, decisions.problems)
    _, unfit = apply_decisions(read_table(stage.files.manifest, MANIFEST), decisions)
    for line in summary.lines():
        print(line)
    print(f"{len(decisions):,} decisions of a reviewer")
    for problem in sorted((*decisions.problems, *unfit), key=lambda problem: problem.line):
        print(problem)


if __name__ == "__main__":  # decoding processes import this file again
    run_stage("ingest", main)
