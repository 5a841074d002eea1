"""Logs that stay small: 5 MiB a file, three files a component, however long a process lives.

A process that writes into a log file of its own turns it over itself, between two lines
(`configure`). What a library prints past the logging (a C library, a crash) goes into the same
file; whoever started the process looks at its size now and then and cuts it (`cut`).

A library's warning is logged once for each place in the code, however its words differ.

No line holds a secret of a known shape, whatever text an error quotes: each is redacted as it is
written, and so is the exception that ends the process. The tags are those of this process alone.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
import warnings
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from qi_learn.redact import Redactor

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
    handler.setFormatter(RedactingFormatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    sys.excepthook = _log_the_end
    threading.excepthook = _log_the_end_of_a_thread
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


class RedactingFormatter(logging.Formatter):
    """Takes secrets out of a line, its traceback included."""

    def __init__(self, form: str) -> None:
        super().__init__(form)
        self._redactor: Redactor | None = None

    def format(self, record: logging.LogRecord) -> str:
        """The line without secrets."""
        if self._redactor is None:
            from qi_learn.redact import Redactor  # not before there is something to say

            self._redactor = Redactor(os.urandom(32))
        return self._redactor.text(super().format(record))


def _log_the_end(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Take the place of `sys.excepthook`, which would print the error as it is."""
    logging.getLogger("end").critical("not caught", exc_info=(kind, error, trace))


def _log_the_end_of_a_thread(ended: threading.ExceptHookArgs) -> None:
    """The same for a thread, whose end is not that of the process."""
    error = ended.exc_value or ended.exc_type()
    name = ended.thread.name if ended.thread is not None else "?"
    told = (ended.exc_type, error, ended.exc_traceback)
    logging.getLogger("end").critical("the thread %s ended", name, exc_info=told)


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
