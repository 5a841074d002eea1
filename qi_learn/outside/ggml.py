"""Numbers to and from ggml's block types, by ggml's own code (`libggml-base`, through ctypes).

What is written here is read by llama.cpp, so the library of llama-cpp-python quantises: Q4_K and
its like exist nowhere else. If llama-cpp-python is not installed, gguf-py's quantisers take over
for the types that they have (F32, F16, BF16, Q4_0 .. Q8_0; the same bytes), and the K-quants are
refused. The library checks nothing, so shapes, sizes and types are checked on this side of the
call. ctypes releases the interpreter while the library works: call it from threads.

Run as `python -m qi_learn.outside.ggml FILE`, it loads a model file and evaluates one token. It is
a process of its own because llama.cpp aborts on some damage.
"""

from __future__ import annotations

import ctypes
import importlib.util
import math
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qi_learn.errors import ModelError, QiError, ToolMissing
from qi_learn.outside.ggml_types import row_bytes, type_number
from qi_learn.outside.installation import how_to_add


def quantize(values: NDArray[np.float32], type_name: str) -> NDArray[np.uint8]:
    """`values` (rows, columns) as ggml blocks: (rows, bytes of a row).

    Raises ModelError if the row does not fill whole blocks, the type needs an importance matrix, or
    a value cannot be stored (NaN, infinite, too large). Raises ToolMissing if only llama-cpp-python
    can do it, and it is not installed.
    """
    rows, columns = values.shape
    width = row_bytes(type_name, columns)
    source = np.ascontiguousarray(values, dtype=np.float32)
    if not np.isfinite(source).all():
        raise ModelError(
            f"a weight to be written as {type_name} is not a finite number",
            "Train again with a lower learning rate.",
        )
    library = _library()
    raw = (
        _quantize_without(source, type_name)
        if library is None
        else _quantize_with(library, source, type_name, width)
    )
    if raw.shape != (rows, width) or not is_valid(raw, type_name):
        raise ModelError(
            f"weights cannot be written as {type_name}: the result does not validate",
            "Choose a wider type, for example Q8_0 or F16.",
        )
    return raw


