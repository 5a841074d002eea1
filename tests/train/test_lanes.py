"""Passes side by side: the same numbers as one after another, the same bits every time, no fault
lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from qi_learn.plan.schedule import PADDED, Sample, balanced
from qi_learn.train.ewc import Penalty
from qi_learn.train.factor import Form
from qi_learn.train.fisher_estimate import estimate
from qi_learn.train.lanes import Lanes, lanes_for
from qi_learn.train.likelihood import per_token
from qi_learn.train.loop import Data, evaluate, train
from qi_learn.train.network import Network
from qi_learn.train.preference import Choice, add_gradients
from qi_learn.train.protection import Protection
from qi_learn.train.training_run import TrainingRun
from tests.support.tiny_training import tiny_network, tiny_plan, tiny_samples

SEQUENCES = tiny_samples(9, seed=5)


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """The threads that torch has on two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _network(lanes: int) -> Network:
    network = tiny_network()
    network.lanes = Lanes(lanes, 1)
    torch.manual_seed(3)
    network.attach()
    for value in network.parameters:
        value.data.normal_(0, 0.3)
    return network


def _gradients(network: Network) -> list[torch.Tensor]:
    def loss(sample: Sample) -> torch.Tensor:
        return network.nll(network.batch([sample])).sum()

    network.lanes.backward([partial(loss, s) for s in SEQUENCES], network.parameters)
    return [value.grad.clone() for value in network.parameters if value.grad is not None]


def test_as_many_lanes_as_cores_and_as_memory_allows() -> None:
    assert lanes_for(tiny_plan(batch_size=4)).count == 2
    assert lanes_for(tiny_plan(batch_size=1)).count == 1
    assert lanes_for(tiny_plan(gradient_checkpointing=True)).count == 1
    assert lanes_for(tiny_plan(dropout=0.1)).count == 1
    assert lanes_for(tiny_plan(device="cuda:0")).count == 1
    assert lanes_for(tiny_plan()) is lanes_for(tiny_plan())


def test_gradients_are_those_of_one_lane_and_the_same_bits_every_time() -> None:
    alone, first, again = (_gradients(_network(lanes)) for lanes in (1, 3, 3))
    assert len(alone) == len(_network(1).parameters)
    for a, b, c in zip(alone, first, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
        assert torch.equal(b, c)


def test_gradients_are_added_to_those_that_are_there() -> None:
    one, two = _network(2), _network(2)
    for a, b in zip(_gradients(one), (_gradients(two), _gradients(two))[1], strict=True):
        torch.testing.assert_close(2 * a, b)


def test_a_training_is_the_same_in_lanes(tmp_path: Path) -> None:
    data = Data(new=SEQUENCES[:6], dev=SEQUENCES[6:])
    losses: list[tuple[float, float | None]] = []
    weights: list[torch.Tensor] = []
    for lanes in (1, 2, 2):
        network = _network(lanes)
        run = tmp_path / str(len(losses))
        run.mkdir()
        plan = tiny_plan(max_steps=4)
        state = train(network, plan, data, Protection(), TrainingRun(run)).state
        losses.append((state.loss, state.best))
        weights.append(torch.cat([v.detach().flatten() for v in network.parameters]))
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-9)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-6, atol=1e-9)
    assert losses[1] == losses[2]
    assert torch.equal(weights[1], weights[2])


def test_a_penalty_on_some_of_the_modules_moves_those_alone() -> None:
    """Past work says nothing of modules that did not change before."""
    network = _network(2)
    fisher = estimate(network, SEQUENCES, form="kfac", seed=0, batch_tokens=64)
    some = tuple(name for name in network.names if ".mlp." in name)
    whole, part = (
        Penalty(fisher, 1.0, scale=network.scale, names=names, device=network.device)
        for names in (network.names, some)
    )
    network.lanes.backward(
        [lambda: part(network.factors()), lambda: part(network.factors())], network.parameters
    )
    gradients = {name: pair[1].grad for name, pair in network.factors().items()}
    assert {name for name, gradient in gradients.items() if gradient is not None} == set(some)
    alone = _network(1)
    alone.lanes.backward([lambda: 2 * part(alone.factors())], alone.parameters)
    for name in some:
        torch.testing.assert_close(gradients[name], alone.factors()[name][1].grad)
    assert float(whole(network.factors()).detach()) > float(part(network.factors()).detach()) > 0


def test_fewer_losses_than_lanes_have_all_threads(tmp_path: Path) -> None:
    seen: list[int] = []

    def loss() -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return network.nll(network.batch(SEQUENCES[:1])).sum()

    network = _network(2)
    network.lanes.backward([loss], network.parameters)
    assert seen == [2]


