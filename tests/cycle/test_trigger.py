"""Whether it is time to learn: every threshold alone, what is missing, a clock that is set back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.cycle import trigger
from qi_learn.cycle.trigger import GRACE, _interval_left, decide
from qi_learn.dataset.split import assign
from qi_learn.errors import Refused, SettingsError
from qi_learn.records import Decision, Event, RunState, Score
from qi_learn.settings import GateSettings, Settings, TrainSettings
from qi_learn.store import feedback
from qi_learn.store.candidates import FreshExamples
from qi_learn.store.database import Store, open_store
from qi_learn.store.runs import Run, apply_cycle
from tests.support.dataset_world import agreed, keep, suggestion, turn, work
from tests.support.redacted import as_redacted

DAY = 86400.0
NOW = datetime(2026, 11, 20, 12, 0).astimezone().timestamp()
TRAIN = TrainSettings(min_interactions=10)
SETTINGS = Settings(train=TRAIN, gate=GateSettings(min_examples=4))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        yield opened


def with_train(**changes: Any) -> Settings:
    return replace(SETTINGS, train=replace(TRAIN, **changes))


def cycle(
    store: Store, run: str, state: RunState, ended: float, *, turns: range = range(0), **more: Any
) -> None:
    examples = [{"turn": f"turn-{n:04d}", "hash": str(n), "split": "train"} for n in turns]
    apply_cycle(
        store,
        as_redacted(
            Event(
                f"{run}-{state}",
                "cycle",
                ended,
                "cycle",
                {"run": run, "state": state, "started": ended - 60, "examples": examples, **more},
            )
        ),
    )


def ask(
    store: Store,
    settings: Settings = SETTINGS,
    *,
    now: float = NOW,
    learned_runs: tuple[str, ...] = (),
    busy: bool = False,
) -> Decision:
    return decide(store, settings, learned_runs=learned_runs, now=now, busy=busy)


def test_enough_new_work_of_several_sessions_is_due(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    assert ask(store) == Decision(True, "12 new examples with text of your own", {}, 12)


def test_too_little_is_said_with_how_much_is_missing(store: Store) -> None:
    assert ask(store).missing == {"interactions": 10}
    work(store, {"a": 4, "b": 3})
    found = ask(store)
    assert (found.due, found.fresh, found.missing) == (False, 7, {"interactions": 3})
    assert found.reason == (
        "7 of 10 new examples with text of your own; 3 are missing; "
        "`qi-learn train --now` takes at least 6 from 4 sessions"
    )
    few = ask(store, replace(SETTINGS, gate=GateSettings(min_examples=8)))
    assert few.reason == "7 of 10 new examples with text of your own; 3 are missing", "no sooner"


def test_as_few_as_are_said_to_be_enough_are_enough_and_one_fewer_is_not() -> None:
    sessions = ["a", "a", "b", "c", "d", "d"]
    assert len(assign(sessions, [True] * 6, min_gate=4)) == 6
    for fewer in (sessions[1:], ["a", "b", "b", "c", "c", "c"]):
        with pytest.raises(Refused):
            assign(fewer, [True] * len(fewer), min_gate=4)


def test_low_scores_and_what_is_learned_do_not_count(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    work(store, {"d": 9}, first=20, score=0.5)
    assert ask(store).fresh == 12
    cycle(store, "R1", "deployed", NOW - 2 * DAY, turns=range(5), fresh=12)
    assert (ask(store, learned_runs=("R1",)).fresh, ask(store, learned_runs=("R1",)).due) == (
        7,
        False,
    )
    assert ask(store, learned_runs=("other",)).fresh == 12


def test_what_was_kept_as_it_was_is_counted_apart_and_starts_no_cycle(store: Store) -> None:
    work(store, {"a": 3, "b": 3})
    agreed(store, dict.fromkeys("uvwxyz", 9), first=100)
    found = ask(store)
    assert (found.due, found.fresh, found.kept) == (False, 6, 54)
    assert found.missing == {"interactions": 4}
    assert found.reason == (
        "6 of 10 new examples with text of your own; 4 are missing "
        "(54 more were kept as they were); `qi-learn train --now` takes at least 6 from 4 sessions"
    )
    work(store, {"c": 4, "d": 2}, first=20)
    words = "12 new examples with text of your own (54 more were kept as they were)"
    assert ask(store) == Decision(True, words, {}, 12, 54)
    assert ask(store, busy=True).kept == 54


def test_what_was_kept_as_it_was_makes_no_session_one_sided_and_evens_none_out(
    store: Store,
) -> None:
    work(store, {"a": 10, "b": 3})
    agreed(store, dict.fromkeys("uvw", 9), first=100)
    assert "one-sided: 10 of 13 examples" in ask(store).reason


def test_one_sided_and_unsplittable_work_is_not_learned(store: Store) -> None:
    work(store, {"a": 10, "b": 3})
    found = ask(store)
    assert (found.due, found.missing) == (False, {})
    assert "one-sided: 10 of 13 examples come from one session (a): at least 7 more" in found.reason
    few = ask(store, replace(SETTINGS, gate=GateSettings(min_examples=25)))
    assert not few.due
    assert "one-sided: 10 of 13" in few.reason
    assert "13 examples with text of your own are too few: the gate alone needs 25" in few.reason, (
        "both at once"
    )


def test_what_leaves_nothing_to_train_on_is_not_learned(store: Store) -> None:
    work(store, {"a": 6, "b": 6})
    found = ask(store, replace(SETTINGS, gate=GateSettings(min_examples=7)))
    assert not found.due
    assert "Nothing is left to train on" in found.reason


def test_off_and_busy_wait_but_still_count(store: Store) -> None:
    work(store, {"a": 6, "b": 6})
    for found, word in (
        (ask(store, with_train(auto=False)), "train --now"),
        (ask(store, busy=True), "under way"),
    ):
        assert (found.due, found.fresh) == (False, 12)
        assert word in found.reason


def test_the_interval_counts_from_the_end_of_the_last_cycle(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    cycle(store, "R1", "failed", NOW - DAY + 3600)
    cycle(store, "R0", "failed", NOW - 3 * DAY)
    found = ask(store)
    assert (found.due, found.missing) == (False, {"seconds": 3600.0})
    assert found.reason == "the last cycle was less than 24.0 h ago; 60 min to go"
    assert ask(store, now=NOW + 3600).due
    assert ask(store, with_train(training_interval=0.0)).due
    cycle(store, "R2", "trained", NOW)  # one that has not ended is no end
    assert ask(store, now=NOW + 3600).due


def test_after_a_refusal_it_takes_a_quarter_more(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    cycle(store, "R1", "refused", NOW - 2 * DAY, fresh=10)
    found = ask(store)
    assert (found.due, found.missing) == (False, {"interactions": 1})
    assert "13 new examples" in found.reason
    work(store, {"c": 1}, first=12)
    assert ask(store).due


def test_a_refusal_before_the_live_version_says_nothing_any_more(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    cycle(store, "R1", "refused", NOW - 9 * DAY, fresh=50)
    cycle(store, "R2", "deployed", NOW - 5 * DAY, fresh=63)
    assert ask(store, learned_runs=("R2",)).due
    # rolled back: what it was made of alone is no reason to make it again
    found = ask(store)
    assert (found.due, found.missing) == (False, {"interactions": 79 - 12})


# --- schedule -------------------------------------------------------------------------------------


def test_with_a_schedule_cycles_start_at_its_times_only(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    noon = with_train(schedule="0 12 * * *")
    for late, due in (
        (-1, False),
        (0, True),
        (0.5, True),
        (GRACE, True),
        (GRACE + 1, False),
        (3600, False),
    ):
        assert ask(store, noon, now=NOW + late).due is due, late
    assert "train.schedule (0 12 * * *)" in ask(store, noon, now=NOW + 3600).reason


def test_a_scheduled_time_starts_one_cycle_and_a_daily_one_comes_daily(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    noon = with_train(schedule="0 12 * * *")
    cycle(store, "R1", "failed", NOW + 65)  # started 5 s past, ended a minute later
    assert not ask(store, noon, now=NOW + 120).due
    assert not ask(
        store, replace(noon, train=replace(noon.train, training_interval=0.0)), now=NOW + 120
    ).due
    assert ask(store, noon, now=NOW + DAY + 1).due


def test_a_schedule_that_is_none_is_an_error_that_says_so(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    with pytest.raises(SettingsError, match=r"train\.schedule = 'at night' is not a cron line"):
        ask(store, with_train(schedule="at night"))


# --- a clock that jumps ---------------------------------------------------------------------------


def run(ended: float) -> Run:
    return Run("R", "failed", None, ended - 60, ended, None, 10, 0)


@given(st.floats(-400 * DAY, 400 * DAY), st.floats(0, 30 * DAY))
def test_a_wait_is_never_longer_than_two_intervals(ahead: float, interval: float) -> None:
    left = _interval_left([run(NOW + ahead)], with_train(training_interval=interval), NOW)
    assert left <= 2 * interval + 1e-3


@given(st.floats(0.0, 1.0))
def test_a_clock_set_back_by_less_than_the_interval_never_shortens_the_wait(part: float) -> None:
    back = part * DAY  # the cycle ended just now; then the clock was set back
    assert _interval_left([run(NOW)], SETTINGS, NOW - back) >= DAY


def test_a_clock_that_was_years_ahead_does_not_start_the_same_cycle_again(store: Store) -> None:
    """The end of the cycle is not believed; the counts hold without a clock."""
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    years = 4 * 365 * DAY
    cycle(store, "R1", "refused", NOW + years, fresh=12)
    found = ask(store)
    assert (found.due, found.missing) == (False, {"interactions": 3})
    cycle(store, "R2", "deployed", NOW + years, turns=range(12), fresh=12)
    assert ask(store, learned_runs=("R2",)).missing == {"interactions": 10}
    work(store, {"e": 3, "f": 3, "g": 3, "h": 3}, first=20)
    assert ask(store, learned_runs=("R2",)).due


def test_a_cycle_after_the_jump_is_believed_again(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    cycle(store, "R1", "failed", NOW + 1000 * DAY)
    assert ask(store).due
    cycle(store, "R2", "failed", NOW + 60)
    assert ask(store, now=NOW + 120).missing == {"seconds": DAY - 60}


def test_deciding_over_a_thousand_turns_is_no_burden(store: Store) -> None:
    """Not a measure of speed: the number of statements grows with the turns and not with their
    square.
    """
    counts = []
    for first, more in ((0, 100), (100, 100)):
        work(store, {f"s{n}": 10 for n in range(first // 10, (first + more) // 10)}, first=first)
        seen: list[str] = []
        store.conn.set_trace_callback(seen.append)
        ask(store)
        store.conn.set_trace_callback(None)
        counts.append(len(seen))
    assert counts[1] < 2.2 * counts[0]


def test_after_a_cancelled_cycle_it_rests_whatever_the_interval_is(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    at_once = with_train(training_interval=0.0)
    cycle(store, "R1", "refused", NOW - 9000, fresh=1)
    cycle(store, "R2", "cancelled", NOW - 600, fresh=12)
    found = ask(store, at_once)
    assert (found.due, found.reason, found.missing) == (
        False,
        "the last cycle was cancelled; 50 min to go",
        {"seconds": 3000.0},
    )
    assert ask(
        store, at_once, now=NOW + 3001
    ).due  # and it takes no more examples than before: they were not refused
    assert ask(store, at_once, now=NOW - 5000).due  # a clock that was set back makes it no longer
    assert not ask(store, with_train(training_interval=DAY), now=NOW + 3001).due


def test_a_cycle_whose_time_had_come_waits_on_after_the_grace(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    nightly = with_train(schedule="30 2 * * *")
    morning = datetime(2026, 11, 20, 8, 0).astimezone().timestamp()
    assert not decide(store, nightly, learned_runs=(), now=morning, busy=False).due
    assert decide(store, nightly, learned_runs=(), now=morning, busy=False, waiting=True).due


# --- looked at once -------------------------------------------------------------------------------


def test_a_turn_is_looked_at_once_until_it_is_scored_again(store: Store) -> None:
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    assert ask(store).fresh == 12
    with asked(store) as statements:
        assert ask(store).fresh == 12
    assert not [s for s in statements if "FROM messages" in s or "WITH RECURSIVE" in s]
    feedback.save_score(store, as_redacted(Score("turn-0003", 0.5, 0.5, 0.3, "x")))
    assert ask(store).fresh == 11
    feedback.save_score(store, as_redacted(Score("turn-0003", 0.5, 0.5, 0.9, "x")))
    assert ask(store).fresh == 12


def test_what_is_off_or_busy_loads_no_examples(store: Store) -> None:
    work(store, {"a": 6, "b": 6})
    ask(store)
    for off, busy in ((True, False), (False, True)):
        with asked(store) as statements:
            ask(store, with_train(auto=not off), busy=busy)
        queries = [s for s in statements if s != "PRAGMA data_version"]
        assert len(queries) <= 2, statements


def test_more_than_one_look_can_take_is_told_and_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger, "JUDGED_AT_ONCE", 5)
    work(store, {"a": 3, "b": 3, "c": 3, "d": 3})
    first = ask(store)
    assert (first.due, first.fresh) == (False, 5)
    assert "still being looked through" in first.reason
    assert (ask(store).fresh, ask(store)) == (
        10,
        Decision(True, "12 new examples with text of your own", {}, 12),
    )


def test_with_learning_off_too_it_is_told_that_there_is_more_to_look_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trigger, "JUDGED_AT_ONCE", 5)
    work(store, {"a": 4, "b": 4})
    off = with_train(auto=False)
    first, second = ask(store, off), ask(store, off)
    assert (first.reason, first.fresh) == (trigger.STILL_LOOKING, 5)
    assert (second.fresh, "train --now" in second.reason) == (8, True)


def test_two_that_say_the_same_count_once_also_if_one_is_learned(store: Store) -> None:
    for n, session in enumerate(("a", "b", "c")):
        same = turn(n, question="Write it.", session=session)
        keep(store, same, suggestion(same, final="def area(r):\n    return 1 * r\n"))
    assert ask(store).fresh == 1
    cycle(store, "R1", "deployed", NOW - 2 * DAY, turns=range(1, 2), fresh=1)
    assert ask(store, learned_runs=("R1",)).fresh == 0


def test_a_reader_counts_what_the_daemon_has_looked_at(store: Store, tmp_path: Path) -> None:
    work(store, {"a": 6, "b": 6})
    with open_store(tmp_path / "store.db", readonly=True) as reader:
        assert ask(reader).fresh == 0
        ask(store)
        assert ask(reader).fresh == 12


@contextmanager
def asked(store: Store) -> Iterator[list[str]]:
    """The statements that SQLite is given."""
    statements: list[str] = []
    store.conn.set_trace_callback(statements.append)
    yield statements
    store.conn.set_trace_callback(None)


@pytest.mark.parametrize("auto", [False, True])
def test_a_decision_reads_no_conversation_and_the_next_one_only_what_is_new(
    store: Store, auto: bool
) -> None:
    """It is asked every second: it costs the same with any number of examples."""
    steps, statements = [], set[str]()
    for sessions in (4, 36):
        work(store, {f"{sessions}-{n}": 10 for n in range(sessions)}, first=sessions)
        settings, examples = with_train(auto=auto), FreshExamples()
        for _ in range(2):  # the first one of a process, and the next
            while ask(store, settings).reason == trigger.STILL_LOOKING:
                pass
            taken = itertools.count()
            store.conn.set_progress_handler(partial(_note, taken), 1)
            store.conn.set_trace_callback(statements.add)
            decide(store, settings, learned_runs=(), now=NOW, busy=False, examples=examples)
            store.conn.set_progress_handler(None, 0)
            store.conn.set_trace_callback(None)
            steps.append(next(taken))
    first, again, first_of_many, again_of_many = steps
    assert again_of_many < again + 100 < first
    assert first_of_many < 20 * first
    assert [each for each in statements if re.search(r"\bmessages\b", each)] == []


def _note(taken: Iterator[int]) -> int:
    next(taken)
    return 0  # go on
