"""The ids of turns: the clients' own, each of them once, else new ones.

A client names its turn by a ULID (`x-qi-learn-request`). One that was given before would be taken
for the same turn, and the second answer would be lost. So the last ids are remembered in a file as
well, for the gateway that comes after this one.
"""

from __future__ import annotations

import os
import re
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from qi_learn.ids import new_id
from qi_learn.paths import replace_file

REMEMBERED = 4096
"""Ids that are not given again; the file holds twice as many at most."""
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


class TurnIds:
    """Gives ids. A file that cannot be read or written only remembers nothing."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._given: OrderedDict[str, None] = OrderedDict()
        self._lines = 0
        if file is not None:
            with suppress(OSError, UnicodeDecodeError):
                self._read(file)

    def take(self, wanted: str | None) -> str:
        """The id of a turn whose client asks for this one."""
        id = (wanted or "").strip().upper()
        if not _ULID.fullmatch(id) or id in self._given:
            return new_id(time.time())
        self._remember(id)
        if self._file is not None:
            with suppress(OSError):  # a full disk: the store sees that an id came twice
                self._write(self._file, id)
        return id

    def _read(self, file: Path) -> None:
        lines = file.read_text(encoding="ascii").split("\n")
        self._lines = len(lines)
        for line in lines:
            if _ULID.fullmatch(line):
                self._remember(line)

    def _remember(self, id: str) -> None:
        self._given[id] = None
        if len(self._given) > REMEMBERED:
            self._given.popitem(last=False)

    def _write(self, file: Path, id: str) -> None:
        if self._lines >= 2 * REMEMBERED:
            replace_file(file, "".join(f"{given}\n" for given in self._given), sync=False)
            self._lines = len(self._given)
            return
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{id}\n".encode("ascii"))
            self._lines += 1
        finally:
            os.close(fd)
