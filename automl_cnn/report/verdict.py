"""What to do with the model: rules that turn scores into advice a manager can follow."""

from __future__ import annotations

from dataclasses import dataclass

from automl_cnn.reference.abstention import USUAL_PRECISION
from automl_cnn.report.data_facts import FaultFacts, SplitFacts
from automl_cnn.report.score_facts import ScoreFacts
from automl_cnn.report.trust_facts import CoverageLevel, LearningFacts, SliceFacts
from automl_cnn.report.wording import counted, listed, percent, percent_range, points

WIDE_INTERVAL = 0.04  # half of it, as a share: beyond ± 4 points two models can hardly be told apart
FEW_GROUPS = 30  # with fewer a bootstrap interval is itself too narrow
WEAK_RECALL = 0.75
OFF_CALIBRATION = 0.06
ALONE = USUAL_PRECISION  # of answers that need no second look: `predict` and `serve` abstain by its thresholds
FEW_ALONE = 0.01  # of the images: with fewer it cannot be left alone
COSTLY = 0.03  # a loss that the interval still allows
MOST_PIECES = 8
STRANGE = 0.10  # twice the share that is above the threshold by its making


@dataclass(frozen=True)
class Advice:
    """A few words and the sentence behind them; tone is good, care or stop."""

    lead: str
    text: str
    tone: str


def advise(
    scores: ScoreFacts,
    faults: FaultFacts,
    split: SplitFacts,
    coverage: tuple[CoverageLevel, ...],
    slices: SliceFacts | None,
    learning: LearningFacts | None,
) -> tuple[Advice, ...]:
    """Advice in the order of its weight, at most MOST_PIECES: what is well makes room for what is not."""
    advice = [_leaks(split), _against_guessing(scores), _weakest_class(scores), _unseen_classes(scores)]
    advice += [_weak_slices(slices), _suspected_labels(faults, scores), _more_labels(learning), _alone(coverage)]
    advice += [_strangers(scores), _shrinking(scores), _uncertainty(scores), _confidence(scores)]
    pieces = [piece for piece in advice if piece is not None]
    dispensable = [piece for piece in reversed(pieces) if piece.tone == "good"][: max(0, len(pieces) - MOST_PIECES)]
    return tuple(piece for piece in pieces if piece not in dispensable)


def _leaks(split: SplitFacts) -> Advice | None:
    if not split.leaking_groups and not split.leaking_clusters:
        return None
    what = counted(split.leaking_groups, "group") + " and " + counted(split.leaking_clusters, "duplicate cluster")
    return Advice(
        "Scores are too good.", f"{what} stand on more than one side of the split. Group by duplicates and run again.",
        "stop",
    )  # fmt: skip


def _against_guessing(scores: ScoreFacts) -> Advice:
    low = scores.test["accuracy_ci95"][0]
    guessing = f"always answering “{scores.majority}” would be right on {percent(scores.majority_share)}"
    if low > scores.majority_share:
        return Advice("Better than guessing.", f"Even at the low end of the interval; {guessing}.", "good")
    return Advice(
        "Do not use it yet.",
        f"It is not shown to be better than guessing: {guessing}. Check the labels, or collect more images.",
        "stop",
    )


def _weakest_class(scores: ScoreFacts) -> Advice | None:
    """The class that is surest to be weak: one missed image of one says less than forty missed of a hundred."""
    present = [
        (line.recall_ci95[1] if line.recall_ci95 else line.recall, line.recall, line.label, line.support)
        for line in scores.classes
        if line.recall is not None
    ]
    _, recall, label, support = min(present)
    where = f"It recognizes {percent(recall, 0)} of the {counted(support, 'test image')} of"
    weak = sum(share < WEAK_RECALL for _, share, _, _ in present)
    if not weak:
        return Advice("No class is left behind.", f"{where} “{label}”, its weakest class.", "good")
    others = f" {weak} of {len(present)} classes lie below {percent(WEAK_RECALL, 0)}." if weak > 1 else ""
    return Advice(
        f"Weak on “{label}”.",
        f"{where} this class.{others} Where missing one is costly, have a person look, or collect more examples of it.",
        "care",
    )


def _unseen_classes(scores: ScoreFacts) -> Advice | None:
    unseen = [line.label for line in scores.classes if not line.support]
    if not unseen:
        return None
    return Advice(
        f"Nothing is known of {listed(unseen, 3)}: no test image.", "Label more images of these and run again.", "care"
    )


