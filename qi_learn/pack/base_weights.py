"""The base's weights as float32 rows.

They are dequantised from its GGUF file, or in full precision from a safetensors directory.

Both give the rows of a tensor in the order of the GGUF file, a block at a time with `pread`, so
memory does not grow with the model and any number of threads may read. Full-precision weights are
used only after `check_vectors` and `check_tensor` have shown that the GGUF file was made from
exactly these: a directory of another revision, or a wrong row order, would pass every later check
and ruin the model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from qi_learn.errors import ModelError, NotFound
from qi_learn.outside.ggml import can_quantize, dequantize, quantize, widen_bf16
from qi_learn.outside.gguf import GgufFile, Tensor
from qi_learn.pack.tensor_map import TensorSlot, permute, tensor_name

MAX_HEADER = 100_000_000  # safetensors' own limit
_WIDTH = {"F32": 4, "F16": 2, "BF16": 2}


class Rows(Protocol):
    """A source of the base's rows."""

    def rows(self, module: str, slot: TensorSlot, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) of a module's tensor, in the GGUF file's order, with all columns."""


class BaseRows:
    """The rows of the base GGUF file, dequantised. A context manager: it holds the file open."""

    def __init__(self, base: GgufFile) -> None:
        self.base = base
        self.fd = os.open(base.path, os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.fd)

    def rows(self, module: str, slot: TensorSlot, start: int, stop: int) -> NDArray[np.float32]:
        return self.read(slot.tensor, start, stop)

    def read(self, tensor: Tensor, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) of a tensor."""
        width = tensor.size // tensor.rows
        raw = read_exactly(
            self.fd, (stop - start) * width, tensor.start + start * width, self.base.path
        )
        return dequantize(
            np.frombuffer(raw, dtype=np.uint8), tensor.type, (stop - start, tensor.columns)
        )


@dataclass(frozen=True, slots=True)
class _Stored:
    """One tensor of a safetensors file."""

    fd: int
    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int


class FullPrecision:
    """A directory of safetensors weights, by transformers' names. A context manager.

    It holds one file, or shards with an index.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tensors: dict[str, _Stored] = {}
        self._open = ExitStack()
        files = sorted(directory.glob("model*.safetensors"))
        if not files:
            raise NotFound(
                f"there are no weights (model*.safetensors) in {directory}",
                "Set train.base_weights to the model's directory, or empty it.",
            )
        with self._open as guard:
            for path in files:
                fd = os.open(path, os.O_RDONLY)
                guard.callback(os.close, fd)
                self.tensors |= _read_header(fd, path)
            self._open = guard.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    def rows(self, module: str, slot: TensorSlot, start: int, stop: int) -> NDArray[np.float32]:
        name = f"{module}.weight"
        if (stored := self.tensors.get(name)) is None:
            raise ModelError(
                f"{self.directory} has no {name}",
                "Set train.base_weights to the directory that the GGUF file was made from.",
            )
        if stored.shape != (slot.tensor.rows, slot.tensor.columns):
            raise ModelError(
                f"{name} is {stored.shape} in {stored.path}, {slot.tensor.shape[::-1]} in the GGUF "
                "file",
                "These are not the base's weights.",
            )
        return permute(self.read(name, start, stop), slot.head_rows)

    def read(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Rows of a tensor in transformers' order; a vector's elements are its rows."""
        stored = self.tensors[name]
        width = _WIDTH[stored.dtype] * (stored.shape[1] if len(stored.shape) > 1 else 1)
        raw = read_exactly(
            stored.fd, (stop - start) * width, stored.start + start * width, stored.path
        )
        if stored.dtype == "BF16":
            values = widen_bf16(np.frombuffer(raw, dtype=np.uint16))
        else:
            dtype = np.float32 if stored.dtype == "F32" else np.float16
            values = np.frombuffer(raw, dtype=dtype).astype(np.float32)
        return values.reshape(stop - start, *stored.shape[1:])


