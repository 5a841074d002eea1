"""From the spool into the store, exactly once: whatever dies, is torn, comes twice, cannot be read,
or finds the database locked or the disk full.
"""

from __future__ import annotations

import stat
from pathlib import Path

from qi_learn.ids import new_id
from qi_learn.records import Event, Message
from qi_learn.redact import has_placeholder
from qi_learn.spool import Spool, frame
from qi_learn.store import (
    audit,
    events,
    feedback,
    releases,
    runs,
    turn_lines,
    turns,
)
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import Drained
from tests.support.drained_spool import (
    SECRET,
    a_turn,
    bad_lines,
    finished_file,
    git_line,
    take,
)
from tests.support.stored_commands import commands_of

# --- every kind to its place ----------------------------------------------------------------------


def test_every_kind_of_event_finds_its_place(store: Store, spool: Spool, spool_dir: Path) -> None:
    turn = spool.append("turn", a_turn("Write x."), project="p", ts=1001.0)
    spool.append("rating", {"turn": "last", "rating": 4}, project="p", ts=1002.0)
    outcome = {
        "kind": "test",
        "command": "pytest",
        "exit_code": 1,
        "seconds": 2,
        "failed": 3,
        "passed": 4,
        "commit": "c0",
        "value": None,
        "cwd": "/p/sub",
    }
    spool.append("outcome", outcome, project="p", ts=1003.0)
    spool.append(
        "cycle",
        {
            "run": "R1",
            "state": "planned",
            "examples": [{"turn": turn, "hash": "h", "split": "train"}],
        },
    )
    base = {
        "version": "1.0.0",
        "model": "qi-agent:v1.0.0",
        "digest": "ab",
        "created": 1,
        "base_digest": "ab",
    }
    spool.append(
        "release",
        {"action": "base", "release": base, "version": "1.0.0", "alias": "qi-agent:latest"},
    )
    spool.append("git", {"head": "c0"}, project="p")
    spool.append("hook", {"tool": "edit"}, author="agent")
    spool.append("edit", {"file": "a.py"})

    assert take(store, spool_dir) == Drained(8, 0, (turn,))
    assert turns.load_turn(store, turn).messages == (Message("user", "Write x."),)
    assert [s.text for s in feedback.suggestions_of(store, turn)] == ["x = 1\n"]
    assert feedback.load_feedback(store, turn).rating == 4
    (command,) = commands_of(store, "p")
    assert (command.exit_code, command.seconds, command.failed, command.commit) == (1, 2.0, 3, "c0")
    assert command.cwd == "/p/sub"
    assert runs.learned(store, ["R1"]) == {turn}
    assert [r.version for r in releases.list_releases(store)] == ["1.0.0"]
    assert {e.what for e in audit.entries(store, limit=9)} == {"cycle planned", "release base"}
    assert [events.events_of(store, kind)[0].body for kind in ("git", "hook", "edit")] == [
        {"head": "c0"},
        {"tool": "edit"},
        {"file": "a.py"},
    ]
    assert feedback.dirty_turns(store) == [turn]
    assert take(store, spool_dir) == Drained(0, 0, ())
    assert turns.verify(store) == audit.verify(store) == []


def test_bare_lines_of_shells_are_taken(store: Store, spool_dir: Path) -> None:
    finished_file(
        spool_dir,
        b'{"kind": "hook", "body": {"cmd": "ls"}}\n'
        b'{"kind": "rating", "project": "p", "body": {"rating": 2}}\n',
        "zsh",
    )
    assert take(store, spool_dir) == Drained(2, 0, (), unmatched=1)
    (event,) = events.events_of(store, "hook")
    assert (event.source, event.body) == ("zsh", {"cmd": "ls"})


def test_turns_without_a_session_get_one(store: Store, spool: Spool, spool_dir: Path) -> None:
    for at in (1000.0, 1500.0, 9000.0):
        spool.append("turn", a_turn("?", at=at), project="p")
    ids = take(store, spool_dir).turns
    sessions = [turns.load_turn(store, id).session for id in ids]
    assert sessions[0] == sessions[1] != sessions[2]
    assert None not in sessions


# --- ratings --------------------------------------------------------------------------------------


def test_last_finds_a_turn_that_stands_in_a_later_file(store: Store, spool_dir: Path) -> None:
    editor, gateway = (
        Spool(spool_dir, "editor", clock=lambda: 1.0),
        Spool(spool_dir, "gateway", clock=lambda: 2.0),
    )
    old = gateway.append("turn", a_turn("old", at=100.0), project="p", ts=101.0)
    assert take(store, spool_dir).turns == (old,)
    editor.append("rating", {"turn": "last", "rating": 1}, project="p", ts=205.0)
    new = gateway.append("turn", a_turn("new", at=200.0), project="p", ts=201.0)
    gateway.append("turn", a_turn("after", at=300.0), project="p", ts=301.0)
    take(store, spool_dir)
    assert feedback.load_feedback(store, new).rating == 1
    assert feedback.load_feedback(store, old).rating is None


