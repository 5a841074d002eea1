"""`qi-learn import` where a log is not as it should be: torn, unreadable, no file, not of now."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qi_learn.importers import json_lines
from qi_learn.importers.opencode_sessions import read as read_opencode
from tests.support.foreign_logs import (
    ClaudeSession,
    codex_session,
    edits,
    jsonl,
    opencode_database,
    opencode_files,
    says,
)
from tests.support.imported_home import ImportedHome
from tests.support.odd_homes import STRANGER, as_user, root_only


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ImportedHome]:
    made = ImportedHome(tmp_path)
    yield made
    made.close()


def transcript(home: ImportedHome, name: str = "m.jsonl", **more: object) -> Path:
    """A transcript with one exchange; the directory of all."""
    given = {"at": home.began, "session": name, "project": home.project, **more}
    session = ClaudeSession(
        home.root / "claude" / "-shop" / name,
        Path(str(given["project"])),
        at=float(str(given["at"])),
        session=str(given["session"]),
    )
    session.asks("Rename x.")
    session.answers(f"of {name}", says("So:"), edits("t1", "a.py", "x", "y"))
    return session.file.parents[1]


ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
    "a link to nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("name", ["a.jsonl", "z.jsonl"], ids=["first", "last"])
def test_what_is_no_file_among_the_transcripts_keeps_none_from_being_read(
    home: ImportedHome, make: Callable[[Path], None], name: str
) -> None:
    directory = transcript(home)
    make(directory / "-shop" / name)
    assert home.bring("claude", directory).turns == 1


def test_codex_and_opencode_have_no_pipe_for_a_session(home: ImportedHome) -> None:
    sessions = home.root / "codex" / "sessions"
    jsonl(sessions / "rollout-2026-01-01-c.jsonl", codex_session(home.project, home.began))
    os.mkfifo(sessions / "rollout-2026-01-02-c.jsonl")
    assert home.bring("codex", home.root / "codex").turns == 2
    storage = opencode_files(home.root / "opencode", home.project, home.began)
    os.mkfifo(storage / "storage" / "session" / "prj" / "ses_2.json")
    assert home.bring("opencode", storage).turns == 2


@root_only
@pytest.mark.usefixtures("open_place")
def test_a_transcript_that_may_not_be_read_is_set_aside(home: ImportedHome) -> None:
    directory = transcript(home)
    transcript(home, "secret.jsonl")
    (directory / "-shop" / "secret.jsonl").chmod(0)
    for path in (home.root, *home.root.rglob("*")):
        if path.name != "secret.jsonl":
            os.chown(path, STRANGER, STRANGER)
    told = as_user(STRANGER, lambda: home.bring("claude", directory))
    assert "turns=1" in told, told
    assert "not_understood=1" in told, told
    alone = as_user(STRANGER, lambda: home.bring("claude", directory / "-shop" / "secret.jsonl"))
    assert alone.startswith("NotFound"), alone
    assert "Permission denied" in alone, alone


@pytest.mark.parametrize("cwd", ["C:\\Users\\me\\shop", "src", "~/shop", "."])
def test_a_directory_is_never_counted_from_where_the_import_was_started(
    home: ImportedHome, monkeypatch: pytest.MonkeyPatch, cwd: str
) -> None:
    monkeypatch.chdir(home.project)
    directory = transcript(home, project=cwd)
    assert home.bring("claude", directory).left_out == {"from no registered project": 1}


@pytest.mark.parametrize("cwd", ["/a\0b", "/\ud800", "/" + "x" * 5000, "//[/x"])
def test_a_directory_that_cannot_be_is_no_project(home: ImportedHome, cwd: str) -> None:
    file = transcript(home) / "-shop" / "m.jsonl"
    lines = [json.loads(line) | {"cwd": cwd} for line in file.read_text().splitlines()]
    file.unlink()
    jsonl(file, lines)
    assert home.bring("claude", file).left_out == {"from no registered project": 1}


def test_a_turn_of_a_time_to_come_is_left_out(home: ImportedHome) -> None:
    report = home.bring("claude", transcript(home, at=home.now + 400 * 86400))
    assert (report.turns, report.left_out) == (0, {"of a time to come": 1})


@pytest.mark.parametrize("when", ["NaN", "1e999", "-1e999", "1" + "0" * 400, '"soon"', "[]"])
def test_a_time_that_is_none_is_unknown(home: ImportedHome, when: str) -> None:
    conn = opencode_database(home.root / "opencode", home.project, home.began)
    home.open_databases.append(conn)
    conn.execute(
        "UPDATE message SET data = replace(data, '\"completed\": ', ?) WHERE id = 'msg_2'",
        (f'"completed": {when}, "then": ',),
    )
    assert home.bring("opencode", home.root / "opencode").turns == 1
    storage = opencode_files(home.root / "older", home.project, home.began)
    message = storage / "storage" / "message" / "ses_1" / "msg_2.json"
    message.write_text(message.read_text().replace('"created": ', f'"created": {when}, "c": '))
    assert home.bring("opencode", storage).turns == 2


def test_an_export_with_times_that_are_none_is_not_taken(home: ImportedHome) -> None:
    turn = {"id": "01M8FDS3NTD4X13N84PH84215J", "started": float("nan"), "ended": float("inf")}
    file = jsonl(home.root / "turns.jsonl", [{"format": "qi-learn turn 1", "turn": turn}])
    assert home.bring("jsonl", file).turns == 0


def test_a_line_that_fits_into_no_memory_is_read_past(
    home: ImportedHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 64 * 1024)
    directory = transcript(home)
    file = directory / "-shop" / "m.jsonl"
    said = file.read_text()
    file.write_text('{"type": "user", "x": "' + "x" * 300_000 + '"}\n' + said)
    report = home.bring("claude", directory)
    assert (report.turns, report.not_understood) == (1, 1)
    assert "longer than" in report.examples[0]
    file.write_text(said + '{"type": "user", "x": "' + "x" * 300_000)
    assert home.bring("claude", directory, again=True).not_understood == 0


# --- databases ------------------------------------------------------------------------------------


def closed_database(home: ImportedHome) -> Path:
    conn = opencode_database(home.root / "opencode", home.project, home.began)
    with closing(conn):
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return home.root / "opencode" / "opencode.db"


@root_only
@pytest.mark.usefixtures("open_place")
def test_a_database_that_lies_where_nothing_can_be_written_is_read(home: ImportedHome) -> None:
    database = closed_database(home)
    assert sorted(path.name for path in database.parent.iterdir()) == ["opencode.db"]
    told = as_user(STRANGER, lambda: len(list(read_opencode(database, "", ended=True))))
    assert told == "4", told


@root_only
@pytest.mark.usefixtures("open_place")
def test_a_database_that_somebody_writes_is_never_taken_for_one_that_lies_still(
    home: ImportedHome,
) -> None:
    database = closed_database(home)
    shutil.copy(database, database.with_name("opencode.db-wal"))
    database.with_name("opencode.db-wal").chmod(0o600)
    told = as_user(STRANGER, lambda: len(list(read_opencode(database, "", ended=True))))
    assert told.startswith("NotFound"), told


def test_a_text_that_is_none_hides_no_other(home: ImportedHome) -> None:
    database = closed_database(home)
    with closing(sqlite3.connect(database)) as conn, conn:
        conn.execute("UPDATE part SET data = cast(x'ff00fe' AS text) WHERE id = 'prt_1_0'")
    assert home.bring("opencode", database).turns == 2
