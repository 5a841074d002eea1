"""What a GGUF says about itself, read from its header alone: metadata, tensors, sizes.

Nothing of the file is trusted: every length is checked against the file's size before it is used, and long arrays are skipped, not built. So a
98 MB model with a vocabulary of 49,152 takes some ten milliseconds, and a crafted file an error.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.errors import ModelError

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: its name, ggml type (`Q4_1`) and shape as ggml writes it (fastest dimension first)."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Metadata in file order (arrays are None: only their presence counts) and tensors."""

    metadata: Mapping[str, Any]
    tensors: tuple[TensorInfo, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def parameters(self) -> int:
        total = 0
        for tensor in self.tensors:
            count = 1
            for size in tensor.shape:
                count *= size
            total += count
        return total

    @property
    def quantization(self) -> str:
        """Name of the file's type, `Q4_K_M`; `unknown` where the file does not say."""
        import gguf

        try:
            name = gguf.LlamaFileType(self.metadata.get("general.file_type")).name
        except ValueError:
            return "unknown"
        return str(name).removeprefix("MOSTLY_").removeprefix("ALL_")

    def number(self, key: str) -> int | None:
        """A whole number of this architecture: `number("context_length")`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None


def read_header(path: Path) -> GgufHeader:
    """The header of the file at `path`. Raises ModelError where it is no GGUF, damaged or cut off, OSError where it cannot be opened."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError("supplied file was not in GGUF format")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _Reader(data).header()
            except (struct.error, UnicodeDecodeError, OverflowError) as error:
                raise ModelError(f"the GGUF header is damaged: {error}", "upload the file again") from error


class _Reader:
    """A cursor over the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = 4

    def header(self) -> GgufHeader:
        version = self.scalar("<I")
        if version not in (2, 3):
            raise ModelError(f"GGUF version {version} is not known", "use a file of version 2 or 3")
        tensors, pairs = self.scalar("<Q"), self.scalar("<Q")
        metadata: dict[str, Any] = {}
        for _ in range(self.bounded(pairs, 13)):
            key = self.string()
            metadata[key] = self.value(self.scalar("<I"))
        infos = [self.tensor() for _ in range(self.bounded(tensors, 24))]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0:
            raise ModelError(f"the GGUF's alignment is {alignment!r}")
        start = -(-self.at // alignment) * alignment
        end = max((offset + size for _, offset, size in infos), default=0)
        if start + end > len(self.data):
            raise ModelError(f"the file is cut off: it needs {start + end:,} bytes and has {len(self.data):,}", "upload the file again")
        return GgufHeader(metadata, tuple(info for info, _, _ in infos))

    def tensor(self) -> tuple[TensorInfo, int, int]:
        """One tensor with its offset in the data and its size in bytes."""
        import gguf

        name = self.string()
        shape = tuple(self.scalar("<Q") for _ in range(self.bounded(self.scalar("<I"), 8)))
        number, offset = self.scalar("<I"), self.scalar("<Q")
        try:
            kind = gguf.GGMLQuantizationType(number)
        except ValueError as error:
            raise ModelError(f"tensor {name} has the unknown type {number}", "update gguf and llama-cpp-python") from error
        block, bytes_per_block = gguf.GGML_QUANT_SIZES[kind]
        elements = 1
        for size in shape:
            elements *= size
        return TensorInfo(name, kind.name, shape), offset, elements // block * bytes_per_block

    def value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self.skip_array()
        raise ModelError(f"the GGUF header has a value of the unknown kind {kind}")

    def skip_array(self) -> None:
        kind, count = self.scalar("<I"), self.scalar("<Q")
        if kind in _SCALARS:
            self.take(count * struct.calcsize(_SCALARS[kind]))
        elif kind == _STRING:
            for _ in range(self.bounded(count, 8)):
                self.take(self.scalar("<Q"))
        else:
            raise ModelError(f"the GGUF header has an array of the unknown kind {kind}")

    def scalar(self, form: str) -> Any:
        at = self.take(struct.calcsize(form))
        return struct.unpack_from(form, self.data, at)[0]

    def string(self) -> str:
        length = self.scalar("<Q")
        at = self.take(length)
        return self.data[at : at + length].decode("utf-8")

    def take(self, count: int) -> int:
        """Moves past `count` bytes and returns where they begin."""
        at = self.at
        if count < 0 or at + count > len(self.data):
            raise ModelError("the GGUF header is cut off", "upload the file again")
        self.at = at + count
        return at

    def bounded(self, count: int, least: int) -> int:
        """A count of things that take at least `least` bytes each: refused where the file is too short for them."""
        if count * least > len(self.data) - self.at:
            raise ModelError(f"the GGUF header promises {count:,} entries and the file is too short for them", "upload the file again")
        return count
