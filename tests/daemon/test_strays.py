"""What is of no project and was not rated loses its texts after a day, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.daemon.daemon import Daemon
from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.spool import Spool, frame
from qi_learn.store import turns
from tests.daemon.test_rounds_of_the_daemon import DAY, SETTINGS
from tests.support.turn_events import turn_event

BEGAN = 1_790_000_000.0
QUESTION = "Where does it hurt?"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.under(tmp_path / "home").ensure()


def tick(paths: Paths, now: float) -> dict[str, bool]:
    """A round of the daemon at that time; of each turn, whether its question is there."""
    with Daemon(paths, SETTINGS, gateway=False, clock=lambda: now) as daemon:
        daemon.tick()
        rows = daemon.store.rows("SELECT id FROM turns ORDER BY id")
        return {row["id"]: bool(turns.load_turn(daemon.store, row["id"]).messages) for row in rows}


def record(paths: Paths, source: str, *named: tuple[str, str | None]) -> None:
    spool = Spool(paths.spool, source)
    said = '{"message": {"role": "assistant", "content": "Here."}, "done": true}'
    for id, project in named:
        asked = {"messages": [{"role": "user", "content": f"{QUESTION} {id}"}]}
        body = {**turn_event("/api/chat", asked, said).body, "started": BEGAN, "ended": BEGAN}
        spool.append_event(Event(id, "turn", BEGAN, source, body, "model", project), frame)
    spool.close()


def test_of_no_project_and_not_rated_is_cut_after_a_day(paths: Paths) -> None:
    record(paths, "gateway", ("A-STRAY", None), ("B-RATED", None), ("C-PLACED", "/work/shop"))
    record(paths, "import", ("D-IMPORTED", None))
    spool = Spool(paths.spool, "rate")
    spool.append("rating", {"turn": "B-RATED", "rating": 4})
    spool.close()
    assert set(tick(paths, BEGAN + 60).values()) == {True}
    assert set(tick(paths, BEGAN + DAY).values()) == {True}
    after = tick(paths, BEGAN + DAY + 120)
    assert [id for id, there in after.items() if not there] == ["A-STRAY"]


def test_what_was_taken_in_late_has_its_day(paths: Paths) -> None:
    record(paths, "gateway", ("A-STRAY", None))
    assert tick(paths, BEGAN + 3 * DAY) == {"A-STRAY": True}
    assert tick(paths, BEGAN + 4 * DAY + 60) == {"A-STRAY": False}


def test_many_are_cut_bit_by_bit(paths: Paths) -> None:
    record(paths, "gateway", *((f"T{n:03}", None) for n in range(120)))
    tick(paths, BEGAN + 60)
    now = BEGAN + 2 * DAY
    with Daemon(paths, SETTINGS, gateway=False, clock=lambda: now) as daemon:
        left = [120]
        while left[-1] and len(left) < 200:
            daemon.tick()
            sql = "SELECT count(*) FROM turns WHERE texts_gone IS NULL"
            left.append(int(daemon.store.rows(sql)[0][0]))
    assert left[-1] == 0
