"""One worker of `automl-cnn serve`: a process that labels images one at a time until its input ends.

A process, not a thread: a file that brings a decoder down takes this process alone, and one that hangs can be ended.
It is asked on stdin and answers on stdout. A question is the lengths of name and content, then both; an answer is a
length, then JSON: {"ready": true} first, then for each question {"prediction": …} or {"error": …}. What the log of
predictions wants of an image stands beside its prediction, as "sketch" and "statistics".
"""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from automl_cnn.errors import AutoMLError, DataError
from automl_cnn.serve.limits import describe
from automl_cnn.serve.predict import Predictor

QUESTION, ANSWER = struct.Struct(">II"), struct.Struct(">I")


def main(model: str, max_pixels: str, logged: str) -> int:
    """Answer until stdin ends.

    Args:
        model: path of the .tflite file.
        max_pixels: larger images are refused.
        logged: "logged" where the answers go to a log as well.
    Returns:
        The exit code.
    """
    # Whoever stops the server may signal its whole group; this process ends when the server has no more questions.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    questions, answers = sys.stdin.buffer, _answers()
    try:
        predictor = Predictor(Path(model), max_megapixels=int(max_pixels) / 1e6)
    except AutoMLError as error:
        _send(answers, {"error": describe("model", error)})
        return 2
    _send(answers, {"ready": True})
    while (question := _receive(questions)) is not None:
        _send(answers, _answer(predictor, *question, logged == "logged"))
    return 0


def _answers() -> BinaryIO:
    """stdout for answers alone: what a library prints goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return io.BufferedWriter(io.FileIO(kept, "wb"))


def _receive(questions: BinaryIO) -> tuple[str, bytes] | None:
    """Name and content of the next image; None at the end."""
    lengths = questions.read(QUESTION.size)
    if len(lengths) < QUESTION.size:
        return None
    name_bytes, content_bytes = QUESTION.unpack(lengths)
    name, content = questions.read(name_bytes), questions.read(content_bytes)
    return (name.decode("utf-8", "replace"), content) if len(content) == content_bytes else None


def _answer(predictor: Predictor, name: str, content: bytes, logged: bool) -> dict[str, Any]:
    try:
        if not logged:
            return {"prediction": asdict(predictor.predict_bytes(content, name))}
        examined = predictor.examine_bytes(content, name)
        return {
            "prediction": asdict(examined.prediction), "sketch": examined.sketch.tolist(),
            "statistics": examined.statistics,
        }  # fmt: skip
    except DataError as error:
        return {"error": describe(error.received.partition(":")[0], error)}


def _send(answers: BinaryIO, answer: dict[str, Any]) -> None:
    text = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
    answers.write(ANSWER.pack(len(text)) + text)
    answers.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
