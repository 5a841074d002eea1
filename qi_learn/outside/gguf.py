"""The head of a GGUF file: its keys, and where each tensor lies.

A model file comes from somewhere else, so nothing in it is believed: every count, length and offset
is held against the size of the file before it is used. A head that llama.cpp would refuse (gaps
between tensors, unknown types, rows that do not fill whole blocks) is refused here, with a
sentence. Only the head is read. Arrays (the vocabulary) are stepped over, not built: 150,000 tokens
cost a tenth of a second, not the two of `gguf.GGUFReader`. Versions 2 and 3 are read, in
little-endian; ggml's `docs/gguf.md` describes the format.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qi_learn.errors import ModelError, NotFound
from qi_learn.outside.ggml_types import row_bytes, type_names
from qi_learn.outside.gguf_cursor import SCALARS, GgufCursor

MAGIC = b"GGUF"
MAX_DIMS = 4  # GGML_MAX_DIMS
MAX_NAME = 64  # GGML_MAX_NAME
DEFAULT_ALIGNMENT = 32

_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Array:
    """An array among the keys: the kind and number of its elements, which are not read."""

    type: int
    count: int


Value = int | float | bool | str | Array


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's entry. `shape` is in ggml's order: (columns, rows, ...)."""

    name: str
    shape: tuple[int, ...]
    type: str
    """ggml's name: `Q4_K`, `F32`, ..."""
    start: int
    """Of its data, in bytes from the start of the file."""
    size: int
    """Bytes of its data, without padding."""
    entry: int
    """Where in the file its type (u32) and then its offset (u64) are written."""

    @property
    def columns(self) -> int:
        return self.shape[0]

    @property
    def rows(self) -> int:
        rows = 1
        for n in self.shape[1:]:
            rows *= n
        return rows


@dataclass(frozen=True, slots=True)
class GgufFile:
    """What the head of a GGUF file says. `tensors` are by name, in the order of the file."""

    path: Path
    size: int
    keys: Mapping[str, Value]
    tensors: Mapping[str, Tensor]
    alignment: int
    data_start: int

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """The value of a string key. Raises ModelError if it is missing or no string."""
        value = self.keys.get(key)
        if not isinstance(value, str):
            problem = "missing" if value is None else "not a string"
            raise ModelError(
                f"{self.path}: the key {key} is {problem}", "Use a complete GGUF model file."
            )
        return value

    def number(self, key: str) -> int:
        """The value of a whole-number key. Raises ModelError if it is missing or not one number."""
        value = self.keys.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            problem = "missing" if value is None else "not one whole number"
            raise ModelError(
                f"{self.path}: the key {key} is {problem}", "Use a complete GGUF model file."
            )
        return value

    @property
    def parameters(self) -> int:
        """The number of elements of all tensors together."""
        return sum(tensor.columns * tensor.rows for tensor in self.tensors.values())

    @property
    def quantization(self) -> str:
        """The name of the file's type (`Q4_K_M`); `unknown` if the file does not say."""
        from gguf import LlamaFileType

        try:
            name = LlamaFileType(self.keys.get("general.file_type")).name
        except ValueError:
            return "unknown"
        return str(name).removeprefix("MOSTLY_").removeprefix("ALL_")


