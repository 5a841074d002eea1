"""The account of looks: what each may spend, what it leaves behind, and how often a chain errs."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from qi_learn.gate.ledger import ENOUGH, SPENT, NextLook, e_value, level_of, next_look
from qi_learn.gate.mixed_model import CAUTIOUS, correlation_of
from qi_learn.records import PastLook, Verdict
from tests.support.gate_models import BEFORE, verdict_on


def past(
    live: str = "1.0.0", numbers: dict[str, float] | None = None, *, ships: bool = False
) -> PastLook:
    verdict = verdict_on(BEFORE)
    booked = {"look": 1.0, "level": 0.02, **(numbers or {})}
    return PastLook(replace(verdict, ships=ships, compared_with=live, numbers=booked), ())


def test_a_first_look_may_spend_half_and_all_looks_together_no_more_than_there_is() -> None:
    assert next_look([], "1.0.0") == NextLook()
    assert NextLook().level == pytest.approx(SPENT / 2)
    levels = [level_of(number) for number in range(1, 10_000)]
    assert sum(levels) < SPENT
    assert levels == sorted(levels, reverse=True)


def test_every_verdict_against_the_live_version_is_a_look_and_no_other() -> None:
    looks = [past("0.9.0"), past("1.0.0"), past("1.0.0")]
    assert next_look(looks, "1.0.0").number == 3
    assert next_look(looks, "1.0.0").level == pytest.approx(SPENT / 12)
    assert next_look(looks, "1.1.0").number == 1, "what ships starts an account"


def test_evidence_is_carried_on_and_starts_again_once_it_was_used() -> None:
    looks = [past(numbers={"e_value": 6.0}), past(), past(numbers={"e_value": 0.5})]
    assert next_look(looks, "1.0.0").evidence == pytest.approx(3.0)
    shipped = [*looks, past(ships=True, numbers={"e_value": 50.0})]
    assert next_look(shipped, "1.1.0").evidence == 1.0
    taken_back = next_look(shipped, "1.0.0")
    assert taken_back.evidence == 1.0
    assert taken_back.number == 5, "what was spent stays spent"


def test_a_look_knows_what_earlier_ones_were_at() -> None:
    looks = [
        PastLook(past().verdict, ("a", "b")),
        PastLook(past().verdict, ("b", "c")),
        PastLook(past("0.9.0").verdict, ("d",)),
    ]
    assert next_look(looks, "1.0.0").seen == frozenset("abc")


def test_the_correlation_is_pooled_over_every_look_at_any_version() -> None:
    told = correlation_of(0.08, 2.0)
    sums = {
        "rho_excess": told.excess,
        "rho_weight": told.weight,
        "rho_freedom": told.freedom,
    }
    few = next_look([past("0.9.0", sums)], "1.0.0").correlation
    many = next_look([past("0.9.0", sums)] * 40, "1.0.0").correlation
    assert CAUTIOUS.rho > few.rho > many.rho > 0.08
    assert many.rho == pytest.approx(0.093, abs=0.01)
    assert next_look([past()], "1.0.0").correlation == CAUTIOUS


def test_an_e_value_is_one_on_average_if_nothing_is_better() -> None:
    steps = 20_000
    average = sum(e_value((n + 0.5) / steps) for n in range(steps)) / steps
    assert 0.9 < average <= 1.0


def test_a_smaller_p_has_a_larger_e_value_and_no_single_look_is_enough() -> None:
    values = [e_value(p) for p in (1.0, 0.9, 0.5, 0.1, 0.01, 1e-4, 1e-12, 0.0)]
    assert values == sorted(values)
    assert values[0] == 0.5
    assert values[-1] < ENOUGH / 9
    assert e_value(0.005) ** 3 > ENOUGH, "three looks that are sure by themselves are"


def test_a_chain_of_nothing_reaches_enough_evidence_in_at_most_one_case_of_a_hundred() -> None:
    rng, reached = random.Random(5), 0
    for _ in range(2000):
        evidence = 1.0
        for _ in range(30):
            evidence *= e_value(rng.random())
            if evidence >= ENOUGH:
                reached += 1
                break
    assert reached <= 2000 * 0.01 + 3 * (2000 * 0.01) ** 0.5


def test_a_verdict_of_the_rules_before_spent_nothing() -> None:
    """A home with a dozen of them is not locked out; what they were at is no new evidence."""
    old = PastLook(Verdict(False, (), (), "", "", 1.0, "1.0.0", {"accuracy": 0.1}), ("a",))
    assert next_look([old] * 12, "1.0.0") == NextLook(seen=frozenset("a"))
    assert next_look([*[old] * 12, past()], "1.0.0").number == 2
