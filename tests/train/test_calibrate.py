"""How far a model moved, against a divergence that is enumerated over the whole vocabulary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qi_learn.train import calibrate
from qi_learn.train.calibrate import SEQUENCES, divergence, measure_divergence, yardstick
from qi_learn.train.ewc import Penalty
from qi_learn.train.fisher_estimate import estimate
from tests.support.tiny_training import (
    VOCABULARY,
    one_thread,  # noqa: F401 - a fixture
    randomised,
    tiny_causal,
    tiny_network,
    tiny_samples,
)

CPU = torch.device("cpu")


def _enumerated(old: Tensor, new: Tensor) -> Tensor:
    """Sum over the vocabulary, one token after the other, of p log(p / q)."""
    p, q = torch.softmax(old.double(), -1), torch.softmax(new.double(), -1)
    return torch.stack(
        [
            sum(
                (p[k, v] * (p[k, v] / q[k, v]).log() for v in range(p.shape[1])),
                torch.zeros(()).double(),
            )
            for k in range(len(p))
        ]
    )


@pytest.mark.parametrize("rows_at_once", [1, 5, 1000])
@pytest.mark.parametrize("block", [7, 4096])
def test_divergence_is_what_enumeration_says(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int, block: int
) -> None:
    monkeypatch.setattr(calibrate, "HEAD_ELEMENTS", {"cpu": 2 * VOCABULARY * rows_at_once})
    monkeypatch.setattr(calibrate, "VOCABULARY_BLOCK", block)
    torch.manual_seed(0)
    old, new, head = (torch.randn(rows, 16).double() for rows in (12, 12, VOCABULARY))
    assert torch.allclose(
        divergence(old, new, head), _enumerated(old @ head.T, new @ head.T), rtol=1e-10
    )
    assert divergence(old[:0], new[:0], head).shape == (0,)


def test_a_small_move_costs_half_its_quadratic_form() -> None:
    """KL of softmax(H r) and softmax(H (r + v)) is v^T H^T (diag(p) - p p^T) H v / 2: the
    enumerated Fisher of a vocabulary of 37.
    """
    torch.manual_seed(1)
    rows, head = torch.randn(8, 16).double(), torch.randn(VOCABULARY, 16).double()
    p = torch.softmax(rows @ head.T, -1)
    for _ in range(6):
        v = 1e-3 * torch.randn(8, 16).double()
        moved = v @ head.T
        expected = 0.5 * ((p * moved**2).sum(-1) - (p * moved).sum(-1) ** 2)
        ratio = divergence(rows, rows + v, head) / expected
        assert bool(((ratio > 0.98) & (ratio < 1.02)).all())


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_a_model_that_has_not_changed_has_not_moved(dtype: str) -> None:
    network = tiny_network(dtype=dtype)
    before = yardstick(network, tiny_samples(20))
    network.attach()
    moved = measure_divergence(network, before, None)
    assert moved is not None
    assert moved.measured == 0
    assert (moved.predicted, moved.kappa, moved.sequences) == (None, None, SEQUENCES)


@pytest.mark.parametrize("tied", [False, True])
def test_it_is_the_divergence_of_the_uncut_models(tied: bool) -> None:
    samples = tiny_samples(7)
    network = tiny_network(tied=tied)
    before = yardstick(network, samples)
    assert before is not None
    randomised(network, size=0.05)
    moved = measure_divergence(network, before, None)
    assert moved is not None

    plain, changed = tiny_causal(tied=tied), tiny_causal(tied=tied)
    for name, change in network.delta().items():
        changed.get_submodule(name).weight.data += change.B @ change.A
    total = 0.0
    for sample in samples:
        old, new = (
            c(input_ids=torch.tensor([sample.ids])).logits[0, sample.start - 1 : -1].detach()
            for c in (plain, changed)
        )
        total += float(_enumerated(old, new).sum())
    targets = sum(s.targets for s in samples)
    assert moved.tokens == targets
    assert moved.measured == pytest.approx(total / targets, rel=1e-6)  # norms compute in float32
    assert moved.measured > 0.001


def test_kappa_is_near_one_where_the_fisher_is_of_the_same_sequences() -> None:
    """K-FAC on a small random change. A Fisher summed over two cycles predicts for their mean."""
    samples = tiny_samples(60)
    network = tiny_network()
    fisher = estimate(network, samples, form="kfac", seed=0, batch_tokens=512)
    before = yardstick(network, samples, count=60)
    randomised(network, size=0.004)
    kappas = []
    for summed in (fisher, fisher.accumulated(fisher)):
        penalty = Penalty(summed, 250.0, scale=network.scale, names=network.names, device=CPU)
        measured = measure_divergence(network, before, penalty)
        assert measured is not None
        assert measured.kappa is not None
        kappas.append(measured.kappa)
    assert 0.5 < kappas[0] < 2
    assert kappas[1] == pytest.approx(kappas[0], rel=1e-9)


def test_the_prediction_is_the_penalty_at_a_strength_of_one() -> None:
    network = tiny_network()
    fisher = estimate(network, tiny_samples(20), form="kfac", seed=0, batch_tokens=512)
    randomised(network)
    penalty = Penalty(fisher, 3.0, scale=network.scale, names=network.names, device=CPU)
    assert penalty.predicted(network.factors()) == pytest.approx(
        float(penalty(network.factors()).detach()) / 3, rel=1e-12
    )


def test_a_yardstick_is_few_sequences_spread_over_all() -> None:
    network, samples = tiny_network(), tiny_samples(100)
    chosen = yardstick(network, samples)
    assert chosen is not None
    assert len(chosen.sequences) == SEQUENCES
    positions = sorted(samples.index(s) for s in chosen.sequences)
    assert positions[0] == 0
    assert positions[-1] > 90
    assert len(chosen.rows) == sum(s.targets for s in chosen.sequences)
    assert yardstick(network, ()) is None
    assert measure_divergence(network, None, None) is None
