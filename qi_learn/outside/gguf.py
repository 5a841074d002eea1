"""The head of a GGUF file: its keys, and where each tensor lies.

A model file comes from somewhere else, so nothing in it is believed: every count, length and offset
is held against the size of the file before it is used, and a head that llama.cpp would refuse (gaps
between tensors, unknown types, rows that do not fill whole blocks) is refused here, with a
sentence. Only the head is read. Arrays (the vocabulary) are stepped over, not built: 150,000 tokens
cost a tenth of a second, not the two of `gguf.GGUFReader`. Version 2 and 3, little-endian; the
format is described in ggml's `docs/gguf.md`.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qi_learn.errors import ModelError, NotFound

MAGIC = b"GGUF"
MAX_DIMS = 4  # GGML_MAX_DIMS
MAX_NAME = 64  # GGML_MAX_NAME
MAX_STRING = 1 << 24
DEFAULT_ALIGNMENT = 32

_SCALARS: dict[int, str] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class Array:
    """An array among the keys: of what, and how many. Its elements are not read."""

    type: int
    count: int


Value = int | float | bool | str | Array


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor's entry. `shape` is ggml's order: (columns, rows, ...)."""

    name: str
    shape: tuple[int, ...]
    type: str
    """ggml's name: `Q4_K`, `F32`, ..."""
    start: int
    """Of its data, from the start of the file."""
    size: int
    """Bytes, without padding."""
    entry: int
    """Where its type (u32) and then its offset (u64) are written in the file."""

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
    """What the head of a GGUF file says. `tensors` is in the order of the file, by name."""

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
        """A string key. Raises ModelError where it is missing or not a string."""
        value = self.keys.get(key)
        if not isinstance(value, str):
            raise ModelError(
                f"{self.path}: the key {key} is {'missing' if value is None else 'not a string'}",
                "Use a complete GGUF model file.",
            )
        return value

    def number(self, key: str) -> int:
        """A whole-number key. Raises ModelError where it is missing or not one number."""
        value = self.keys.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(
                f"{self.path}: the key {key} is "
                f"{'missing' if value is None else 'not one whole number'}",
                "Use a complete GGUF model file.",
            )
        return value

    @property
    def parameters(self) -> int:
        """Elements of all tensors together."""
        return sum(tensor.columns * tensor.rows for tensor in self.tensors.values())

    @property
    def quantization(self) -> str:
        """Name of the file's type (`Q4_K_M`); `unknown` if the file does not say."""
        from gguf import LlamaFileType

        try:
            name = LlamaFileType(self.keys.get("general.file_type")).name
        except ValueError:
            return "unknown"
        return str(name).removeprefix("MOSTLY_").removeprefix("ALL_")


@cache
def type_sizes() -> Mapping[str, tuple[int, int]]:
    """Elements and bytes of one block, by type name (gguf-py's table)."""
    from gguf.constants import GGML_QUANT_SIZES

    return {kind.name: sizes for kind, sizes in GGML_QUANT_SIZES.items()}


@cache
def _type_names() -> Mapping[int, str]:
    from gguf.constants import GGML_QUANT_SIZES

    return {int(kind): kind.name for kind in GGML_QUANT_SIZES}


def type_number(name: str) -> int:
    """ggml's number of a type. Raises ModelError for an unknown name."""
    for number, known in _type_names().items():
        if known == name:
            return number
    raise ModelError(f"{name} is no type of ggml", "Use a type that gguf-py knows.")


