"""The ids of turns: the clients' own, each of them once, else new ones.

A client names its turn by a ULID (`x-qi-learn-request`). One that was given before, by a client or
here, would be taken for the same turn, and the second answer would be lost. So the last ids are
remembered in a file as well, for the gateway that comes after this one.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from qi_learn.ids import new_id
from qi_learn.paths import replace_file

REMEMBERED = 4096
"""Ids of clients that are not given again, and as many that were made here."""
_LINES = 2 * REMEMBERED
"""The most lines of the file. Written anew, it holds the half of those that were made here."""
LOOKED_AFTER = 1.0
"""Seconds after which the file is looked for again: it may have been removed or replaced."""
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_MADE = "-"
"""In front of a line with an id that was made here."""


class TurnIds:
    """Gives ids. A file that cannot be read or written only remembers nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._clients: OrderedDict[str, None] = OrderedDict()
        self._made: OrderedDict[str, None] = OrderedDict()
        self._unwritten: list[str] = []
        self._lines = 0
        self._fd = -1
        """The file, kept open: to open it costs more than to write a line."""
        self._looked = time.monotonic()
        """When it was last seen in its place."""
        if file is not None:
            with suppress(OSError, UnicodeDecodeError):
                self._read(file)

    def take(self, wanted: str | None) -> str:
        """The id of a turn whose client asks for this one."""
        id, line = (wanted or "").strip().upper(), ""
        if _ULID.fullmatch(id) and id not in self._clients and id not in self._made:
            _remember(self._clients, id)
        else:
            id, line = new_id(time.time()), _MADE  # the client learns it, and may name a turn by it
            _remember(self._made, id)
        self._unwritten.append(f"{line}{id}")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_down()
        else:
            # once the request has gone on to the upstream, and before its answer is looked at
            loop.call_soon(loop.call_soon, self._write_down)
        return id

    def _write_down(self) -> None:
        lines, self._unwritten = self._unwritten, []
        if self._file is not None:
            with suppress(OSError):  # a full disk: the store sees that an id came twice
                for line in lines:
                    self._write(self._file, line)

    def _read(self, file: Path) -> None:
        lines = file.read_text(encoding="ascii").split("\n")
        self._lines = len(lines)
        for line in lines:
            id = line.removeprefix(_MADE)
            if _ULID.fullmatch(id):
                _remember(self._clients if id == line else self._made, id)

    def _write(self, file: Path, line: str) -> None:
        if self._lines >= _LINES:
            lines = [*self._clients, *self._made_lines()[-REMEMBERED // 2 :]]
            self._let_go()
            replace_file(file, "".join(f"{line}\n" for line in lines), sync=False)
            self._open(file)
            self._lines = len(lines)
            return
        if time.monotonic() - self._looked >= LOOKED_AFTER:
            self._look(file)
        if self._fd < 0:
            self._open(file)
        os.write(self._fd, f"{line}\n".encode("ascii"))
        self._lines += 1

    def _look(self, file: Path) -> None:
        """Write all ids to the file in the place of the one that is open, if that is another."""
        self._looked = time.monotonic()
        if self._fd < 0 or _is_at(self._fd, file):
            return
        there: set[str] = set()
        with suppress(FileNotFoundError):
            there = set(file.read_text(encoding="ascii", errors="replace").split("\n"))
        lost = [line for line in (*self._clients, *self._made_lines()) if line not in there]
        self._let_go()
        self._open(file)
        os.write(self._fd, "".join(f"{line}\n" for line in lost).encode("ascii"))
        self._lines = len(there) + len(lost)

    def _open(self, file: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(file, flags, 0o600)

    def _made_lines(self) -> list[str]:
        return [f"{_MADE}{id}" for id in self._made]

    def _let_go(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def close(self) -> None:
        """Let go of the file, which has all ids then; the next id opens it again."""
        self._write_down()
        if self._file is not None:
            with suppress(OSError):
                self._look(self._file)
        self._let_go()


def _is_at(fd: int, file: Path) -> bool:
    """Whether an open file is the one that stands in this place."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), file.stat())
    return False


def _remember(ids: OrderedDict[str, None], id: str) -> None:
    ids[id] = None
    if len(ids) > REMEMBERED:
        ids.popitem(last=False)
