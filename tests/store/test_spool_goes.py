"""What was said in the clear is gone from the disk soon after it was taken in, and nothing is lost:
while its producer lives, whatever the clock says, with a shell that is about to write.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from qi_learn.errors import SpoolError
from qi_learn.spool import Spool, retire, spool_files, sweep
from qi_learn.store import bad_lines, events, spool_positions
from qi_learn.store.database import Store
from qi_learn.store.event_intake import DrainMemory
from qi_learn.store.ingest import Drained, drain
from qi_learn.store.spool_positions import LEFT_FOR, RETIRE_AFTER
from tests.support.command_line import wait_until
from tests.support.drained_spool import (
    NOW,
    SECRET,
    a_turn,
    bad_digests,
    dead_pid,
    decode,
    finished_file,
    git_line,
    suggest,
)


class Clock:
    """A clock that never jumps, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Round:
    """Drains that remember, as the daemon's do; the wall clock jumps a year each time."""

    def __init__(self, store: Store, spool_dir: Path) -> None:
        self.clock = Clock()
        self.memory = DrainMemory(store, self.clock)
        self._store, self._spool = store, spool_dir
        self._jump = 1

    def __call__(self, *, after: float = 0.1) -> Drained:
        self.clock.now += after
        self._jump = -self._jump
        now = NOW + self._jump * 3e7
        return drain(
            self._store, self._spool, decode=decode, suggest=suggest, now=now, memory=self.memory
        )


@pytest.fixture
def go(store: Store, spool_dir: Path) -> Round:
    return Round(store, spool_dir)


def on_disk(spool_dir: Path, text: str) -> list[str]:
    files = (p for p in spool_dir.rglob("*") if p.is_file())
    return [p.name for p in files if text.encode() in p.read_bytes()]


def test_a_file_goes_while_its_producer_lives_and_the_next_line_is_in_another(
    spool: Spool, spool_dir: Path, go: Round, store: Store
) -> None:
    spool.append("git", {"text": SECRET}, id="E1")
    assert go().count == 1
    assert on_disk(spool_dir, SECRET)
    first = spool_files(spool_dir)
    go(after=RETIRE_AFTER + 1)
    assert spool_files(spool_dir) == []
    spool.append("git", {}, id="E2")
    assert first != spool_files(spool_dir)
    assert go() == Drained(1, 0, ())
    assert [e.id for e in events.events_of(store, "git")] == ["E1", "E2"]
    left = go.memory.files.seconds_left()
    assert left is not None
    assert 0 < left <= RETIRE_AFTER


def test_no_line_is_lost_while_files_are_taken_from_under_a_producer(
    spool: Spool, spool_dir: Path, go: Round, store: Store
) -> None:
    """A thread writes line after line; every file is retired as soon as there is one."""
    told: list[str] = []
    over = threading.Event()

    def write() -> None:
        while not over.wait(0.001):
            told.append(spool.append("git", {"n": len(told)}))

    thread = threading.Thread(target=write)
    thread.start()
    names: set[str] = set()
    until = time.monotonic() + 60
    while len(names) < 20 and time.monotonic() < until:
        names |= {p.name for p in spool_files(spool_dir)}
        go(after=RETIRE_AFTER + 1)
    over.set()
    thread.join()
    go()
    assert len(names) >= 20
    assert sorted(e.id for e in events.events_of(store, "git")) == sorted(told)


def test_a_file_being_written_is_not_retired(spool_dir: Path) -> None:
    spool_dir.mkdir()
    path = spool_dir / f"gateway-{os.getpid()}-1.jsonl"
    path.write_bytes(git_line("E1"))
    with path.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert not retire(path)
    assert retire(path)
    assert path.stat().st_mode & 0o777 == 0o400


BASH = r"""
set -u; cd "$1"; file=$1/bash-$$-1.jsonl
line() { printf '{"kind":"git","ts":"2026-11-20T10:00:00.%03dZ","body":{"n":%d}}\n' "$1" "$1"; }
for ((n = 0; n < 400; n++)); do
    [[ -e $file ]] || file=$1/bash-$$-1$n.jsonl
    line "$n" >>"$file"
done
read -r _
"""


