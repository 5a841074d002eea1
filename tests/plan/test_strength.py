"""The dial: a budget of divergence becomes two strengths, corrected by the last measurement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qi_learn import codec
from qi_learn.plan.strength import (
    EXPECTED,
    KEPT,
    NORMAL,
    OVER,
    PARTS,
    PRICE,
    SPREAD,
    TIGHTEST,
    UNDER,
    LastStrength,
    divergence_sentences,
    last_strength,
    strength,
)
from qi_learn.records import Divergence, PenaltyStrength
from tests.support.planning import RESULT, make_plan

USUAL = EXPECTED["kfac", "general"]


def _last(
    measured: float,
    *,
    kappa: float = USUAL,
    tightened: float = 1.0,
    price: float = PRICE["kfac", "general"],
) -> LastStrength:
    """A run that was planned with the kappa that it then measured."""
    made = PenaltyStrength(price, kappa, tightened, "")
    return LastStrength(made.value, made, Divergence(measured, measured / kappa, 16, 1520), "kfac")


def test_the_default_budget_is_the_measured_strength() -> None:
    assert strength("general", NORMAL, "kfac").value == pytest.approx(100)
    assert strength("past", NORMAL, "kfac").value == pytest.approx(300)
    assert strength("general", NORMAL, "kfac").reason == "nothing was measured yet"
    assert [strength(part, NORMAL, "diagonal").value for part in PARTS] == [
        pytest.approx(900),
        pytest.approx(1100),
    ]


def test_half_the_budget_asks_for_the_price_at_which_half_is_reached() -> None:
    """Gain linear in the size of a change, cost quadratic: the best change under g d - price d^2 /
    2 has divergence g^2 / (2 price^2).
    """
    gain = 7.0

    def reached(price: float) -> float:
        best = max((n / 1000 for n in range(2000)), key=lambda d: gain * d - price * d * d / 2)
        return best * best / 2

    full, half = (
        reached(strength("general", budget, "kfac").value / 20) for budget in (NORMAL, NORMAL / 2)
    )
    assert half / full == pytest.approx(0.5, rel=0.05)


def test_kappa_corrects_the_unit_within_bounds() -> None:
    within = NORMAL * 0.9
    assert strength("general", NORMAL, "kfac", _last(within)).value == pytest.approx(100)
    more = strength("general", NORMAL, "kfac", _last(within, kappa=1.5 * USUAL))
    assert more.value == pytest.approx(150)
    assert more.tightened == 1.0
    far = strength("general", NORMAL, "kfac", _last(within, kappa=100 * USUAL))
    assert far.kappa == SPREAD * USUAL
    assert "bounded from" in far.reason
    assert (
        strength("general", NORMAL, "kfac", _last(within, kappa=USUAL / 100)).kappa
        == USUAL / SPREAD
    )


def test_too_far_doubles_and_well_within_takes_it_back_but_never_below_the_dial() -> None:
    def after(measured: float, tightened: float = 1.0) -> float:
        return strength("general", NORMAL, "kfac", _last(measured, tightened=tightened)).value / 100

    assert after(1.01 * OVER * NORMAL) == pytest.approx(2)
    assert after(1.01 * OVER * NORMAL, 2) == pytest.approx(4)
    assert after(NORMAL, 4) == pytest.approx(4)
    assert after(0.99 * UNDER * NORMAL, 4) == pytest.approx(2)
    assert after(0.0001) == pytest.approx(1)
    assert after(9.9, TIGHTEST) == pytest.approx(TIGHTEST)


def test_what_kappa_explains_is_not_counted_twice() -> None:
    """A run that went three budgets because the Fisher saw half of it.

    At the corrected kappa it would have been within, so nothing is tightened.
    """
    ran = LastStrength(
        100.0,
        PenaltyStrength(PRICE["kfac", "general"], USUAL, 1.0, ""),
        Divergence(3 * NORMAL, 1.5 * NORMAL / USUAL, 16, 1520),
        "kfac",
    )
    made = strength("general", NORMAL, "kfac", ran)
    assert made.kappa == pytest.approx(2 * USUAL)
    assert made.tightened == 1.0
    assert made.value == pytest.approx(200)


def test_another_budget_counts_at_once() -> None:
    """A divergence over the old budget is within a larger one.

    A smaller budget has its price, and is not tightened for the old one's sake.
    """
    larger = strength("general", 4 * NORMAL, "kfac", _last(NORMAL))
    assert larger.value == pytest.approx(50)
    assert larger.tightened == 1.0
    smaller = strength("general", NORMAL / 4, "kfac", _last(NORMAL))
    assert smaller.value == pytest.approx(200)
    assert smaller.tightened == 1.0


def test_another_form_starts_from_what_is_expected_of_it() -> None:
    """What was measured under one form says nothing of the other's strength."""
    made = strength("general", NORMAL, "diagonal", _last(9 * NORMAL, kappa=1.3 * USUAL))
    assert made == strength("general", NORMAL, "diagonal")
    assert made.kappa == EXPECTED["diagonal", "general"]


