"""Where everything lies in the packed file, and filling it with as few bytes moved as possible.

A packed file is the base with other bytes in some tensors. Its head is the base's head, byte for
byte, but for the type and offset of the tensors that became wider or moved; the keys (vocabulary,
chat template) are never written anew. What is untouched is copied inside the kernel
(`copy_file_range`), or shared with the base on filesystems that can (`FICLONE`: btrfs, xfs), so no
byte of it passes through this process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import ModelError
from qi_learn.outside.ggml_types import row_bytes, type_number
from qi_learn.outside.gguf import GgufFile, Tensor, padded
from qi_learn.pack.base_weights import read_exactly

FICLONE = 0x40049409  # linux/fs.h
CHUNK = 8 << 20
_NO_KERNEL_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY}
)


@dataclass(frozen=True, slots=True)
class PackedTensor:
    """A tensor of the packed file: where it lies, and in which type."""

    source: Tensor
    """The base's tensor."""
    type: str
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The packed file: every tensor, in the base's order."""

    tensors: Mapping[str, PackedTensor]
    size: int
    moved: bool
    """True if offsets differ from the base's, so the file cannot be a copy of it."""


def lay_out(base: GgufFile, types: Mapping[str, str]) -> Layout:
    """The packed file's layout if the tensors in `types` (name -> type) change.

    The others stay as they are.
    """
    tensors: dict[str, PackedTensor] = {}
    at = base.data_start
    for name, tensor in base.tensors.items():
        kind = types.get(name, tensor.type)
        size = row_bytes(kind, tensor.columns) * tensor.rows
        tensors[name] = PackedTensor(tensor, kind, at, size)
        at = padded(at - base.data_start + size, base.alignment) + base.data_start
    moved = any(t.start != t.source.start or t.size != t.source.size for t in tensors.values())
    return Layout(tensors, at if moved else base.size, moved)


def patched_head(base: GgufFile, layout: Layout, head: bytes) -> bytes:
    """The base's head with the types and offsets of `layout` in its tensor entries.

    It stays as long as it was.
    """
    patched = bytearray(head)
    for tensor in layout.tensors.values():
        offset = tensor.start - base.data_start
        struct.pack_into("<IQ", patched, tensor.source.entry, type_number(tensor.type), offset)
    return bytes(patched)


def read_packed_head(base: GgufFile, path: Path) -> bytes:
    """Everything before the tensor data, of the base or of a file packed from it."""
    with path.open("rb") as file:
        return read_exactly(file.fileno(), base.data_start, 0, path)


def fill_untouched(
    source: int, target: int, base: GgufFile, layout: Layout, touched: Mapping[str, str]
) -> None:
    """Make `target` the packed file, but for the bytes of the touched tensors.

    `source` and `target` are open files, `target` is empty.
    """
    if layout.moved or not _clone(source, target):
        for start, to, count in _untouched(base, layout, touched):
            copy_range(source, target, start, to, count, base.path)
    os.ftruncate(target, layout.size)
    head = read_exactly(source, base.data_start, 0, base.path)
    write_exactly(target, patched_head(base, layout, head), 0)


def copy_range(source: int, target: int, start: int, to: int, count: int, path: Path) -> None:
    """Copy `count` bytes between open files, in the kernel if it can.

    Raises ModelError if the source ends early.
    """
    while count:
        done = _copy_in_kernel(source, target, start, to, count)
        if done is None:
            part = read_exactly(source, min(count, CHUNK), start, path)
            write_exactly(target, part, to)
            done = len(part)
        elif not done:
            raise ModelError(f"{path} ends early", "Fetch the model file again.")
        start, to, count = start + done, to + done, count - done


def write_exactly(fd: int, data: bytes | memoryview, at: int) -> None:
    """Write all of `data`; a write may be taken in pieces."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _untouched(
    base: GgufFile, layout: Layout, touched: Mapping[str, str]
) -> Iterator[tuple[int, int, int]]:
    """Ranges (from, to, bytes) of untouched tensors.

    Neighbours, with the padding between them, make one range.
    """
    run: tuple[int, int, int] | None = None
    for tensor in layout.tensors.values():
        if tensor.source.name in touched:
            continue
        start, to = tensor.source.start, tensor.start
        if (
            run
            and run[0] + run[2] <= start < run[0] + run[2] + base.alignment
            and start - run[0] == to - run[1]
        ):
            run = (run[0], run[1], start + tensor.size - run[0])
            continue
        if run:
            yield run
        run = (start, to, tensor.size)
    if run:
        yield run
    ends = (t.source.start + t.source.size for t in layout.tensors.values())
    end = max(ends, default=base.size)
    if not layout.moved and base.size > end:
        yield end, end, base.size - end


def _clone(source: int, target: int) -> bool:
    """Share the source's bytes; False if the filesystem cannot."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:  # not this filesystem, or not the same one: copied instead
        return False
    return True


def _copy_in_kernel(source: int, target: int, start: int, to: int, count: int) -> int | None:
    """Bytes copied, or None if the kernel cannot copy between these files or has no such call."""
    call = getattr(os, "copy_file_range", None)
    if call is None:
        return None
    try:
        return int(call(source, target, min(count, 1 << 30), start, to))
    except OSError as error:
        if error.errno in _NO_KERNEL_COPY:
            return None
        raise
