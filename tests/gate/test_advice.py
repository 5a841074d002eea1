"""What a refusal says would have helped, from its own numbers."""

from __future__ import annotations

import re
from dataclasses import replace

from qi_learn.dataset.split import GATE_SHARE, assign
from qi_learn.gate.advice import JUDGING, NEXT, times_needed
from qi_learn.gate.ledger import NextLook
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.mixed_model import Estimate, correlation_of, estimate
from qi_learn.records import Verdict
from qi_learn.stats import t_quantile
from tests.support.gate_models import BEFORE, N, model, spread, suite, verdict_on

KNOWN = NextLook(correlation=correlation_of(0.08, 1e6))


def falling(by: float, apart: float, sessions: int = 5) -> Measurements:
    """Fresh work that fell by so much, every other example by more or less, over five sessions."""
    units = tuple(f"s{i % sessions}" for i in range(N))
    gate = suite("gate", [2.0 - by + (apart if i % 2 else -apart) for i in range(N)], units=units)
    return replace(model(), gate=gate)


def refused(candidate: Measurements, look: NextLook | None = None) -> Verdict:
    live = replace(BEFORE, gate=suite("gate", [2.0] * N, units=candidate.gate.units))
    verdict = verdict_on(candidate, live, live, look=look)
    assert not verdict.ships
    return verdict


def test_an_effect_that_is_not_sure_says_how_many_examples_would_show_it() -> None:
    helps = refused(falling(0.06, 0.2), look=KNOWN).helps
    assert "at this effect (0.068 nat a token) about " in helps[0]
    assert "there were 25 from 5" in helps[0]
    assert helps[-1] == NEXT


def test_it_says_how_much_work_that_takes_as_a_fifth_judges() -> None:
    """What is new is counted, and of it whole sessions judge until they have a fifth."""
    candidate = falling(0.06, 0.2)
    live = replace(BEFORE, gate=suite("gate", [2.0] * N, units=candidate.gate.units))
    words = {
        own: verdict_on(candidate, live, live, look=KNOWN, own=own).helps[0]
        for own in (0, 100, 9999)
    }
    found = re.search(r"about (\d+) examples", words[100])
    assert found is not None
    total = 5 * int(found[1])
    assert words[100].endswith(
        f"so that takes some {total - 100} more answers that you change or write, beside the 100 "
        "there are"
    )
    assert words[0].endswith(f"so that takes some {total} new ones in all")
    assert "gate.max_read" in words[9999]
    kept = assign([f"s{n // 5}" for n in range(total)], [True] * total, min_gate=25)
    assert abs(kept.count("gate") - int(found[1])) < 5
    assert JUDGING == GATE_SHARE


def test_what_is_hardly_better_needs_more_to_learn_from() -> None:
    assert refused(falling(0.0, 0.001)).helps[0].startswith("more to learn from")


def test_one_session_needs_others() -> None:
    helps = refused(falling(0.5, 0.1, sessions=1)).helps
    assert helps[0].startswith("work of at least two more sessions")


def test_an_effect_that_takes_a_multitude_is_called_too_small() -> None:
    helps = refused(falling(0.03, 0.5), look=KNOWN).helps
    assert "more than 10 times the 25 examples" in helps[0]


def test_without_the_persons_tokens_it_asks_for_them() -> None:
    nobody = replace(BEFORE.gate, person_nll=(), person_tokens=())
    candidate, live = (replace(m, gate=nobody) for m in (model(gate=1.0), BEFORE))
    helps = verdict_on(replace(candidate, gate=nobody), live, live).helps
    assert helps[0].startswith("answers that you changed")


def test_the_suite_that_got_worse_is_named_with_how_much_less_would_do() -> None:
    worse = {"python_stdlib": suite("python_stdlib", spread(1.0)), "go": suite("go", spread(1.1))}
    still = {"python_stdlib": suite("python_stdlib", spread(1.0)), "go": suite("go", spread(1.0))}
    live = replace(BEFORE, general=still)
    helps = verdict_on(replace(model(gate=1.8), general=worse), live, live).helps
    assert helps[0].startswith("what got worse, in nat a token, is go (+0.100): a change 2.0 times")
    assert len(helps) == 2


def test_suites_that_got_worse_have_one_sentence_together() -> None:
    worse = {"prose": suite("prose", spread(1.3)), "go": suite("go", spread(1.1))}
    still = {name: suite(name, spread(1.0)) for name in worse}
    live = replace(BEFORE, general=still)
    helps = verdict_on(replace(model(gate=1.8), general=worse), live, live).helps
    assert helps[0].startswith(
        "what got worse, in nat a token, is prose (+0.300), go (+0.100): a change 6.0 times smaller"
    )
    assert helps[1:] == (NEXT,)


def test_answers_that_break_point_to_their_length() -> None:
    assert "gate.answer_tokens" in verdict_on(model(gate=1.8, coherent=5)).helps[0]


def test_what_ships_needs_no_help() -> None:
    assert verdict_on(model(gate=1.8)).helps == ()


def test_so_many_times_the_sessions_show_the_effect_in_four_of_five_cases() -> None:
    """The effect over its error is then the quantile of the level and that of 0.8 together."""
    fall = shown(0.1)
    times = times_needed(fall, 0.05)
    assert times is not None
    enough = fall.mean / fall.error * times**0.5
    freedom = fall.freedom * times
    assert enough >= t_quantile(0.95, freedom) + t_quantile(0.8, freedom)
    fewer = fall.freedom * (times - 0.25)
    assert fall.mean / fall.error * (times - 0.25) ** 0.5 < (
        t_quantile(0.95, fewer) + t_quantile(0.8, fewer)
    )
    later = times_needed(fall, 0.001)
    assert later is not None
    assert later > times
    assert times_needed(shown(0.01), 0.05) is None


def shown(effect: float) -> Estimate:
    values = [effect + (0.3 if i % 2 else -0.3) for i in range(24)]
    return estimate(values, [1.0] * 24, [f"s{i % 4}" for i in range(24)], correlation_of(0.08, 1e6))


def test_a_slow_file_is_told_nothing_since_another_cycle_would_be_as_slow() -> None:
    assert verdict_on(model(gate=1.8, speed=1.0)).helps == ()


def test_what_got_worse_since_the_base_alone_is_said_so() -> None:
    base = model(gate=1.8, general=1.0)
    live = model(gate=1.8, general=1.16)
    worse, after = verdict_on(model(gate=1.6, general=1.16), live, base).helps[:2]
    assert "since the base): a change 1.1 times smaller" in worse
    assert after == NEXT


def test_short_changes_that_got_better_are_not_told_to_be_too_few() -> None:
    live = of_lengths((0.5, 2.0))
    verdict = verdict_on(of_lengths((0.2, 2.15)), live, live)
    assert not verdict.ships
    assert "longer texts of yours" in verdict.helps[0]


def of_lengths(nll: tuple[float, float]) -> Measurements:
    """24 changes of three tokens each, and one text of 600, at these NLL a token."""
    short, long = nll
    gate = suite("gate", [short + 0.01 * (n % 2) for n in range(N - 1)] + [long])
    tokens = (*[3] * (N - 1), 600)
    nlls = tuple(one / 10 * count for one, count in zip(gate.nll, tokens, strict=True))
    units = tuple(f"s{n % 8}" for n in range(N))
    changed = replace(gate, units=units, person_nll=nlls, person_tokens=tokens)
    return replace(model(), gate=replace(changed, nll=nlls, tokens=tokens))
