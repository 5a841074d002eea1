"""A spool with lines in it, and a small decoder to drain it with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from qi_learn.records import Event, Message, Suggestion, Turn
from qi_learn.spool import frame
from qi_learn.store import ingest
from qi_learn.store.database import Store
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
    """The texts that were set aside."""
    return [str(kept["text"]).encode() for kept in set_aside(spool_dir)]


def bad_digests(spool_dir: Path) -> list[str]:
    """The checksums of the lines that were set aside, as they came."""
    return [str(kept["sha256"]) for kept in set_aside(spool_dir)]


def set_aside(spool_dir: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((spool_dir / "bad").glob("*"))
        for line in path.read_bytes().splitlines()
    ]


def dead_pid() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def finished_file(spool_dir: Path, lines: bytes, source: str = "gateway") -> Path:
    """A file of a producer that is gone."""
    spool_dir.mkdir(mode=0o700, exist_ok=True)
    path = spool_dir / f"{source}-{dead_pid()}-{time.time_ns()}.jsonl"
    path.write_bytes(lines)
    return path


def git_line(id: str, **body: object) -> bytes:
    return frame(Event(id, "git", 5.0, "hook", body or {"head": id}))
