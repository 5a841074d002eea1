"""Rule 2: what the person wrote decides, surely, and by enough to matter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qi_learn.gate.ledger import NextLook
from qi_learn.gate.limits import MATTERS
from qi_learn.gate.mixed_model import correlation_of
from qi_learn.gate.superiority import Superiority, measure_superiority, superiority_check
from qi_learn.records import Check, SuiteNll

KNOWN = correlation_of(0.08, 1e6)
LIVE = [2.0] * 24


def work(person: list[float], *, tokens: int = 10, own: float = 1.0, sessions: int = 4) -> SuiteNll:
    """Fresh work: NLL a token on the person's tokens, and on the model's own."""
    n = len(person)
    return SuiteNll(
        "gate",
        tuple(f"e{i}" for i in range(n)),
        tuple(f"s{i % sessions}" for i in range(n)),
        tuple(v * tokens + own * 50 for v in person),
        (tokens + 50,) * n,
        tuple(v * tokens for v in person),
        (tokens,) * n,
        tuple(v * tokens for v in person),
        (tokens,) * n,
    )


def falling(by: float, spread: float = 0.1) -> list[float]:
    """Falls of so much, more and less in turns within each of four sessions."""
    return [2.0 - by + (spread if i // 4 % 2 else -spread) for i in range(24)]


def found(
    candidate: SuiteNll, live: SuiteNll | None = None, look: NextLook | None = None
) -> Superiority:
    measured = measure_superiority(
        candidate, live or work(LIVE), look or NextLook(correlation=KNOWN)
    )
    assert measured is not None
    return measured


def check(candidate: SuiteNll, look: NextLook | None = None) -> Check:
    return superiority_check(found(candidate, look=look))


def test_better_on_the_persons_tokens_passes() -> None:
    passed = check(work(falling(0.1)))
    assert passed.passed
    assert passed.value == pytest.approx(0.1)
    assert passed.low is not None
    assert 0 < passed.low < 0.1
    assert "24 examples in 4 sessions" in passed.reason


def test_a_bound_below_nothing_is_said_to_be_a_rise() -> None:
    """ "Fell by 0.05, at least -0.07" is no sentence."""
    unsure = check(work(falling(0.05, spread=0.4)))
    assert unsure.low is not None
    assert unsure.low < 0
    risen = f"fell by 0.050 nat a token (it may have risen by {-unsure.low:.3f} at the 98 % "
    assert risen in unsure.reason
    assert "at least" not in unsure.reason
    sure = check(work(falling(0.1)))
    assert f"(at least {sure.low:.3f} at the 98 % confidence that look 1 against" in sure.reason


def test_a_model_that_is_only_surer_of_its_own_words_does_not() -> None:
    """All logits times 1.05: all target tokens look better, those of the person do not."""
    sharper = replace(work(LIVE, own=0.9), temperature=1.05)
    assert sum(sharper.nll) < sum(work(LIVE).nll)
    refused = check(sharper)
    assert not refused.passed
    assert refused.value == 0.0
    assert f"not better by more than {MATTERS}" in refused.reason


def test_what_is_surely_better_by_next_to_nothing_does_not_matter() -> None:
    tiny = found(work([v - 0.008 for v in LIVE]))
    assert tiny.sure
    assert not superiority_check(tiny).passed
    assert superiority_check(found(work([v - 0.012 for v in LIVE]))).passed


def test_turns_that_were_kept_as_they_were_say_nothing() -> None:
    """Twenty more that fell a lot, without a token of the person: the same interval."""
    few = work(falling(0.05))
    kept = replace(
        few,
        ids=(*few.ids, *(f"k{i}" for i in range(20))),
        units=(*few.units, *("s0",) * 20),
        nll=(*few.nll, *(0.0,) * 20),
        tokens=(*few.tokens, *(50,) * 20),
        person_nll=(*few.person_nll, *(0.0,) * 20),
        person_tokens=(*few.person_tokens, *(0,) * 20),
    )
    live = work(LIVE)
    live = replace(
        kept,
        nll=(*live.nll, *(80.0,) * 20),
        person_nll=(*live.person_nll, *(0.0,) * 20),
    )
    assert found(kept, live).fall == found(few).fall


def test_without_a_token_of_the_person_nothing_ships() -> None:
    nobody = replace(work(falling(0.5)), person_nll=(), person_tokens=())
    live = replace(work(LIVE), person_nll=(), person_tokens=())
    assert measure_superiority(nobody, live, NextLook()) is None
    refused = superiority_check(None)
    assert not refused.passed
    assert "could not be measured" in refused.reason


def test_the_same_effect_must_be_surer_at_a_later_look() -> None:
    candidate = work(falling(0.1, spread=0.16))
    first, tenth = (
        check(candidate, look=NextLook(number=n, level=0.04 / (n * (n + 1)), correlation=KNOWN))
        for n in (1, 10)
    )
    assert first.passed
    assert not tenth.passed
    assert "not surely better" in tenth.reason


def test_with_what_earlier_looks_have_shown_it_need_be_no_surer_than_at_a_first() -> None:
    """Two looks that were worth eight each, and a third: sure at 2 %, not at its own level."""
    late = NextLook(number=3, level=0.04 / 12, evidence=60.0, correlation=KNOWN)
    likely, unlikely = work(falling(0.1, spread=0.16)), work(falling(0.02, spread=0.16))
    assert not found(likely, look=replace(late, evidence=1.0)).sure
    assert found(likely, look=late).evidence > 100
    assert check(likely, look=late).passed
    assert not check(unlikely, look=replace(late, evidence=1e6)).passed


def test_examples_that_were_looked_at_before_add_no_evidence() -> None:
    candidate = work(falling(0.1))
    again = found(candidate, look=NextLook(seen=frozenset(candidate.ids), correlation=KNOWN))
    assert again.e_value == 1.0
    assert again.unseen.weight == 0.0
    half = found(candidate, look=NextLook(seen=frozenset(candidate.ids[::2]), correlation=KNOWN))
    assert 1.0 < half.e_value < found(candidate).e_value
    assert half.fall == found(candidate).fall, "but they are judged by"


def test_other_examples_of_a_session_that_was_looked_at_add_no_evidence() -> None:
    """Sessions go on over looks, and what their examples have in common was counted."""
    candidate = work(falling(0.1))
    two, all_four = (frozenset(f"s{n}" for n in range(count)) for count in (2, 4))
    half = found(candidate, look=NextLook(seen=two, correlation=KNOWN))
    assert 1.0 < half.e_value < found(candidate).e_value
    assert found(candidate, look=NextLook(seen=all_four, correlation=KNOWN)).e_value == 1.0


def test_short_edits_do_not_make_up_for_functions_that_got_worse() -> None:
    """Twenty edits of ten tokens better by 0.4, four functions of 200 worse by 0.12."""
    tokens = (*(10,) * 20, *(200,) * 4)
    live = replace(work(LIVE), person_tokens=tokens, person_nll=tuple(2.0 * n for n in tokens))
    falls = [0.4 + (0.05 if i // 4 % 2 else -0.05) if i < 20 else -0.12 for i in range(24)]
    after = tuple((2.0 - fall) * n for fall, n in zip(falls, tokens, strict=True))
    measured = measure_superiority(
        replace(live, person_nll=after), live, NextLook(correlation=KNOWN)
    )
    assert measured is not None
    assert measured.sure
    refused = superiority_check(measured)
    assert not refused.passed
    assert "long texts got worse, over all tokens it rose by 0.018" in refused.reason


def test_one_session_neither_ships_nor_counts_as_evidence() -> None:
    alone = found(work(falling(0.5), sessions=1), work(LIVE, sessions=1))
    assert not alone.sure
    assert alone.e_value == 1.0
    assert "one session is too few" in superiority_check(alone).reason


def test_what_was_measured_on_other_tokens_is_not_compared() -> None:
    with pytest.raises(ValueError, match="different examples"):
        found(work(falling(0.1), tokens=9))


def test_a_number_that_is_none_refuses() -> None:
    broken = work([float("nan"), *falling(0.1)[1:]])
    assert measure_superiority(broken, work(LIVE), NextLook()) is None