def row_bytes(type_name: str, columns: int) -> int:
    """Bytes of one row. Raises ModelError where the row does not fill whole blocks."""
    sizes = type_sizes().get(type_name)
    if sizes is None:
        raise ModelError(f"{type_name} is no type of ggml", "Use a type that gguf-py knows.")
    block, size = sizes
    if columns % block:
        raise ModelError(
            f"a row of {columns} does not fill whole {type_name} blocks of {block}",
            "Use a type whose blocks fit, for example Q8_0.",
        )
    return columns // block * size


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

    Raises NotFound where there is no file, ModelError where it is no GGUF file that llama.cpp would
    load.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < 24:
                raise ModelError(f"{path} is no GGUF file: {size} bytes", "Use a GGUF model file.")
            with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as view:
                return _read(path, _Cursor(path, view, size))
    except FileNotFoundError as error:
        raise NotFound(
            f"there is no model file {path}", "Check the path, or pull the base model again."
        ) from error
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read: {error.strerror}", "Check the file and its rights."
        ) from error


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Cursor:
    """Reads forward through the head, never past the end of the file."""

    def __init__(self, path: Path, view: mmap.mmap, size: int) -> None:
        self.path = path
        self.view = view
        self.size = size
        self.at = 0

    def bad(self, what: str) -> ModelError:
        return ModelError(
            f"{self.path} is damaged: {what} (at byte {self.at})", "Fetch the model file again."
        )

    def skip(self, count: int) -> int:
        """Steps over `count` bytes; returns where they start."""
        start = self.at
        if count > self.size - start:
            raise self.bad(f"{count} bytes were announced, the file ends before")
        self.at = start + count
        return start

    def scalar(self, form: str) -> int | float | bool:
        start = self.skip(struct.calcsize(form))
        value: int | float | bool = struct.unpack_from(form, self.view, start)[0]
        return value

    def u32(self) -> int:
        return int(self.scalar("<I"))

    def u64(self) -> int:
        return int(self.scalar("<Q"))

    def text(self, limit: int = MAX_STRING) -> str:
        length = self.u64()
        if length > limit:
            raise self.bad(f"a text of {length} bytes")
        start = self.skip(length)
        return bytes(self.view[start : start + length]).decode("utf-8", "replace")

    def count(self, smallest: int, what: str) -> int:
        """A number of things of at least `smallest` bytes each, so it cannot be more than what is
        left of the file.
        """
        number = self.u64()
        if number > (self.size - self.at) // smallest:
            raise self.bad(f"{number} {what} in a file of {self.size} bytes")
        return number


def _read(path: Path, cursor: _Cursor) -> GgufFile:
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
        _place(cursor, entries, data_start, alignment),
        alignment,
        data_start,
    )


def _read_keys(cursor: _Cursor, count: int) -> dict[str, Value]:
    keys: dict[str, Value] = {}
    for _ in range(count):
        key = cursor.text(1 << 16)
        if key in keys:
            raise cursor.bad(f"the key {key!r} is there twice")
        keys[key] = _read_value(cursor, cursor.u32())
    return keys


def _read_value(cursor: _Cursor, kind: int) -> Value:
    if kind in _SCALARS:
        return cursor.scalar(_SCALARS[kind])
    if kind == _STRING:
        return cursor.text()
    if kind != _ARRAY:
        raise cursor.bad(f"a value of the unknown type {kind}")
    of = cursor.u32()
    if of in _SCALARS:
        width = struct.calcsize(_SCALARS[of])
        count = cursor.count(width, "numbers")
        cursor.skip(count * width)
    elif of == _STRING:
        count = cursor.count(8, "texts")
        _skip_texts(cursor, count)
    else:
        raise cursor.bad(f"an array of the type {of}")
    return Array(of, count)


def _skip_texts(cursor: _Cursor, count: int) -> None:
    """The one loop that runs per token of the vocabulary, so it reads the lengths itself."""
    view, at, end, length_at = cursor.view, cursor.at, cursor.size, struct.Struct("<Q").unpack_from
    for _ in range(count):
        if at + 8 > end:
            raise cursor.bad(f"a list of {count} texts runs past the end of the file")
        at += 8 + length_at(view, at)[0]
    cursor.skip(at - cursor.at)


def _read_entry(cursor: _Cursor) -> tuple[str, tuple[int, ...], str, int, int]:
    name = cursor.text(MAX_NAME - 1)
    dims = cursor.u32()
    if not 1 <= dims <= MAX_DIMS:
        raise cursor.bad(f"tensor {name!r} has {dims} dimensions")
    shape = tuple(cursor.u64() for _ in range(dims))
    entry = cursor.at
    kind = cursor.u32()
    if kind not in _type_names():
        raise cursor.bad(f"tensor {name!r} has the unknown type {kind}")
    return name, shape, _type_names()[kind], cursor.u64(), entry


def _place(
    cursor: _Cursor,
    entries: list[tuple[str, tuple[int, ...], str, int, int]],
    data_start: int,
    alignment: int,
) -> dict[str, Tensor]:
    """Holds shapes and offsets against the file: each tensor starts where the one before it ends,
    padded, and the last ends in the file.
    """
    tensors: dict[str, Tensor] = {}
    expected = 0
    for name, shape, kind, offset, entry in entries:
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
            raise cursor.bad(f"tensor {name!r} ends behind the file")
        tensors[name] = Tensor(name, shape, kind, data_start + offset, size, entry)
        expected = padded(offset + size, alignment)
    return tensors
