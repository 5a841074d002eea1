"""Following the log of HEAD where git keeps references in tables of its own (reftable).

git is asked for it, once for each change of the tables. What is new is what follows the lines that
were accepted last. Moves are given out until they are accepted, as those of `reflog` are.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from qi_learn.outside import git
from qi_learn.outside.git_files import Look, look_of

MOST = 200
"""The most lines that are asked for: more moves between two looks are known by where HEAD is."""
MARKED = 8
"""The lines by which a place in the log is known again."""


def keeps_tables(common: Path) -> bool:
    """Whether a repository has its references in tables, so that no log is a file."""
    return (common / "reftable").is_dir()


class TableLog:
    """The moves of HEAD from now on, or those since a time."""

    def __init__(
        self,
        top: Path,
        git_dir: Path,
        common: Path,
        *,
        since: float | None = None,
        after: tuple[int, str] | None = None,
    ) -> None:
        """`after`: the mark up to which it was read, and the commit to which that led."""
        self._top, self._git_dir, self._common = top, git_dir, common
        self._lines: tuple[git.HeadMove, ...] = ()
        self._next: tuple[git.HeadMove, ...] = ()
        self._asked: Look = ()
        self.rewritten = False
        """Whether the last peek found none of the lines that were read last."""
        self._since = 0.0 if since is None else float(int(since))  # the log has whole seconds
        self.goes_on = after is not None and self._go_on(*after)
        """Whether it has the lines up to which it was read."""
        if since is None:
            self.peek()
            self.accept()

    @property
    def size(self) -> int:
        """A mark of the lines that were accepted last, by which the next watcher finds them."""
        return _mark(self._lines)

    @property
    def exists(self) -> bool:
        """Whether git keeps a log."""
        self._look()
        return bool(self._next)

    def peek(self) -> tuple[git.HeadMove, ...]:
        """The moves that were not accepted yet. No move costs a few `stat`."""
        self._look()
        new = _after(self._lines, self._next)
        self.rewritten = new is None
        return tuple(move for move in new or () if move.ts >= self._since)

    def accept(self) -> None:
        """Take the moves that were given out last as told."""
        self._lines = self._next

    def _go_on(self, mark: int, commit: str) -> bool:
        """Begin after the lines with a mark, if they are still there and led to a commit."""
        self._look()
        for count in range(len(self._next), 0, -1):
            if self._next[count - 1].new == commit and _mark(self._next[:count]) == mark:
                self._lines, self._since = self._next[:count], 0.0
                return True
        return False

    def _look(self) -> None:
        look = look_of(self._git_dir, self._common)
        if look != self._asked:
            self._next = git.log_of(self._top, "HEAD", MOST)
            self._asked = look


def _mark(lines: tuple[git.HeadMove, ...]) -> int:
    told = [f"{line.new} {line.ts:.0f} {line.action} {line.subject}" for line in lines[-MARKED:]]
    return zlib.crc32("\n".join(told).encode("utf-8", "replace")) if told else 0


def _after(
    before: tuple[git.HeadMove, ...], now: tuple[git.HeadMove, ...]
) -> tuple[git.HeadMove, ...] | None:
    """The lines that follow those from before; None if not one of these is there any more."""
    for first in range(len(before)):
        kept = before[first:]
        if now[: len(kept)] == kept:
            return now[len(kept) :]
    return None if before else now