def padded(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return -(-size // alignment) * alignment


def is_gguf(path: Path) -> bool:
    """Whether the file at `path` begins as a GGUF file does.

    Raises OSError if it cannot be opened.
    """
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_head(path: Path) -> GgufFile:
    """The head of a GGUF file.

    Raises NotFound if there is no file, ModelError if it is no GGUF file that llama.cpp would load.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < 24:
                raise ModelError(f"{path} is no GGUF file: {size} bytes", "Use a GGUF model file.")
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as view:
                return _read(path, GgufCursor(path, view, size))
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no model file {path}", "Check the path, or pull the base model again."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}", "Check the file and its rights."
        ) from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, cursor: GgufCursor) -> GgufFile:
    if cursor.view[:4] != MAGIC:
        raise ModelError(
            f"{path} is no GGUF file",
            "Use a GGUF model file (safetensors and PyTorch files are not served).",
        )
    cursor.at = 4
    version = cursor.u32()
    if version not in (2, 3):
        kind = "big-endian" if version & 0xFFFF == 0 else f"version {version}"
        raise ModelError(
            f"{path} is a {kind} GGUF file; versions 2 and 3 in little-endian are read",
            "Convert the model with a current llama.cpp.",
        )
    tensor_count = cursor.count(8 + 4 + 8 + 4 + 8, "tensors")
    key_count = cursor.count(8 + 4 + 1, "keys")
    keys = _read_keys(cursor, key_count)
    alignment = keys.get("general.alignment", DEFAULT_ALIGNMENT)
    if (
        not isinstance(alignment, int)
        or isinstance(alignment, bool)
        or alignment < 1
        or alignment & (alignment - 1)
        or alignment > 1 << 20
    ):
        raise cursor.bad(f"an alignment of {alignment}")
    entries = [_read_entry(cursor) for _ in range(tensor_count)]
    data_start = padded(cursor.at, alignment)
    return GgufFile(
        path,
        cursor.size,
        keys,
        _tensors(cursor, entries, data_start, alignment),
        alignment,
        data_start,
    )


def _read_keys(cursor: GgufCursor, count: int) -> dict[str, Value]:
    keys: dict[str, Value] = {}
    for _ in range(count):
        key = cursor.text(1 << 16)
        if key in keys:
            raise cursor.bad(f"the key {key!r} is there twice")
        keys[key] = _read_value(cursor, cursor.u32())
    return keys


def _read_value(cursor: GgufCursor, kind: int) -> Value:
    if kind in SCALARS:
        return cursor.scalar(SCALARS[kind])
    if kind == _STRING:
        return cursor.text()
    if kind != _ARRAY:
        raise cursor.bad(f"a value of the unknown type {kind}")
    of = cursor.u32()
    if of in SCALARS:
        width = struct.calcsize(SCALARS[of])
        count = cursor.count(width, "numbers")
        cursor.skip(count * width)
    elif of == _STRING:
        count = cursor.count(8, "texts")
        _skip_texts(cursor, count)
    else:
        raise cursor.bad(f"an array of the type {of}")
    return Array(of, count)


def _skip_texts(cursor: GgufCursor, count: int) -> None:
    """Step over strings.

    This loop runs once per token of the vocabulary, so it reads the lengths itself.
    """
    view, at, end, length_at = cursor.view, cursor.at, cursor.size, struct.Struct("<Q").unpack_from
    for _ in range(count):
        if at + 8 > end:
            raise cursor.bad(f"a list of {count} texts runs past the end of the file")
        at += 8 + length_at(view, at)[0]
    cursor.skip(at - cursor.at)


class _Entry(NamedTuple):
    """One tensor's entry as it is written: `offset` is that of its data, `at` is its own."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    at: int


def _read_entry(cursor: GgufCursor) -> _Entry:
    name = cursor.text(MAX_NAME - 1)
    dims = cursor.u32()
    if not 1 <= dims <= MAX_DIMS:
        raise cursor.bad(f"tensor {name!r} has {dims} dimensions")
    shape = tuple(cursor.u64() for _ in range(dims))
    at = cursor.at
    kind = cursor.u32()
    if kind not in type_names():
        raise cursor.bad(f"tensor {name!r} has the unknown type {kind}")
    return _Entry(name, shape, type_names()[kind], cursor.u64(), at)


def _tensors(
    cursor: GgufCursor, entries: list[_Entry], data_start: int, alignment: int
) -> dict[str, Tensor]:
    """The tensors, once shapes and offsets are held against the file.

    Each tensor starts where the one before it ends, padded, and the last one ends in the file.
    """
    tensors: dict[str, Tensor] = {}
    expected = 0
    for name, shape, kind, offset, at in entries:
        if name in tensors:
            raise cursor.bad(f"tensor {name!r} is there twice")
        if min(shape) < 1 or max(shape) > 1 << 40:
            raise cursor.bad(f"tensor {name!r} has the shape {shape}")
        try:
            size = row_bytes(kind, shape[0])
        except ModelError as error:
            raise cursor.bad(f"tensor {name!r}: {error.what}") from error
        for n in shape[1:]:
            size *= n
        if offset != expected:
            raise cursor.bad(f"tensor {name!r} starts at {offset}, not at {expected}")
        if size > cursor.size - data_start - offset:
            raise cursor.bad(f"it is cut off, tensor {name!r} ends behind it")
        tensors[name] = Tensor(name, shape, kind, data_start + offset, size, at)
        expected = padded(offset + size, alignment)
    return tensors
