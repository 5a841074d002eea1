"""Factors: what a sketch keeps of a wide matrix and what it loses, their sums, and their files."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qi_learn.train import factor
from qi_learn.train.factor import FULL_WIDTH, ROUNDING, SKETCH, Factor, FactorSum

CPU = torch.device("cpu")
WIDTH = 160
SPECTRA = {
    "few directions": lambda n: torch.where(torch.arange(n) < 20, 1.0, 0.0),
    "falling slowly": lambda n: 1 / torch.arange(1, n + 1),
    "falling fast": lambda n: torch.exp(-torch.arange(n) / 8.0),
    "flat": lambda n: torch.ones(n),
    "one giant": lambda n: torch.where(torch.arange(n) < 1, 1e6, 1e-3),
    "nothing": lambda n: torch.zeros(n),
}


def _vectors(spectrum: str, width: int, *, count: int = 400, seed: int = 0) -> Tensor:
    """Rows whose second moments have about the given eigenvalues, in random directions."""
    made = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(width, width, generator=made, dtype=torch.float64))
    sizes = SPECTRA[spectrum](width).double().sqrt()
    rows: Tensor = torch.randn(count, width, generator=made, dtype=torch.float64) * sizes @ basis.T
    return rows


def _sum(*parts: Tensor, dtype: torch.dtype = torch.float64) -> Factor:
    one = FactorSum(parts[0].shape[1], CPU, dtype)
    for part in parts:
        one.add(part.to(dtype))
    return one.factor(sum(map(len, parts)))


def _dense(factor: Factor) -> Tensor:
    part = factor.matrix if factor.matrix is not None else factor.diagonal
    assert part is not None
    return factor.times(torch.eye(factor.width, dtype=part.dtype)).double()


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Width 160 counts as wide."""
    monkeypatch.setattr(factor, "FULL_WIDTH", WIDTH - 1)


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_a_sketch_never_rewards_and_its_directions_never_exceed_the_truth(spectrum: str) -> None:
    data = _vectors(spectrum, WIDTH)
    truth = data.T @ data / len(data)
    sketch = _sum(data)
    assert sketch.shapes == ((WIDTH, SKETCH), (WIDTH,))
    tiny = 1e-9 * (float(torch.linalg.matrix_norm(truth, 2)) + 1e-30)
    dense = _dense(sketch)
    assert torch.allclose(dense, dense.T, rtol=0, atol=tiny)
    assert float(torch.linalg.eigvalsh(dense)[0]) >= -tiny
    low, rest = sketch.nystroem()
    assert float(torch.linalg.eigvalsh(truth - low @ low.T)[0]) >= -1e3 * tiny
    assert float(rest.min()) >= 0
    # each weight alone is penalised as it should be
    assert torch.allclose(dense.diagonal(), truth.diagonal(), rtol=1e-6, atol=1e3 * tiny)


@pytest.mark.usefixtures("sketched")
def test_a_sketch_in_float32_is_as_good() -> None:
    for spectrum in SPECTRA:
        data = _vectors(spectrum, WIDTH)
        exact, sketch = _dense(_sum(data)), _dense(_sum(data, dtype=torch.float32))
        size = float(torch.linalg.matrix_norm(exact, 2))
        assert float(torch.linalg.matrix_norm(sketch - exact, 2)) <= 1e-3 * size
        assert float(torch.linalg.eigvalsh((sketch + sketch.T) / 2)[0]) >= -1e-6 * size


