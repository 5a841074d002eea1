"""Waiting for what a watcher tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.watcher import Watcher

Seen = list[FileSaved | Committed]


def until(watcher: Watcher, enough: Callable[[Seen], object], *, seconds: float = 30.0) -> Seen:
    """Everything told until `enough`."""
    seen: Seen = []
    deadline = time.monotonic() + seconds
    while not enough(seen) and time.monotonic() < deadline:
        seen += watcher.poll()
        time.sleep(0.01)
    assert enough(seen), (seen, watcher.states())
    return seen


def texts(seen: Seen) -> list[tuple[str, str]]:
    """The saves: file and text."""
    return [(s.file, s.text) for s in seen if isinstance(s, FileSaved)]


def commits(seen: Seen) -> list[Committed]:
    """The moves of HEAD."""
    return [s for s in seen if isinstance(s, Committed)]


def rest(watcher: Watcher, root: Path) -> Seen:
    """What is told up to a save made now: so all that came before it."""
    mark = root / "mark.py"
    mark.write_text(f"{time.time_ns()}\n")
    seen = until(watcher, lambda seen: any(f == "mark.py" for f, _ in texts(seen)))
    return [s for s in seen if not (isinstance(s, FileSaved) and s.path == mark)]
