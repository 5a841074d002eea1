"""ggml's tensor types: their numbers, and how many bytes their blocks and rows take.

The table is gguf-py's own, which is read at the first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from qi_learn.errors import ModelError


@cache
def type_sizes() -> Mapping[str, tuple[int, int]]:
    """Elements and bytes of one block, by type name (gguf-py's table)."""
    from gguf.constants import GGML_QUANT_SIZES

    return {kind.name: sizes for kind, sizes in GGML_QUANT_SIZES.items()}


@cache
def type_names() -> Mapping[int, str]:
    """Type names by ggml's number."""
    from gguf.constants import GGML_QUANT_SIZES

    return {int(kind): kind.name for kind in GGML_QUANT_SIZES}


def type_number(name: str) -> int:
    """ggml's number of a type. Raises ModelError for an unknown name."""
    for number, type_name in type_names().items():
        if type_name == name:
            return number
    raise ModelError(f"{name} is no type of ggml", "Use a type that gguf-py knows.")


def row_bytes(type_name: str, columns: int) -> int:
    """Bytes of one row. Raises ModelError if the row does not fill whole blocks."""
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