def test_layers_that_are_computed_again_in_another_thread_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As torch does on a GPU with gradient checkpoints."""
    backward = torch.Tensor.backward

    def elsewhere(self: torch.Tensor, gradient: torch.Tensor) -> None:
        thread = threading.Thread(target=backward, args=(self, gradient))
        thread.start()
        thread.join()

    expected = estimate(_network(1), SEQUENCES, form="kfac", seed=0, batch_tokens=64)
    network = tiny_network(gradient_checkpointing=True)
    torch.manual_seed(3)
    network.attach()
    for value in network.parameters:
        value.data.normal_(0, 0.3)
    monkeypatch.setattr(torch.Tensor, "backward", elsewhere)
    found = estimate(network, SEQUENCES, form="kfac", seed=0, batch_tokens=64)
    for name, module in expected.modules.items():
        assert found.modules[name].S.trace == pytest.approx(module.S.trace, rel=1e-9)
        assert found.modules[name].C.trace == pytest.approx(module.C.trace, rel=1e-9)


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_a_fisher_is_the_same_in_lanes(form: Form) -> None:
    one, two = (
        estimate(_network(lanes), SEQUENCES, form=form, seed=0, batch_tokens=40) for lanes in (1, 3)
    )
    assert (
        (one.sequences, one.tokens)
        == (two.sequences, two.tokens)
        == (9, sum(s.targets for s in SEQUENCES))
    )
    for name, module in one.modules.items():
        for side in ("S", "C"):
            for part, value in getattr(module, side).parts().items():
                torch.testing.assert_close(
                    value, getattr(two.modules[name], side).parts()[part], rtol=1e-9, atol=1e-12
                )


def test_likelihoods_and_preferences_are_the_same_in_lanes() -> None:
    one, two = _network(1), _network(2)
    assert per_token(one, SEQUENCES, 4) == pytest.approx(per_token(two, SEQUENCES, 4), rel=1e-9)
    assert evaluate(one, SEQUENCES, 4) == pytest.approx(evaluate(two, SEQUENCES, 4), rel=1e-9)
    choice = Choice(SEQUENCES[0], SEQUENCES[1])
    reference = {s.id: -3.0 for s in choice.samples}
    losses = [
        add_gradients(network, choice, reference, weight=0.5, size=4) for network in (one, two)
    ]
    assert losses[0] == pytest.approx(losses[1])
    for a, b in zip(one.parameters, two.parameters, strict=True):
        assert a.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


def test_each_lane_has_threads_of_its_own_and_no_gradients_where_none_are_wanted() -> None:
    lanes = Lanes(2, 1)
    meeting = threading.Barrier(2, timeout=30)  # passed only by two at a time

    def look(_: int) -> tuple[int, bool]:
        meeting.wait()
        return torch.get_num_threads(), torch.is_grad_enabled()

    assert lanes.map(look, range(4)) == [(1, True)] * 4
    with torch.no_grad():
        assert lanes.map(look, range(4)) == [(1, False)] * 4
    assert torch.get_num_threads() == 2  # the caller's are as they were


def test_a_fault_in_a_lane_is_raised_where_it_was_asked_for() -> None:
    def work(number: int) -> float:
        return 1 / (number - 2)

    with pytest.raises(ZeroDivisionError):
        Lanes(2, 1).map(work, range(4))


def _sorted(*lengths: int) -> list[Sample]:
    return [Sample(f"s{n}", (1,) * length, 1) for n, length in enumerate(lengths)]


@pytest.mark.parametrize("lanes", [1, 2, 3])
@pytest.mark.parametrize(
    "lengths", [(), (50,), (400, 90, 80, 80, 70, 60, 60, 50), (100,) * 8, (300, 290, 200, 10, 9, 8)]
)
def test_micro_batches_hold_every_sequence_once_and_fit_into_memory(
    lanes: int, lengths: tuple[int, ...]
) -> None:
    sequences = _sorted(*lengths)
    groups = balanced(sequences, 8, lanes)
    assert [s for group in groups for s in group] == sequences
    assert all(1 <= len(group) <= max(1, 8 // lanes) for group in groups)
    assert all(
        len(group) * len(group[0].ids) <= PADDED * sum(len(s.ids) for s in group)
        for group in groups
    )


def test_lanes_are_kept_equally_busy() -> None:
    assert [len(g) for g in balanced(_sorted(*(100,) * 8), 8, 2)] == [4, 4]
    unequal = balanced(_sorted(400, 390, 380, 370, 100, 90, 85, 80), 8, 2)
    # four and four would be four times as long for one as for the other
    assert [len(g) for g in unequal] == [2, 2, 2, 2]
    # the evener twos would cost two passes more
    equal = balanced(_sorted(12, 12, 12, 12, 10, 10, 10, 10), 8, 2)
    assert [len(g) for g in equal] == [4, 4]
