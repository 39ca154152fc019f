"""What the monitor found, in words and numbers as people read them; for the terminal and for the page."""

from __future__ import annotations

from automl_cnn.monitor.checks import Check
from automl_cnn.monitor.watch import Findings

NAMES = {
    "brightness": "brightness",
    "contrast": "contrast",
    "sharpness": "sharpness",
    "entropy": "entropy",
    "saturation": "colour",
    "aspect": "aspect ratio",
    "megapixels": "megapixels",
    "confidence": "confidence",
    "strangeness": "strangeness",
    "features": "features",
    "classes": "answers by class",
    "abstentions": "abstentions",
    "strangers": "strange images",
    "errors": "wrong answers",
    "overconfidence": "overconfidence",
}
MEANINGS = {
    "brightness": "mean grey level, 0 to 255",
    "contrast": "standard deviation of the grey levels",
    "sharpness": "variance of the Laplacian; blur lowers it, noise raises it",
    "entropy": "of the grey levels, bits a pixel",
    "saturation": "largest of red, green, blue minus the smallest",
    "aspect": "long side over short side of the file",
    "megapixels": "of the file",
    "confidence": "probability of the answer",
    "strangeness": "distance from the training images, as the model sees them",
    "features": "all that the model sees, at once",
    "classes": "how often each class is answered",
    "abstentions": "answers too doubtful for the precision that is kept",
    "strangers": "further from the training images than 95 % of validation",
    "errors": "of the images whose true label has arrived",
    "overconfidence": "mean confidence less share right",
}
_SHARES = ("confidence", "abstentions", "strangers", "errors", "overconfidence")


def headline(found: Findings) -> str:
    """The verdict in one or two sentences."""
    if not found.images:
        return "Too few images to tell: the log has none of this time and model."
    if found.verdict == "alarm":
        named = [NAMES[check.name] for check in found.alarms]
        last = f"{len(named) - 3} more" if len(named) > 4 else named[-1]
        listed = f"{', '.join(named[:3] if len(named) > 4 else named[:-1])} and {last}" if len(named) > 1 else last
        verb = "differ" if len(named) > 1 else "differs"
        return f"Alarm: {listed} of these images {verb} from what the model was judged on."
    if found.verdict == "too_few":
        return f"Too few images to tell: nothing alarms, but {sensitivity(found)}"
    return f"Quiet: nothing differs beyond chance, and {sensitivity(found)}"


def sensitivity(found: Findings) -> str:
    """What a test of this size can see."""
    if found.noticed_sd is None:
        return "there was nothing to test."
    reach = f"{found.noticed_sd:.2f} standard deviations"
    less = "only a mean that shifts" if found.verdict == "too_few" else "a mean that shifts"
    return f"{less} by {reach} or more would have been noticed four times out of five."


def value(check: Check, number: float | None) -> str:
    """A mean of what the check compares."""
    if number is None:
        return ""
    if check.name in _SHARES:
        return f"{100 * number:.1f} %"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:,.0f}"


def caveat(found: Findings) -> str:
    """Why more wrong answers do not alarm, where they do not; else empty."""
    if not any(check.biased for check in found.checks):
        return ""
    return (
        "Wrong answers cannot alarm here: the labelled images differ from the others in confidence or strangeness, so "
        "their share of errors is not that of all."
    )


def chance(p: float, least: float) -> str:
    """A p-value; `least` is the smallest that there can be."""
    if p <= least:
        return f"≤ {least:.2g}"
    return f"{p:.1g}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def stability(check: Check) -> str:
    """The stability index beside what chance makes of it."""
    if check.psi is None or check.psi_by_chance is None:
        return ""
    return f"{check.psi:.2f} ({check.psi_by_chance:.2f})"


def advice(found: Findings) -> list[str]:
    """What to do next, for each kind of alarm that there is."""
    names = {check.name for check in found.alarms}
    nearer = {"confidence": 1, "strangeness": -1}  # the sign of a change towards the training images
    towards = {
        check.name
        for check in found.alarms
        if check.live is not None and (check.live - (check.reference or 0.0)) * nearer.get(check.name, 0) > 0
    }
    said = []
    if names & {"errors", "overconfidence"}:
        said.append("The answers have become worse: label more of these images, add them to the data and run again.")
    if names & {"brightness", "contrast", "sharpness", "entropy", "saturation"}:
        said.append("The pictures look different: ask whether camera, light, lens or compression has changed.")
    if names & {"aspect", "megapixels"}:
        said.append("The files have another size or shape: ask what is sent, and how it is cropped or scaled.")
    if names & {"features", "strangeness", "strangers", "abstentions", "confidence"} - towards:
        said.append("The model meets images unlike those it was trained on: look at the strangest, and label some.")
    elif towards:
        said.append(
            "The images are easier than those it was judged on: are training images among them, or were they chosen?"
        )
    if "classes" in names:
        said.append("The classes come in other shares: that alone is no fault of the model, if the world has changed.")
    if found.verdict == "alarm" and not names & {"errors", "overconfidence"}:
        said.append("An alarm says that images differ, not that answers are wrong: only labels can show that.")
    if found.verdict == "too_few":
        said.append("Wait for more images, or look over a longer time with --since or --window.")
    return said
