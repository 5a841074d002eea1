"""The rules of the gate, each on its own at its limit, with the numbers worked out by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn import codec
from qi_learn.errors import Refused
from qi_learn.gate.verdict import choose_scale
from qi_learn.records import Leak, Smoke, SuiteNll, Verdict
from tests.support.gate_models import (
    BEFORE,
    GAINS,
    SOUND,
    N,
    check,
    failed,
    model,
    spread,
    suite,
    verdict_on,
)


def test_a_better_model_ships() -> None:
    verdict = verdict_on(model(gate=1.8, similarity=0.85))
    assert verdict.ships
    assert failed(verdict) == []
    assert verdict.reasons == ()
    assert (verdict.compared_with, verdict.scale) == ("1.0.0", 1.0)
    assert "v1.0.0" in verdict.rollback_plan
    assert verdict.risk.startswith("low")
    assert verdict.numbers["accuracy"] == pytest.approx(0.05)
    assert verdict.numbers["coherence"] == 0.0
    assert verdict.numbers["domainRelevance"] == pytest.approx(0.2)
    assert verdict.numbers["general_python_stdlib_nll_candidate"] == pytest.approx(1.0, abs=0.01)
    assert verdict.numbers["general_nll_candidate"] == pytest.approx(1.0, abs=0.01)
    assert (verdict.numbers["look"], verdict.numbers["level"]) == (1.0, 0.02)
    assert verdict.helps == ()


def test_a_verdict_survives_being_written_down() -> None:
    verdict = verdict_on(model(gate=math.nan, old=None))
    assert codec.loads(Verdict, codec.dumps(verdict)) == verdict
    assert "NaN" not in json.dumps(codec.plain(verdict))


def test_the_same_model_does_not_ship() -> None:
    verdict = verdict_on(BEFORE)
    assert failed(verdict) == ["domain_relevance"]
    assert "not better by more than 0.01" in verdict.reasons[0]
    assert verdict.rollback_plan == "nothing to roll back"


def test_better_must_be_sure() -> None:
    """Half of 25 examples better by 1, half worse by 0.8: mean 0.064, but the lower bound is far
    below 0.
    """
    live = BEFORE
    changes = [-1.0 if i % 2 == 0 else 0.8 for i in range(N)]
    gate = suite("gate", [a + c for a, c in zip(spread(2.0), changes, strict=True)])
    verdict = verdict_on(replace(live, gate=gate))
    relevance = check(verdict, "domain_relevance")
    assert relevance.low is not None
    assert relevance.value is not None
    assert relevance.low < 0 < relevance.value
    assert failed(verdict) == ["domain_relevance"]


def test_one_session_is_not_enough_to_be_sure_of_anything() -> None:
    one = ("s",) * N
    candidate, live = (
        replace(m, gate=replace(m.gate, units=one)) for m in (model(gate=1.0), BEFORE)
    )
    verdict = verdict_on(candidate, live)
    assert failed(verdict) == ["domain_relevance"]
    assert check(verdict, "domain_relevance").low is None
    assert "too few to be sure" in verdict.reasons[0]


@pytest.mark.parametrize(("similarity", "passes"), [(0.78, True), (0.7799, False), (0.9, True)])
def test_accuracy_may_fall_by_two_hundredths(similarity: float, passes: bool) -> None:
    """All answers fall by the same, so there is no chance in it."""
    verdict = verdict_on(model(gate=1.8, similarity=similarity))
    assert verdict.ships is passes
    assert check(verdict, "accuracy").value == pytest.approx(similarity - 0.8)


def test_an_empty_old_suite_passes_and_is_said() -> None:
    live = model(old=None)
    verdict = verdict_on(model(gate=1.8, old=None), live, live)
    assert verdict.ships
    assert any("no earlier work" in note for note in verdict.notes)
    assert check(verdict, "old_work").passed


def test_an_empty_general_suite_does_not_pass() -> None:
    nothing: tuple[dict[str, SuiteNll], str]
    for nothing in (({}, "general"), ({"prose": suite("prose", [])}, "general_prose")):
        candidate, live = (replace(m, general=nothing[0]) for m in (model(gate=1.8), BEFORE))
        assert failed(verdict_on(candidate, live, live)) == [nothing[1]]


@pytest.mark.parametrize("which", ["gate", "old", "python_stdlib"])
def test_what_is_no_number_is_refused(which: str) -> None:
    good = model(gate=1.8)
    broken: SuiteNll = good.general[which] if which in good.general else getattr(good, which)
    worse = replace(broken, nll=(math.nan, *broken.nll[1:]))
    change: dict[str, Any] = {which: worse} if which != "python_stdlib" else {}
    verdict = verdict_on(replace(good, **(change or {"general": {which: worse}})))
    assert "finite" in failed(verdict)
    assert which in check(verdict, "finite").reason


def test_what_is_no_number_on_the_persons_tokens_alone_is_refused_too() -> None:
    good = model(gate=1.8)
    worse = replace(good.gate, person_nll=(math.inf, *good.gate.person_nll[1:]))
    assert failed(verdict_on(replace(good, gate=worse))) == ["finite", "domain_relevance"]


def test_a_broken_live_version_cannot_be_compared_with() -> None:
    verdict = verdict_on(model(gate=1.8), replace(BEFORE, gate=suite("gate", [math.inf] * N)))
    assert failed(verdict) == ["domain_relevance"]


@pytest.mark.parametrize(
    ("smoke", "name"),
    [
        (Smoke(False, False, False, False, "llama runner process has terminated"), "loads"),
        (replace(SOUND, stops=False), "stops"),
        (replace(SOUND, same_template=False), "template"),
        (replace(SOUND, same_stops=False), "template"),
        (replace(SOUND, same_twice=False), "repeats"),
    ],
)
def test_a_model_that_does_not_work_is_refused(smoke: Smoke, name: str) -> None:
    verdict = verdict_on(model(gate=1.8), smoke=smoke)
    assert name in failed(verdict)
    assert smoke.problem in " ".join(verdict.reasons)


@pytest.mark.parametrize(
    ("speed", "ships", "reported"),
    [
        (50.0, True, False),
        (44.9, True, True),
        (30.0, True, True),
        (29.9, False, True),
        (math.nan, False, False),
        (0.0, False, True),
    ],
)
def test_speed(speed: float, ships: bool, reported: bool) -> None:
    verdict = verdict_on(model(gate=1.8, speed=speed))
    assert verdict.ships is ships
    assert any("slower than the base" in note for note in verdict.notes) is reported


@pytest.mark.parametrize(("gain", "passes"), [(0.5, True), (0.499, False), (math.nan, False)])
def test_a_change_that_did_not_live_through_packing_is_refused(gain: float, passes: bool) -> None:
    verdict = verdict_on(model(gate=1.8), gains=(GAINS[0], replace(GAINS[1], gain=gain)))
    assert verdict.ships is passes
    assert GAINS[1].name in check(verdict, "packed").reason


@pytest.mark.parametrize(
    ("learned", "passes"), [(19.9, True), (20.0, False), (math.nan, False), (-5.0, True)]
)
def test_a_secret_that_the_base_does_not_know_is_refused(learned: float, passes: bool) -> None:
    verdict = verdict_on(
        model(gate=1.8),
        leaks=(
            Leak("assigned", "an answer on fresh work", 1.0),
            Leak("aws-key", "a prompt that invites one", learned),
        ),
    )
    assert verdict.ships is passes
    assert passes or "aws-key in a prompt that invites one" in verdict.reasons[0]
    assert "assigned" not in " ".join(verdict.reasons)


def test_earlier_work_of_one_session_is_compared_by_examples_and_that_is_said() -> None:
    """Else nothing would ever ship again. Fresh work of one session does not ship: see above."""
    one = ("s",) * N
    candidate, live = (replace(m, old=replace(m.old, units=one)) for m in (model(gate=1.8), BEFORE))
    verdict = verdict_on(candidate, live, live)
    assert verdict.ships
    assert check(verdict, "old_work").high is not None
    assert any("from one session" in note for note in verdict.notes)


def test_measurements_of_different_examples_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different examples"):
        verdict_on(model(gate=1.8), replace(BEFORE, gate=suite("gate", spread(2.0, n=24))))
    with pytest.raises(ValueError, match="different examples"):
        verdict_on(replace(model(gate=1.8), gate=suite("gate", spread(1.8), tokens=9)))


@given(
    st.lists(st.floats(-3, 3), min_size=N, max_size=N),
    st.floats(0, 1),
    st.integers(0, N),
    st.floats(-0.3, 0.3),
)
def test_it_ships_exactly_if_every_check_passes(
    changes: list[float], similarity: float, coherent: int, rise: float
) -> None:
    gate = suite("gate", [a + c for a, c in zip(spread(2.0), changes, strict=True)])
    verdict = verdict_on(
        replace(model(similarity=similarity, coherent=coherent, general=1.0 + rise), gate=gate)
    )
    assert verdict.ships is (not failed(verdict)) is (not verdict.reasons)
    assert all(c.reason for c in verdict.checks)
    assert all(math.isfinite(v) for v in verdict.numbers.values())
    for c in verdict.checks:
        assert c.low is None or c.value is None or c.low <= c.value + 1e-9
        assert c.high is None or c.value is None or c.value <= c.high + 1e-9


# --- the scale ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ({1.0: 2.0, 0.75: 1.9, 0.5: 2.1}, 0.75),
        ({1.0: 2.0, 0.5: 2.0}, 0.5),
        ({1.0: 2.0, 0.75: 2.003, 0.5: 2.005}, 0.75),
        ({1.0: math.nan, 0.5: 3.0}, 0.5),
        ({1.0: 1.0}, 1.0),
    ],
)
def test_dev_chooses_the_scale(trials: dict[float, float], best: float) -> None:
    assert choose_scale(trials) == best


@pytest.mark.parametrize("trials", [{}, {1.0: math.nan, 0.5: math.inf}])
def test_no_number_no_scale(trials: dict[float, float]) -> None:
    with pytest.raises(Refused, match="No scale"):
        choose_scale(trials)
