"""Rule 5: earlier work against the best that was, and each general suite with limits of its own."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from qi_learn.gate.measurements import Measurements
from qi_learn.records import SuiteNll, Verdict
from tests.support.gate_models import BEFORE, check, failed, model, suite, verdict_on

SUITES = tuple(f"suite_{n}" for n in range(10))
N = 24


def texts(name: str, rise: float, by: float = 0.0) -> SuiteNll:
    """N texts that rose by `rise`, half of them by more, half by less."""
    return suite(name, [1.0 + rise + (by if i % 2 else -by) for i in range(N)])


def on(candidate: SuiteNll, live: SuiteNll, base: SuiteNll | None = None) -> Verdict:
    """The verdict on a better model with one general suite."""
    after, before, first = (
        replace(m, general={"prose": s})
        for m, s in ((model(gate=1.8), candidate), (BEFORE, live), (BEFORE, base or live))
    )
    return verdict_on(after, before, first)


@pytest.mark.parametrize(("rise", "passes"), [(0.045, True), (0.051, False), (-0.5, True)])
def test_a_general_suite_may_rise_by_less_than_a_twentieth_of_a_nat_if_it_is_not_sure(
    rise: float, passes: bool
) -> None:
    verdict = on(texts("prose", rise, by=0.144), texts("prose", 0.0))
    assert verdict.ships is passes
    assert check(verdict, "general_prose").value == pytest.approx(rise)


@pytest.mark.parametrize(("rise", "passes"), [(0.02, True), (0.021, False)])
def test_a_rise_that_is_sure_may_be_a_fiftieth(rise: float, passes: bool) -> None:
    verdict = on(texts("prose", rise), texts("prose", 0.0))
    assert verdict.ships is passes
    assert passes or "surely worse" in verdict.reasons[0]


def test_a_rise_that_is_sure_of_one_suite_alone_may_be_chance_among_ten() -> None:
    """0.025 with a standard error of 0.0107: p is 0.014 by itself, and 0.14 of ten suites."""
    risen, still = texts("prose", 0.025, by=0.0513), texts("prose", 0.0)
    assert not on(risen, still).ships
    after, before = (
        replace(m, general={name: s if name == SUITES[0] else still for name in SUITES})
        for m, s in ((model(gate=1.8), risen), (BEFORE, still))
    )
    assert verdict_on(after, before, before).ships


def test_a_wide_interval_refuses_only_what_was_measured_to_rise() -> None:
    """The upper bound is above 0.10 in both cases."""
    for rise, passes in ((0.015, True), (0.03, False)):
        verdict = on(texts("prose", rise, by=0.3), texts("prose", 0.0))
        high = check(verdict, "general_prose").high
        assert high is not None
        assert high > 0.10
        assert verdict.ships is passes
    assert "it may be more than 0.10" in verdict.reasons[0]


@pytest.mark.parametrize(("rise", "passes"), [(0.15, True), (0.151, False)])
def test_small_steps_may_not_add_up(rise: float, passes: bool) -> None:
    verdict = on(texts("prose", rise), texts("prose", rise - 0.015), texts("prose", 0.0))
    assert verdict.ships is passes
    assert passes or "since the base" in verdict.reasons[0]


def test_models_that_were_measured_on_other_suites_are_not_compared() -> None:
    other = replace(BEFORE, general={"go": texts("go", 0.0)})
    with pytest.raises(ValueError, match="different examples"):
        verdict_on(model(gate=1.8), other)


# --- earlier work ---------------------------------------------------------------------------------


def with_old(per_token: list[float], **gate: float) -> Measurements:
    return replace(model(**gate), old=suite("old", per_token))


def test_earlier_work_is_held_against_the_best_of_any_live_version() -> None:
    """A little is lost in every cycle: against the live version never more than is allowed."""
    best = tuple(10.0 for _ in range(N))
    base = with_old([1.4] * N)
    for lost, passes in ((0.015, True), (0.03, False)):
        live = with_old([1.0 + lost - 0.015] * N)
        lossy = with_old([1.0 + lost] * N, gate=1.8)
        verdict = verdict_on(lossy, live, base, past=(best,))
        assert verdict.ships is passes
        assert check(verdict, "old_work").value == pytest.approx(lost)
    assert "since the best of 2 versions that were live" in verdict.reasons[0]


def test_without_other_versions_it_is_held_against_the_live_one() -> None:
    verdict = verdict_on(with_old([1.03] * N, gate=1.8), with_old([1.0] * N), with_old([1.4] * N))
    assert failed(verdict) == ["old_work"]
    assert "since the live version" in verdict.reasons[0]


def test_what_was_learned_does_not_get_worse_than_at_the_base() -> None:
    live, base = with_old([1.03] * N), with_old([1.0] * N)
    verdict = verdict_on(with_old([1.03] * N, gate=1.8), live, base)
    assert failed(verdict) == ["old_work"]
    assert "surely worse than the base" in verdict.reasons[0]


def test_the_best_is_of_the_same_examples() -> None:
    with pytest.raises(ValueError, match="different examples"):
        verdict_on(model(gate=1.8), past=((1.0,),))


def test_a_version_that_gave_no_number_says_nothing() -> None:
    verdict = verdict_on(model(gate=1.8), past=((math.nan,) * 25,))
    assert verdict.ships
    assert "since the live version" in check(verdict, "old_work").reason


def test_a_version_is_compared_on_what_it_was_measured_on() -> None:
    """Half of earlier work is worse by 0.06 than under a version that knew that half."""
    old = [1.06 if n < N // 2 else 1.0 for n in range(N)]
    half = tuple(10.0 if n < N // 2 else math.nan for n in range(N))
    live = base = with_old(old)
    assert verdict_on(with_old(old, gate=1.8), live, base).ships
    verdict = verdict_on(with_old(old, gate=1.8), live, base, past=(half,))
    assert failed(verdict) == ["old_work"]
    assert check(verdict, "old_work").value == pytest.approx(0.06)


def test_after_thirty_versions_an_equally_good_one_is_no_more_refused_than_after_one() -> None:
    """Each differs from the others by 0.07 nat an example and is as good as they are."""
    rng = random.Random(5)

    def as_good(among: int) -> tuple[float, ...]:
        known = range(200) if among > 200 else rng.sample(range(200), among)
        numbers = {n: 10 * (1.5 + rng.gauss(0, 0.07)) for n in known}
        return tuple(numbers.get(n, math.nan) for n in range(200))

    refused = 0
    for _ in range(40):
        candidate, live = (
            replace(m, old=suite("old", [1.5 + rng.gauss(0, 0.07) for _ in range(200)]))
            for m in (model(gate=1.8), BEFORE)
        )
        past = tuple(as_good(50 + 5 * n) for n in range(30))
        refused += not verdict_on(candidate, live, live, past=past).ships
    assert refused <= 2


def test_suites_with_few_texts_are_judged_together() -> None:
    """One text of each suite says nothing of its suite, and all together say what they say."""
    still = {name: suite(name, [1.0]) for name in SUITES}
    for rises, passes in (([0.09, *[0.0] * 9], True), ([0.09] * 10, False)):
        risen = {name: suite(name, [1.0 + rise]) for name, rise in zip(SUITES, rises, strict=True)}
        verdict = verdict_on(
            replace(model(gate=1.8), general=risen),
            replace(BEFORE, general=still),
            replace(BEFORE, general=still),
        )
        together = check(verdict, "general_few_texts")
        assert (verdict.ships, together.passed) == (passes, passes)
        assert together.value == pytest.approx(sum(rises) / 10)
    assert "suite 0" in verdict.reasons[0]


def test_a_suite_with_many_texts_is_judged_alone_beside_those_with_few() -> None:
    still = {"prose": texts("prose", 0.0), "go": suite("go", [1.0])}
    risen = {"prose": texts("prose", 0.06), "go": suite("go", [1.0])}
    verdict = verdict_on(
        replace(model(gate=1.8), general=risen),
        replace(BEFORE, general=still),
        replace(BEFORE, general=still),
    )
    assert failed(verdict) == ["general_prose"]
    assert check(verdict, "general_few_texts").passed


@pytest.mark.parametrize("name", ["spill_over_header", "spill_over_plain"])
def test_a_suite_of_spill_over_is_never_lost_among_others(name: str) -> None:
    """0.1 nat on one of eleven suites would be 0.009 on all together."""
    still = {n: suite(n, [1.0] * 2) for n in (*SUITES, name)}
    risen = {**still, name: suite(name, [1.1] * 2)}
    verdict = verdict_on(
        replace(model(gate=1.8), general=risen),
        replace(BEFORE, general=still),
        replace(BEFORE, general=still),
    )
    assert failed(verdict) == [f"general_{name}"]


# --- how much of earlier work was read ------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "there", "passes"), [(7, 25, False), (0, 25, False), (8, 25, True), (3, 3, True)]
)
def test_earlier_work_that_could_not_be_read_is_not_taken_for_none(
    read: int, there: int, passes: bool
) -> None:
    old = suite("old", [1.5] * read)
    candidate, before = (replace(m, old=old) for m in (model(gate=1.8), BEFORE))
    verdict = verdict_on(candidate, before, before, earlier=there)
    found = check(verdict, "old_work")
    assert (verdict.ships, found.passed) == (passes, passes)
    assert passes or found.reason.startswith(f"{read} of {there} examples of earlier work")
    assert not any("no earlier work" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("versions", "unknown", "said"),
    [
        (3, 0, "since the best of 3 versions that were live"),
        (2, 3, "since the best of 2 of 5 versions that were live"),
        (1, 0, "since the live version"),
    ],
)
def test_it_is_said_over_how_many_versions_the_best_is(
    versions: int, unknown: int, said: str
) -> None:
    past = (BEFORE.old.nll,) * (versions - 1)
    verdict = verdict_on(model(gate=1.8), past=past, unknown=unknown)
    assert said in check(verdict, "old_work").reason
