"""Reading a packed file back.

It must be the base but for the touched tensors, byte for byte, and llama.cpp must take it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from qi_learn.errors import ModelError
from qi_learn.outside.ggml import is_valid, load_in_child
from qi_learn.outside.gguf import read_head
from qi_learn.pack.base_weights import read_exactly
from qi_learn.pack.layout import CHUNK, PackedTensor, lay_out, patched_head, read_packed_head


def verify_packed(
    base_gguf: Path, packed: Path, touched: Collection[str], *, load: bool = True
) -> None:
    """Raise ModelError unless a packed file, read back, is the base but for `touched`.

    `touched`: the tensors' names in the file. Compared byte for byte: keys, tensor entries,
    untouched tensors. Touched tensors keep their shape and pass llama.cpp's row check. With `load`,
    llama.cpp loads the file in a child process and evaluates one token (ToolMissing if it is not
    installed).
    """
    base, other = read_head(base_gguf), read_head(packed)
    if list(other.tensors) != list(base.tensors) or other.data_start != base.data_start:
        raise ModelError(f"{packed} does not have the tensors of {base_gguf}", "Pack again.")
    layout = lay_out(base, {name: other.tensors[name].type for name in touched})
    expected = patched_head(base, layout, read_packed_head(base, base_gguf))
    if read_packed_head(base, packed) != expected:
        raise ModelError(f"the head of {packed} is not the base's", "Pack again.")
    with base_gguf.open("rb") as before, packed.open("rb") as after:
        for tensor in layout.tensors.values():
            if tensor.source.name in touched:
                _check_rows(after.fileno(), packed, tensor)
            else:
                _check_same(before.fileno(), after.fileno(), packed, tensor)
    if load:
        load_in_child(packed)


def _check_rows(fd: int, path: Path, tensor: PackedTensor) -> None:
    """Run llama.cpp's row check over a touched tensor, in chunks of whole rows."""
    rows = tensor.source.rows
    width = tensor.size // rows
    step = max(1, CHUNK // width)
    for start in range(0, rows, step):
        size = min(step, rows - start) * width
        content = read_exactly(fd, size, tensor.start + start * width, path)
        if not is_valid(np.frombuffer(content, dtype=np.uint8), tensor.type):
            raise ModelError(
                f"{tensor.source.name} in {path} holds numbers that are not finite", "Pack again."
            )


def _check_same(before: int, after: int, path: Path, tensor: PackedTensor) -> None:
    for at in range(0, tensor.size, CHUNK):
        count = min(CHUNK, tensor.size - at)
        expected = read_exactly(before, count, tensor.source.start + at, path)
        if read_exactly(after, count, tensor.start + at, path) != expected:
            raise ModelError(
                f"{tensor.source.name} in {path} differs from the base, though it was not trained",
                "Pack again.",
            )