def read_exactly(fd: int, count: int, at: int, path: Path) -> bytes:
    """`count` bytes from `at`; a read may come in pieces.

    Raises ModelError if the file is shorter.
    """
    parts: list[bytes] = []
    while count:
        part = os.pread(fd, count, at)
        if not part:
            raise ModelError(f"{path} ends early", "Fetch the model file again.")
        parts.append(part)
        at, count = at + len(part), count - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_vectors(weights: FullPrecision, base: BaseRows) -> None:
    """Raise ModelError unless the vectors of the two agree to the rounding of bfloat16.

    Vectors (norms, biases) are stored unquantised in every GGUF file, and another revision or a
    full fine-tune of the same model differs there.
    """
    compared = 0
    for name, stored in weights.tensors.items():
        tensor = _vector_of(base.base, name, stored)
        if tensor is None:
            continue
        if tensor.shape != stored.shape:
            raise _not_these(
                weights,
                base,
                f"{tensor.name} has {tensor.columns} elements, {name} has {stored.shape[0]}",
            )
        exact = weights.read(name, 0, stored.shape[0])
        if _square(base.read(tensor, 0, 1)[0] - exact) > (0.004**2) * _square(exact):
            raise _not_these(weights, base, f"{tensor.name} differs")
        compared += 1
    if not compared:
        raise _not_these(weights, base, "they have no norm in common")


def _vector_of(base: GgufFile, name: str, stored: _Stored) -> Tensor | None:
    """The base's tensor for a vector; None if it cannot be compared element by element."""
    if len(stored.shape) != 1:
        return None
    tensor = base.tensors.get(tensor_name(base, name) or "")
    reordered = base.architecture == "llama" and name.endswith(("q_proj.bias", "k_proj.bias"))
    return tensor if tensor is not None and tensor.type == "F32" and not reordered else None


def check_tensor(
    weights: FullPrecision,
    base: BaseRows,
    module: str,
    slot: TensorSlot,
    ranges: Iterable[tuple[int, int]],
) -> None:
    """Raise ModelError unless the base's rows lie close enough to the weights.

    Close enough: as close as quantising them ourselves does (times 1.5, for files made with an
    importance matrix). Rows in a wrong order would be off by 1.4 times the weights.
    """
    ours = theirs = total = 0.0
    for start, stop in ranges:
        exact = weights.rows(module, slot, start, stop)
        theirs += _square(base.read(slot.tensor, start, stop) - exact)
        total += _square(exact)
        ours += _rounding(exact, slot.tensor.type)
    if theirs**0.5 > 1.5 * ours**0.5 + 0.004 * total**0.5:
        off, explained = (
            (square / total) ** 0.5 if total else float("inf") for square in (theirs, ours)
        )
        raise _not_these(
            weights,
            base,
            f"{slot.tensor.name} is off by {off:.3f} of its size, quantising explains "
            f"{explained:.3f}",
        )


def _rounding(exact: NDArray[np.float32], kind: str) -> float:
    """The squared error of writing these rows as `kind`.

    For a type that cannot be written here (IQ2 and the like) it is that of an error of 0.3 of their
    size.
    """
    if can_quantize(kind, exact.shape[1]):
        return _square(dequantize(quantize(exact, kind), kind, exact.shape) - exact)
    return 0.09 * _square(exact)


def _square(values: NDArray[np.float32]) -> float:
    return float(np.vdot(values, values))


def _not_these(weights: FullPrecision, base: BaseRows, why: str) -> ModelError:
    hint = "Set train.base_weights to the revision the GGUF file was made from, or leave it empty."
    return ModelError(
        f"{base.base.path} was not made from the weights in {weights.directory}: {why}", hint
    )


def _read_header(fd: int, path: Path) -> dict[str, _Stored]:
    """The tensors of one safetensors file, each checked against the file's size.

    Raises ModelError for a damaged file.
    """
    size = os.fstat(fd).st_size
    length = int.from_bytes(os.pread(fd, 8, 0), "little")
    if size < 8 or length > min(size - 8, MAX_HEADER):
        raise ModelError(f"{path} is no safetensors file", "Fetch the weights again.")
    try:
        entries = json.loads(read_exactly(fd, length, 8, path))
        tensors = {
            str(n): _stored(fd, path, e, 8 + length)
            for n, e in entries.items()
            if n != "__metadata__" and e["dtype"] in _WIDTH
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} has a damaged header: {error}", "Fetch the weights again."
        ) from error
    for name, stored in tensors.items():
        if stored.start + int(np.prod(stored.shape, dtype=object)) * _WIDTH[stored.dtype] > size:
            raise ModelError(f"{name} ends behind the file {path}", "Fetch the weights again.")
    return tensors


def _stored(fd: int, path: Path, entry: dict[str, object], data: int) -> _Stored:
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not (
        isinstance(shape, list)
        and isinstance(offsets, list)
        and all(isinstance(n, int) and n >= 0 for n in [*shape, *offsets])
        and len(offsets) == 2
    ):
        raise ValueError("a shape or an offset is not a list of whole numbers")
    return _Stored(fd, path, str(entry["dtype"]), tuple(shape), data + offsets[0])
