"""A home of an older version is brought up in batches; killed anywhere, it goes on from there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils

from qi_learn.records import Message, Turn
from qi_learn.store import backfill, feedback, turns
from qi_learn.store.backups import expire_backups
from qi_learn.store.database import SCHEMA, open_store
from qi_learn.store.schema import migrations
from qi_learn.store.turns import message_hash
from tests.support.command_line import wait_until
from tests.support.redacted import as_redacted

TOOLS = [
    {"type": "function", "function": {"name": f"tool_{n}", "description": "x" * 400}}
    for n in range(5)
]
TURNS = 60


def old_home(place: Path, count: int = TURNS) -> None:
    """A database as versions 0.1 and 0.2 left it: schema 4, tools and contexts in every turn."""
    conn = sqlite3.connect(place)
    migrations.apply(sqlite_utils.Database(conn), stop_before=migrations._migrations[4].name)
    conn.execute("PRAGMA user_version = 4")
    conn.execute("PRAGMA journal_mode = WAL")
    request = json.dumps({"tools": TOOLS, "context": list(range(500)), "think": True})
    context = json.dumps({"language": "python", "files": ["a.py"] * 40})
    question = Message("user", "hello")
    tip = message_hash("", question)
    conn.execute("INSERT INTO messages VALUES (?, NULL, 'user', 'hello', NULL)", (tip,))
    names = (
        "id, endpoint, model_asked, model_answered, tip, answer, started, ended, request, status, "
        "cancelled, complete, project, context, redacted, dirty, domain, learning_type"
    )
    for n in range(count):
        answer = Message("assistant", f"x_{n} = {n}\n")
        own = message_hash(tip, answer)
        conn.execute(
            "INSERT INTO messages VALUES (?, ?, 'assistant', ?, NULL)", (own, tip, answer.content)
        )
        values = (
            *(f"T{n}", "/api/chat", "m", "m", tip, own, float(n), n + 1.0, request, 200, 0, 1),
            *("/p", context, 0, 0, "web" if n % 3 else "cli", "code_generation"),
        )
        marks = ", ".join("?" * len(values))
        conn.execute(f"INSERT INTO turns ({names}) VALUES ({marks})", values)
        conn.execute(
            'INSERT INTO suggestions (turn_id, ordinal, text, start, "end", state, reverted, '
            "touched_at) VALUES (?, 0, 'x', 0, 1, ?, 0, ?)",
            (f"T{n}", ("waiting", "placed")[n % 2], n + 5.0),
        )
    conn.commit()
    conn.close()


def check(place: Path, count: int = TURNS) -> None:
    """All is there as it was, the tools once."""
    with open_store(place) as store:
        assert store.row("PRAGMA user_version")[0] == SCHEMA  # type: ignore[index]
        assert store.rows("SELECT * FROM backfill") == []
        assert store.row("SELECT count(*) FROM shapes")[0] == 2  # type: ignore[index]
        assert turns.verify(store) == []
        for n in range(count):
            turn = turns.load_turn(store, f"T{n}")
            assert turn.request == {"tools": TOOLS, "think": True}
            assert turn.context["language"] == "python"
            assert (turn.answer, turn.messages) == (f"x_{n} = {n}\n", (Message("user", "hello"),))
        assert feedback.domain_share(store, "/p", "web") == pytest.approx(2 / 3, abs=0.02)
        assert store.row("SELECT count(*) FROM suggestions WHERE since IS NULL")[0] == 0  # type: ignore[index]


def test_an_older_home_comes_up_with_everything_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "qi-learn.db"
    old_home(place)
    monkeypatch.setattr(backfill, "BATCH", 7)
    check(place)
    backup = place.with_name("qi-learn.db.schema-4.backup")
    assert backup.exists()
    os.utime(backup, (1e9, 1e9))
    expire_backups(place, 1e9 + 29 * 86400)
    assert backup.exists()
    expire_backups(place, 1e9 + 31 * 86400)
    assert not backup.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from qi_learn.store import backfill, schema
from qi_learn.store.database import open_store

left = int(sys.argv[2])
def step():
    global left
    left -= 1
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
backfill.BATCH = 5
split, run = backfill.split_request, schema._run
def split_and_die(conn, request):
    step()
    return split(conn, request)
def run_and_die(db, *statements):
    for statement in statements:
        run(db, statement)
        step()
backfill.split_request, schema._run = split_and_die, run_and_die
open_store(Path(sys.argv[1])).close()
"""


def test_killed_again_and_again_it_goes_on_and_keeps_the_first_copy(tmp_path: Path) -> None:
    place, script = tmp_path / "qi-learn.db", tmp_path / "migrate.py"
    old_home(place)
    script.write_text(KILLED)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    codes = [
        subprocess.run(
            [sys.executable, str(script), str(place), str(steps)], env=env, check=False
        ).returncode
        for steps in (3, 20, 45, 12, 7, 23, 999)
    ]
    assert codes == [*[-signal.SIGKILL] * 6, 0]
    check(place)
    backup = sqlite3.connect(place.with_name("qi-learn.db.schema-4.backup"))
    kept = backup.execute("SELECT request FROM turns WHERE request LIKE '%tools%'").fetchall()
    assert len(kept) == TURNS  # the copy is of what was there before the first try


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_home_with_100_000_turns_is_stopped_in_the_middle_and_comes_up(tmp_path: Path) -> None:
    place, count = tmp_path / "qi-learn.db", 100_000
    old_home(place, count)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    words = "import sys; from pathlib import Path; from qi_learn.store.database import open_store; "
    command = [sys.executable, "-c", f"{words} open_store(Path(sys.argv[1])).close()", str(place)]
    done: list[int] = []
    for _ in range(5):
        process = subprocess.Popen(command, env=env)
        before = max(done, default=0)
        wait_until(lambda before=before: _shared(place) > before, 300)  # type: ignore[misc]
        process.kill()
        process.wait()
        done.append(_shared(place))
    assert done == sorted(set(done))
    assert done[-1] < count  # it was stopped in the middle, five times
    subprocess.run(command, env=env, check=True)
    check(place, count)


def _shared(place: Path) -> int:
    """How many turns have their tools apart; 0 before the table is there."""
    reader = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
    try:
        row = reader.execute("SELECT done FROM backfill").fetchone()
        return row[0] if row else 1 << 30
    except sqlite3.OperationalError:
        return 0
    finally:
        reader.close()


def test_a_shape_is_kept_once_and_a_tampered_one_is_found(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.db") as store:
        for n in range(3):
            turn = Turn(
                f"T{n}", "/api/generate", "m", "m", (Message("prompt", "p"),), "a", 1.0, 2.0,
                request={"tools": TOOLS, "suffix": "s" * 500, "context": [1, 2], "raw": True},
            )  # fmt: skip
            turns.save_turn(store, as_redacted(turn))
            assert turns.load_turn(store, f"T{n}").request == {
                "tools": TOOLS,
                "suffix": "s" * 500,
                "raw": True,
            }
        assert store.row("SELECT count(*) FROM shapes")[0] == 1  # type: ignore[index]
        assert turns.verify(store) == []
        store.execute("UPDATE shapes SET value = '[]'")
        assert turns.verify(store) == ["shape 1: its text is not what was stored"]
