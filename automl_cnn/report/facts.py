"""Everything the report and the model card say, collected from artifacts/ before a word is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from automl_cnn.artifacts import Files
from automl_cnn.config import Params
from automl_cnn.progress import Progress, silent
from automl_cnn.report.data_facts import DataFacts, FaultFacts, SplitFacts, read_data, read_faults, read_split
from automl_cnn.report.failure_facts import FailureFacts, read_failures
from automl_cnn.report.ladder_facts import RungLine, ladder_charts, read_ladder
from automl_cnn.report.run_facts import RunFacts, UseFacts, read_run, read_use
from automl_cnn.report.score_facts import ScoreFacts, read_scores
from automl_cnn.report.search_facts import SearchFacts, read_search
from automl_cnn.report.thumbnails import Thumbnails
from automl_cnn.report.training_facts import TrainingFacts, read_training
from automl_cnn.report.trust_facts import (
    CoverageLevel,
    CurveFacts,
    LearningFacts,
    SliceFacts,
    read_coverage,
    read_curves,
    read_learning,
    read_slices,
)
from automl_cnn.report.verdict import Advice, advise


@dataclass(frozen=True)
class Facts:
    """The sections of the report, in its order; None and empty where an earlier release made the run."""

    name: str
    advice: tuple[Advice, ...]
    data: DataFacts
    faults: FaultFacts
    split: SplitFacts
    search: SearchFacts
    training: TrainingFacts
    ladder: tuple[RungLine, ...]
    scores: ScoreFacts
    curves: CurveFacts | None
    coverage: tuple[CoverageLevel, ...]
    slices: SliceFacts | None
    learning: LearningFacts | None
    failures: FailureFacts | None
    use: UseFacts
    run: RunFacts

    def charts(self) -> dict[str, str]:
        """Every chart as SVG by name; names are those of the files in figures/."""
        found = {
            **self.search.charts,
            **dict(self.training.charts),
            **ladder_charts(self.ladder, self.search.objective),
        }
        found["calibration"] = self.scores.calibration
        if self.curves is not None:
            found |= {"roc": self.curves.roc, "precision_recall": self.curves.precision_recall}
        if self.learning is not None:
            found |= self.learning.charts
        return found


def collect_facts(params: Params, files: Files, progress: Progress = silent) -> Facts:
    """Read every artifact that the report shows.

    Args:
        params: of the run.
        files: where the artifacts lie; those in timings/ and explanations/ may be missing.
        progress: told section by section.
    Raises:
        ArtifactError: an artifact is missing, damaged or of another version.
    """
    thumbnails = Thumbnails(files, params.data.resize)
    progress("reading", 0, 4, "data")
    faults, split = read_faults(files, thumbnails), read_split(files, params)
    data = read_data(files, params, thumbnails)
    progress("reading", 1, 4, "model")
    search, training, ladder = read_search(files, params.target), read_training(files), read_ladder(files)
    progress("reading", 2, 4, "scores")
    scores = read_scores(files)
    coverage, slices, learning = read_coverage(files), read_slices(files), read_learning(files)
    curves = read_curves(files, tuple(line.label for line in scores.classes))
    progress("reading", 3, 4, "failures")
    failures = read_failures(files, thumbnails)
    progress("reading", 4, 4)
    return Facts(
        name=Path(params.data.root).name or "images",  # never the whole path: the page is passed around
        advice=advise(scores, faults, split, coverage, slices, learning),
        data=data,
        faults=faults,
        split=split,
        search=search,
        training=training,
        ladder=ladder,
        scores=scores,
        curves=curves,
        coverage=coverage,
        slices=slices,
        learning=learning,
        failures=failures,
        use=read_use(files),
        run=read_run(params, files),
    )
