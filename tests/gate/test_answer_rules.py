"""Rules 3 and 4: answers may get worse by their limit and by what chance alone does to as many."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qi_learn.gate.measurements import Measurements
from tests.support.gate_models import BEFORE, answers, check, failed, model, verdict_on


def test_likeness_is_asked_only_where_the_person_changed_something() -> None:
    """Answers to turns that were kept as they were are the live model's own: none can be liker."""
    tokens = tuple(10 if i < 10 else 0 for i in range(25))
    similarity = tuple(0.8 if i < 10 else 0.2 for i in range(25))

    def with_kept(measured: Measurements) -> Measurements:
        return replace(measured, gate=replace(measured.gate, person_tokens=tokens))

    live = with_kept(replace(BEFORE, behaviour=answers(0.8)))
    candidate = with_kept(
        replace(model(gate=1.8), behaviour=replace(answers(0.8), similarity=similarity))
    )
    verdict = verdict_on(candidate, live, live)
    assert verdict.ships
    assert check(verdict, "accuracy").value == pytest.approx(0.0)
    assert "the 10 answers" in check(verdict, "accuracy").reason


def test_without_an_answer_that_the_person_changed_nothing_is_said_to_be_as_like() -> None:
    nobody = (0,) * 25
    candidate, live = (
        replace(m, gate=replace(m.gate, person_tokens=nobody)) for m in (model(gate=1.8), BEFORE)
    )
    assert failed(verdict_on(candidate, live, live)) == ["domain_relevance", "accuracy"]


@pytest.mark.parametrize(("worse", "passes"), [(4, True), (12, False)])
def test_the_limit_of_likeness_grows_with_what_chance_does(worse: int, passes: bool) -> None:
    """So many of 25 answers fall by 0.2: two standard errors of the mean, and 0.02 more."""
    fallen = tuple(0.6 if i < worse else 0.8 for i in range(25))
    candidate = replace(model(gate=1.8), behaviour=replace(answers(0.8), similarity=fallen))
    found = check(verdict_on(candidate), "accuracy")
    share = worse / 25
    error = 0.2 * math.sqrt(share * (1 - share) * 25 / 24) / 5
    assert found.value == pytest.approx(-0.2 * share)
    assert found.limit == pytest.approx(-0.02 - 2 * error)
    assert found.passed is passes


@pytest.mark.parametrize(("lost", "passes"), [(0, True), (1, True), (3, True), (4, False)])
def test_coherence_may_lose_what_chance_takes_of_twenty_five(lost: int, passes: bool) -> None:
    """And never more than 0.15, which comes before two standard errors of so few."""
    verdict = verdict_on(model(gate=1.8, coherent=25 - lost))
    assert verdict.ships is passes
    assert verdict.numbers["coherence"] == pytest.approx(-lost / 25)


def test_of_a_hundred_answers_it_may_lose_a_smaller_share() -> None:
    for lost, passes in ((7, True), (8, False)):
        live, candidate = (
            replace(model(gate=g), behaviour=answers(n=100, coherent=100 - k))
            for g, k in ((2.0, 0), (1.8, lost))
        )
        assert check(verdict_on(candidate, live, live), "coherence").passed is passes


def test_coherence_is_against_the_live_version_and_not_absolute() -> None:
    few = model(coherent=20)
    assert verdict_on(model(gate=1.8, coherent=20), model(coherent=21), few).ships


def test_small_losses_of_coherence_do_not_add_up_against_the_base() -> None:
    verdict = verdict_on(model(gate=1.8, coherent=18), model(coherent=20), model(coherent=25))
    assert failed(verdict) == ["coherence"]
    assert "fewer than the base's" in verdict.reasons[0]


def test_a_model_that_drops_every_fence_is_not_coherent() -> None:
    assert failed(verdict_on(model(gate=1.8, coherent=0))) == ["coherence"]


def test_no_answers_no_coherence() -> None:
    candidate, live = (replace(m, behaviour=answers(n=0)) for m in (model(gate=1.8), BEFORE))
    assert "coherence" in failed(verdict_on(candidate, live, live))


def test_two_models_are_compared_on_what_both_answered() -> None:
    """The base was asked less, and the live version a question more."""
    n = 25
    live = replace(BEFORE, behaviour=answers(0.8, n=n + 1, coherent=n + 1))
    base = replace(BEFORE, behaviour=answers(0.8, n=4, coherent=4))
    verdict = verdict_on(model(gate=1.8), live, base)
    assert verdict.ships
    reason = check(verdict, "coherence").reason
    assert f"of {n} answers" in reason
    assert "of the 4 that the base was asked too 4" in reason
    assert failed(verdict_on(model(gate=1.8, coherent=2), live, base)) == ["coherence"]
