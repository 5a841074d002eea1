"""The intake killed at any moment: every event is stored exactly once all the same."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qi_learn.records import Event, EventKind
from qi_learn.spool import Spool, frame
from qi_learn.store import audit, events, ingest, turn_lines, turns
from qi_learn.store.database import Store, open_store
from tests.support.drained_spool import (
    a_turn,
    bad_lines,
    finished_file,
    take,
)


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
    """Kills from outside, at random times, so also within a commit, while lines are appended."""
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
        kinds: tuple[EventKind, ...] = ("turn", "rating", "cycle")
        told = Counter(e.kind for kind in kinds for e in events.events_of(store, kind))
        assert len(turn_lines.list_turns(store, limit=10_000)) == told["turn"]
        assert len(audit.entries(store, limit=10_000)) == told["cycle"]
        (rated,) = store.rows("SELECT count(*) FROM ratings WHERE turn_id IS NOT NULL")
        (suggested,) = store.rows("SELECT count(*) FROM suggestions")
        assert (rated[0], suggested[0]) == (told["rating"], told["turn"])