def _shrinking(scores: ScoreFacts) -> Advice:
    change, (low, high) = scores.difference["accuracy"], scores.difference["accuracy_ci95"]
    measured = (
        f"{points(change)} points of accuracy against the float model (95 % interval {points(low)} to {points(high)})"
    )
    if not scores.int8_throughout:
        return Advice(
            "Not shrunk to int8.",
            f"No file that is int8 throughout passed, so the {scores.rung} file ships: {measured}.",
            "care",
        )
    if scores.shown_worse:
        return Advice("Shrinking costs accuracy.", f"The int8 file has {measured}.", "care")
    if low < -COSTLY:
        return Advice("What shrinking costs is not settled.", f"The int8 file has {measured}.", "care")
    return Advice("Small at no measurable cost.", f"The int8 file has {measured}.", "good")


def _suspected_labels(faults: FaultFacts, scores: ScoreFacts) -> Advice | None:
    if not faults.suspected:
        return None
    part = faults.suspected / faults.checked
    shared = scores.mistakes_suspected
    among = f" {counted(shared, 'test mistake')} {'is' if shared == 1 else 'are'} among them." if shared else ""
    return Advice(
        f"Check {counted(faults.suspected, 'label')} first.",
        f"{percent(part)} of the labels look wrong.{among} Enter verdicts in decisions.csv and run again.",
        "care",
    )


def _uncertainty(scores: ScoreFacts) -> Advice | None:
    low, high = scores.test["accuracy_ci95"]
    if (high - low) / 2 <= WIDE_INTERVAL and scores.groups >= FEW_GROUPS:
        return None
    n = counted(scores.test["n"], "test image")
    groups = f" in {counted(scores.groups, 'group')}" if scores.groups < scores.test["n"] else ""
    return Advice(
        "The measurement is coarse.",
        f"With {n}{groups} accuracy is known only to lie in about {percent_range((low, high))}; "
        "more labelled images would tell more.",
        "care",
    )


def _confidence(scores: ScoreFacts) -> Advice | None:
    ece = scores.test["ece"]
    off = f"On average they are {100 * ece:.1f} points off."
    if ece <= OFF_CALIBRATION:
        return Advice("Its probabilities mean what they say.", f"{off} A threshold on them is sound.", "good")
    return Advice("Take its probabilities as a ranking.", f"{off} Set thresholds on images of your own.", "care")


def _weak_slices(slices: SliceFacts | None) -> Advice | None:
    """A part that merely holds more of the harder classes is left to the advice about classes."""
    weak = [line for line in slices.weak if line.below_expected] if slices else []
    if not weak:
        return None
    worst = weak[0]
    more = f"; {counted(len(weak) - 1, 'other part')} below theirs, too" if len(weak) > 1 else ""
    return Advice(
        "Weaker on a part of the images.",
        f"{worst.name} {worst.value}: {percent(worst.accuracy, 0)} of {counted(worst.images, 'test image')} right, "
        f"where {percent(worst.expected, 0)} are to be expected of its classes{more}. Collect more of these.",
        "care",
    )


def _more_labels(learning: LearningFacts | None) -> Advice | None:
    if learning is None:
        return None
    worth = [line for line in learning.classes if line.helps]
    if not worth and not learning.overall_helps:
        return None
    if not worth:
        return Advice("More labels would help.", learning.sentence, "care")
    best = worth[0]
    text = f"Twice as many give a simple head about {points(best.gain)} points of recall"
    if best.images_wanted is not None:
        text += f"; {100 * best.wanted:g} points take about {best.images_wanted:,} more images"
    return Advice(f"More labels of “{best.label}” would help.", f"{text}.", "care")


def _alone(coverage: tuple[CoverageLevel, ...]) -> Advice | None:
    level = next((one for one in coverage if one.wanted == ALONE), None)
    if level is None:
        return None
    if level.coverage < FEW_ALONE or level.precision is None:
        return Advice(
            "It cannot be left alone.", f"Hardly an answer is {percent(ALONE, 0)} sure; have a person look.", "care"
        )
    return Advice(
        f"It can answer {percent(level.coverage, 0)} alone.",
        f"Above thresholds set for {percent(ALONE, 0)} precision it was right on {percent(level.precision)} of them; "
        "leave the others to a person.",
        "good" if level.precision >= ALONE - COSTLY and _reaches(level.precision_ci95, ALONE) else "care",
    )


def _reaches(interval: tuple[float, float] | None, wanted: float) -> bool:
    return interval is None or interval[1] >= wanted


def _strangers(scores: ScoreFacts) -> Advice | None:
    if scores.strange is None or scores.strange["share"] <= STRANGE:
        return None
    return Advice(
        "The test images are strange to it.",
        f"{percent(scores.strange['share'], 0)} of them are less like the training images than 95 % of validation.",
        "care",
    )
