"""Logs that stay small: 5 MiB a file, three files a component, however long a process lives.

A process that writes into a log file of its own turns it over itself, between two lines
(`configure`). What a library prints past the logging (a C library, a crash) goes into the same
file; whoever started the process looks at its size now and then and cuts it (`cut`).

A library's warning is logged once for each place in the code, however its words differ.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

LIMIT = 5 << 20
"""Bytes of a log file."""
KEPT = 2
"""Older files kept beside it, as `<name>.1` and `<name>.2`."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
WARNING_LENGTH = 300
"""Characters that are logged of a library's warning: one can hold a table of megabytes."""


def configure(file: Path | None = None, *, limit: int = LIMIT) -> None:
    """Log to the standard error.

    If that is `file`, the file is turned over when it is full, and the standard output and error
    follow it.
    """
    own = file is not None and _is_stderr(file)
    handler: logging.Handler = (
        _TurningLog(file, limit) if own and file is not None else logging.StreamHandler(sys.stderr)
    )
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
    warnings.simplefilter("default")
    warnings.showwarning = _OncePerPlace().show


def cut(file: Path, *, limit: int = LIMIT) -> bool:
    """Put a log that grew past its limit aside and begin it anew, while it is written to.

    The writer appends, so it goes on at the beginning. What it writes between the copy and the cut
    is lost. False if the file is small, or there is no room for the copy: then it is only cut when
    it has twice its size.
    """
    try:
        size = file.stat().st_size
        if size <= limit:
            return False
        shift(file)
        try:
            shutil.copyfile(file, beside(file, 1))
        except OSError:
            beside(file, 1).unlink(missing_ok=True)
            if size <= 2 * limit:
                return False
        os.truncate(file, 0)
    except OSError:
        return False
    return True


def shift(file: Path) -> None:
    """Make room for `<name>.1`; the oldest file goes."""
    for number in range(KEPT, 1, -1):
        with suppress(FileNotFoundError):
            beside(file, number - 1).replace(beside(file, number))


def beside(file: Path, number: int) -> Path:
    """The name of the older log."""
    return file.with_name(f"{file.name}.{number}")


class _TurningLog(RotatingFileHandler):
    """The handler of a file that is also this process's standard error."""

    def __init__(self, file: Path, limit: int) -> None:
        super().__init__(file, maxBytes=limit, backupCount=KEPT, encoding="utf-8", delay=False)

    def _open(self) -> TextIO:  # type: ignore[override]
        fd = os.open(
            self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        return os.fdopen(fd, "a", encoding="utf-8", errors="replace")

    def doRollover(self) -> None:
        super().doRollover()
        if self.stream is not None:
            for number in (1, 2):
                os.dup2(self.stream.fileno(), number)


class _OncePerPlace:
    """Logs a warning once for each line of code that gives it."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, str, int]] = set()

    def show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Take the place of `warnings.showwarning`."""
        place = (category.__name__, filename, lineno)
        if place in self._seen:
            return
        self._seen.add(place)
        words = " ".join(str(message)[:WARNING_LENGTH].split())
        logging.getLogger("warnings").warning("%s at %s:%d: %s", *place, words)


def _is_stderr(file: Path) -> bool:
    """Whether the standard error is written to this file."""
    try:
        return os.path.samestat(os.fstat(2), file.stat())
    except OSError:
        return False