def test_without_a_prediction_only_the_budget_counts() -> None:
    ran = LastStrength(
        100.0,
        PenaltyStrength(PRICE["kfac", "general"], USUAL, 1.0, ""),
        Divergence(2 * NORMAL, None, 16, 1520),
        "kfac",
    )
    made = strength("general", NORMAL, "kfac", ran)
    assert (made.kappa, made.tightened) == (USUAL, 2.0)
    assert "kappa was not measured" in made.reason


def test_a_run_without_a_measurement_or_a_penalty_changes_nothing() -> None:
    assert strength(
        "past", NORMAL, "kfac", LastStrength(300.0, None, None, "kfac")
    ).value == pytest.approx(300)
    off = strength(
        "past",
        NORMAL,
        "kfac",
        LastStrength(0.0, None, Divergence(5 * NORMAL, None, 16, 900), "kfac"),
    )
    assert off.value == pytest.approx(300)
    assert off.tightened == 1.0


def test_each_penalty_looks_at_its_own_drift() -> None:
    by_hand = PenaltyStrength(300, 1, 1, "")
    plan = codec.changed(make_plan(), general_strength=by_hand, past_strength=None)
    result = replace(
        RESULT,
        divergence_general=Divergence(0.1, 0.1, 16, 1520),
        divergence_past=Divergence(0.01, 0.01, 9, 900),
    )
    general, past = (last_strength(part, plan, result) for part in PARTS)
    assert (general.value, general.divergence, general.strength) == (
        plan.penalties.lambda_general,
        result.divergence_general,
        plan.penalties.general_strength,
    )
    assert (past.value, past.divergence, past.strength) == (
        plan.penalties.lambda_past,
        result.divergence_past,
        None,
    )


def test_how_far_it_moved_is_told_against_the_budget() -> None:
    result = replace(
        RESULT,
        divergence_general=Divergence(0.05, 0.025, 16, 1520),
        divergence_past=Divergence(0.001, None, 9, 900),
    )
    first, second = divergence_sentences(result, 0.02)
    assert first == (
        "moved 0.05 nat of KL a token from the base on general code, 0.025 predicted (kappa 2): "
        "far over the budget of 0.02"
    )
    assert second == (
        "moved 0.001 nat of KL a token from the live version on past work: well within the budget "
        "of 0.02"
    )
    assert list(divergence_sentences(RESULT, 0.02)) == []
    about = replace(RESULT, divergence_general=Divergence(0.02, None, 1, 1))
    assert next(divergence_sentences(about, 0.02)).endswith("about the budget of 0.02")


def test_a_run_that_could_not_be_measured_keeps_what_was_known() -> None:
    """In 4 bits the divergence from the base is measured in the first cycle only, and without
    replay that of past work never is.
    """
    last = _last(3 * NORMAL, kappa=80.0, tightened=4.0)
    kept = strength("general", NORMAL, "kfac", replace(last, divergence=None))
    assert (kept.kappa, kept.tightened, kept.reason) == (80.0, 4.0, KEPT)
    assert strength(
        "general", NORMAL / 4, "kfac", replace(last, divergence=None)
    ).value == pytest.approx(2 * kept.value), "the dial still counts"
    never = LastStrength(100.0, strength("general", NORMAL, "kfac"), None, "kfac")
    assert strength("general", NORMAL, "kfac", never) == strength("general", NORMAL, "kfac")
    assert strength(
        "general", NORMAL, "kfac", replace(last, divergence=None, strength=None)
    ) == strength("general", NORMAL, "kfac")


def test_what_protects_alone_is_dearer() -> None:
    assert strength("past", NORMAL, "kfac", dearer=10.0).value == pytest.approx(3000)
    with_replay = PenaltyStrength(PRICE["kfac", "past"], 400.0, 4.0, "")
    ran = LastStrength(1200.0, with_replay, None, "kfac")
    alone = strength("past", NORMAL, "kfac", ran, dearer=10.0)
    assert alone.value == pytest.approx(3000)
    assert "no text of past work" in alone.reason
    back = strength("past", NORMAL, "kfac", LastStrength(alone.value, alone, None, "kfac"))
    assert back.value == pytest.approx(300)