def test_a_rating_of_an_unknown_turn_waits_for_it(
    store: Store, spool: Spool, spool_dir: Path
) -> None:
    late = new_id(1000.0)
    spool.append("rating", {"turn": late, "rating": 5, "comment": "fine"}, project="p")
    spool.append("rating", {"turn": "last", "rating": 3}, project="p", ts=500.0)
    assert take(store, spool_dir).unmatched == 2
    spool.append("turn", a_turn("late"), id=late, project="p")
    assert take(store, spool_dir).unmatched == 1  # `last` was given before that turn had ended
    assert feedback.load_feedback(store, late).rating == 5
    spool.append("turn", a_turn("earlier", at=400.0), project="p")
    assert take(store, spool_dir).unmatched == 0


def test_what_is_no_rating_is_set_aside(store: Store, spool: Spool, spool_dir: Path) -> None:
    spool.append("rating", {"turn": "last", "rating": 11})
    assert take(store, spool_dir) == Drained(0, 1, ())
    assert b'"rating": 11' in bad_lines(spool_dir)[0]


# --- secrets --------------------------------------------------------------------------------------


def test_no_secret_reaches_the_disk_of_the_database(
    store: Store, spool: Spool, spool_dir: Path, tmp_path: Path
) -> None:
    first = spool.append(
        "turn", a_turn(f"use {SECRET}", answer=f"token({SECRET!r})\n"), project="p"
    )
    second = spool.append("turn", a_turn("use nothing"), project="p")
    spool.append("rating", {"turn": first, "rating": 5, "correction": SECRET})
    spool.append(
        "outcome",
        {"kind": "other", "command": f"curl -H {SECRET}", "exit_code": 0, "seconds": 1.0},
        project="p",
    )
    spool.append("git", {"diff": [f"+{SECRET}"]})
    take(store, spool_dir)
    assert store.checkpoint()
    files = [p for p in tmp_path.iterdir() if p.name.startswith("qi-learn.db")]
    assert files
    assert not any(SECRET.encode() in p.read_bytes() for p in files)
    assert (turns.was_redacted(store, first), turns.was_redacted(store, second)) == (True, False)
    assert has_placeholder(turns.load_turn(store, first).messages[0].content)
    (suggestion,) = feedback.suggestions_of(store, first)
    assert suggestion.text == turns.load_turn(store, first).answer
    assert stat.S_IMODE((tmp_path / "redaction.key").stat().st_mode) == 0o600


# --- exactly once ---------------------------------------------------------------------------------


def test_what_comes_again_changes_nothing(store: Store, spool_dir: Path) -> None:
    lines = (
        git_line("E1") + frame(Event("E2", "turn", 5.0, "gateway", a_turn("once"))) + b"nonsense\n"
    )
    finished_file(spool_dir, lines)
    assert take(store, spool_dir) == Drained(2, 1, ("E2",))
    for _ in range(2):
        finished_file(spool_dir, lines)
        assert take(store, spool_dir) == Drained(0, 1, (), repeated=2)
    assert len(turn_lines.list_turns(store, limit=9)) == 1


def test_another_turn_with_an_id_that_was_used_is_set_aside_and_counted(
    store: Store, spool_dir: Path
) -> None:
    first = a_turn("once")
    finished_file(spool_dir, frame(Event("E2", "turn", 5.0, "gateway", first)))
    take(store, spool_dir)
    second = {**a_turn("twice"), "started": 99.0, "ended": 99.5}
    finished_file(spool_dir, frame(Event("E2", "turn", 99.5, "gateway", second)))
    assert take(store, spool_dir) == Drained(0, 1, ())
    assert b"used for another turn" in b"".join(
        path.read_bytes() for path in (spool_dir / "bad").iterdir()
    )


def test_a_file_is_deleted_when_it_is_taken_in_and_its_producer_gone(
    store: Store, spool: Spool, spool_dir: Path
) -> None:
    spool.append("git", {})
    finished_file(spool_dir, git_line("E1"), "hook")
    take(store, spool_dir)
    assert [p.name.split("-")[0] for p in spool_dir.glob("*.jsonl")] == ["gateway"]
    take(store, spool_dir)
    assert store.row("SELECT count(*) FROM spool_positions")[0] == 1  # type: ignore[index]


def test_a_rotated_file_of_a_living_producer_is_deleted(store: Store, spool_dir: Path) -> None:
    with_room = Spool(spool_dir, "gateway")
    while len(list(spool_dir.glob("*.jsonl"))) < 2:
        with_room.append("edit", {"text": "x" * 1_000_000})
    assert take(store, spool_dir).bad == 0
    assert len(list(spool_dir.glob("*.jsonl"))) == 1
    with_room.append("edit", {})
    assert take(store, spool_dir).count == 1
    with_room.close()


def test_a_file_stays_while_a_reader_holds_the_checkpoint_up(store: Store, spool_dir: Path) -> None:
    path = finished_file(spool_dir, git_line("E1"))
    with open_store(store.path, readonly=True) as reader:
        reader.execute("BEGIN")
        reader.rows("SELECT * FROM events")
        assert take(store, spool_dir).count == 1
        assert path.exists()
        reader.execute("COMMIT")
    assert take(store, spool_dir) == Drained(0, 0, ())
    assert not path.exists()


def test_no_spool_is_an_empty_one(store: Store, spool_dir: Path) -> None:
    assert take(store, spool_dir) == Drained(0, 0, ())
