"""From the spool into the store, exactly once: whatever dies, is torn, comes twice, cannot be read,
or finds the database locked or the disk full.
"""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from qi_learn.errors import DiskFull, StoreError
from qi_learn.records import Event, Message, Suggestion, Turn
from qi_learn.redact import has_placeholder
from qi_learn.ids import new_id
from qi_learn.spool import Spool, frame
from qi_learn.store import audit, events, feedback, ingest, releases, runs, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import Drained

NOW = 2_000_000_000.0
SECRET = "ghp_" + "a1B2" * 9


def decode(event: Event) -> Turn:
    """A small decoder of the turn event's body, in the place of `capture.wire`."""
    asked = json.loads(event.body["request"])
    messages = tuple(Message(m["role"], m["content"]) for m in asked["messages"])
    return Turn(
        event.id,
        "/api/chat",
        "m",
        "m",
        messages,
        event.body["response"],
        event.body["started"],
        event.body["ended"],
        project=event.project,
    )


def suggest(turn: Turn) -> tuple[Suggestion, ...]:
    return (Suggestion(turn.id, 0, turn.answer, 0, len(turn.answer)),) if turn.answer else ()


def a_turn(text: str, *, at: float = 1000.0, answer: str = "x = 1\n") -> dict[str, Any]:
    return {
        "request": json.dumps({"messages": [{"role": "user", "content": text}]}),
        "response": answer,
        "started": at,
        "ended": at + 1.0,
    }


def take(store: Store, spool_dir: Path) -> Drained:
    return ingest.drain(store, spool_dir, decode=decode, suggest=suggest, now=NOW)


def bad_lines(spool_dir: Path) -> list[bytes]:
    return [
        line
        for path in sorted((spool_dir / "bad").glob("*"))
        for line in path.read_bytes().splitlines()
    ]


def dead_pid() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(spool_dir: Path) -> Iterator[Spool]:
    opened = Spool(spool_dir, "gateway")
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "qi-learn.db") as opened:
        yield opened


def finished_file(spool_dir: Path, lines: bytes, source: str = "gateway") -> Path:
    """A file whose producer is gone."""
    spool_dir.mkdir(mode=0o700, exist_ok=True)
    path = spool_dir / f"{source}-{dead_pid()}-{time.time_ns()}.jsonl"
    path.write_bytes(lines)
    return path


def git_line(id: str, **body: object) -> bytes:
    return frame(Event(id, "git", 5.0, "hook", body or {"head": id}))


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
    (command,) = feedback.commands_of(store, "p")
    assert (command.exit_code, command.seconds, command.failed, command.commit) == (1, 2.0, 3, "c0")
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
        b'{"kind": "hook", "body": {"cmd": "ls"}}\n{"kind": "rating", "project": "p", "body": {"rating": 2}}\n',
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
    assert b'"rating":11' in bad_lines(spool_dir)[0]


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
    assert len(turns.list_turns(store, limit=9)) == 1


def test_a_file_is_deleted_when_it_is_taken_in_and_its_producer_gone(
    store: Store, spool: Spool, spool_dir: Path
) -> None:
    spool.append("git", {})
    finished_file(spool_dir, git_line("E1"), "hook")
    take(store, spool_dir)
    assert [p.name.split("-")[0] for p in spool_dir.glob("*.jsonl")] == ["gateway"]
    take(store, spool_dir)
    assert store.row("SELECT count(*) FROM spool_files")[0] == 1  # type: ignore[index]


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


# --- lines that cannot be taken in ----------------------------------------------------------------


