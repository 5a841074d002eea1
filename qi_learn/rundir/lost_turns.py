"""Turns that could not be recorded: how many there were, told until it was seen.

The gateway counts them in a file of a fixed size, which it writes over in place: that needs no room
on a full disk. The count only grows. `qi-learn status` tells what was not seen yet, and
`qi-learn status --seen` notes that it was.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from qi_learn.paths import Paths, replace_file
from qi_learn.record_class import dataclass

LEDGER_BYTES = 512


@dataclass(frozen=True, slots=True)
class Lost:
    """How many turns could not be recorded, and why the last of them."""

    count: int = 0
    last: float = 0.0
    reason: str = ""


class LostTurns:
    """The count of turns that were not recorded; it outlives the process and a full disk."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._behind = False
        self.now = read_lost(file)
        self._write()  # the room is taken while there is some

    def add(self, reason: str, at: float) -> None:
        """Count one."""
        self.now = Lost(self.now.count + 1, at, reason[:200])
        self._write()

    def catch_up(self) -> None:
        """Write down what could not be before, as in a home that was read-only."""
        if self._behind:
            self._write()

    def _write(self) -> None:
        text = json.dumps(asdict(self.now)).encode("ascii")
        if len(text) > LEDGER_BYTES:  # a reason in signs that take six bytes each
            text = json.dumps(asdict(replace(self.now, reason="see the gateway's log"))).encode()
        try:
            fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(fd, text.ljust(LEDGER_BYTES), 0)
            finally:
                os.close(fd)
        except OSError as error:
            if not self._behind:  # said once: a full disk loses one turn after the other
                _warn(self.now.count, error)
            self._behind = True
        else:
            self._behind = False


def _warn(count: int, error: OSError) -> None:
    import logging  # which those who only read the count are spared

    logging.getLogger(__name__).warning("lost turns (%d) are counted in memory: %s", count, error)


def read_lost(file: Path) -> Lost:
    """The count in the file; zero if there is none or it is damaged."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return Lost(int(value["count"]), float(value["last"]), str(value["reason"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Lost()


def unseen_lost(paths: Paths) -> Lost:
    """The lost turns that were not acknowledged yet."""
    lost = read_lost(paths.lost_turns)
    try:
        seen = int(paths.lost_seen.read_text(encoding="ascii"))
    except (OSError, ValueError):
        seen = 0
    return Lost(max(0, lost.count - seen), lost.last, lost.reason)


def acknowledge_lost(paths: Paths) -> int:
    """Note that the lost turns were seen; how many of them were new."""
    new = unseen_lost(paths).count
    if new:
        replace_file(paths.lost_seen, str(read_lost(paths.lost_turns).count))
    return new
