"""Lines that cannot be taken in, and a database in trouble meanwhile: nothing is lost."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import stat
from pathlib import Path

import pytest

from qi_learn.errors import DiskFull, StoreError
from qi_learn.records import Event
from qi_learn.spool import frame
from qi_learn.store import audit, events, releases, runs, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.ingest import Drained
from tests.support.drained_spool import (
    a_turn,
    bad_digests,
    bad_lines,
    dead_pid,
    finished_file,
    git_line,
    take,
)

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
                assert bad_digests(spool_dir) == [hashlib.sha256(torn[:cut]).hexdigest()]


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
    assert bad_digests(spool_dir) == [hashlib.sha256(line).hexdigest()]
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
