"""Preferences through the network: gradients are autograd's, and what was kept becomes the
likelier.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from qi_learn.plan.schedule import Sample, samples
from qi_learn.train.loop import Data, evaluate, train
from qi_learn.train.network import Network
from qi_learn.train.preference import (
    BETA,
    CONTEXT,
    Choice,
    Comparison,
    Rejection,
    add_gradients,
    comparisons,
    share_preferred,
)
from qi_learn.train.protection import Protection
from qi_learn.train.training_run import Interrupted, TrainingRun
from tests.support.preferences import edits, reference_of, rejects
from tests.support.tiny_training import (
    one_thread,  # noqa: F401 - a fixture
    randomised,
    tiny_examples,
    tiny_network,
    tiny_plan,
    tiny_samples,
)


def _gradients(network: Network) -> list[Tensor]:
    gradients = [
        value.grad.clone()
        for factors in network.factors().values()
        for value in factors
        if value.grad is not None
    ]
    for factors in network.factors().values():
        for value in factors:
            value.grad = None
    return gradients


def test_the_gradients_are_autograds_on_the_whole_texts() -> None:
    """Whole sequences through the network, the loss of the changed span and its context written
    out, one backward pass.
    """
    compared = comparisons(
        [*edits(2), *rejects(2)], samples(tiny_examples(5), 64), max_length=64, seed=0
    )
    assert [type(c) for c in compared] == [Choice, Choice, Rejection]
    reference = reference_of(tiny_network(), compared)
    network = randomised(tiny_network())

    def log_p(s: Sample) -> Tensor:
        return -network.nll(network.batch([s])).sum()

    for given_, comparison in zip(edits(2), compared, strict=False):
        assert isinstance(comparison, Choice)
        loss = add_gradients(network, comparison, reference, weight=0.3, size=2)
        own = _gradients(network)
        texts = {"w": given_.chosen_ids, "l": given_.rejected_ids}
        whole = [
            Sample(f"whole {given_.id} {side}", (*given_.prompt_ids, *ids), len(given_.prompt_ids))
            for side, ids in texts.items()
        ]
        start = next(
            i
            for i, (a, b) in enumerate(zip(given_.chosen_ids, given_.rejected_ids, strict=True))
            if a != b
        )
        end = min(len(given_.chosen_ids), start + 1 + CONTEXT)
        lw, ll = (-network.nll(network.batch([s]))[start:end].sum() for s in whole)
        expected = -logsigmoid(
            BETA
            * ((lw - reference[comparison.chosen.id]) - (ll - reference[comparison.rejected.id]))
        ) - lw / (end - start)
        (0.3 * expected).backward()  # type: ignore[no-untyped-call]  # torch does not type it
        assert loss == pytest.approx(float(expected.detach()), rel=1e-9)
        assert all(
            torch.allclose(a, b, rtol=1e-5, atol=1e-8)
            for a, b in zip(own, _gradients(network), strict=True)
        )

    group = compared[2]
    assert isinstance(group, Rejection)
    assert (len(group.rejected), len(group.kept), len(group.measured)) == (2, 2, 4)
    loss = add_gradients(network, group, reference, weight=0.3, size=3)
    own = _gradients(network)
    moved = {s.id: log_p(s) - reference[s.id] for s in (*group.samples, *group.measured)}
    z = torch.stack([moved[s.id] for s in group.measured]).mean().clamp(min=0).detach()
    sides = [
        torch.stack([1 - torch.sigmoid(sign * BETA * (moved[s.id] - z)) for s in part]).mean()
        for sign, part in ((-1, group.rejected), (1, group.kept))
    ]
    expected = (sides[0] + sides[1]) / 2
    (0.3 * expected).backward()  # type: ignore[no-untyped-call]  # torch does not type it
    assert loss == pytest.approx(float(expected.detach()), rel=1e-9)
    assert all(
        torch.allclose(a, b, rtol=1e-5, atol=1e-8)
        for a, b in zip(own, _gradients(network), strict=True)
    )


def test_a_few_sequences_at_a_time_give_the_same() -> None:
    compared = comparisons(
        [*edits(1), *rejects(2)], samples(tiny_examples(5), 64), max_length=64, seed=0
    )
    reference = reference_of(tiny_network(), compared)
    network = randomised(tiny_network())
    for comparison in compared:
        gradients = []
        for size in (8, 2, 1):
            add_gradients(network, comparison, reference, weight=0.1, size=size)
            gradients.append(_gradients(network))
        for other in gradients[1:]:
            assert all(
                torch.allclose(a, b, rtol=1e-5, atol=1e-9)
                for a, b in zip(other, gradients[0], strict=True)
            )


def test_the_chosen_text_does_not_become_less_likely() -> None:
    """DPO alone is content to lower both texts of a near-identical pair, the rejected one more;
    with the chosen one's likelihood it does not.
    """
    taught = tiny_network()
    torch.manual_seed(1)
    taught.attach()
    new = samples(tiny_examples(40, seed=11), 64)

    def teach(step: int) -> None:
        batch = taught.batch([new[i % 40] for i in range(8 * step, 8 * step + 8)])
        taught.nll(batch).mean().backward()  # type: ignore[no-untyped-call]  # torch does not type it

    _train(taught, teach, steps=150, rate=2e-2)
    (choice,) = comparisons(edits(1, seed=4), (), max_length=64, seed=0)
    assert isinstance(choice, Choice)
    moved = {}
    for name in ("dpo", "with the likelihood"):
        network = tiny_network()
        # a model for which the kept text is likely already, and the suggested one not much less
        network.merge(taught.delta())
        reference = reference_of(network, [choice])
        torch.manual_seed(0)
        network.attach()
        add = partial(_add_dpo if name == "dpo" else _add_ours, network, choice, reference)
        _train(network, add, steps=60, rate=3e-3)
        after = reference_of(network, [choice])
        moved[name] = [after[s.id] - reference[s.id] for s in choice.samples]
    assert moved["dpo"][0] < -0.5
    assert moved["with the likelihood"][0] > 0
    assert all(rejected < chosen - 20 for chosen, rejected in moved.values())


def _add_dpo(network: Network, choice: Choice, reference: dict[str, float], step: int) -> None:
    lw, ll = (-network.nll(network.batch([s])).sum() for s in choice.samples)
    margin = (lw - reference[choice.chosen.id]) - (ll - reference[choice.rejected.id])
    loss: Tensor = -logsigmoid(BETA * margin)
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it


def _add_ours(network: Network, choice: Choice, reference: dict[str, float], step: int) -> None:
    add_gradients(network, choice, reference, weight=1.0, size=2)


def _train(network: Network, add: Callable[[int], object], *, steps: int, rate: float) -> None:
    optimizer = torch.optim.AdamW(
        [v for factors in network.factors().values() for v in factors], lr=rate
    )
    for step in range(steps):
        add(step)
        optimizer.step()
        optimizer.zero_grad()


def test_rejections_lower_what_was_rejected_and_not_what_was_kept() -> None:
    kept = samples(tiny_examples(4), 64)
    (group,) = comparisons(rejects(2), kept, max_length=64, seed=0)
    assert isinstance(group, Rejection)
    network = tiny_network()
    reference = reference_of(network, [group])
    torch.manual_seed(0)
    network.attach()
    _train(
        network,
        lambda _: add_gradients(network, group, reference, weight=1.0, size=4),
        steps=30,
        rate=1e-2,
    )
    after = reference_of(network, [group])
    assert all(after[s.id] < reference[s.id] - 1 for s in group.rejected)
    assert all(after[s.id] > reference[s.id] for s in group.kept)


def _run(
    directory: Path,
    compared: tuple[Comparison, ...],
    *,
    weight: float = 0.1,
    interrupt: int = 0,
    steps: int = 16,
) -> tuple[Network, dict[str, Tensor], Data]:
    plan = tiny_plan(
        preference_weight=weight,
        max_steps=steps,
        dropout=0.1 if interrupt or weight == 0.25 else 0.0,
    )
    data = Data(
        samples(tiny_examples(10), 64),
        samples(tiny_examples(4, seed=1, tag="d"), 64),
        generic=tiny_samples(8, seed=3, tag="g"),
        comparisons=compared,
    )
    directory.mkdir(exist_ok=True)
    lora = plan.lora
    network = tiny_network(rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout)
    reference = reference_of(network, compared)
    torch.manual_seed(plan.seed)
    network.attach()
    asked = iter([False] * (interrupt - 1) + [True]) if interrupt else None
    run = TrainingRun(directory, lambda: next(asked) if asked else False)
    train(network, plan, data, Protection(), run, reference=reference)
    weights = {
        f"{n}.{part}": v.detach().clone()
        for n, p in network.factors().items()
        for part, v in zip("AB", p, strict=True)
    }
    return network, weights, data


def test_what_is_kept_is_preferred_also_where_it_was_not_trained_on(tmp_path: Path) -> None:
    compared = comparisons(edits(8), (), max_length=64, seed=0)
    unseen = comparisons(edits(12, seed=9, tag="u"), (), max_length=64, seed=0)
    references, devs = [reference_of(tiny_network(), unseen)], []
    for name, trained_on in (("without", ()), ("with", compared)):
        network, _, data = _run(tmp_path / name, trained_on)
        references.append(reference_of(network, unseen))
        devs.append(evaluate(network, data.dev, 4) or 0.0)
    before, without, along = (
        sum(k[c.chosen.id] - k[c.rejected.id] for c in unseen if isinstance(c, Choice)) / 12
        for k in references
    )
    assert before < without < along - 0.3  # nats
    assert (
        (share_preferred(unseen, references[0]) or 0)
        < 0.7
        < 0.9
        < (share_preferred(unseen, references[2]) or 0)
    )
    assert devs[1] < devs[0] + 0.05  # and what else is learned is learned all the same


def test_a_run_with_preferences_that_was_interrupted_ends_with_the_same_weights(
    tmp_path: Path,
) -> None:
    compared = comparisons(
        [*edits(3), *rejects(3)], samples(tiny_examples(10), 64), max_length=64, seed=0
    )
    _, expected, _ = _run(tmp_path / "whole", compared, weight=0.25, steps=8)
    for at in (1, 5):
        with pytest.raises(Interrupted):
            _run(tmp_path / f"at{at}", compared, weight=0.25, interrupt=at, steps=8)
        torch.manual_seed(99)
        _, again, _ = _run(tmp_path / f"at{at}", compared, weight=0.25, steps=8)
        assert all(torch.equal(again[name], expected[name]) for name in expected)
    _, without, _ = _run(tmp_path / "without", (), weight=0.25, steps=8)
    assert not all(torch.equal(without[name], expected[name]) for name in expected)
