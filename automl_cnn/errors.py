"""The errors a user can meet. Each says what was expected, what came, and what to do next."""

from __future__ import annotations

import errno

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)  # of an OSError


class AutoMLError(Exception):
    """Base of every error that is the user's to mend; the command line prints it and exits with 2.

    Args:
        where: the key path, file or artifact that the error is about.
        expected: what would have been right.
        received: what came instead, with path, key or value.
        action: what to do next, a full sentence.
    """

    def __init__(self, where: str, *, expected: str, received: str, action: str) -> None:
        self.where, self.expected, self.received, self.action = where, expected, received, action
        super().__init__(f"{where}: expected {expected}; received {received}. {action}")

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way back from a worker process, which keyword-only arguments alone do not."""
        return _rebuild, (type(self), self.where, self.expected, self.received, self.action)


def _rebuild(kind: type[AutoMLError], where: str, expected: str, received: str, action: str) -> AutoMLError:
    return kind(where, expected=expected, received=received, action=action)


class ConfigError(AutoMLError):
    """params.yaml or a command-line value is wrong. Holds every problem found, not the first alone."""

    def __init__(self, problems: list[AutoMLError]) -> None:
        self.problems = problems
        Exception.__init__(self, "\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[object, ...]:
        return ConfigError, (self.problems,)


class DataError(AutoMLError):
    """The images, the label CSV or decisions.csv cannot be used as they are."""


class SplitError(DataError):
    """No leak-free split puts every class on every side."""


class ArtifactError(AutoMLError):
    """A file between two stages is missing, damaged or of another version."""


class WeightsError(AutoMLError):
    """Pretrained weights are missing, damaged or do not fit the backbone."""


class BudgetError(AutoMLError):
    """The time budget is too short for any result."""


class TrainingError(AutoMLError):
    """A training diverged or does not fit into memory."""


class QuantizeError(AutoMLError):
    """A network or file cannot be quantized or exported."""


class ExportError(AutoMLError):
    """A format cannot be written, or an export does not answer as it should."""


class ModelFileError(AutoMLError):
    """A .tflite file is missing, damaged or of another shape than this tool writes."""


class TrackingError(AutoMLError):
    """MLflow cannot be reached, refuses what it is given, or does not hold what is asked for."""


class PromotionError(AutoMLError):
    """A model is not shown to be better than the champion."""
