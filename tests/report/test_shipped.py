"""`status` and `explain` say how the live version does beside the one before it."""

from __future__ import annotations

from qi_learn import codec
from qi_learn.cycle.night import Night, end_night
from qi_learn.paths import Paths
from qi_learn.records import Event, MonitoredSession, MonitoredText, VersionPair
from qi_learn.report import status
from qi_learn.report.explain import as_text, explain
from qi_learn.settings import GateSettings, Settings
from qi_learn.store import turns
from qi_learn.store.database import open_store
from qi_learn.store.monitored import apply_monitored
from qi_learn.store.releases import apply_release
from tests.support.redacted import as_redacted
from tests.support.stored_turns import a_turn

PAIR = VersionPair("E1", "1.1.0", "1.0.0", 50.0)


def went_live(paths: Paths) -> None:
    body = {"action": "released", "version": "1.1.0", "alias": "qi-agent:latest"}
    with open_store(paths.database) as store:
        apply_release(store, as_redacted(Event("E1", "release", 50.0, "cycle", body)))


def count(paths: Paths, sessions: int, live_nll: float, *, first: int = 0) -> None:
    """So many sessions of a text of 300 tokens each, which cost 1,000 to read."""
    with open_store(paths.database) as store:
        for n in range(first, first + sessions):
            turn, session = f"M{n}", f"s{n}"
            turns.save_turn(store, as_redacted(a_turn(turn)))
            told = MonitoredSession(
                PAIR, session, (MonitoredText(turn, 300, live_nll, 0.0),), 1.0, 1.0, 1000
            )
            body = {"action": "monitored", "version": "1.1.0", "monitored": codec.plain(told)}
            event = Event(f"E{n}m", "release", 100.0 + n, "cycle", body)
            apply_monitored(store, as_redacted(event))


def compared(paths: Paths) -> list[str]:
    text = status.as_text(status.gather(paths, Settings()))
    return [line for line in text.splitlines() if line.startswith("compared ")]


def test_nothing_is_said_before_a_version_shipped(paths: Paths) -> None:
    assert status.gather(paths, Settings()).shipped is None
    assert compared(paths) == []


def test_a_version_that_just_shipped(past: Paths) -> None:
    assert compared(past) == [
        "compared    not with v1.0.0: it is not known yet when v1.1.0 went live"
    ]
    went_live(past)
    assert compared(past) == ["compared    with v1.0.0 at night: nothing new was counted yet"]
    end_night(past.night, Night("2026-11-30"), "the file of v1.0.0 cannot be read here")
    assert compared(past) == ["compared    not with v1.0.0: the file of v1.0.0 cannot be read here"]
    shown = explain(past, Settings(), "v1.1.0")
    assert "after it went live" not in as_text(shown)
    assert "monitored" not in shown.records


def test_one_that_is_surely_worse(past: Paths) -> None:
    went_live(past)
    count(past, 3, 30.0)
    (line,) = compared(past)
    assert "0.100 nat a token worse than v1.0.0 on 3 texts of 3 sessions" in line
    assert "rollback" not in line
    count(past, 60, 30.0)
    (line,) = compared(past)
    assert "(enough is 20): it is worse (`qi-learn rollback` goes back to v1.0.0)" in line
    found = status.gather(past, Settings()).shipped
    assert found is not None
    assert found.known is not None
    assert found.known.worse > 20 > 1 > found.known.better
    shown = explain(past, Settings(), "1.1.0")
    assert "  after it went live: 0.100 nat a token worse than v1.0.0" in as_text(shown)
    assert shown.records["monitored"] == [codec.plain(found.known)]
    assert shown.records["monitored"][0]["pair"]["previous"] == "1.0.0"


def test_one_that_is_surely_better(past: Paths) -> None:
    went_live(past)
    count(past, 63, -30.0)
    (line,) = compared(past)
    assert "0.100 nat a token better than v1.0.0" in line
    assert "(enough is 20): it is better; 63,000 tokens read" in line


def test_what_was_shown_once_and_is_no_longer_so_calls_for_nothing(past: Paths) -> None:
    went_live(past)
    count(past, 63, 30.0)
    count(past, 90, -60.0, first=63)
    (line,) = compared(past)
    assert "nat a token better than v1.0.0" in line
    assert ": that it is worse was shown once (" in line
    assert "and not since" in line
    assert "rollback" not in line


def test_a_comparison_that_is_switched_off_is_said_to_be(past: Paths) -> None:
    went_live(past)
    state = status.gather(past, Settings(gate=GateSettings(night_tokens=0)))
    assert (
        "compared    not with v1.0.0: switched off (gate.night_tokens = 0)"
        in status.as_text(state).splitlines()
    )
