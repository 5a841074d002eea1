"""Opening the database: sound and of this version, or a refusal that says what to do; and never a
byte lost by trying.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import sqlite_utils

from qi_learn.errors import DiskFull, StoreError
from qi_learn.records import Event, Message, Turn
from qi_learn.store import audit, events, turn_lines, turns
from qi_learn.store.database import SCHEMA, open_store
from qi_learn.store.schema import migrations
from tests.support.redacted import as_redacted

TURN = Turn("T1", "/api/chat", "m", "m", (Message("user", "hello"),), "hi", 1.0, 2.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "qi-learn.db"


def filled(place: Path, count: int = 1) -> None:
    with open_store(place) as store, store.transaction():
        for i in range(count):
            turns.save_turn(
                store,
                as_redacted(
                    Turn(
                        f"T{i}",
                        "/api/chat",
                        "m",
                        "m",
                        (Message("user", f"hello {i} " + "x" * 500),),
                        "hi",
                        1.0,
                        2.0,
                    )
                ),
            )


def refusal(place: Path, **how: object) -> StoreError:
    with pytest.raises(StoreError) as caught:
        open_store(place, **how)  # type: ignore[arg-type]
    assert caught.value.hint
    return caught.value


# --- as it should be ------------------------------------------------------------------------------


def test_schema_is_the_number_of_its_migrations(place: Path) -> None:
    with open_store(place) as store:
        assert [row["name"] for row in store.rows("SELECT name FROM _sqlite_migrations")] == [
            m.name for m in migrations._migrations
        ]
        names = ("user_version", "journal_mode", "foreign_keys", "synchronous")
        assert [store.rows(f"PRAGMA {name}")[0][0] for name in names] == [SCHEMA, "wal", 1, 1]
        assert len(migrations._migrations) == SCHEMA
    assert not list(place.parent.glob("*.backup"))


def test_readers_read_while_the_writer_writes(place: Path) -> None:
    with open_store(place) as store:
        turns.save_turn(store, as_redacted(TURN))
        with open_store(place, readonly=True) as reader:
            assert turns.load_turn(reader, "T1") == TURN
            with store.transaction():
                store.execute("UPDATE turns SET project = 'p'")
                assert turns.load_turn(reader, "T1").project is None
            assert turns.load_turn(reader, "T1").project == "p"
            with pytest.raises(StoreError, match="readonly"):
                turns.set_project(reader, "T1", "q")


def test_a_path_may_have_any_name(tmp_path: Path) -> None:
    place = tmp_path / "a?b #c%20" / "ü.db"
    with open_store(place) as store:
        turns.save_turn(store, as_redacted(TURN))
    with open_store(place, readonly=True) as store:
        assert turns.load_turn(store, "T1") == TURN
    assert place.exists()


def test_a_transaction_is_all_or_nothing(place: Path) -> None:
    with open_store(place) as store:
        with suppress(RuntimeError), store.transaction():
            turns.save_turn(store, as_redacted(TURN))
            raise RuntimeError
        assert store.rows("SELECT * FROM messages") == []
        with store.transaction():
            with suppress(RuntimeError), store.attempt():
                turns.save_turn(store, as_redacted(TURN))
                raise RuntimeError
            audit.append(store, 1.0, "x", {})
        assert (store.rows("SELECT * FROM messages"), len(audit.entries(store, limit=9))) == ([], 1)


# --- from another version -------------------------------------------------------------------------


@pytest.mark.parametrize("known", range(1, SCHEMA))
def test_every_earlier_schema_is_brought_up_with_its_rows(place: Path, known: int) -> None:
    old = sqlite3.connect(place)
    migrations.apply(sqlite_utils.Database(old), stop_before=migrations._migrations[known].name)
    old.execute(f"PRAGMA user_version = {known}")
    old.execute("INSERT INTO messages (hash, role, content) VALUES ('h', 'user', 'kept')")
    old.execute("INSERT INTO events VALUES ('E1', 'git', 1.0, 'hook', 'person', NULL, '{}', 2.0)")
    old.commit()
    old.close()
    before = sqlite3.connect(place).execute("SELECT sql FROM sqlite_master").fetchall()

    assert "older version" in refusal(place, readonly=True).what
    with open_store(place) as store:
        assert store.row("SELECT content FROM messages")[0] == "kept"  # type: ignore[index]
        assert events.events_of(store, "git") == [
            Event("E1", "git", 1.0, "hook", {}, "person", None)
        ]
        assert turns.save_turn(store, as_redacted(TURN))
        assert audit.append(store, 1.0, "x", {})
    backup = sqlite3.connect(place.with_name(f"qi-learn.db.schema-{known}.backup"))
    assert backup.execute("SELECT sql FROM sqlite_master").fetchall() == before
    assert backup.execute("SELECT content FROM messages").fetchone() == ("kept",)
    with open_store(place):
        assert len(list(place.parent.glob("*.backup"))) == 1


def test_a_home_that_has_a_later_migration_gets_the_one_that_it_lacks(place: Path) -> None:
    """Numbers were left free for work that was done beside: what a home lacks goes by name."""
    old = sqlite3.connect(place)
    names = [migration.name for migration in migrations._migrations]
    assert names[9:11] == ["m011_turns_of_a_session", "m012_turns_of_no_project"]
    migrations.apply(sqlite_utils.Database(old), stop_before=names[10])
    old.execute("PRAGMA user_version = 10")
    old.close()
    with open_store(place) as store:
        sql = "SELECT name FROM sqlite_master WHERE name IN ('turns_by_session', 'turns_stray')"
        assert {row[0] for row in store.rows(sql)} == {"turns_by_session", "turns_stray"}
        assert store.row("PRAGMA user_version")[0] == SCHEMA  # type: ignore[index]
    assert place.with_name("qi-learn.db.schema-10.backup").exists()


def test_a_migration_killed_half_way_goes_on(place: Path) -> None:
    """The migrations that ran are known by name even if `user_version` was not yet written."""
    old = sqlite3.connect(place)
    migrations.apply(sqlite_utils.Database(old), stop_before=migrations._migrations[2].name)
    old.close()
    with open_store(place) as store:
        assert turns.save_turn(store, as_redacted(TURN))
        assert store.row("PRAGMA user_version")[0] == SCHEMA  # type: ignore[index]


@pytest.mark.parametrize("readonly", [True, False])
def test_a_newer_database_is_not_touched(place: Path, readonly: bool) -> None:
    filled(place)
    conn = sqlite3.connect(place)
    conn.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    conn.execute("PRAGMA journal_mode = DELETE")
    conn.close()
    before = place.read_bytes()
    error = refusal(place, readonly=readonly)
    assert "newer" in error.what
    assert "Upgrade qi-learn" in error.hint
    assert place.read_bytes() == before


# --- in the way -----------------------------------------------------------------------------------


def test_a_reader_without_a_database_is_told_to_start_the_daemon(place: Path) -> None:
    assert "qi-learn daemon" in refusal(place, readonly=True).hint
    assert not place.exists()


def test_a_second_writer_is_told_so(place: Path) -> None:
    with open_store(place) as store, store.transaction():
        turns.save_turn(store, as_redacted(TURN))
        assert "locked" in refusal(place, timeout=0.05).what
        with open_store(place, readonly=True) as reader:
            assert turn_lines.list_turns(reader, limit=9) == []
    with open_store(place, timeout=0.05) as store:
        assert turns.load_turn(store, "T1") == TURN


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be made" in refusal(tmp_path / "file" / "x.db").what


# --- damaged --------------------------------------------------------------------------------------


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize(
    "header",
    [
        b"\0" * 100,
        b"SQLite format 4\0" + b"\xff" * 84,
        b"not a database, but long enough to be taken for one" * 2,
    ],
)
def test_a_corrupt_header_is_refused_and_kept(place: Path, header: bytes, readonly: bool) -> None:
    filled(place, 50)
    content = header + place.read_bytes()[len(header) :]
    place.write_bytes(content)
    error = refusal(place, readonly=readonly)
    assert "damaged" in error.what
    assert "Nothing was deleted" in error.hint
    assert place.read_bytes() == content


def test_a_corrupt_page_is_found_when_opened_for_writing(place: Path) -> None:
    filled(place, 200)
    content = bytearray(place.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    found = 0
    for number in range(1, len(content) // page):
        torn = bytearray(content)
        torn[number * page : number * page + 64] = b"\xff" * 64
        place.write_bytes(torn)
        try:
            open_store(place).close()
        except StoreError as error:
            found += "damaged" in error.what
            assert place.read_bytes() == torn
    assert found == len(content) // page - 1


def test_a_truncated_database_is_refused(place: Path) -> None:
    filled(place, 200)
    place.write_bytes(place.read_bytes()[:-9000])
    assert "damaged" in refusal(place).what


# --- full disk ------------------------------------------------------------------------------------


def test_a_full_disk_at_any_size_loses_nothing_that_was_committed(place: Path) -> None:
    """Grows the limit until everything fits, as SQLite's own tests do: each time an error of ours
    or a success, and a sound database after it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    outcomes = []
    for limit in range(4096, 4_000_000, 70_000):
        fresh = place.with_name(f"{limit}.db")
        saved = 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with open_store(fresh) as store:
                for i in range(20):
                    turns.save_turn(
                        store,
                        as_redacted(
                            Turn(
                                f"T{i}",
                                "/api/chat",
                                "m",
                                "m",
                                (Message("user", str(i) * 20_000),),
                                "hi",
                                1.0,
                                2.0,
                            )
                        ),
                    )
                    saved += 1
            outcomes.append("done")
        except DiskFull as error:
            outcomes.append(error.what)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with open_store(fresh) as store:
            assert len(turn_lines.list_turns(store, limit=99)) == saved
            assert turns.verify(store) == []
        if outcomes[-1] == "done":
            break
    assert outcomes[-1] == "done"
    assert len(outcomes) > 10


# --- killed ---------------------------------------------------------------------------------------

KILLED_MIGRATION = """
import os, signal, sqlite3, sys
from pathlib import Path
from qi_learn.store import schema
from qi_learn.store.database import open_store

steps = int(sys.argv[2])
def step():
    global steps
    steps -= 1
    if steps <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
schema_run = schema._run
def run(db, *statements):
    for statement in statements:
        schema_run(db, statement)
        step()
schema._run = run
open_store(Path(sys.argv[1])).close()
"""


def test_killed_while_making_the_schema_it_is_made_the_next_time(
    place: Path, tmp_path: Path
) -> None:
    script = tmp_path / "migrate.py"
    script.write_text(KILLED_MIGRATION)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    codes = [
        subprocess.run(
            [sys.executable, str(script), str(place), str(steps)], env=env, check=False
        ).returncode
        for steps in (1, 9, 14, 10, 8, 999)
    ]
    assert codes == [-9, -9, -9, -9, -9, 0]
    with open_store(place) as store:
        assert turns.save_turn(store, as_redacted(TURN))
        assert turns.verify(store) == audit.verify(store) == []
