"""A home from before fates: a rejection that nothing tells of becomes unknown, the others stay."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils

from qi_learn.records import Fate, Message
from qi_learn.store import backfill, feedback
from qi_learn.store.database import SCHEMA, Store, open_store
from qi_learn.store.schema import migrations
from qi_learn.store.turns import message_hash

BEFORE = "m014_fates"
GONE = {"state": "settled", "placed_at": 20.0, "settled_at": 30.0, "similarity": 0.0}
HELD = {**GONE, "final_text": "x = 1\n"}
NOT_FOUND = {"state": "settled", "settled_at": 30.0, "touched_at": 20.0}
CELL: dict[str, object] = {"file": "work.ipynb", "region": '    "x = 1\\n",'}
Row = dict[str, object]
CASES: dict[str, tuple[Row, bool | None, Row, Fate | None]] = {
    "not-found": (NOT_FOUND, False, {}, "unknown"),
    "undone": (GONE, False, {}, "rejected"),
    "reverted": ({**HELD, "similarity": 1.0, "reverted": 1}, False, {}, "rejected"),
    "rewritten": ({**HELD, "similarity": 0.3}, False, {}, "rejected"),
    "kept": ({**HELD, "similarity": 1.0}, True, {}, "kept"),
    "edited": ({**HELD, "similarity": 0.7}, True, {}, "edited"),
    "kept-in-a-notebook": ({**HELD, **CELL, "similarity": 1.0}, True, {}, "unknown"),
    "gone-from-a-notebook": ({**GONE, **CELL}, False, {}, "unknown"),
    "in-a-notebook": ({"state": "placed", "placed_at": 20.0, **CELL}, None, {}, "unknown"),
    "liked-in-a-notebook": ({**GONE, **CELL}, False, {"rating": 5}, "unknown"),
    "waiting": ({"state": "waiting"}, None, {}, None),
    "placed": ({"state": "placed", "placed_at": 20.0, "touched_at": 20.0}, None, {}, None),
    "late": ({"state": "unknown"}, None, {}, "unknown"),
    "liked-and-not-found": (NOT_FOUND, False, {"rating": 5}, "unknown"),
    "liked-and-undone": (GONE, False, {"rating": 4}, "unknown"),
    "disliked-and-not-found": (NOT_FOUND, False, {"rating": 1}, "rejected"),
    "disliked-and-waiting": ({"state": "waiting"}, None, {"rating": 2}, "rejected"),
    "corrected": (NOT_FOUND, False, {"rating": 3, "correction": "x = 2"}, "edited"),
}
"""By turn: its suggestion, what its feedback said, its rating, and its fate today."""


def old_home(place: Path, copies: int = 1) -> None:
    """A database as the version before fates left it."""
    conn = sqlite3.connect(place)
    names = [migration.name for migration in migrations._migrations]
    migrations.apply(sqlite_utils.Database(conn), stop_before=BEFORE)
    conn.execute(f"PRAGMA user_version = {names.index(BEFORE)}")
    conn.execute("PRAGMA journal_mode = WAL")
    answer = Message("assistant", "x = 1")
    own = message_hash("", answer)
    _insert(conn, "messages", hash=own, role="assistant", content=answer.content)
    for copy in range(copies):
        for word, (suggestion, accepted, rating, _) in CASES.items():
            _add(conn, f"{word}-{copy}", own, suggestion, accepted, rating)
    conn.commit()
    conn.close()


def _add(
    conn: sqlite3.Connection,
    id: str,
    answer: str,
    suggestion: Row,
    accepted: bool | None,
    rating: Row,
) -> None:
    head = {"id": id, "endpoint": "/api/chat", "model_asked": "m", "model_answered": "m"}
    seen = {"started": 1.0, "ended": 2.0, "status": 200, "cancelled": 0, "complete": 1}
    _insert(conn, "turns", **head, **seen, answer=answer, redacted=0, dirty=0, project="/p")
    place = {"turn_id": id, "ordinal": 0, "text": "x = 1", "start": 3, "end": 8, "reverted": 0}
    place |= {"before": "[]", "after": "[]"}
    _insert(conn, "suggestions", **place | suggestion)
    if accepted is not None:
        _insert(conn, "feedback", turn_id=id, accepted=accepted)
    if rating:
        _insert(conn, "ratings", id=f"R-{id}", ts=40.0, asked=id, turn_id=id, **rating)


def _insert(conn: sqlite3.Connection, table: str, **values: object) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    conn.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def check(store: Store, copies: int = 1) -> None:
    """Every suggestion has its fate, and what R2 calls accepted follows from it."""
    assert store.row("PRAGMA user_version")[0] == SCHEMA  # type: ignore[index]
    assert store.rows("SELECT * FROM backfill") == []
    accepted = {"kept": True, "edited": True, "rejected": False}
    for word, (_, _, _, fate) in CASES.items():
        for copy in range(copies):
            (found,) = feedback.suggestions_of(store, f"{word}-{copy}")
            seen = feedback.load_feedback(store, f"{word}-{copy}")
            assert (word, found.fate) == (word, fate)
            assert (word, seen.accepted) == (word, accepted.get(fate or ""))
    rejected = {word for word, case in CASES.items() if case[3] == "rejected"}
    assert {id.rsplit("-", 1)[0] for id in feedback.rejected_turns(store)} == rejected


def test_a_rejection_without_a_sign_becomes_unknown_and_others_stay(tmp_path: Path) -> None:
    place = tmp_path / "qi-learn.db"
    old_home(place)
    with open_store(place) as store:
        check(store)
        (late,) = feedback.suggestions_of(store, "not-found-0")
        assert (late.state, late.settled_at) == ("unknown", None)


def test_what_was_found_in_the_json_of_a_notebook_is_no_region_any_more(tmp_path: Path) -> None:
    place = tmp_path / "qi-learn.db"
    old_home(place)
    with open_store(place) as store:
        for word in ("kept-in-a-notebook", "gone-from-a-notebook", "in-a-notebook"):
            (found,) = feedback.suggestions_of(store, f"{word}-0")
            assert (found.state, found.file, found.region) == ("unknown", None, None)
            assert (found.placed_at, found.final_text, found.similarity) == (None, None, None)
            seen = feedback.load_feedback(store, f"{word}-0")
            assert (seen.accepted, seen.final_version) == (None, None)
        assert (
            store.rows(
                "SELECT 1 FROM suggestions WHERE since IS NOT NULL AND file IS NULL "
                "AND state = 'unknown'"
            )
            == []
        )


def test_what_lost_its_verdict_is_scored_anew(tmp_path: Path) -> None:
    place = tmp_path / "qi-learn.db"
    old_home(place)
    with open_store(place) as store:
        anew = {turn.removesuffix("-0") for turn in feedback.dirty_turns(store)}
    assert {"kept-in-a-notebook", "gone-from-a-notebook", "in-a-notebook"} <= anew
    assert {"not-found", "liked-and-not-found", "liked-and-undone", "corrected"} <= anew
    assert not anew & {"kept", "edited", "undone", "rewritten", "waiting", "placed", "late"}


def test_what_waited_or_was_placed_is_followed_on(tmp_path: Path) -> None:
    place = tmp_path / "qi-learn.db"
    old_home(place)
    with open_store(place) as store:
        states = {
            word: feedback.suggestions_of(store, f"{word}-0")[0].state
            for word in ("waiting", "placed")
        }
    assert states == {"waiting": "waiting", "placed": "placed"}


def test_the_copy_of_the_older_home_has_the_rejections(tmp_path: Path) -> None:
    place = tmp_path / "qi-learn.db"
    old_home(place)
    open_store(place).close()
    (backup,) = tmp_path.glob("qi-learn.db.schema-*.backup")
    copy = sqlite3.connect(backup)
    sql = "SELECT accepted FROM feedback WHERE turn_id = 'not-found-0'"
    assert copy.execute(sql).fetchone() == (0,)
    copy.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from qi_learn.store import backfill
from qi_learn.store.database import open_store

left = int(sys.argv[2])
name_fates = backfill.name_fates
def name_and_die(conn, turn):
    global left
    left -= 1
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
    name_fates(conn, turn)
backfill.BATCH, backfill.name_fates = 5, name_and_die
open_store(Path(sys.argv[1])).close()
"""


def test_stopped_in_the_middle_it_goes_on_and_ends_as_if_it_was_not(tmp_path: Path) -> None:
    place, script, copies = tmp_path / "qi-learn.db", tmp_path / "migrate.py", 4
    old_home(place, copies)
    script.write_text(KILLED)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    codes = [
        subprocess.run(
            [sys.executable, str(script), str(place), str(steps)], env=env, check=False
        ).returncode
        for steps in (1, 3, 12, 8, 17, 999)
    ]
    assert codes == [*[-signal.SIGKILL] * 5, 0]
    with open_store(place) as store:
        check(store, copies)


@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_the_size_of_a_batch_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(backfill, "BATCH", batch)
    place = tmp_path / "qi-learn.db"
    old_home(place, 2)
    with open_store(place) as store:
        check(store, 2)
