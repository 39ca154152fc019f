"""Run .tflite files. The sole module that imports ai_edge_litert."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import ModelFileError
from automl_cnn.progress import Progress, silent
from automl_cnn.quiet import native_messages_dropped

READ_AT_ONCE = 64  # images; 64 of 224 px are 10 MB
MOST_COPIES = 4  # each has its own copy of the weights


class LiteModel:
    """A .tflite file ready to run on the CPU with XNNPACK; several threads may share one.

    Args:
        source: path of the file, or its bytes.
        threads: number of CPU threads.
        outputs: how many it has to have; `run` gives the first.
    Raises:
        ModelFileError: the file is missing, damaged, or has another number of inputs than one, or of outputs.
    """

    def __init__(self, source: Path | bytes, threads: int = 1, outputs: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.where = str(source) if isinstance(source, Path) else "model"
        try:
            content = source.read_bytes() if isinstance(source, Path) else source
        except OSError as error:
            raise self._error(
                "a .tflite file", str(error), "Give the path of artifacts/quantized/model.tflite."
            ) from None
        if content[4:8] != b"TFL3":
            raise self._error("a .tflite file", "other content", "Give the path of artifacts/quantized/model.tflite.")
        try:
            with native_messages_dropped():
                self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            first = str(error).splitlines()[0] if str(error) else "unreadable content"
            raise self._error("a whole .tflite file", first, "Export the model again.") from None
        inputs, self._outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if len(inputs) != 1 or len(self._outputs) != outputs:
            raise self._error(
                f"one input and {'one output' if outputs == 1 else f'{outputs} outputs'}",
                f"{len(inputs)} and {len(self._outputs)}", "Give an image classifier.",
            )  # fmt: skip
        self._input, self._lock = inputs[0], threading.Lock()  # one image at a time, whoever asks
        self.input_shape: tuple[int, ...] = tuple(int(n) for n in self._input["shape"])
        self.output_shapes = tuple(tuple(int(n) for n in output["shape"]) for output in self._outputs)
        self.output_shape: tuple[int, ...] = self.output_shapes[0]
        self.input_dtype, self.output_dtype = np.dtype(self._input["dtype"]), np.dtype(self._outputs[0]["dtype"])

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Run one batch.

        Args:
            batch: the input's shape and dtype. uint8 and int8 outputs are returned dequantized.
        Returns:
            float32 of the first output's shape.
        """
        with self._lock:
            self._invoke(batch)
            return self._read(self._outputs[0])

    def run_outputs(self, batch: NDArray[Any]) -> list[NDArray[np.float32]]:
        """As `run`, all outputs in their order."""
        with self._lock:
            self._invoke(batch)
            return [self._read(output) for output in self._outputs]

    def tensor_dtypes(self) -> list[str]:
        """Names of the dtypes of all tensors in the file, in order; 'float32' among them means it is not fully int8."""
        return [np.dtype(tensor["dtype"]).name for tensor in self._interpreter.get_tensor_details()]

    def partitions(self) -> int | None:
        """In how many pieces XNNPACK runs the graph; None when it does not run it at all."""
        # told nowhere else: the nodes that a delegate took over are followed by one DELEGATE
        operators = self._interpreter._get_ops_details()
        return sum(operator["op_name"] == "DELEGATE" for operator in operators) or None

    def _invoke(self, batch: NDArray[Any]) -> None:
        self._interpreter.set_tensor(self._input["index"], batch)
        self._interpreter.invoke()

    def _read(self, output: dict[str, Any]) -> NDArray[np.float32]:
        raw = self._interpreter.get_tensor(output["index"])
        scale, zero_point = output["quantization"]
        if raw.dtype != np.float32 and scale:
            raw = (raw.astype(np.float32) - zero_point) * scale
        return np.asarray(raw, dtype=np.float32)

    def _error(self, expected: str, received: str, action: str) -> ModelFileError:
        return ModelFileError(self.where, expected=expected, received=received, action=action)


class LiteCopies:
    """One file several times, side by side: images one at a time, and yet all cores at work.

    A network of this size leaves a second core mostly idle when one image is all it has to do.

    Args:
        source: path of the file, or its bytes.
        threads: number of CPU threads, shared out among at most MOST_COPIES copies.
        outputs: how many it has to have.
    Attributes:
        input_shape, input_dtype, output_shape, output_shapes: of the file.
    Raises:
        ModelFileError: as of LiteModel.
    """

    def __init__(self, source: Path | bytes, threads: int, outputs: int = 1) -> None:
        copies = min(max(1, threads), MOST_COPIES)
        self._models = [LiteModel(source, max(1, threads // copies), outputs) for _ in range(copies)]
        first = self._models[0]
        self.input_shape, self.input_dtype = first.input_shape, first.input_dtype
        self.output_shape, self.output_shapes = first.output_shape, first.output_shapes

    def run_each(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run images one at a time.

        Args:
            images: n images of the file's input shape without its first dimension, which is 1.
        Returns:
            float32 [n, *output_shape[1:]], in the order of the images; the same however many copies there are.
        """
        return self.run_each_outputs(images)[0]

    def run_each_outputs(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """As `run_each`, all outputs in their order."""
        answers = [np.empty((len(images), *shape[1:]), np.float32) for shape in self.output_shapes]

        def run(number: int) -> None:
            for index in range(number, len(images), len(self._models)):
                for answer, given in zip(answers, self._models[number].run_outputs(images[index][None]), strict=True):
                    answer[index] = given[0]

        with ThreadPoolExecutor(len(self._models)) as pool:
            list(pool.map(run, range(len(self._models))))
        return answers

    def run_rows(
        self,
        read: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
        rows: NDArray[np.int64],
        label: str,
        progress: Progress = silent,
    ) -> list[NDArray[np.float32]]:
        """Run images that are read when their turn comes.

        Args:
            read: rows → uint8 RGB [k, H, W, 3].
            rows: int64 [n].
            label: for the progress report.
            progress: told after every READ_AT_ONCE images.
        Returns:
            All outputs in their order, float32 [n, …].
        """
        found = [np.empty((len(rows), *shape[1:]), np.float32) for shape in self.output_shapes]
        for start in range(0, len(rows), READ_AT_ONCE):
            part = rows[start : start + READ_AT_ONCE]
            for whole, given in zip(found, self.run_each_outputs(read(part)), strict=True):
                whole[start : start + len(part)] = given
            progress(label, start + len(part), len(rows))
        return found


def load_runtime() -> None:
    """Import LiteRT now, so that what follows does not pay for it."""
    import ai_edge_litert.interpreter  # noqa: F401
