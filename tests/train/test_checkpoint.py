"""A checkpoint is complete or it is not there; a run goes on from it, random numbers included."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qi_learn.train.checkpoint import LoopState, newest_checkpoint, restore, save_checkpoint

STATE = LoopState(
    step=3,
    elapsed=1.5,
    tokens=100,
    loss=2.0,
    general=0.1,
    past=0.2,
    before=3.0,
    best=None,
    best_step=0,
    worse=0,
)


def _trained(steps: int, *, seed: int = 0) -> tuple[dict[str, Tensor], torch.optim.AdamW]:
    torch.manual_seed(seed)
    weights: dict[str, Tensor] = {
        name: torch.nn.Parameter(torch.randn(3, 4)) for name in ("m.A", "m.B")
    }
    optimizer = torch.optim.AdamW(weights.values(), lr=0.1)
    for _ in range(steps):
        _step(weights, optimizer)
    return weights, optimizer


def _step(weights: dict[str, Tensor], optimizer: torch.optim.AdamW) -> None:
    for value in weights.values():
        value.grad = torch.randn(3, 4)
    optimizer.step()


def test_the_future_is_the_same(tmp_path: Path) -> None:
    weights, optimizer = _trained(3)
    save_checkpoint(tmp_path, STATE, weights, {"m.A": torch.ones(2)}, optimizer)
    _step(weights, optimizer)
    expected = {name: value.detach().clone() for name, value in weights.items()}

    others, fresh = _trained(0, seed=9)
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint[0] == STATE
    best = restore(checkpoint[1], others, fresh)
    assert best.keys() == {"m.A"}
    _step(others, fresh)
    assert all(torch.equal(others[name], expected[name]) for name in expected)


def test_only_the_two_newest_stay(tmp_path: Path) -> None:
    weights, optimizer = _trained(1)
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, replace(STATE, step=step), weights, {}, optimizer)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000003", "step-000010"]


@pytest.mark.parametrize(
    "damage", ["no marker", "torn marker", "torn tensors", "one bit", "no tensors"]
)
def test_an_incomplete_one_is_passed_over(tmp_path: Path, damage: str) -> None:
    weights, optimizer = _trained(1)
    for step in (1, 2):
        save_checkpoint(tmp_path, replace(STATE, step=step), weights, {}, optimizer)
    damaged = tmp_path / "step-000002"
    tensors = damaged / "state.safetensors"
    data = bytearray(tensors.read_bytes())
    if damage == "no marker":
        (damaged / "state.json").unlink()
    elif damage == "torn marker":
        (damaged / "state.json").write_text((damaged / "state.json").read_text()[:40])
    elif damage == "torn tensors":
        tensors.write_bytes(data[:-10])
    elif damage == "one bit":
        data[-5] ^= 1
        tensors.write_bytes(data)
    else:
        tensors.unlink()
    checkpoint = newest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint[0].step == 1
    shutil.rmtree(tmp_path / "step-000001")
    assert newest_checkpoint(tmp_path) is None


def test_none_at_first(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "checkpoints") is None
