"""Following the reflog of HEAD (`.git/logs/HEAD`).

Every move of HEAD, by any program, is told exactly once and without a hook.

git only appends to this file, except when it cleans up old entries. Then reading goes on after the
line that was read last, or where HEAD was then.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qi_learn.outside import git


class Reflog:
    """The moves of HEAD from now on, or those since a time.

    `repository`: the repository's own directory.
    """

    def __init__(self, repository: Path, *, since: float | None = None) -> None:
        self._file = repository / "logs" / "HEAD"
        self._stamp = (0, 0, 0)
        self._count = 0
        self._last = ""
        self._since = 0.0 if since is None else float(int(since))  # the reflog has whole seconds
        if since is None:
            self.moves()

    def moves(self) -> tuple[git.HeadMove, ...]:
        """The moves since the last call. No move costs one `stat`."""
        stamp = self._look()
        if stamp in (self._stamp, (0, 0, 0)):
            return ()
        self._stamp = stamp
        lines = self._file.read_text("utf-8", "replace").splitlines()
        new = self._new(lines)
        self._count, self._last = len(lines), lines[-1] if lines else ""
        return tuple(move for move in git.parse_reflog("\n".join(new)) if move.ts >= self._since)

    def _look(self) -> tuple[int, int, int]:
        with suppress(FileNotFoundError):
            status = self._file.stat()
            return status.st_ino, status.st_size, status.st_mtime_ns
        return 0, 0, 0

    def _new(self, lines: list[str]) -> list[str]:
        if not self._count or lines[self._count - 1 : self._count] == [self._last]:
            return lines[self._count :]
        if self._last in lines:
            return lines[len(lines) - lines[::-1].index(self._last) :]
        # a move begins at the commit where the one before it ended
        end = self._last.split(" ")[1]
        begun = [i for i, line in enumerate(lines) if line.split(" ")[0] == end]
        return lines[begun[-1] :] if begun else []