def test_no_line_of_a_living_shell_is_lost(
    spool_dir: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell looks for its file by name, then opens and writes, as the hooks do."""
    monkeypatch.setattr(spool_positions, "RETIRE_AFTER", 0.01)
    memory = DrainMemory(store)  # with the true clock: what is renamed is read on for its seconds
    spool_dir.mkdir()
    shell = subprocess.Popen(["bash", "-c", BASH, "bash", str(spool_dir)], stdin=subprocess.PIPE)
    numbers: list[int] = []

    def all_taken_and_gone() -> bool:
        drain(store, spool_dir, decode=decode, suggest=suggest, now=NOW, memory=memory)
        numbers[:] = sorted(e.body["n"] for e in events.events_of(store, "git"))
        return len(numbers) >= 400 and spool_files(spool_dir) == []

    try:
        wait_until(all_taken_and_gone, 120)
        assert numbers == list(range(400))
    finally:
        shell.communicate(b"\n", timeout=60)


def test_a_line_written_into_a_file_that_was_just_renamed_is_taken(
    spool_dir: Path, go: Round, store: Store
) -> None:
    spool_dir.mkdir()
    path = spool_dir / f"zsh-{os.getpid()}-7.jsonl"
    line = '{{"kind":"git","body":{{"n":{}}}}}\n'
    with path.open("ab", buffering=0) as shell:
        shell.write(line.format(1).encode())
        assert go().count == 1
        go(after=RETIRE_AFTER + 1)
        assert not path.exists()
        shell.write(line.format(2).encode())  # it had looked before the file went
    path.write_bytes(line.format(3).encode())  # and this one found the old name again
    assert go().count == 2
    assert not retire(path)  # the file before it is still being read
    go(after=LEFT_FOR + 1)
    assert [p.name for p in spool_files(spool_dir)] == [path.name]
    assert [e.body["n"] for e in events.events_of(store, "git")] == [1, 2, 3]


def test_a_process_number_that_comes_again_loses_nothing(
    spool_dir: Path, go: Round, store: Store
) -> None:
    name = f"git-{dead_pid()}-0.jsonl"
    spool_dir.mkdir()
    for commit in ("aaa", "bbb"):
        line = f'{{"kind":"git","project":"/p","body":{{"commit":"{commit}"}}}}\n'
        (spool_dir / name).write_text(line)
        assert go() == Drained(1, 0, ())
        assert not (spool_dir / name).exists()
    assert [e.body["commit"] for e in events.events_of(store, "git")] == ["aaa", "bbb"]


def test_what_shells_left_behind_is_swept(spool_dir: Path, go: Round) -> None:
    spool_dir.mkdir()
    gone, here = f".qi-learn-bash-{dead_pid()}", f".qi-learn-bash-{os.getpid()}"
    for name in (gone, here, ".qi-learn-note"):
        (spool_dir / name).write_text("")
    go()
    assert sorted(p.name for p in spool_dir.iterdir()) == sorted([here, ".qi-learn-note"])
    assert sweep(spool_dir) == 0


def test_bad_lines_are_kept_without_secrets_and_bounded(
    spool_dir: Path, go: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = f'{{\\"api_key\\": \\"q8Zt5NvW3xYb61\\", \\"text\\": \\"{SECRET}\\"}}'
    lines = (
        f"nonsense {SECRET}\n".encode(),
        f'{{"kind": "party", "body": {{"request": "{inner}"}}}}\n'.encode(),
    )
    finished_file(spool_dir, b"".join(lines))
    (spool_dir / "bad").mkdir()
    (spool_dir / "bad" / "bash-1-1.jsonl").write_text(f"of an older version {SECRET}\n")
    assert go().bad == 2
    assert on_disk(spool_dir / "bad", SECRET) == []
    assert on_disk(spool_dir / "bad", "q8Zt5NvW3xYb61") == []
    assert len(bad_digests(spool_dir)) == 3
    monkeypatch.setattr(bad_lines, "MOST_BYTES", 300)
    bad_lines.prune(spool_dir / "bad")
    assert sum(p.stat().st_size for p in (spool_dir / "bad").iterdir()) <= 300


def test_a_spool_that_nothing_drains_is_full_at_its_limit_and_says_so(spool_dir: Path) -> None:
    spool = Spool(spool_dir, "gateway", largest=2000)
    for _ in range(2):
        spool.append("git", {"text": "x" * 900})
        spool.close()
    with pytest.raises(SpoolError, match="not taken in") as refused:
        spool.append("git", {"text": "x" * 900})
    assert "qi-learn status" in str(refused.value)
    files = spool_files(spool_dir)
    assert sum(p.stat().st_size for p in files) < 4000
    for path in files:
        path.unlink()
    assert spool.append("git", {})
    spool.close()


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_last_is_the_newest_answer_whatever_the_clock_does(
    spool: Spool, go: Round, store: Store, jump: float
) -> None:
    """The clock is set back (or on) a day after the first answer was taken in."""
    spool.append("turn", a_turn("one", at=5e5), id="T1", ts=5e5)
    go()
    spool.append("rating", {"turn": "last", "rating": 1}, id="R1", ts=5e5 + jump + 10)
    go()
    spool.append("turn", a_turn("two", at=5e5 + jump + 20), id="T2", ts=5e5 + jump + 20)
    go()
    spool.append("rating", {"turn": "last", "rating": 5}, id="R2", ts=5e5 + jump + 30)
    go()
    spool.append("turn", a_turn("three", at=5e5 + jump + 40), id="T3", ts=5e5 + jump + 40)
    spool.append("rating", {"turn": "last", "rating": 4}, id="R3", ts=5e5 + jump + 50)
    go()
    rated = store.rows("SELECT id, turn_id FROM ratings ORDER BY id")
    assert [tuple(row) for row in rated] == [("R1", "T1"), ("R2", "T2"), ("R3", "T3")]
