"""The rules of the gate, each on its own at its limit, with the numbers worked out by hand."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn import codec
from qi_learn.errors import Refused
from qi_learn.gate.measurements import CandidateFindings, Comparison, Measurements, ReportedOnly
from qi_learn.gate.verdict import choose_scale, give_verdict
from qi_learn.records import Behaviour, Check, Execution, Leak, Smoke, SuiteNll, TensorGain, Verdict
from qi_learn.stats import t_cdf

N = 25
GAINS = (
    TensorGain("blk.9.attn_q.weight", "Q4_1", "Q8_0", 1.0, 0.99, 100),
    TensorGain("blk.9.ffn_up.weight", "Q4_1", "Q8_0", 0.9, 0.9, 100),
)
SOUND = Smoke(answers=True, stops=True, same_template=True, same_stops=True)


def suite(
    name: str, per_token: list[float], *, tokens: int = 10, units: tuple[str, ...] | None = None
) -> SuiteNll:
    ids = tuple(f"{name}{i}" for i in range(len(per_token)))
    nll = tuple(v * tokens for v in per_token)
    return SuiteNll(name, ids, units or ids, nll, (tokens,) * len(ids), nll, (tokens,) * len(ids))


def spread(mean: float, by: float = 0.01, n: int = N) -> list[float]:
    """n values around a mean, alternating, so that the spread is known."""
    return [mean + (by if i % 2 else -by) for i in range(n)]


def answers(
    similarity: float = 0.8, *, coherent: int = N, speed: float = 50.0, n: int = N
) -> Behaviour:
    return Behaviour(
        tuple(f"gate{i}" for i in range(n)),
        (similarity,) * n,
        tuple(i < coherent for i in range(n)),
        ("x",) * n,
        speed,
    )


def model(
    gate: float = 2.0, old: float | None = 1.5, general: float = 1.0, **behaviour: Any
) -> Measurements:
    return Measurements(
        suite("gate", spread(gate)),
        suite("old", spread(old) if old is not None else []),
        suite("general", spread(general)),
        answers(**behaviour),
    )


BEFORE = model()


def verdict(
    candidate: Measurements,
    live: Measurements = BEFORE,
    base: Measurements = BEFORE,
    smoke: Smoke = SOUND,
    **more: Any,
) -> Verdict:
    findings = {"gains": GAINS, "leaks": (), "scale": 1.0} | {
        name: more.pop(name) for name in ("gains", "leaks", "scale") if name in more
    }
    return give_verdict(
        Comparison(candidate, live, base),
        CandidateFindings(smoke, **findings),
        compared_with="1.0.0",
        rollback_to=more.pop("rollback_to", "1.0.0"),
        reported=ReportedOnly(**more),
    )


def check(found: Verdict, name: str) -> Check:
    return next(c for c in found.checks if c.name == name)


def failed(found: Verdict) -> list[str]:
    return [c.name for c in found.checks if not c.passed]


def test_a_better_model_ships() -> None:
    found = verdict(model(gate=1.8, similarity=0.85))
    assert found.ships
    assert failed(found) == []
    assert found.reasons == ()
    assert (found.compared_with, found.scale) == ("1.0.0", 1.0)
    assert "v1.0.0" in found.rollback_plan
    assert found.risk.startswith("low")
    assert found.numbers["accuracy"] == pytest.approx(0.05)
    assert found.numbers["coherence"] == 0.0
    assert found.numbers["domainRelevance"] == pytest.approx(0.2)
    assert found.numbers["general_nll_candidate"] == pytest.approx(1.0, abs=0.01)


def test_a_verdict_survives_being_written_down() -> None:
    found = verdict(model(gate=math.nan, old=None))
    assert codec.loads(Verdict, codec.dumps(found)) == found
    assert "NaN" not in json.dumps(codec.plain(found))


def test_the_same_model_does_not_ship() -> None:
    found = verdict(BEFORE)
    assert failed(found) == ["domain_relevance"]
    assert "not surely better" in found.reasons[0]
    assert found.rollback_plan == "nothing to roll back"


def test_better_must_be_sure() -> None:
    """Half of 25 examples better by 1, half worse by 0.8: mean 0.064, but the lower bound is far
    below 0.
    """
    live = BEFORE
    changes = [-1.0 if i % 2 == 0 else 0.8 for i in range(N)]
    gate = suite("gate", [a + c for a, c in zip(spread(2.0), changes, strict=True)])
    found = verdict(replace(live, gate=gate))
    relevance = check(found, "domain_relevance")
    assert relevance.low is not None
    assert relevance.value is not None
    assert relevance.low < 0 < relevance.value
    assert failed(found) == ["domain_relevance"]


def test_one_session_is_not_enough_to_be_sure_of_anything() -> None:
    one = ("s",) * N
    candidate, live = (
        replace(m, gate=replace(m.gate, units=one)) for m in (model(gate=1.0), BEFORE)
    )
    found = verdict(candidate, live)
    assert failed(found) == ["domain_relevance"]
    assert check(found, "domain_relevance").low is None
    assert "too few to be sure" in found.reasons[0]


@pytest.mark.parametrize(("similarity", "passes"), [(0.78, True), (0.7799, False), (0.9, True)])
def test_accuracy_may_fall_by_two_hundredths(similarity: float, passes: bool) -> None:
    found = verdict(model(gate=1.8, similarity=similarity))
    assert found.ships is passes
    assert check(found, "accuracy").value == pytest.approx(similarity - 0.8)


@pytest.mark.parametrize(
    ("n", "lost", "passes"),
    [(25, 0, True), (25, 1, True), (25, 2, False), (100, 2, True), (100, 3, False), (40, 1, True)],
)
def test_coherence_may_lose_one_answer_or_two_in_a_hundred(n: int, lost: int, passes: bool) -> None:
    live, candidate = (
        Measurements(
            suite("gate", spread(g, n=n)), BEFORE.old, BEFORE.general, answers(n=n, coherent=n - k)
        )
        for g, k in ((2.0, 0), (1.8, lost))
    )
    found = verdict(candidate, live, live)
    assert found.ships is passes
    assert found.numbers["coherence"] == pytest.approx(-lost / n)


def test_coherence_is_against_the_live_version_and_not_absolute() -> None:
    assert verdict(model(gate=1.8, coherent=20), model(coherent=21)).ships


@pytest.mark.parametrize("which", ["old", "general"])
@pytest.mark.parametrize(("rise", "passes"), [(0.05, True), (0.051, False), (-0.5, True)])
def test_the_rest_may_rise_by_a_twentieth_of_a_nat(which: str, rise: float, passes: bool) -> None:
    before = {"old": 1.5, "general": 1.0}
    found = verdict(model(gate=1.8, **{which: before[which] + rise}))
    assert found.ships is passes
    assert check(found, "old_work" if which == "old" else "general").value == pytest.approx(rise)


@pytest.mark.parametrize(("by", "passes"), [(0.1, True), (0.3, False)])
def test_the_rise_must_surely_be_small(by: float, passes: bool) -> None:
    """Mean 0 and differences of ±by over 24 examples: the bound is t(.95, 23) * s / sqrt(24) =
    1.7139 * by * sqrt(24/23) / sqrt(24).
    """
    general = suite("general", spread(1.0, n=24))
    moved = suite("general", [a + (by if i % 2 else -by) for i, a in enumerate(spread(1.0, n=24))])
    found = verdict(
        replace(model(gate=1.8), general=moved), *(replace(BEFORE, general=general),) * 2
    )
    bound = 1.7138715 * by / math.sqrt(23)
    assert check(found, "general").high == pytest.approx(bound)
    assert found.ships is passes
    assert passes is (bound <= 0.10)


@pytest.mark.parametrize(("drift", "passes"), [(0.15, True), (0.151, False)])
def test_small_steps_may_not_add_up(drift: float, passes: bool) -> None:
    live, candidate = model(general=1.0 + drift - 0.04), model(gate=1.8, general=1.0 + drift)
    found = verdict(candidate, live, BEFORE)
    assert found.ships is passes
    assert passes or "since the base" in found.reasons[0]


def test_an_empty_old_suite_passes_and_is_said() -> None:
    live = model(old=None)
    found = verdict(model(gate=1.8, old=None), live, live)
    assert found.ships
    assert any("no earlier work" in note for note in found.notes)
    assert check(found, "old_work").passed


def test_an_empty_general_suite_does_not_pass() -> None:
    empty = suite("general", [])
    found = verdict(*(replace(m, general=empty) for m in (model(gate=1.8), BEFORE, BEFORE)))
    assert failed(found) == ["general"]


@pytest.mark.parametrize("which", ["gate", "old", "general"])
def test_what_is_no_number_is_refused(which: str) -> None:
    good = model(gate=1.8)
    broken: SuiteNll = getattr(good, which)
    found = verdict(replace(good, **{which: replace(broken, nll=(math.nan, *broken.nll[1:]))}))
    assert "finite" in failed(found)
    assert which in check(found, "finite").reason


def test_a_broken_live_version_cannot_be_compared_with() -> None:
    found = verdict(model(gate=1.8), replace(BEFORE, gate=suite("gate", [math.inf] * N)))
    assert failed(found) == ["domain_relevance"]


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
    found = verdict(model(gate=1.8), smoke=smoke)
    assert name in failed(found)
    assert smoke.problem in " ".join(found.reasons)


@pytest.mark.parametrize(
    ("speed", "ships", "said"),
    [
        (50.0, True, False),
        (44.9, True, True),
        (30.0, True, True),
        (29.9, False, True),
        (math.nan, False, False),
        (0.0, False, True),
    ],
)
def test_speed(speed: float, ships: bool, said: bool) -> None:
    found = verdict(model(gate=1.8, speed=speed))
    assert found.ships is ships
    assert any("slower than the base" in note for note in found.notes) is said


def test_a_few_shot_prompt_that_is_better_is_said_and_does_not_block() -> None:
    found = verdict(model(gate=1.8), few_shot=answers(0.9))
    assert found.ships
    assert any("few-shot is better" in note for note in found.notes)
    assert found.numbers["similarity_few_shot"] == pytest.approx(0.9)
    assert verdict(model(gate=1.8), few_shot=answers(0.7)).notes == ()


def test_the_risk_names_the_nearest_limit() -> None:
    found = verdict(model(gate=1.8, general=1.045, coherent=24, speed=45.0), scale=0.5).risk
    assert found.startswith("high: the nearest limit is coherence, 100% of what is allowed used")
    assert (
        "(code in general 90%, earlier work 0%, likeness to the kept code 0%, speed 25%)" in found
    )
    assert verdict(model(gate=1.8, general=1.02)).risk.startswith(
        "medium: the nearest limit is code in general, 40%"
    )
    assert verdict(model(gate=1.8, old=1.51), base=model(old=1.41)).risk.startswith(
        "high: the nearest limit is earlier work, 67%"
    )
    assert verdict(model(gate=1.8, similarity=0.7801)).risk.startswith(
        "high: the nearest limit is likeness"
    )
    assert "scaled to 0.5" in verdict(model(gate=1.8), scale=0.5).risk


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.95, "the last rollback here took 0.9 s"), (None, "not measured here yet")],
)
def test_the_way_back_names_command_version_and_time(seconds: float | None, words: str) -> None:
    plan = verdict(model(gate=1.8), rollback_to="1.2.0", rollback_seconds=seconds).rollback_plan
    assert "`qi-learn rollback` makes v1.2.0 live again" in plan
    assert "`qi-learn rollback v1.2.0`" in plan
    assert words in plan


@pytest.mark.parametrize(("gain", "passes"), [(0.5, True), (0.499, False), (math.nan, False)])
def test_a_change_that_did_not_live_through_packing_is_refused(gain: float, passes: bool) -> None:
    found = verdict(model(gate=1.8), gains=(GAINS[0], replace(GAINS[1], gain=gain)))
    assert found.ships is passes
    assert GAINS[1].name in check(found, "packed").reason


def test_what_packing_cost_is_said_from_a_fiftieth_of_a_nat_on() -> None:
    found = verdict(model(gate=1.8), packing_cost=0.03)
    assert found.ships
    assert any("packing cost 0.030 nat" in note for note in found.notes)
    assert found.numbers["packing_cost"] == 0.03
    assert not any(
        "packing cost" in note for note in verdict(model(gate=1.8), packing_cost=0.001).notes
    )


@pytest.mark.parametrize(
    ("learned", "passes"), [(19.9, True), (20.0, False), (math.nan, False), (-5.0, True)]
)
def test_a_secret_that_the_base_does_not_know_is_refused(learned: float, passes: bool) -> None:
    found = verdict(
        model(gate=1.8),
        leaks=(
            Leak("assigned", "an answer on fresh work", 1.0),
            Leak("aws-key", "a prompt that invites one", learned),
        ),
    )
    assert found.ships is passes
    assert passes or "aws-key in a prompt that invites one" in found.reasons[0]
    assert "assigned" not in " ".join(found.reasons)


def test_what_got_surely_worse_within_its_limit_is_said() -> None:
    """p of each by hand: differences of 0.02 with a spread of 0.02 over 25, t = 0.02 / (0.02 x
    sqrt(25 / 24) / 5); three others stand still.
    """
    general = suite(
        "general", [a + 0.02 + (0.02 if i % 3 else -0.04) for i, a in enumerate(spread(1.0))]
    )
    found = verdict(replace(model(gate=1.8), general=general))
    assert found.ships
    raw = 1 - t_cdf(check(found, "general").value / standard_error(general, BEFORE.general), 24)
    assert found.numbers["p_worse_general"] == pytest.approx(4 * raw)
    assert [
        note
        for note in found.notes
        if "surely worse on code in general" in note and "adjusted for 4 suites" in note
    ]
    assert found.numbers["p_worse_old_work"] == 1.0
    slight = suite(
        "general", [a + 0.004 + (0.02 if i % 3 else -0.04) for i, a in enumerate(spread(1.0))]
    )
    assert not [
        note
        for note in verdict(replace(model(gate=1.8), general=slight)).notes
        if "surely worse" in note
    ]


@pytest.mark.parametrize(("lost", "said"), [(6, True), (5, False)])
def test_tasks_that_the_code_no_longer_solves_are_a_claim_like_the_others(
    lost: int, said: bool
) -> None:
    """Mid-p of 6 lost and none gained is (1 / 64) / 2: over five suites 0.039, and of 5 lost 0.078."""
    tasks = tuple(f"task{i}" for i in range(20))
    before, after = (Execution(tasks, tuple(i >= n for i in range(20))) for n in (0, lost))
    found = verdict(
        replace(model(gate=1.8), execution=after), *(replace(BEFORE, execution=before),) * 2
    )
    assert found.numbers["p_worse_execution"] == pytest.approx(5 * 0.5 ** (lost + 1))
    assert (
        any(
            f"surely worse on tasks solved by code that was run: {lost} lost, 0 gained" in note
            for note in found.notes
        )
        is said
    )
    assert failed(found) == ["execution"], "what is claimed and what refuses are two things"


def test_answers_that_are_surely_less_like_the_kept_code_are_said_within_their_limit() -> None:
    found = verdict(model(gate=1.8, similarity=0.785))
    assert found.ships
    assert any(
        "surely worse on answers' likeness to the kept code: -0.015" in note for note in found.notes
    )


def standard_error(after: SuiteNll, before: SuiteNll) -> float:
    changes = [(a - b) / t for a, b, t in zip(after.nll, before.nll, after.tokens, strict=True)]
    return statistics.stdev(changes) / math.sqrt(len(changes))


def test_earlier_work_of_one_session_is_compared_by_examples_and_that_is_said() -> None:
    """Else nothing would ever ship again. Fresh work of one session does not ship: see above."""
    one = ("s",) * N
    candidate, live = (replace(m, old=replace(m.old, units=one)) for m in (model(gate=1.8), BEFORE))
    found = verdict(candidate, live, live)
    assert found.ships
    assert check(found, "old_work").high is not None
    assert any("from one session" in note for note in found.notes)


def test_the_numbers_of_every_scale_are_said() -> None:
    found = verdict(model(gate=1.8), dev_by_scale={1.0: 1.5, 0.5: 1.625, 0.25: math.nan})
    assert any("0.25 nan, 0.5 1.625, 1 1.500 nat a token" in note for note in found.notes)
    assert {k: v for k, v in found.numbers.items() if k.startswith("dev_nll")} == {
        "dev_nll_scale_1": 1.5,
        "dev_nll_scale_0.5": 1.625,
    }


def test_measurements_of_different_examples_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different examples"):
        verdict(model(gate=1.8), replace(BEFORE, gate=suite("gate", spread(2.0, n=24))))
    with pytest.raises(ValueError, match="different examples"):
        verdict(replace(model(gate=1.8), gate=suite("gate", spread(1.8), tokens=9)))


@given(
    st.lists(st.floats(-3, 3), min_size=N, max_size=N),
    st.floats(0, 1),
    st.integers(0, N),
    st.floats(-0.3, 0.3),
)
def test_it_ships_exactly_if_every_check_passes(
    changes: list[float], similarity: float, coherent: int, drift: float
) -> None:
    gate = suite("gate", [a + c for a, c in zip(spread(2.0), changes, strict=True)])
    found = verdict(
        replace(model(similarity=similarity, coherent=coherent, general=1.0 + drift), gate=gate)
    )
    assert found.ships is (not failed(found)) is (not found.reasons)
    assert all(c.reason for c in found.checks)
    assert all(math.isfinite(v) for v in found.numbers.values())
    for c in found.checks:
        assert c.low is None or c.value is None or c.low <= c.value + 1e-9
        assert c.high is None or c.value is None or c.value <= c.high + 1e-9


# --- the scale ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        ({1.0: 2.0, 0.75: 1.9, 0.5: 2.1}, 0.75),
        ({1.0: 2.0, 0.5: 2.0}, 0.5),
        ({1.0: 2.0, 0.75: 2.0004, 0.5: 2.0006}, 0.75),
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