@pytest.mark.parametrize("alive", [True, False])
def test_a_line_torn_at_any_byte(tmp_path: Path, alive: bool) -> None:
    """Half a line waits while its producer lives and is set aside when it is dead; whole lines
    before it are taken in.
    """
    whole, torn = git_line("E1"), frame(Event("E2", "git", 5.0, "hook", {"t": "ü"}))
    pid = os.getpid() if alive else dead_pid()
    with open_store(tmp_path / "x.db") as store:
        for cut in range(1, len(torn)):
            spool_dir = tmp_path / f"{cut}"
            spool_dir.mkdir()
            path = spool_dir / f"hook-{pid}-{cut}.jsonl"
            path.write_bytes(whole.replace(b"E1", b"E1") + torn[:cut])
            with store.transaction():
                store.execute("DELETE FROM events")
            assert take(store, spool_dir) == Drained(1, 0 if alive else 1, ())
            assert path.exists() is alive
            if alive:
                with path.open("ab") as file:
                    file.write(torn[cut:])
                assert take(store, spool_dir) == Drained(1, 0, ())
                assert not (spool_dir / "bad").exists()
            else:
                assert bad_lines(spool_dir) == [torn[:cut]]


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\xff\n",
        b"00000000 {}\n",
        b'{"kind": "party"}\n',
        b'{"kind": "git", "body": []}\n',
        b"{" * 100_000 + b"\n",
        frame(
            Event(
                "B",
                "turn",
                1.0,
                "gateway",
                {"request": "{", "response": "", "started": 1.0, "ended": 2.0},
            )
        ),
        frame(Event("B", "turn", 1.0, "gateway", {})),
        frame(Event("B", "turn", 1.0, "gateway", {**a_turn("x"), "response": ["no text"]})),
        frame(Event("B", "turn", 1.0, "gateway", {**a_turn("x"), "started": 10**400})),
        frame(Event("B", "turn", 1.0, "gateway", {**a_turn("x"), "started": None})),
        frame(
            Event(
                "B",
                "outcome",
                1.0,
                "run",
                {"kind": "test", "command": "x", "exit_code": 2**70, "seconds": 1.0},
            )
        ),
        frame(Event("B", "outcome", 1.0, "run", {"kind": "test", "command": "x"})),
        frame(
            Event(
                "B",
                "cycle",
                1.0,
                "cycle",
                {
                    "run": "R1",
                    "state": "planned",
                    "examples": [{"turn": None, "hash": "h", "split": "dev"}],
                },
            )
        ),
        frame(Event("B", "release", 1.0, "deploy", {"action": "base", "version": {}})),
        frame(Event("B", "rating", 1.0, "cli", {"turn": ["T1"], "rating": 3})),
    ],
)
def test_a_bad_line_is_set_aside_and_holds_nothing_up(
    store: Store, spool_dir: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    finished_file(spool_dir, git_line("E1") + line + git_line("E2"))
    with caplog.at_level(logging.WARNING):
        assert take(store, spool_dir) == Drained(2, 1, ())
    assert bad_lines(spool_dir) == [line.rstrip(b"\n")]
    assert "set aside" in caplog.text
    assert [e.id for e in events.events_of(store, "git")] == ["E1", "E2"]
    assert store.row("SELECT count(*) FROM events")[0] == 2  # type: ignore[index]
    assert (
        turns.verify(store),
        runs.list_runs(store),
        releases.list_moves(store),
        audit.entries(store, limit=9),
    ) == ([], [], [], [])
    assert [
        stat.S_IMODE(p.stat().st_mode) for p in (spool_dir / "bad", *(spool_dir / "bad").iterdir())
    ] == [0o700, 0o600]


def test_a_file_that_cannot_be_read_waits_and_the_others_go_on(
    store: Store, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished_file(spool_dir, git_line("E1"))
    (spool_dir / "hook-1-5.jsonl").mkdir()
    assert take(store, spool_dir).count == 1
    assert "hook-1-5.jsonl cannot be read" in caplog.text


# --- the database in trouble ----------------------------------------------------------------------


def test_a_locked_database_costs_nothing(tmp_path: Path, spool_dir: Path) -> None:
    finished_file(spool_dir, git_line("E1") + b"nonsense\n")
    with (
        open_store(tmp_path / "x.db", timeout=0.05) as store,
        open_store(tmp_path / "x.db", timeout=0.05) as other,
    ):
        with other.transaction(), pytest.raises(StoreError, match="locked"):
            take(store, spool_dir)
        assert take(store, spool_dir) == Drained(1, 1, ())
    assert len(bad_lines(spool_dir)) == 1


def test_a_full_disk_costs_nothing(tmp_path: Path, spool_dir: Path) -> None:
    """Raises the limit until all fits: each drain fails or succeeds as a whole batch, and in the
    end every event is there once.
    """
    lines = b"".join(git_line(f"E{i}", text=f"{i}" * 3000) for i in range(60)) + b"nonsense\n"
    finished_file(spool_dir, lines)
    with open_store(tmp_path / "x.db"):
        pass
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    failed = taken = bad = 0
    for limit in range(40_000, 2_000_000, 60_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with open_store(tmp_path / "x.db") as store:
                drained = take(store, spool_dir)
                taken, bad = taken + drained.count, bad + drained.bad
            break
        except DiskFull:
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed > 1
    with open_store(tmp_path / "x.db") as store:
        assert take(store, spool_dir) == Drained(
            0, 0, ()
        )  # the file goes when the checkpoint has room
        assert (taken, bad, len(events.events_of(store, "git"))) == (60, 1, 60)
    assert bad_lines(spool_dir) == [b"nonsense"]
    assert list(spool_dir.glob("*.jsonl")) == []


def test_a_disk_too_full_for_bad_lines_takes_nothing_in(store: Store, spool_dir: Path) -> None:
    finished_file(spool_dir, git_line("E1") + b"nonsense\n")
    (spool_dir / "bad").write_text("in the way")
    with pytest.raises(DiskFull, match="set aside"):
        take(store, spool_dir)
    assert events.events_of(store, "git") == []
    (spool_dir / "bad").unlink()
    assert take(store, spool_dir) == Drained(1, 1, ())


# --- killed ---------------------------------------------------------------------------------------


def fill(spool_dir: Path, count: int) -> Counter[str]:
    """Files of dead producers with every kind of line; the multiset of what must be in the store
    once all is taken in.
    """
    wanted: Counter[str] = Counter()
    for name in range(3):
        lines = []
        for i in range(count):
            id = f"{name}-{i:04}"
            bodies: Mapping[Any, Mapping[str, Any]] = {
                "turn": a_turn(f"question {i % 7}", at=1000.0 + i),
                "rating": {"turn": f"{name}-{i - 1:04}", "rating": 1 + i % 5},
                "cycle": {"run": f"R{name}", "state": "planned"},
                "git": {"head": id},
            }
            kind = ("turn", "rating", "cycle", "git")[i % 4]
            lines.append(frame(Event(id, kind, 2000.0 + i, "x", bodies[kind], project="p")))  # type: ignore[arg-type]
            wanted[id] += 1
            if i % 9 == 0:
                lines.append(f"bad {id}\n".encode())
                wanted[f"bad {id}"] += 1
        finished_file(spool_dir, b"".join(lines), f"p{name}")
    return wanted


def stored(store: Store, spool_dir: Path) -> Counter[str]:
    return Counter(row["id"] for row in store.rows("SELECT id FROM events")) + Counter(
        line.decode() for line in bad_lines(spool_dir)
    )


def in_a_child(database: Path, spool_dir: Path, *, die_after: int | None) -> int:
    """Drains in a forked child, which kills itself at its `die_after`-th step; how it ended (0: a
    clean pass).

    A step is some work of SQLite (its progress callback) or a file opened, cut, deleted or written
    next to the database (an audit hook of Python): so that the product needs no place made for
    crashing.
    """
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    steps = 0

    def step(*_: object) -> int:
        nonlocal steps
        steps += 1
        if steps == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def seen(event: str, _: object) -> None:
        if event in ("open", "os.remove", "os.truncate", "os.mkdir", "os.rename"):
            step()

    code = 1
    try:
        sys.addaudithook(seen)
        with open_store(database) as store:
            store.conn.set_progress_handler(step, 60)
            take(store, spool_dir)
        code = 0
    finally:
        os._exit(code)


def test_killed_at_every_step_and_still_exactly_once(
    tmp_path: Path, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 at step 1, 2, 3 ... of a drain that goes on each time where the last one left off,
    until one comes through.
    """
    monkeypatch.setattr(ingest, "BATCH_LINES", 10)
    wanted = fill(spool_dir, 40)
    database = tmp_path / "x.db"
    open_store(database).close()
    kills, step = 0, 0
    while status := in_a_child(database, spool_dir, die_after=(step := step + 1 + step // 20)):
        assert os.WTERMSIG(status) == signal.SIGKILL, "the drain failed by itself"
        kills += 1
    assert kills > 30
    check(database, spool_dir, wanted)


def test_killed_at_one_step_after_a_fresh_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One kill at each of many places, then a clean pass: no place leaves something that the next
    drain gets wrong.
    """
    monkeypatch.setattr(ingest, "BATCH_LINES", 7)
    step, kills = 1, 0
    while True:
        place = tmp_path / str(step)
        place.mkdir()
        wanted = fill(place / "spool", 16)
        open_store(place / "x.db").close()
        killed = in_a_child(place / "x.db", place / "spool", die_after=step)
        if killed:
            assert os.WTERMSIG(killed) == signal.SIGKILL
            assert in_a_child(place / "x.db", place / "spool", die_after=None) == 0
        check(place / "x.db", place / "spool", wanted)
        if not killed:
            break
        step, kills = step + 1 + step // 3, kills + 1
    assert kills > 10


def test_killed_at_any_moment_while_the_producer_goes_on(tmp_path: Path, spool_dir: Path) -> None:
    """Kills from outside, at random times, so also within a commit, while lines are being appended."""
    chance = random.Random(11)
    spool = Spool(spool_dir, "gateway")
    database = tmp_path / "x.db"
    open_store(database).close()
    wanted: Counter[str] = Counter()
    for _ in range(12):
        wanted += Counter(spool.append("git", {"text": "x" * 500}) for _ in range(150))
        pid = os.fork()
        if not pid:
            try:
                with open_store(database) as store:
                    while True:
                        take(store, spool_dir)
            finally:
                os._exit(1)
        wanted += Counter(spool.append("turn", a_turn("more")) for _ in range(50))
        time.sleep(chance.uniform(0.0, 0.05))
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    spool.close()
    check(database, spool_dir, wanted)


def check(database: Path, spool_dir: Path, wanted: Counter[str]) -> None:
    with open_store(database) as store:
        take(store, spool_dir)
        assert stored(store, spool_dir) == wanted
        assert turns.verify(store) == audit.verify(store) == []
        told = Counter(
            e.kind for kind in ("turn", "rating", "cycle") for e in events.events_of(store, kind)
        )  # type: ignore[arg-type]
        assert len(turns.list_turns(store, limit=10_000)) == told["turn"]
        assert len(audit.entries(store, limit=10_000)) == told["cycle"]
        assert (
            store.row("SELECT count(*) FROM ratings WHERE turn_id IS NOT NULL")[0] == told["rating"]
        )  # type: ignore[index]
        assert store.row("SELECT count(*) FROM suggestions")[0] == told["turn"]  # type: ignore[index]
