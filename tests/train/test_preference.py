"""Preferences: the losses are the published formulas, and the span that is compared."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import logsigmoid

from qi_learn.plan.schedule import Sample, samples
from qi_learn.train.preference import (
    BETA,
    CONTEXT,
    EPOCHS,
    Choice,
    Rejection,
    comparisons,
    loss_and_slopes,
    reference_samples,
    schedule_comparisons,
)
from tests.support.preferences import pair, rejects
from tests.support.tiny_training import (
    one_thread,  # noqa: F401 - a fixture
    tiny_examples,
)

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
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
    value, slopes = loss_and_slopes(choice, {"w": lw, "l": ll}, {"w": lw_ref, "l": ll_ref})
    assert value == pytest.approx(float(loss.detach()), rel=1e-9, abs=1e-9)
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
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
    value, slopes = loss_and_slopes(
        group,
        {n: v for n, (v, _) in zip(names, values, strict=True)},
        {n: r for n, (_, r) in zip(names, values, strict=True)},
    )
    gradients = [now[s.id].grad for s in group.samples]
    expected = [0.0 if gradient is None else float(gradient) for gradient in gradients]
    assert value == pytest.approx(float(loss.detach()), rel=1e-9, abs=1e-12)
    assert slopes == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert all(s >= 0 for s in slopes[:rejected])
    assert all(s <= 0 for s in slopes[rejected:])


def test_before_anything_moved_a_choice_costs_log_two_and_a_rejection_a_half() -> None:
    still = {"w": -3.0, "l": -2.0, "m": -1.0}
    assert loss_and_slopes(Choice(sample("w", 3), sample("l")), still, still)[0] == pytest.approx(
        0.6931471805599453 + 1.0
    )
    assert loss_and_slopes(Rejection((sample("l"),), (sample("w"),), (sample("m"),)), still, still)[
        0
    ] == pytest.approx(0.5)


def _choice(
    chosen: Sequence[int], rejected: Sequence[int], *, max_length: int = 99
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The tokens of both that are compared."""
    compared = comparisons([pair((1, 2, 3), chosen, rejected)], (), max_length=max_length, seed=0)
    if not compared:
        return None
    assert isinstance(compared[0], Choice)
    c, r = compared[0].samples
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
    compared = comparisons(rejects(3), samples(tiny_examples(1), 64), max_length=64, seed=0)
    assert [(len(g.rejected), len(g.kept)) for g in compared if isinstance(g, Rejection)] == [
        (2, 1),
        (1, 1),
    ]
    for group in compared:
        assert isinstance(group, Rejection)
        answers = {s.ids[s.start :] for s in group.samples}
        assert {s.ids[s.start :] for s in group.measured} == answers
        assert not {s.ids for s in group.measured} & {s.ids for s in group.samples}
    short = comparisons(rejects(10), samples(tiny_examples(20), 12), max_length=12, seed=0)
    assert max(len(s.ids) for s in reference_samples(short)) == 12


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 60), st.integers(0, 5))
def test_each_comparison_is_seen_twice_at_most_one_a_step_evenly(
    count: int, steps: int, seed: int
) -> None:
    compared = [Choice(sample(f"w{n}"), sample(f"l{n}")) for n in range(count)]
    at = schedule_comparisons(compared, steps=steps, seed=seed)
    assert at == schedule_comparisons(compared, steps=steps, seed=seed)
    assert len(at) == min(steps, EPOCHS * count)
    assert all(0 <= step < steps for step in at)
    seen = [list(at.values()).count(c) for c in compared]
    assert all(n <= EPOCHS for n in seen)
    if count and EPOCHS * count <= steps:
        assert set(seen) == {EPOCHS}
        gaps = [b - a for a, b in zip(sorted(at), sorted(at)[1:], strict=False)]
        assert max(gaps, default=0) - min(gaps, default=0) <= 1
