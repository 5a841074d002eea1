"""Rounds of a daemon whose model server does not answer: evidence is taken in all the same."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from qi_learn.cycle.trigger import JUDGED_AT_ONCE, STILL_LOOKING
from qi_learn.daemon.daemon import Daemon
from qi_learn.paths import Paths
from qi_learn.records import EventKind, Message, Score, Suggestion, Turn
from qi_learn.settings import ServeSettings, Settings
from qi_learn.spool import Spool
from qi_learn.store import events, feedback, turns
from qi_learn.store.database import Store, open_store
from tests.support.command_line import wait_until
from tests.support.redacted import as_redacted
from tests.support.turn_events import turn_event

ALONE: tuple[EventKind, ...] = ("git", "hook", "edit")
SETTINGS = Settings(
    serve=ServeSettings(backend="ollama", base="base:latest", ollama="http://127.0.0.1:9")
)
DAY = 86400.0


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


def daemon_at(paths: Paths, now: float) -> Daemon:
    return Daemon(paths, SETTINGS, gateway=False, clock=lambda: now)


def test_events_without_a_table_of_their_own_go_after_90_days(paths: Paths) -> None:
    began = time.time()
    spool = Spool(paths.spool, "test")
    for kind in ALONE:
        spool.append(kind, {"n": 1})
    spool.append("rating", {"rating": 4})
    spool.close()
    for days, left in ((0.0, 1), (89.0, 1), (91.0, 0)):
        with daemon_at(paths, began + days * DAY) as daemon:
            daemon.tick()
            for kind in ALONE:
                assert len(events.events_of(daemon.store, kind)) == left, (kind, days)
            assert len(events.events_of(daemon.store, "rating")) == 1, "it counts once for ever"


def test_settling_goes_on_until_everything_that_came_is_scored(paths: Paths) -> None:
    spool = Spool(paths.spool, "gateway")
    for n in range(30):
        asked = {"messages": [{"role": "user", "content": f"Explain {n}."}]}
        said = (
            '{"message": {"role": "assistant", "content": "```python\\nx = 1\\n```"}, "done": true}'
        )
        spool.append("turn", turn_event("/api/chat", asked, said).body)
    spool.close()
    with Daemon(paths, SETTINGS, gateway=False) as daemon:
        daemon.settle(120)
        scored = daemon.store.rows("SELECT turn_id FROM scores")
        assert (len(scored), feedback.dirty_turns(daemon.store)) == (30, [])
        daemon.stop()
        daemon.settle(1000)  # does not wait any more: else this test times out


def test_a_decision_that_left_turns_is_taken_again_soon(paths: Paths) -> None:
    with open_store(paths.database) as store:
        keep(store, JUDGED_AT_ONCE + 50)
    with Daemon(paths, SETTINGS, gateway=False) as daemon:
        daemon.tick()
        assert (daemon.decision.reason, daemon.decision.kept) == (STILL_LOOKING, JUDGED_AT_ONCE)

        def decided() -> bool:
            daemon.tick()
            return daemon.decision.reason != STILL_LOOKING

        wait_until(decided, seconds=20)  # nothing new came: without it, in 30 seconds
        assert daemon.decision.kept == JUDGED_AT_ONCE + 50


def keep(store: Store, count: int) -> None:
    """Scored turns that may be learned, each of another text."""
    now = time.time()
    with store.transaction():
        for n in range(count):
            code = f"def total_{n}(prices):\n    return sum(prices) + {n}\n"
            turn = Turn(
                *(f"T{n:04d}", "/api/chat", "m", "m", (Message("user", f"Write {n}."),)),
                f"```python\n{code}```",
                started=now - 9000 + n,
                ended=now - 8999 + n,
                project="/p",
                session=f"s{n // 20}",
            )
            turns.save_turn(store, as_redacted(turn))
            settled = Suggestion(
                *(turn.id, 0, code, 10, 10 + len(code), "python", "settled", "a.py"),
                region=code,
                placed_at=now - 8000,
                touched_at=now - 8000,
                settled_at=now - 7000,
                final_text=code,
                similarity=1.0,
            )
            feedback.save_suggestions(store, as_redacted([settled]))
            feedback.save_classes(
                store, turn.id, "code_generation", "simple", "python", as_redacted([])
            )
            feedback.save_score(
                store, as_redacted(Score(turn.id, 0.9, 0.9, 0.9, code, (), (), now))
            )