@pytest.mark.usefixtures("sketched")
def test_sketches_of_parts_add_up_to_the_sketch_of_the_whole() -> None:
    one, two = _vectors("falling slowly", WIDTH, seed=1), _vectors("falling fast", WIDTH, seed=2)
    apart, together = _sum(one).combined(0.5, _sum(two), 0.5), _sum(one, two)
    for a, b in zip(
        (apart.matrix, apart.diagonal), (together.matrix, together.diagonal), strict=True
    ):
        assert a is not None
        assert b is not None
        assert torch.allclose(a, b, rtol=1e-12)
    assert torch.allclose(_dense(apart), _dense(together), rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize(
    ("spectrum", "most"),
    [("few directions", 1e-6), ("falling fast", 0.01), ("falling slowly", 0.15), ("flat", 0.35)],
)
def test_what_64_columns_lose(spectrum: str, most: float) -> None:
    """In the penalty of changes of rank 8 in random directions: next to nothing if few directions
    matter. Of a flat spectrum, the worst there is, the diagonal is right and so is the mean over
    changes.
    """
    data = _vectors(spectrum, WIDTH)
    truth, sketch = data.T @ data / len(data), _dense(_sum(data))
    torch.manual_seed(0)
    ratios = []
    for _ in range(50):
        B = torch.randn(WIDTH, 8, dtype=torch.float64)
        ratios.append(float(torch.trace(B.T @ sketch @ B) / torch.trace(B.T @ truth @ B)))
    assert max(abs(ratio - 1) for ratio in ratios) <= most
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("rank", [5, 400])
@pytest.mark.parametrize("width", [1, 2, 64, 300])
def test_a_file_keeps_a_whole_matrix_in_a_quarter_of_its_size(width: int, rank: int) -> None:
    data = _vectors("falling slowly", width, count=rank)
    before = _sum(data, dtype=torch.float32)
    parts = before.parts()
    assert {name: (part.dtype, part.numel()) for name, part in parts.items()} == {
        "variance": (torch.float32, width),
        "correlation": (torch.int16, width * (width + 1) // 2),
    }
    after = Factor.of_parts(parts)
    assert before.matrix is not None
    assert after.matrix is not None
    assert torch.allclose(after.matrix.diagonal(), before.matrix.diagonal(), rtol=1e-6)
    size = before.matrix.diagonal().sqrt()
    assert (
        float(((after.matrix - before.matrix).abs() / torch.outer(size, size)).max())
        <= ROUNDING + 2e-5
    )
    assert torch.equal(after.matrix, after.matrix.T)
    # also if 295 directions are free
    assert float(torch.linalg.eigvalsh(after.matrix.double())[0]) >= 0


def test_twenty_cycles_through_files_drift_by_little() -> None:
    cycles = [
        _sum(_vectors("falling slowly", 96, seed=n, count=60), dtype=torch.float32)
        for n in range(20)
    ]
    kept, exact = cycles[0], cycles[0]
    for fresh in cycles[1:]:
        kept, exact = (
            Factor.of_parts(kept.combined(1, fresh, 1).parts()),
            exact.combined(1, fresh, 1),
        )
    error = torch.linalg.matrix_norm(_dense(kept) - _dense(exact)) / torch.linalg.matrix_norm(
        _dense(exact)
    )
    assert float(error) < 0.02
    assert kept.trace == pytest.approx(exact.trace, rel=1e-5)


def test_a_direction_without_any_gradient_stays_free() -> None:
    data = torch.randn(50, 6)
    data[:, 2] = 0
    after = Factor.of_parts(_sum(data, dtype=torch.float32).parts())
    assert after.matrix is not None
    assert float(after.matrix[2].abs().sum()) == 0
    assert torch.isfinite(after.matrix).all()


def test_files_of_before_are_read() -> None:
    matrix = _sum(_vectors("flat", 12), dtype=torch.float32).matrix
    assert matrix is not None
    rows, columns = torch.tril_indices(12, 12)
    back = Factor.of_parts({"triangle": matrix[rows, columns]})
    assert back.matrix is not None
    assert torch.equal(back.matrix, matrix)


def test_wide_modules_are_sketched_without_ever_being_whole() -> None:
    """A real width: the sum holds width x 64 numbers, never width x width."""
    width = FULL_WIDTH + 1
    one = FactorSum(width, CPU, torch.float32)
    one.add(torch.randn(10, width))
    assert (
        max(part.numel() for part in (one._matrix, one._diagonal, one._omega) if part is not None)
        == width * SKETCH
    )


def test_factors_of_different_forms_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different forms"):
        Factor(torch.eye(3)).combined(1.0, Factor(diagonal=torch.ones(3)), 1.0)
