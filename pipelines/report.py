"""Stage report: everything that the run found, on one page."""

from __future__ import annotations

from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    """Write artifacts/report/."""
    from automl_cnn.report.page import write_report

    path = write_report(stage.params, stage.files, stage.progress)
    print(f"{path}: {path.stat().st_size / 1e3:,.0f} kB; open it in a browser")


if __name__ == "__main__":
    run_stage("report", main)
