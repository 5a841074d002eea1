"""Preferences: the losses are the published formulas, their gradients autograd's, and what was kept
becomes likelier than what was suggested.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import logsigmoid

from qi_learn.plan.schedule import Sample, samples
from qi_learn.records import Pair
from qi_learn.train.fisher import Interrupted
from qi_learn.train.likelihood import log_probabilities
from qi_learn.train.loop import Data, evaluate, train
from qi_learn.train.network import Network
from qi_learn.train.preference import (
    BETA,
    CONTEXT,
    EPOCHS,
    Choice,
    Comparison,
    Rejection,
    add_gradients,
    comparisons,
    judge,
    looked_at,
    placed,
    preferred,
)
from tests.support.tiny_training import (
    VOCABULARY,
    one_thread,  # noqa: F401 - a fixture
    randomised,
    tiny_examples,
    tiny_network,
    tiny_plan,
    tiny_samples,
)


def pair(
    prompt: Sequence[int], chosen: Sequence[int], rejected: Sequence[int], *, name: str = "p"
) -> Pair:
    source = "edit" if chosen else "reject"
    return Pair(name, name, source, "", "", "", tuple(prompt), tuple(chosen), tuple(rejected))  # type: ignore[arg-type]


def edits(count: int, *, seed: int = 0, tag: str = "p") -> list[Pair]:
    """Targets that count up, as the tiny examples do, preferred to the same with a stuck number in
    the middle.
    """
    rng = random.Random(seed)
    made = []
    for n in range(count):
        start = rng.randrange(3)
        chosen = list(range(start, start + 12))
        at = rng.randrange(3, 9)
        rejected = [*chosen[:at], 36, *chosen[at + 1 :]]
        made.append(
            pair(
                [rng.randrange(VOCABULARY) for _ in range(rng.randint(2, 6))],
                chosen,
                rejected,
                name=f"{tag}{n}",
            )
        )
    return made


def rejects(count: int, *, seed: int = 5) -> list[Pair]:
    rng = random.Random(seed)
    return [
        pair(
            [rng.randrange(VOCABULARY) for _ in range(4)],
            (),
            [rng.randrange(VOCABULARY) for _ in range(8)],
            name=f"r{n}",
        )
        for n in range(count)
    ]


def reference_of(network: Network, found: Sequence[Comparison]) -> dict[str, float]:
    every = looked_at(found)
    return dict(zip((s.id for s in every), log_probabilities(network, every, 4), strict=True))


# --- the formulas ---------------------------------------------------------------------------------

NATS = st.floats(-300, 0)


def sample(name: str, length: int = 5) -> Sample:
    return Sample(name, tuple(range(length + 1)), 1)


@settings(deadline=None, max_examples=60)
@given(NATS, NATS, NATS, NATS, st.integers(1, 40))
def test_a_choice_is_dpo_with_the_likelihood_of_the_chosen(
    lw: float, ll: float, lw_ref: float, ll_ref: float, length: int
) -> None:
    choice = Choice(sample("w", length), sample("l"))
    w, rejected = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (lw, ll))
    loss = -logsigmoid(BETA * ((w - lw_ref) - (rejected - ll_ref))) + -w / length
    loss.backward()
    found, slopes = judge(choice, {"w": lw, "l": ll}, {"w": lw_ref, "l": ll_ref})
    assert found == pytest.approx(float(loss.detach()), rel=1e-9, abs=1e-9)
    assert slopes == pytest.approx(
        [float(w.grad or 0), float(rejected.grad or 0)], rel=1e-6, abs=1e-12
    )
    assert slopes[0] < 0 <= slopes[1]  # the chosen up, the rejected down


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(NATS, NATS), min_size=8, max_size=8), st.integers(1, 2), st.integers(1, 2)
)
def test_a_rejection_is_kto_with_both_sides_alike(
    values: list[tuple[float, float]], rejected: int, kept: int
) -> None:
    names = [f"s{n}" for n in range(8)]
    group = Rejection(
        tuple(map(sample, names[:rejected])),
        tuple(map(sample, names[2 : 2 + kept])),
        tuple(map(sample, names[4:])),
    )
    now = {
        n: torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for n, (v, _) in zip(names, values, strict=True)
    }
    moved = {n: now[n] - ref for n, (_, ref) in zip(names, values, strict=True)}
    z = torch.stack([moved[n] for n in names[4:]]).mean().clamp(min=0).detach()
    undesirable = [1 - torch.sigmoid(BETA * (z - moved[n])) for n in names[:rejected]]
    desirable = [1 - torch.sigmoid(BETA * (moved[n] - z)) for n in names[2 : 2 + kept]]
    loss = (torch.stack(undesirable).mean() + torch.stack(desirable).mean()) / 2
    loss.backward()
    found, slopes = judge(
        group,
        {n: v for n, (v, _) in zip(names, values, strict=True)},
        {n: r for n, (_, r) in zip(names, values, strict=True)},
    )
    expected = [float(now[s.id].grad if now[s.id].grad is not None else 0) for s in group.samples]
    assert found == pytest.approx(float(loss.detach()), rel=1e-9, abs=1e-12)
    assert slopes == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert all(s >= 0 for s in slopes[:rejected])
    assert all(s <= 0 for s in slopes[rejected:])


def test_before_anything_moved_a_choice_costs_log_two_and_a_rejection_a_half() -> None:
    still = {"w": -3.0, "l": -2.0, "m": -1.0}
    assert judge(Choice(sample("w", 3), sample("l")), still, still)[0] == pytest.approx(
        0.6931471805599453 + 1.0
    )
    assert judge(Rejection((sample("l"),), (sample("w"),), (sample("m"),)), still, still)[
        0
    ] == pytest.approx(0.5)


# --- through the network --------------------------------------------------------------------------


def _gradients(network: Network) -> list[Tensor]:
    found = [
        value.grad.clone()
        for factors in network.factors().values()
        for value in factors
        if value.grad is not None
    ]
    for factors in network.factors().values():
        for value in factors:
            value.grad = None
    return found


def test_the_gradients_are_autograds_on_the_whole_texts() -> None:
    """Whole sequences through the network, the loss of the changed span and its context written
    out, one backward pass.
    """
    found = comparisons(
        [*edits(2), *rejects(2)], samples(tiny_examples(5), 64), max_length=64, seed=0
    )
    assert [type(c) for c in found] == [Choice, Choice, Rejection]
    reference = reference_of(tiny_network(), found)
    network = randomised(tiny_network())

    def log_p(s: Sample) -> Tensor:
        return -network.nll(network.batch([s])).sum()

    for given_, comparison in zip(edits(2), found, strict=False):
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
        (0.3 * expected).backward()
        assert loss == pytest.approx(float(expected.detach()), rel=1e-9)
        assert all(
            torch.allclose(a, b, rtol=1e-5, atol=1e-8)
            for a, b in zip(own, _gradients(network), strict=True)
        )

    group = found[2]
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
    (0.3 * expected).backward()
    assert loss == pytest.approx(float(expected.detach()), rel=1e-9)
    assert all(
        torch.allclose(a, b, rtol=1e-5, atol=1e-8)
        for a, b in zip(own, _gradients(network), strict=True)
    )


def test_a_few_sequences_at_a_time_give_the_same() -> None:
    found = comparisons(
        [*edits(1), *rejects(2)], samples(tiny_examples(5), 64), max_length=64, seed=0
    )
    reference = reference_of(tiny_network(), found)
    network = randomised(tiny_network())
    for comparison in found:
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
    _train(
        taught,
        lambda step: (
            taught.nll(taught.batch([new[i % 40] for i in range(8 * step, 8 * step + 8)]))
            .mean()
            .backward()
        ),
        steps=150,
        rate=2e-2,
    )
    (choice,) = comparisons(edits(1, seed=4), (), max_length=64, seed=0)
    assert isinstance(choice, Choice)
    moved = {}
    for name in ("dpo", "with the likelihood"):
        network = tiny_network()
        network.merge(
            taught.delta()
        )  # a model for which the kept text is likely already, and the suggested one not much less
        reference = reference_of(network, [choice])

        def dpo(network: Network = network, reference: dict[str, float] = reference) -> None:
            lw, ll = (-network.nll(network.batch([s])).sum() for s in choice.samples)
            (
                -logsigmoid(
                    BETA
                    * ((lw - reference[choice.chosen.id]) - (ll - reference[choice.rejected.id]))
                )
            ).backward()

        def ours(network: Network = network, reference: dict[str, float] = reference) -> None:
            add_gradients(network, choice, reference, weight=1.0, size=2)

        torch.manual_seed(0)
        network.attach()
        _train(network, lambda _, go=dpo if name == "dpo" else ours: go(), steps=60, rate=3e-3)
        after = reference_of(network, [choice])
        moved[name] = [after[s.id] - reference[s.id] for s in choice.samples]
    assert moved["dpo"][0] < -0.5
    assert moved["with the likelihood"][0] > 0
    assert all(rejected < chosen - 20 for chosen, rejected in moved.values())


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


# --- what is compared -----------------------------------------------------------------------------


def _choice(
    chosen: Sequence[int], rejected: Sequence[int], *, max_length: int = 99
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The tokens of both that are compared."""
    found = comparisons([pair((1, 2, 3), chosen, rejected)], (), max_length=max_length, seed=0)
    if not found:
        return None
    assert isinstance(found[0], Choice)
    c, r = found[0].samples
    assert c.ids[:3] == r.ids[:3] == (1, 2, 3)
    return c.ids[c.start :], r.ids[r.start :]


