"""What a verdict says besides yes or no, with the numbers worked out by hand."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest

from qi_learn.gate.summary import CYCLES
from qi_learn.records import Execution, SuiteNll
from qi_learn.stats import t_cdf
from tests.support.gate_models import (
    BEFORE,
    N,
    answers,
    check,
    failed,
    model,
    spread,
    suite,
    verdict_on,
)


def test_a_few_shot_prompt_that_is_better_is_said_and_does_not_block() -> None:
    verdict = verdict_on(model(gate=1.8), few_shot=answers(0.9))
    assert verdict.ships
    assert any("few-shot is better" in note for note in verdict.notes)
    assert verdict.numbers["similarity_few_shot"] == pytest.approx(0.9)
    assert verdict_on(model(gate=1.8), few_shot=answers(0.7)).notes == ()


def test_the_risk_names_the_nearest_limit() -> None:
    verdict = verdict_on(model(gate=1.8, general=1.015, coherent=24, speed=45.0), scale=0.5).risk
    assert verdict.startswith("high: the nearest limit is python stdlib, 75% of what is allowed")
    assert "(earlier work 0%, likeness to the kept code 0%, coherence 40%, speed 25%)" in verdict
    assert verdict_on(model(gate=1.8, general=1.018)).risk.startswith(
        "high: the nearest limit is python stdlib, 90%"
    ), "what is surely a rise may be 0.02"
    assert verdict_on(model(gate=1.8, general=1.01), base=model(general=0.9)).risk.startswith(
        "high: the nearest limit is python stdlib, 73%"
    )
    assert verdict_on(model(gate=1.8, similarity=0.7801)).risk.startswith(
        "high: the nearest limit is likeness"
    )
    assert "scaled to 0.5" in verdict_on(model(gate=1.8), scale=0.5).risk


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.95, "the last rollback here took 0.9 s"), (None, "not measured here yet")],
)
def test_the_way_back_names_command_version_and_time(seconds: float | None, words: str) -> None:
    plan = verdict_on(model(gate=1.8), rollback_to="1.2.0", rollback_seconds=seconds).rollback_plan
    assert "`qi-learn rollback` makes v1.2.0 live again" in plan
    assert "`qi-learn rollback v1.2.0`" in plan
    assert words in plan


def test_what_packing_cost_is_said_from_a_fiftieth_of_a_nat_on() -> None:
    verdict = verdict_on(model(gate=1.8), packing_cost=0.03)
    assert verdict.ships
    assert any("packing cost 0.030 nat" in note for note in verdict.notes)
    assert verdict.numbers["packing_cost"] == 0.03
    assert not any(
        "packing cost" in note for note in verdict_on(model(gate=1.8), packing_cost=0.001).notes
    )


def test_what_got_surely_worse_within_its_limit_is_said() -> None:
    """p of each by hand: differences of 0.019 with a spread of 0.02 over 25; two others stand
    still.
    """
    after = stdlib([a + 0.019 + (0.02 if i % 3 else -0.04) for i, a in enumerate(spread(1.0))])
    verdict = verdict_on(replace(model(gate=1.8), general={"python_stdlib": after}))
    assert verdict.ships
    risen = check(verdict, "general_python_stdlib").value
    assert risen is not None
    raw = 1 - t_cdf(risen / standard_error(after, BEFORE.general["python_stdlib"]), 24)
    p = verdict.numbers["p_worse_general_python_stdlib"]
    assert 3 * raw <= p < 9 * raw, "of three claims, and larger for the skewness"
    assert [
        note
        for note in verdict.notes
        if note.startswith(
            "surely a little worse, by less than a rule refuses (p adjusted for 3 claims)"
        )
        and ": python stdlib: +0.017 nat a token (p = " in note
    ]
    assert verdict.numbers["p_worse_old_work"] == 1.0
    slight = stdlib([a + 0.004 + (0.02 if i % 3 else -0.04) for i, a in enumerate(spread(1.0))])
    assert not [
        note
        for note in verdict_on(replace(model(gate=1.8), general={"python_stdlib": slight})).notes
        if "surely" in note
    ]


def stdlib(per_token: list[float]) -> SuiteNll:
    return suite("python_stdlib", per_token)


@pytest.mark.parametrize(("lost", "reported"), [(6, True), (5, False)])
def test_tasks_that_the_code_no_longer_solves_are_a_claim_like_the_others(
    lost: int, reported: bool
) -> None:
    """Mid-p of 6 lost and none gained is (1 / 64) / 2; over four suites 0.031, of 5 lost 0.063."""
    tasks = tuple(f"task{i}" for i in range(20))
    before, after = (Execution(tasks, tuple(i >= n for i in range(20))) for n in (0, lost))
    verdict = verdict_on(
        replace(model(gate=1.8), execution=after), *(replace(BEFORE, execution=before),) * 2
    )
    assert verdict.numbers["p_worse_execution"] == pytest.approx(4 * 0.5 ** (lost + 1))
    assert (
        any(
            note.startswith("surely worse (p adjusted for 4 claims)")
            and f": tasks solved by code that was run: {lost} lost, 0 gained" in note
            for note in verdict.notes
        )
        is reported
    )
    assert failed(verdict) == ["execution"], "what is claimed and what refuses are two things"


def test_answers_that_are_surely_less_like_the_kept_code_are_said_within_their_limit() -> None:
    verdict = verdict_on(model(gate=1.8, similarity=0.785))
    assert verdict.ships
    assert any(
        note.startswith("surely a little worse, by less than a rule refuses")
        and ": answers' likeness to the kept code: -0.015" in note
        for note in verdict.notes
    )


def test_all_that_got_surely_worse_is_one_sentence() -> None:
    worse = {name: suite(name, spread(1.1)) for name in ("go", "prose", "sql")}
    still = {name: suite(name, spread(1.0)) for name in worse}
    live = replace(BEFORE, general=still)
    notes = verdict_on(replace(model(gate=1.8), general=worse), live, live).notes
    (note,) = [note for note in notes if "surely" in note]
    assert note.count("+0.100 nat a token") == 3


def standard_error(after: SuiteNll, before: SuiteNll) -> float:
    changes = [(a - b) / t for a, b, t in zip(after.nll, before.nll, after.tokens, strict=True)]
    return statistics.stdev(changes) / math.sqrt(len(changes))


def test_the_numbers_of_every_scale_are_said() -> None:
    verdict = verdict_on(model(gate=1.8), dev_by_scale={1.0: 1.5, 0.5: 1.625, 0.25: math.nan})
    assert any("0.25 nan, 0.5 1.625, 1 1.500 nat a token" in note for note in verdict.notes)
    assert {k: v for k, v in verdict.numbers.items() if k.startswith("dev_nll")} == {
        "dev_nll_scale_1": 1.5,
        "dev_nll_scale_0.5": 1.625,
    }


# --- versions far apart ---------------------------------------------------------------------------


def test_earlier_work_has_a_number_for_each_cycle_that_it_came_from() -> None:
    old = suite("old", [1.0, 1.2, 2.0, 3.0], tokens=10)
    live = replace(BEFORE, old=suite("old", [1.5] * 4, tokens=10))
    cycles = {"old0": "run1", "old1": "run1", "old2": "run2"}
    verdict = verdict_on(replace(model(gate=1.8), old=old), live, live, cycles=cycles)
    of_runs = {name: value for name, value in verdict.numbers.items() if "_of_" in name}
    assert of_runs == {
        "old_nll_candidate_of_run1": pytest.approx(1.1),
        "old_nll_candidate_of_run2": pytest.approx(2.0),
        "old_nll_live_of_run1": pytest.approx(1.5),
        "old_nll_live_of_run2": pytest.approx(1.5),
        "old_nll_base_of_run1": pytest.approx(1.5),
        "old_nll_base_of_run2": pytest.approx(1.5),
    }, "and what nobody knows the cycle of has none"


def test_only_the_newest_cycles_have_one() -> None:
    old = suite("old", [1.5] * 30)
    cycles = {f"old{n}": f"2026-{n:02d}" for n in range(30)}
    before = replace(BEFORE, old=old)
    verdict = verdict_on(replace(model(gate=1.8), old=old), before, before, cycles=cycles)
    kept = [name[-2:] for name in verdict.numbers if name.startswith("old_nll_candidate_of_")]
    assert kept == [f"{n:02d}" for n in range(30 - CYCLES, 30)]


def test_the_fixed_texts_have_a_number_for_each_model_and_decide_nothing() -> None:
    fixed = {"candidate": suite("fixed", [9.0]), "live": suite("fixed", [1.0])}
    verdict = verdict_on(model(gate=1.8), fixed={**fixed, "base": suite("fixed", [])})
    assert verdict.ships
    numbers = {name: n for name, n in verdict.numbers.items() if name.startswith("fixed")}
    assert numbers == {"fixed_nll_candidate": 9.0, "fixed_nll_live": 1.0}


def test_a_suite_without_a_token_that_counts_has_no_number_and_breaks_nothing() -> None:
    """Of an empty answer there is only the token that ends it, which counts nowhere."""
    empty = suite("old", [0.0] * N, tokens=0)
    before = replace(BEFORE, old=empty)
    verdict = verdict_on(replace(model(gate=1.8), old=empty), before, before)
    assert not any(name.startswith("old_nll") for name in verdict.numbers)
    assert failed(verdict) == ["old_work"]
