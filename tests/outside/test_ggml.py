"""ggml's block types through ctypes, against gguf-py's independent quantisers and dequantisers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.errors import ModelError
from qi_learn.outside import ggml
from tests.support.tiny_models import write_tiny_model

BOTH = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4")
ONLY_GGML = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "IQ3_S")
RMSE = {
    "Q8_0": 0.0054,
    "Q6_K": 0.018,
    "Q5_K": 0.036,
    "Q4_K": 0.071,
    "Q4_0": 0.086,
    "Q3_K": 0.151,
    "Q2_K": 0.296,
}


def weights(rows: int = 24, columns: int = 512, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)


def by_gguf(values: NDArray[np.float32], kind: str) -> NDArray[np.uint8]:
    raw = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    return np.ascontiguousarray(raw).view(np.uint8).reshape(values.shape[0], -1)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 300.0])
def test_bytes_are_those_of_gguf_py(kind: str, scale: float) -> None:
    values = weights() * np.float32(scale)
    values[3] = 0.0
    assert np.array_equal(ggml.quantize(values, kind), by_gguf(values, kind))


@pytest.mark.parametrize("kind", BOTH + ONLY_GGML)
def test_reading_agrees_with_gguf_py(kind: str) -> None:
    values = weights()
    raw = ggml.quantize(values, kind)
    seen = {"F32": np.float32, "F16": np.float16}.get(kind, np.uint8)
    expected = gguf.quants.dequantize(raw.view(seen), gguf.GGMLQuantizationType[kind])
    assert np.array_equal(
        ggml.dequantize(raw, kind, values.shape),
        np.asarray(expected, dtype=np.float32).reshape(values.shape),
    )


@pytest.mark.parametrize(("kind", "expected"), RMSE.items())
def test_error_of_a_gaussian_is_the_types_own(kind: str, expected: float) -> None:
    values = weights(64, 4096)
    error = ggml.dequantize(ggml.quantize(values, kind), kind, values.shape) - values
    assert float(np.sqrt((error**2).mean() / (values**2).mean())) == pytest.approx(
        expected, rel=0.03
    )


def test_pieces_of_a_tensor_give_the_bytes_of_the_whole() -> None:
    values = weights(10)
    whole = ggml.quantize(values, "Q4_K")
    assert np.array_equal(
        np.vstack([ggml.quantize(values[:3], "Q4_K"), ggml.quantize(values[3:], "Q4_K")]), whole
    )
    assert np.array_equal(ggml.quantize(np.asfortranarray(values), "Q4_K"), whole)


def test_rows_that_do_not_fill_blocks_are_refused() -> None:
    with pytest.raises(ModelError, match="whole Q4_K blocks of 256"):
        ggml.quantize(weights(4, 576), "Q4_K")
    assert not ggml.can_quantize("Q4_K", 576)
    assert ggml.can_quantize("Q8_0", 576)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    values = weights(2, 256)
    values[1, 7] = bad
    with pytest.raises(ModelError, match="not a finite number"):
        ggml.quantize(values, "Q8_0")


def test_numbers_too_large_for_the_type_are_refused() -> None:
    with pytest.raises(ModelError, match="F16"):
        ggml.quantize(np.full((1, 32), 1e6, dtype=np.float32), "F16")


@pytest.mark.parametrize("kind", ["IQ1_S", "IQ2_XXS", "IQ2_XS", "Q8_K", "I32", "nonsense"])
def test_types_that_would_abort_or_need_more_are_refused(kind: str) -> None:
    assert not ggml.can_quantize(kind, 256)
    with pytest.raises(ModelError):
        ggml.quantize(weights(1, 256), kind)


def test_damaged_blocks_do_not_validate() -> None:
    raw = ggml.quantize(weights(2, 256), "Q8_0")
    assert ggml.is_valid(raw, "Q8_0")
    raw[1, 0:2] = np.frombuffer(np.float16(np.nan).tobytes(), dtype=np.uint8)
    assert not ggml.is_valid(raw, "Q8_0")


def test_too_few_bytes_are_refused() -> None:
    with pytest.raises(ModelError, match="are not 2 rows"):
        ggml.dequantize(np.zeros(33, dtype=np.uint8), "Q8_0", (2, 32))


WITHOUT = """
import sys
sys.modules["llama_cpp"] = None
import numpy as np
from qi_learn.errors import ModelError, ToolMissing
from qi_learn.outside import ggml
values = np.load(sys.argv[1])
for kind in ("F32", "F16", "BF16", "Q4_1", "Q8_0"):
    raw = ggml.quantize(values, kind)
    np.save(sys.argv[2] + kind, raw)
    assert np.abs(ggml.dequantize(raw, kind, values.shape) - values).max() < 0.5
assert not ggml.can_quantize("Q4_K", 512)
refused = [
    (lambda: ggml.quantize(values, "Q4_K"), ToolMissing),
    (lambda: ggml.quantize(values * 1e6, "F16"), ModelError),
]
for call, error in refused:
    try:
        call()
    except error:
        continue
    raise SystemExit("not refused")
"""


def test_without_llama_cpp_python_the_bytes_are_the_same_and_k_quants_are_refused(
    tmp_path: Path,
) -> None:
    values = weights()
    np.save(tmp_path / "values.npy", values)
    subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            WITHOUT,
            str(tmp_path / "values.npy"),
            str(tmp_path / "raw_"),
        ],
        check=True,
    )
    for kind in ("F32", "F16", "BF16", "Q4_1", "Q8_0"):
        assert np.array_equal(np.load(tmp_path / f"raw_{kind}.npy"), ggml.quantize(values, kind))


def test_a_model_loads_in_a_child_and_a_broken_one_says_why(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", "qwen2")
    ggml.load_in_child(path)
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(ModelError, match=r"llama\.cpp does not load"):
        ggml.load_in_child(path)
