"""A Fisher in its file and over cycles: what is kept, and how it adds up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qi_learn.errors import ModelError
from qi_learn.train.factor import FULL_WIDTH, FactorSum, Form
from qi_learn.train.fisher import Fisher, load_fisher
from qi_learn.train.fisher_estimate import estimate
from tests.support.tiny_training import (  # noqa: F401 - a fixture
    one_thread,
    randomised,
    tiny_causal,
    tiny_network,
    tiny_samples,
)


def _matrix(fisher: Fisher, name: str) -> Tensor:
    matrix = fisher.modules[name].S.matrix
    assert matrix is not None
    return matrix


def test_files_keep_everything(tmp_path: Path) -> None:
    forms: tuple[Form, ...] = ("kfac", "diagonal")
    for form in forms:
        fisher = estimate(
            tiny_network(dtype="float32"), tiny_samples(4), form=form, seed=0, batch_tokens=64
        )
        fisher.save(tmp_path / "f.safetensors")
        loaded = load_fisher(tmp_path / "f.safetensors", fisher.base)
        assert (loaded.form, loaded.sequences) == (form, 4)
        assert (loaded.tokens, loaded.seconds) == (fisher.tokens, fisher.seconds)
        for name, both in fisher.modules.items():
            for one, kept in ((both.S, loaded.modules[name].S), (both.C, loaded.modules[name].C)):
                ones = torch.eye(one.width)
                assert torch.allclose(
                    kept.times(ones), one.times(ones), rtol=1e-2, atol=1e-4 * one.trace
                )
                assert kept.trace == pytest.approx(one.trace, rel=1e-6)
            assert loaded.modules[name].cycles == both.cycles
        again = tmp_path / "again.safetensors"
        loaded.save(again)
        assert load_fisher(again, fisher.base).modules[name].S.trace == pytest.approx(
            loaded.modules[name].S.trace
        )
    with pytest.raises(ModelError, match="no Fisher of this base"):
        load_fisher(tmp_path / "f.safetensors", "other")


def test_past_work_adds_up() -> None:
    """S is summed over cycles and C averaged; a module that joins later counts from then on."""
    network = tiny_network()
    cycles = [
        estimate(network, tiny_samples(4, seed=n), form="kfac", seed=n, batch_tokens=64)
        for n in range(3)
    ]
    late = network.names[0]
    cycles[0].modules.pop(late)
    whole = cycles[0].accumulated(cycles[1]).accumulated(cycles[2])
    name = network.names[1]
    assert torch.allclose(
        _matrix(whole, name), sum((_matrix(c, name) for c in cycles), torch.zeros(()))
    )
    assert torch.allclose(
        whole.modules[name].C.times(torch.eye(16).double()),
        sum((c.modules[name].C.times(torch.eye(16).double()) for c in cycles), torch.zeros(())) / 3,
    )
    assert (whole.modules[name].cycles, whole.modules[late].cycles) == (3, 2)
    assert torch.allclose(_matrix(whole, late), _matrix(cycles[1], late) + _matrix(cycles[2], late))
    with pytest.raises(ModelError, match="cannot be added"):
        whole.accumulated(replace(cycles[0], form="diagonal"))


def test_wide_modules_are_sketched_without_losing_what_matters() -> None:
    """A sketch is exact for few directions plus a diagonal's worth of noise, never more than the
    truth, exact on the diagonal, and linear in the data.
    """
    torch.manual_seed(0)
    width = FULL_WIDTH + 32
    few = torch.randn(40, width) * 3
    noise = torch.randn(300, width) * 0.1
    parts = []
    for vectors in (few, noise, torch.cat([few, noise])):
        one = FactorSum(width, torch.device("cpu"), torch.float32)
        one.add(vectors[: len(vectors) // 2])
        one.add(vectors[len(vectors) // 2 :])
        parts.append(one.factor(1.0))
    probe = torch.randn(width, 5)
    assert parts[0].shapes == ((width, 64), (width,))
    assert torch.allclose(parts[0].times(probe), few.T @ (few @ probe), rtol=1e-3, atol=1e-1)
    both = parts[0].combined(1.0, parts[1], 1.0)
    assert torch.allclose(both.times(probe), parts[2].times(probe), rtol=1e-3, atol=1e-1)
    data = torch.cat([few, noise])
    for seed in range(5):
        v = torch.randn(width, 1, generator=torch.Generator().manual_seed(seed))
        kept, whole = float(v.T @ both.times(v)), float((data @ v).square().sum())
        assert 0.7 * whole < kept < 1.3 * whole
    units = torch.eye(width)[:, :3]
    assert torch.allclose(both.times(units)[:3].diagonal(), data.square().sum(0)[:3], rtol=1e-2)
