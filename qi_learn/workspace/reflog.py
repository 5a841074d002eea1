"""Following the reflog of HEAD (`.git/logs/HEAD`).

Every move of HEAD, by any program, is told exactly once and without a hook.

git only appends to this file, except when it cleans up old entries. Then reading goes on after the
line that was read last, or where HEAD was then. Moves are given out until they are accepted: who
fails over them is given them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside import git

Stamp = tuple[int, int, int]
_LONGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True)
class _Position:
    """Up to where the file was read."""

    stamp: Stamp = (0, 0, 0)
    size: int = 0
    last: str = ""


class Reflog:
    """The moves of HEAD from now on, or those since a time.

    `repository`: the repository's own directory.
    """

    def __init__(
        self, repository: Path, *, since: float | None = None, after: tuple[int, str] | None = None
    ) -> None:
        """`after`: up to which byte it was read, and the commit to which that led."""
        self._file = repository / "logs" / "HEAD"
        self._read = self._next = _Position()
        self.rewritten = False
        """Whether the last peek found the line gone that was read last, and none that goes on."""
        self._since = 0.0 if since is None else float(int(since))  # the reflog has whole seconds
        self.goes_on = after is not None and self._go_on(*after)
        """Whether it is as it was where reading is to go on."""
        if since is None:
            self.moves()

    @property
    def size(self) -> int:
        """Up to which byte its moves were accepted."""
        return self._read.size

    @property
    def exists(self) -> bool:
        """Whether git keeps one."""
        return self._file.exists()

    def moves(self) -> tuple[git.HeadMove, ...]:
        """The moves since the last call."""
        moves = self.peek()
        self.accept()
        return moves

    def peek(self) -> tuple[git.HeadMove, ...]:
        """The moves that were not accepted yet. No move costs one `stat`."""
        stamp = self._look()
        self._next = self._read
        self.rewritten = False
        if stamp in (self._read.stamp, (0, 0, 0)):
            return ()
        try:
            lines, size, last = self._new_lines()
        except FileNotFoundError:
            return ()
        self._next = _Position(stamp, size, last)
        return tuple(move for move in git.parse_reflog("\n".join(lines)) if move.ts >= self._since)

    def accept(self) -> None:
        """Take the moves that were given out last as told."""
        self._read = self._next

    def _go_on(self, size: int, commit: str) -> bool:
        """Begin after a line, if it is still there and led to a commit."""
        try:
            with self._file.open("rb") as file:
                last = file.read(size)[-_LONGEST_LINE:].decode("utf-8", "surrogateescape")
        except OSError:
            return False
        line = last.removesuffix("\n").rpartition("\n")[2]
        if not last.endswith("\n") or line.split(" ")[1:2] != [commit]:
            return False
        self._read, self._since = _Position(size=size, last=line), 0.0
        return True

    def _look(self) -> Stamp:
        try:
            status = self._file.stat()
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _new_lines(self) -> tuple[list[str], int, str]:
        """The lines after the last that was accepted, the size up to them, and the last line."""
        before = self._read
        last = before.last.encode("utf-8", "surrogateescape")
        with self._file.open("rb") as file:
            file.seek(max(0, before.size - len(last) - 1))
            if last and file.read(len(last) + 1) == last + b"\n":
                start, lines = before.size, _whole_lines(file.read())
            else:
                file.seek(0)
                start, lines = 0, _whole_lines(file.read())
        size = start + sum(len(line) + 1 for line in lines)
        texts = [line.decode("utf-8", "surrogateescape") for line in lines]
        newest = texts[-1] if texts else (before.last if start else "")
        return (texts if start else self._new(texts)), size, newest

    def _new(self, lines: list[str]) -> list[str]:
        if not self._read.last:
            return lines
        if self._read.last in lines:
            return lines[len(lines) - lines[::-1].index(self._read.last) :]
        # a move begins at the commit where the one before it ended
        end = self._read.last.split(" ")[1]
        begun = [i for i, line in enumerate(lines) if line.split(" ")[0] == end]
        self.rewritten = not begun
        return lines[begun[-1] :] if begun else []


def _whole_lines(raw: bytes) -> list[bytes]:
    """The lines that end; git may be writing another."""
    return raw.split(b"\n")[:-1]