def dequantize(
    raw: NDArray[np.uint8], type_name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """ggml blocks as float32 in `shape` (numpy's order, the last axis is the row).

    Raises ModelError if the bytes are not exactly that many rows.
    """
    rows = math.prod(shape[:-1])
    width = row_bytes(type_name, shape[-1])
    source = np.ascontiguousarray(raw, dtype=np.uint8).reshape(-1)
    if source.size != rows * width:
        raise ModelError(
            f"{source.size} bytes are not {rows} rows of {shape[-1]} in {type_name}",
            "Fetch the model file again.",
        )
    if type_name == "F32":
        return source.view(np.float32).reshape(shape).copy()
    if type_name == "F16":
        return source.view(np.float16).astype(np.float32).reshape(shape)
    if type_name == "BF16":
        return widen_bf16(source.view(np.uint16)).reshape(shape)
    function = _row_function(type_name)
    if function is None:
        return _dequantize_without(source.reshape(rows, width), type_name).reshape(shape)
    out = np.empty(rows * shape[-1], dtype=np.float32)
    function(source.ctypes.data, out.ctypes.data, out.size)
    return out.reshape(shape)


def widen_bf16(words: NDArray[np.uint16]) -> NDArray[np.float32]:
    """bfloat16, as 16-bit words, as float32: a word is the upper half of the value's bits."""
    wide = words.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def can_quantize(type_name: str, columns: int) -> bool:
    """Whether rows of `columns` can be written in this type.

    They can if the blocks fit, no importance matrix is needed, and the code is installed.
    """
    try:
        row_bytes(type_name, columns)
    except ModelError:
        return False
    return type_name in (_BY_GGUF if _library() is None else _BY_GGML)


def is_valid(raw: NDArray[np.uint8], type_name: str) -> bool:
    """Whether llama.cpp's own row check passes: no NaN or infinity in the blocks' scales.

    True if llama-cpp-python is not installed, because then there is nothing to ask.
    """
    library = _library()
    if library is None:
        return True
    source = np.ascontiguousarray(raw)
    return bool(
        library.ggml_validate_row_data(type_number(type_name), source.ctypes.data, source.nbytes)
    )


def load_in_child(path: Path, *, timeout: float = 600.0) -> None:
    """Load a model file with llama.cpp in a child process and evaluate one token.

    Raises ModelError with llama.cpp's words, ToolMissing if llama-cpp-python is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise ToolMissing(
            "llama-cpp-python is not installed, so a model file cannot be tried",
            how_to_add("embedded"),
        )
    command = [sys.executable, "-m", "qi_learn.outside.ggml", str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{path} did not load within {timeout:.0f} s", "Look at the memory of this machine."
        ) from error
    if done.returncode:
        last_lines = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        reason = " / ".join(last_lines) or f"exit code {done.returncode}"
        raise ModelError(
            f"llama.cpp does not load {path}: {reason}", "The file is left out; pack again."
        )


# --- the library ----------------------------------------------------------------------------------

_BY_GGUF = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
_BY_GGML = (
    *_BY_GGUF,
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "IQ4_NL",
    "IQ4_XS",
    "IQ3_S",
    "TQ1_0",
    "TQ2_0",
    "MXFP4",
)
"""What `ggml_quantize_chunk` writes well from the weights alone.

It aborts the process on a type that it has no case for. The IQ1, IQ2 and IQ3_XXS types are left out
because they need an importance matrix, or are poor without one.
"""


@cache
def _library() -> Any | None:
    """libggml-base with its prototypes, or None if llama-cpp-python is not installed.

    Raises ToolMissing if it is there and cannot be used.
    """
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    for name in ("libggml-base.so", "libggml-base.dylib", "ggml-base.dll"):
        if (folder / name).exists():
            try:
                return _declare(ctypes.CDLL(str(folder / name)))
            except (OSError, AttributeError) as error:
                raise ToolMissing(
                    f"{folder / name} cannot be used: {error}",
                    "Install llama-cpp-python 0.3.36 or newer again.",
                ) from error
    raise ToolMissing(
        f"there is no libggml-base in {folder}", "Install llama-cpp-python 0.3.36 or newer again."
    )


def _declare(library: Any) -> Any:
    pointer, i64, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t, ctypes.c_int
    library.ggml_quantize_chunk.argtypes = [number, pointer, pointer, i64, i64, i64, pointer]
    library.ggml_quantize_chunk.restype = size
    library.ggml_row_size.argtypes = [number, i64]
    library.ggml_row_size.restype = size
    library.ggml_validate_row_data.argtypes = [number, pointer, size]
    library.ggml_validate_row_data.restype = ctypes.c_bool
    return library


def _quantize_with(
    library: Any, source: NDArray[np.float32], type_name: str, width: int
) -> NDArray[np.uint8]:
    rows, columns = source.shape
    if not can_quantize(type_name, columns):
        raise ModelError(
            f"{type_name} cannot be written without an importance matrix",
            "Choose another type, for example Q4_K.",
        )
    kind = type_number(type_name)
    if library.ggml_row_size(kind, columns) != width:
        raise ToolMissing(
            f"llama-cpp-python and gguf disagree about the size of a {type_name} row",
            "Install matching versions of both.",
        )
    raw = np.empty((rows, width), dtype=np.uint8)
    written = library.ggml_quantize_chunk(
        kind, source.ctypes.data, raw.ctypes.data, 0, rows, columns, None
    )
    if written != raw.nbytes:
        raise ModelError(
            f"ggml wrote {written} bytes of {type_name}, not {raw.nbytes}",
            "Report this with the versions of llama-cpp-python and gguf.",
        )
    return raw


@cache
def _row_function(type_name: str) -> Any | None:
    """`dequantize_row_q4_K` and its like; None if the library or the function is missing."""
    library = _library()
    head, _, tail = type_name.partition("_")
    name = f"dequantize_row_{head.lower()}_{tail if tail == 'K' else tail.lower()}"
    function = getattr(library, name, None) if library is not None else None
    if function is not None:
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        function.restype = None
    return function


# --- without it -----------------------------------------------------------------------------------


def _quantize_without(source: NDArray[np.float32], type_name: str) -> NDArray[np.uint8]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import quantize as by_gguf

    try:
        with np.errstate(over="ignore"):  # too large for F16 becomes infinite, and is found below
            blocks = np.ascontiguousarray(by_gguf(source, GGMLQuantizationType[type_name]))
        raw = blocks.view(np.uint8).reshape(source.shape[0], -1)
    except NotImplementedError as error:
        raise ToolMissing(
            f"{type_name} needs llama-cpp-python, which is not installed", how_to_add("embedded")
        ) from error
    if not np.isfinite(dequantize(raw, type_name, source.shape)).all():
        raise ModelError(
            f"a weight is too large for {type_name}", "Choose a wider type, for example F32."
        )
    return raw


def _dequantize_without(raw: NDArray[np.uint8], type_name: str) -> NDArray[np.float32]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize as by_gguf

    try:
        return np.asarray(by_gguf(raw, GGMLQuantizationType[type_name]), dtype=np.float32)
    except NotImplementedError as error:
        raise ModelError(
            f"nothing here reads {type_name}", "Install a newer llama-cpp-python or gguf."
        ) from error


# --- the child process ----------------------------------------------------------------------------


def _try_model(path: Path) -> str | None:
    """What is wrong with a model file, or None: it loads, and the logits of a token are finite."""
    from qi_learn.outside.llama_cpp import Model

    try:
        with Model(path, context=32, threads=1) as model:
            model.evaluate([0], [0], [0], [True])
            return None if np.isfinite(model.logits(0)).all() else "the logits are not finite"
    except QiError as error:
        return error.what


if __name__ == "__main__":
    problem = _try_model(Path(sys.argv[1]))
    if problem:
        sys.stderr.write(problem + "\n")
    sys.exit(1 if problem else 0)