def test_the_changed_span_and_its_context_are_compared() -> None:
    text = tuple(range(10, 40))
    assert _choice(text, (*text[:5], 7, *text[6:])) == (
        text[5 : 6 + CONTEXT],
        (7, *text[6 : 6 + CONTEXT]),
    )
    assert _choice((*text[:5], 8, 9, *text[5:]), text) == (
        (8, 9, *text[5 : 5 + CONTEXT]),
        text[5 : 5 + CONTEXT],
    )  # something was put in
    assert _choice(text[:5] + text[8:], text) == (
        text[8 : 8 + CONTEXT],
        text[5 : 8 + CONTEXT],
    )  # taken out
    both = (*text[:3], 7, *text[4:20], 8, *text[21:])
    assert _choice(both, text) == (
        both[3 : 21 + CONTEXT],
        text[3 : 21 + CONTEXT],
    )  # from the first difference to the last
    assert _choice((5, 5, 9), (5, 5, 5, 9)) == ((9,), (5, 9))  # repeated tokens do not count twice
    assert _choice((7, 9), (8, 9)) == ((7, 9), (8, 9))
    assert _choice(text, (*text[:5], 7, *text[6:]), max_length=10) == (text[5:7], (7, text[6]))
    assert _choice(text, (*text[:5], 7, *text[6:]), max_length=8) is None


