"""How much of a small change survives quantising; if too little does, the type is raised."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from qi_learn.outside.ggml import dequantize, quantize
from qi_learn.outside.gguf import Tensor, read_head
from qi_learn.pack.base_weights import BaseRows
from qi_learn.pack.join import TensorChange
from qi_learn.pack.quantize import Kept, blocks, candidates, choose_type, sample, write_rows
from qi_learn.pack.tensor_map import TensorSlot

ROWS, COLUMNS = 512, 2048


class Exact:
    """Full-precision rows held in memory."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = weights

    def rows(self, module: str, slot: TensorSlot, start: int, stop: int) -> NDArray[np.float32]:
        return self.weights[start:stop]


def one_tensor(path: Path, kind: str) -> tuple[NDArray[np.float32], Path]:
    """A GGUF file with one matrix in `kind`, and the matrix before quantising."""
    weights = np.random.default_rng(0).standard_normal((ROWS, COLUMNS), dtype=np.float32)
    writer = gguf.GGUFWriter(path, "llama")
    number = gguf.GGMLQuantizationType[kind]
    writer.add_tensor("blk.0.ffn_up.weight", quantize(weights, kind), raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights, path


def change_of(path: Path, size: float) -> TensorChange:
    rng = np.random.default_rng(1)
    up = rng.standard_normal((ROWS, 8), dtype=np.float32) * np.float32(size / 8**0.5)
    return TensorChange(
        "model.layers.0.mlp.up_proj",
        TensorSlot(read_head(path).tensors["blk.0.ffn_up.weight"]),
        up,
        rng.standard_normal((8, COLUMNS), dtype=np.float32),
    )


def keep(change: TensorChange, base: BaseRows, exact: Exact | None, kind: str) -> Kept:
    return sum(
        (write_rows(change, base, exact, start, stop, kind)[1] for start, stop in blocks(change)),
        Kept(),
    )


def test_a_small_change_dies_in_q4_from_dequantised_weights_and_lives_from_exact_ones(
    tmp_path: Path,
) -> None:
    """The reason for Q8_0: 0.3 % of the weights' size, the size that training makes."""
    weights, path = one_tensor(tmp_path / "m.gguf", "Q4_K")
    change = change_of(path, 0.003)
    with BaseRows(read_head(path)) as base:
        assert keep(change, base, None, "Q4_K").gain < 0.05
        assert keep(change, base, None, "Q8_0").gain == pytest.approx(1.0, abs=0.1)
        assert keep(change, base, Exact(weights), "Q4_K").gain == pytest.approx(1.0, abs=0.1)
        assert choose_type(change, base, None) == "Q8_0"
        assert choose_type(change, base, Exact(weights)) == "Q4_K"


def test_a_base_in_q8_without_exact_weights_is_raised_to_f16(tmp_path: Path) -> None:
    weights, path = one_tensor(tmp_path / "m.gguf", "Q8_0")
    change = change_of(path, 0.001)
    with BaseRows(read_head(path)) as base:
        assert keep(change, base, None, "Q8_0").gain < 0.8
        assert choose_type(change, base, None) == "F16"
        assert choose_type(change, base, Exact(weights)) == "Q8_0"


def test_exact_weights_that_already_lie_on_the_grid_raise_the_type_too(tmp_path: Path) -> None:
    _, path = one_tensor(tmp_path / "m.gguf", "Q4_K")
    change = change_of(path, 0.003)
    with BaseRows(read_head(path)) as base:
        grid = Exact(base.rows("", change.slot, 0, ROWS))
        assert choose_type(change, base, grid) in ("Q6_K", "Q8_0")


def test_the_numbers_are_those_of_the_definition(tmp_path: Path) -> None:
    weights, path = one_tensor(tmp_path / "m.gguf", "Q4_K")
    change = change_of(path, 0.01)
    intended = (change.up.astype(np.float64) @ change.down).ravel()
    before = (
        gguf.quants.dequantize(
            np.asarray(gguf.GGUFReader(path).tensors[0].data), gguf.GGMLQuantizationType.Q4_K
        )
        .astype(np.float64)
        .ravel()
    )
    after = quantize(weights + intended.reshape(weights.shape).astype(np.float32), "Q6_K")
    realised = dequantize(after, "Q6_K", weights.shape).astype(np.float64).ravel() - before
    with BaseRows(read_head(path)) as base:
        kept = keep(change, base, Exact(weights), "Q6_K")
    assert kept.gain == pytest.approx(realised @ intended / (intended @ intended), rel=1e-3)
    assert kept.cosine == pytest.approx(
        realised @ intended / np.linalg.norm(realised) / np.linalg.norm(intended), rel=1e-3
    )
    report = kept.report(change.slot.tensor, "Q6_K")
    assert (report.type_before, report.type_after, report.bytes) == ("Q4_K", "Q6_K", after.nbytes)


@pytest.mark.parametrize(
    ("own", "columns", "full_precision", "expected"),
    [
        ("Q4_K", 512, True, ("Q4_K", "Q6_K", "Q8_0", "F16", "F32")),
        ("Q4_K", 512, False, ("Q8_0", "F16", "F32")),
        ("Q4_1", 576, True, ("Q4_1", "Q8_0", "F16", "F32")),
        ("Q4_1", 576, False, ("Q8_0", "F16", "F32")),
        ("IQ2_XXS", 512, True, ("Q4_K", "Q6_K", "Q8_0", "F16", "F32")),
        ("Q6_K", 512, True, ("Q6_K", "Q8_0", "F16", "F32")),
        ("Q8_0", 512, True, ("Q8_0", "F16", "F32")),
        ("F16", 512, False, ("F16", "F32")),
        ("BF16", 512, False, ("BF16", "F32")),
        ("F32", 512, False, ("F32",)),
        ("F16", 30, True, ("F16", "F32")),
    ],
)
def test_types_to_try(
    own: str, columns: int, full_precision: bool, expected: tuple[str, ...]
) -> None:
    assert (
        candidates(Tensor("t", (columns, 8), own, 0, 0, 0), full_precision=full_precision)
        == expected
    )


@pytest.mark.parametrize(
    ("rows", "columns", "head"), [(4096, 4096, 128), (192, 576, 64), (7, 64, 1), (3, 5_000_000, 1)]
)
def test_blocks_cover_the_tensor_in_whole_heads(rows: int, columns: int, head: int) -> None:
    change = TensorChange(
        "m",
        TensorSlot(Tensor("t", (columns, rows), "F32", 0, 0, 0), head),
        np.zeros((rows, 1), np.float32),
        np.zeros((1, 1), np.float32),
    )
    ranges = list(blocks(change))
    assert [r for start, stop in ranges for r in range(start, stop)] == list(range(rows))
    assert all(start % head == 0 and stop % head == 0 for start, stop in ranges)
    picked = sample(change)
    assert len(set(picked)) == len(picked) <= 8
    assert all(0 <= start < stop <= rows and start % head == 0 for start, stop in picked)
