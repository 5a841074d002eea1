"""The loop: it learns, protects, stops, and resumes from anywhere with the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qi_learn import codec
from qi_learn.plan.schedule import samples
from qi_learn.records import Plan
from qi_learn.rundir.progress import read_progress
from qi_learn.train.calibrate import measure_divergence, yardstick
from qi_learn.train.ewc import Penalty
from qi_learn.train.factor import Form
from qi_learn.train.fisher_estimate import estimate
from qi_learn.train.likelihood import log_probabilities
from qi_learn.train.loop import Data, Trained, evaluate, rate, train
from qi_learn.train.network import Network
from qi_learn.train.preference import reference_samples
from qi_learn.train.protection import Protection
from qi_learn.train.ranks import ALONE, Ranks
from qi_learn.train.training_run import Interrupted, TrainingRun
from tests.support.tiny_training import (  # noqa: F401 - a fixture
    one_thread,
    tiny_examples,
    tiny_network,
    tiny_plan,
    tiny_samples,
)

DATA = Data(
    new=samples(tiny_examples(10), 64),
    dev=samples(tiny_examples(4, seed=1, tag="d"), 64),
    replay=samples(tiny_examples(4, seed=2, tag="r"), 64),
    generic=tiny_samples(40, seed=3, tag="g"),
)


def _ready(plan: Plan) -> tuple[Network, Penalty, Penalty]:
    """A network with a fresh LoRA and two penalties."""
    keys = ("dtype", "rank", "alpha", "learning_rate", "max_steps", "batch_size", "dropout")
    given = codec.plain(plan)
    network = tiny_network(**{key: given[key] for key in (*keys, "accumulation")})
    general = estimate(network, DATA.generic, form="kfac", seed=0, batch_tokens=256)
    past = estimate(network, DATA.replay, form="kfac", seed=0, batch_tokens=256)
    torch.manual_seed(plan.seed)
    network.attach()
    first, second = (
        Penalty(f, strength, scale=network.scale, names=network.names, device=network.device)
        for f, strength in ((general, 0.3), (past, 0.2))
    )
    return network, first, second


def _train(
    plan: Plan,
    run: Path,
    *,
    data: Data = DATA,
    stopping: Callable[[], bool] = lambda: False,
    protect: bool = True,
    ranks: Ranks = ALONE,
) -> tuple[Trained, dict[str, Tensor], Network]:
    run.mkdir(exist_ok=True)
    network, general, past = _ready(plan)
    compared = reference_samples(data.comparisons)
    values = log_probabilities(network, compared, plan.batches.batch_size)
    reference = dict(zip((s.id for s in compared), values, strict=True))
    protection = Protection(general, past) if protect else Protection()
    trained = train(
        network, plan, data, protection, TrainingRun(run, stopping, ranks), reference=reference
    )
    weights = {
        f"{n}.{part}": value.detach().clone()
        for n, pair in network.factors().items()
        for part, value in zip("AB", pair, strict=True)
    }
    return trained, weights, network


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_says_how_far_it_is(tmp_path: Path) -> None:
    plan = tiny_plan(max_steps=12)
    trained, _, network = _train(plan, tmp_path)
    state = trained.state
    assert (state.step, trained.stopped) == (12, "steps")
    assert state.before is not None
    assert state.best is not None
    assert state.best < state.before - 0.5
    assert evaluate(network, DATA.dev, 4) == pytest.approx(state.best, rel=1e-9)
    assert state.general > 0
    assert state.past > 0
    progress = read_progress(tmp_path)
    assert progress is not None
    assert (progress.phase, progress.step, progress.of, progress.dev, progress.eta) == (
        "training",
        12,
        12,
        state.best,
        0.0,
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_that_was_interrupted_ends_with_the_same_weights(tmp_path: Path, dtype: str) -> None:
    plan = tiny_plan(dtype=dtype, dropout=0.1)
    whole, expected, _ = _train(plan, tmp_path / "whole")
    for stop_at in (1, 3, 4):  # between checkpoints and on one
        run = tmp_path / f"at{stop_at}"
        asked = iter([False] * (stop_at - 1) + [True])
        with pytest.raises(Interrupted):
            _train(plan, run, stopping=partial(next, asked))
        torch.manual_seed(12345)  # whatever the process did meanwhile
        again, weights, _ = _train(plan, run)
        assert _same(weights, expected)
        for name in ("loss", "general", "past", "best", "best_step", "tokens", "before"):
            assert getattr(again.state, name) == getattr(whole.state, name)


def test_a_lost_checkpoint_only_costs_time(tmp_path: Path) -> None:
    plan = tiny_plan()
    _, expected, _ = _train(plan, tmp_path / "whole")
    asked = iter([False] * 4 + [True])
    with pytest.raises(Interrupted):
        _train(plan, tmp_path / "run", stopping=lambda: next(asked))
    (tmp_path / "run" / "checkpoints" / "step-000005" / "state.json").unlink()
    assert _same(_train(plan, tmp_path / "run")[1], expected)


def test_a_dev_set_that_was_cut_meanwhile_starts_its_comparison_anew(tmp_path: Path) -> None:
    """As after a fallback: what was best on longer sequences says nothing about shorter ones."""
    plan = tiny_plan(max_steps=6)
    asked = iter([False] * 3 + [True])
    with pytest.raises(Interrupted):
        _train(plan, tmp_path, stopping=lambda: next(asked))
    shorter = Data(
        DATA.new, samples(tiny_examples(4, seed=1, tag="d"), 12), DATA.replay, DATA.generic
    )
    trained, _, network = _train(plan, tmp_path, data=shorter)
    assert trained.state.before is None
    assert trained.state.best_step > 4
    assert evaluate(network, shorter.dev, 4) == pytest.approx(trained.state.best, rel=1e-9)


def test_accumulating_is_one_large_batch(tmp_path: Path) -> None:
    """The penalty too is added once per optimiser step, however many passes the step takes."""
    runs = [
        _train(
            tiny_plan(batch_size=size, accumulation=8 // size, max_steps=3), tmp_path / str(size)
        )
        for size in (8, 4, 2, 1)
    ]
    whole, expected, _ = runs[0]
    for trained, weights, _ in runs[1:]:
        assert all(
            torch.allclose(weights[name], expected[name], rtol=1e-4, atol=1e-7) for name in expected
        )
        assert trained.state.general == pytest.approx(whole.state.general, rel=1e-4)
        assert trained.state.past == pytest.approx(whole.state.past, rel=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_penalties_are_0_right_after_the_reset_and_above_it_after_one_step(
    tmp_path: Path, dtype: str
) -> None:
    """Also in bfloat16, in which squares of small changes would vanish if the penalty used it."""
    plan = tiny_plan(max_steps=1, dtype=dtype, learning_rate=1e-5, warmup_steps=0)
    network, general, past = _ready(plan)
    assert [float(penalty(network.factors()).detach()) for penalty in (general, past)] == [0, 0]
    trained = train(network, plan, DATA, Protection(general, past), TrainingRun(tmp_path))
    first_step = trained.state.general, trained.state.past
    assert first_step == (0, 0)
    after = [float(penalty(network.factors()).detach()) for penalty in (general, past)]
    assert all(0 < value < 1e-6 for value in after)


def test_it_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    """A dev set that contradicts the training data gets worse from some step on."""
    contrary = Data(new=DATA.new, dev=tuple(s for s in tiny_samples(4, seed=9, tag="x")))
    plan = tiny_plan(max_steps=60, patience=2, learning_rate=0.03)
    trained, _, network = _train(plan, tmp_path, data=contrary, protect=False)
    assert trained.stopped == "early"
    assert (
        trained.state.step == trained.state.best_step + plan.steps.patience * plan.steps.eval_every
    )
    assert evaluate(network, contrary.dev, 4) == pytest.approx(trained.state.best, rel=1e-9)


def test_it_stops_in_time_and_the_time_before_an_interruption_counts(tmp_path: Path) -> None:
    ticks = iter(range(0, 100_000, 10))
    plan = tiny_plan(max_steps=50, max_seconds=100.0, eval_every=50)
    network, _, _ = _ready(plan)

    def clock() -> float:
        return float(next(ticks))

    trained = train(network, plan, Data(DATA.new), Protection(), TrainingRun(tmp_path), clock=clock)
    assert trained.stopped == "time"
    assert 0 < trained.state.step < 50
    assert trained.state.best is None
    network, _, _ = _ready(plan)
    asked = iter([False, True])
    second = tmp_path / "second"
    second.mkdir()
    stopped = TrainingRun(second, lambda: next(asked))
    with pytest.raises(Interrupted):
        train(network, plan, Data(DATA.new), Protection(), stopped, clock=clock)
    rest = train(network, plan, Data(DATA.new), Protection(), TrainingRun(second), clock=clock)
    assert rest.state.step <= trained.state.step


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_the_stronger_the_penalty_the_less_other_answers_move(
    tmp_path: Path, seed: int, form: Form
) -> None:
    """KL divergence from the base on sequences that neither the training nor the Fisher saw."""
    fisher = estimate(tiny_network(), DATA.generic, form=form, seed=seed, batch_tokens=256)
    divergences = []
    for strength in (0.0, 3.0, 100.0) if form == "kfac" else (0.0, 30.0, 1000.0):
        plan = tiny_plan(max_steps=15, lambda_general=strength, seed=seed)
        network = tiny_network()
        before = yardstick(network, tiny_samples(20, seed=8 + seed, tag="p"), count=20)
        torch.manual_seed(seed)
        network.attach()
        general = Penalty(
            fisher, strength, scale=network.scale, names=network.names, device=network.device
        )
        run = tmp_path / str(strength)
        run.mkdir()
        train(network, plan, Data(DATA.new), Protection(general), TrainingRun(run))
        moved = measure_divergence(network, before, general)
        assert moved is not None
        divergences.append(moved.measured)
    assert divergences[0] > 1.1 * divergences[1] > 1.2 * divergences[2]


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    plan = tiny_plan()
    network, _, _ = _ready(plan)
    with torch.no_grad():
        network.lower.embed_tokens.weight.fill_(torch.nan)
    network._states.clear()
    with pytest.raises(FloatingPointError, match="step 1"):
        train(network, plan, Data(DATA.new), Protection(), TrainingRun(tmp_path))
    assert not (tmp_path / "checkpoints").exists()


def test_the_rate_warms_up_and_falls_to_a_tenth() -> None:
    plan = tiny_plan(max_steps=48, warmup_steps=3, learning_rate=1e-3)
    rates = [rate(plan, step) for step in range(48)]
    assert rates[:4] == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    assert rates[-1] == pytest.approx(1e-4)
    assert all(a > b for a, b in pairwise(rates[3:]))