def test_no_rejection_without_a_kept_answer() -> None:
    assert comparisons(rejects(3), (), max_length=64, seed=0) == ()
    found = comparisons(rejects(3), samples(tiny_examples(1), 64), max_length=64, seed=0)
    assert [(len(g.rejected), len(g.kept)) for g in found if isinstance(g, Rejection)] == [
        (2, 1),
        (1, 1),
    ]
    for group in found:
        assert isinstance(group, Rejection)
        answers = {s.ids[s.start :] for s in group.samples}
        assert {s.ids[s.start :] for s in group.measured} == answers
        assert not {s.ids for s in group.measured} & {s.ids for s in group.samples}
    short = comparisons(rejects(10), samples(tiny_examples(20), 12), max_length=12, seed=0)
    assert max(len(s.ids) for s in looked_at(short)) == 12


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 60), st.integers(0, 5))
def test_each_comparison_is_seen_twice_at_most_one_a_step_evenly(
    count: int, steps: int, seed: int
) -> None:
    found = [Choice(sample(f"w{n}"), sample(f"l{n}")) for n in range(count)]
    at = placed(found, steps=steps, seed=seed)
    assert at == placed(found, steps=steps, seed=seed)
    assert len(at) == min(steps, EPOCHS * count)
    assert all(0 <= step < steps for step in at)
    seen = [list(at.values()).count(c) for c in found]
    assert all(n <= EPOCHS for n in seen)
    if count and EPOCHS * count <= steps:
        assert set(seen) == {EPOCHS}
        gaps = [b - a for a, b in zip(sorted(at), sorted(at)[1:], strict=False)]
        assert max(gaps, default=0) - min(gaps, default=0) <= 1


# --- in the loop ----------------------------------------------------------------------------------


def _run(
    place: Path,
    found: tuple[Comparison, ...],
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
        comparisons=found,
    )
    place.mkdir(exist_ok=True)
    network = tiny_network(**{f: getattr(plan, f) for f in ("rank", "alpha", "dropout")})
    reference = reference_of(network, found)
    torch.manual_seed(plan.seed)
    network.attach()
    asked = iter([False] * (interrupt - 1) + [True]) if interrupt else None
    train(
        network,
        plan,
        data,
        general=None,
        past=None,
        run=place,
        reference=reference,
        stopping=lambda: next(asked) if asked else False,
    )
    return (
        network,
        {
            f"{n}.{part}": v.detach().clone()
            for n, p in network.factors().items()
            for part, v in zip("AB", p, strict=True)
        },
        data,
    )


def test_what_is_kept_is_preferred_also_where_it_was_not_trained_on(tmp_path: Path) -> None:
    found = comparisons(edits(8), (), max_length=64, seed=0)
    unseen = comparisons(edits(12, seed=9, tag="u"), (), max_length=64, seed=0)
    known, devs = [reference_of(tiny_network(), unseen)], []
    for name, trained_on in (("without", ()), ("with", found)):
        network, _, data = _run(tmp_path / name, trained_on)
        known.append(reference_of(network, unseen))
        devs.append(evaluate(network, data.dev, 4) or 0.0)
    before, without, along = (
        sum(k[c.chosen.id] - k[c.rejected.id] for c in unseen if isinstance(c, Choice)) / 12
        for k in known
    )
    assert before < without < along - 0.3  # nats
    assert (preferred(unseen, known[0]) or 0) < 0.7 < 0.9 < (preferred(unseen, known[2]) or 0)
    assert devs[1] < devs[0] + 0.05  # and what else is learned is learned all the same


def test_a_run_with_preferences_that_was_interrupted_ends_with_the_same_weights(
    tmp_path: Path,
) -> None:
    found = comparisons(
        [*edits(3), *rejects(3)], samples(tiny_examples(10), 64), max_length=64, seed=0
    )
    _, expected, _ = _run(tmp_path / "whole", found, weight=0.25, steps=8)
    for at in (1, 5):
        with pytest.raises(Interrupted):
            _run(tmp_path / f"at{at}", found, weight=0.25, interrupt=at, steps=8)
        torch.manual_seed(99)
        _, again, _ = _run(tmp_path / f"at{at}", found, weight=0.25, steps=8)
        assert all(torch.equal(again[name], expected[name]) for name in expected)
    _, without, _ = _run(tmp_path / "without", (), weight=0.25, steps=8)
    assert not all(torch.equal(without[name], expected[name]) for name in expected)
