"""Run a command of the person's, as `qi-learn run` does, and tell its result.

The command is the person's own: it gets our standard input, output and error as they are and every
signal, and its exit code comes back. One thing is changed: pytest is asked for a JUnit file of its
own if none is asked for, because counts are more than an exit code. What a result says of
suggestions is decided elsewhere (`joined_outcome`).
"""

from __future__ import annotations

import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from qi_learn.capture.command_kind import CommandKind, kind_of, pytest_options_at
from qi_learn.errors import NotFound, QiError
from qi_learn.ids import new_id
from qi_learn.outside import git
from qi_learn.records import CommandResult


def run_command(
    argv: Sequence[str], *, project: str, kind: str | None = None, cwd: Path
) -> tuple[CommandResult, float | None]:
    """Run a command to its end in the terminal's foreground; returns its result.

    Beside it, for a `bench` that ended well, the processor seconds it took. `kind` None: told by
    the command. Raises NotFound if there is no such command.
    """
    with tempfile.TemporaryDirectory(prefix="qi-learn-") as directory:
        report = Path(directory) / "junit.xml"
        at = pytest_options_at(argv, cwd)
        given = [*argv] if at is None else [*argv[:at], f"--junitxml={report}", *argv[at:]]
        started, used = time.monotonic(), _processor_seconds()
        exit_code = _run_in_foreground(given, cwd)
        seconds, used = time.monotonic() - started, _processor_seconds() - used
        failed, passed = _counts(report)
    actual = cast(CommandKind, kind) if kind else kind_of(argv)
    value = used if actual == "bench" and exit_code == 0 else None
    now = time.time()
    result = CommandResult(
        new_id(now),
        now,
        project,
        actual,
        shlex.join(argv),
        exit_code,
        seconds,
        failed,
        passed,
        _commit(cwd),
        value,
        str(cwd),
    )
    return result, value


def _run_in_foreground(argv: Sequence[str], cwd: Path) -> int:
    """Run the command; returns its exit code as a shell has it, 128 + n if signal n ended it.

    In a directory that was deleted it runs all the same, as it would without us.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        process = subprocess.Popen(argv, cwd=None if _in_no_directory() else cwd)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise NotFound(
            f"{argv[0]} cannot be run: {error.strerror}.",
            "Check the name, as your shell would find it.",
        ) from error
    with _signals_to(process):
        code = process.wait()
    return 128 - code if code < 0 else code


def _in_no_directory() -> bool:
    """Whether the directory in which this process is was deleted: no other is like it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


@contextmanager
def _signals_to(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Pass the signals meant for us on to the command.

    Ctrl-C in a terminal reaches it without us, so there we only survive it.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread can
        yield
        return

    def forward(number: int, _frame: object) -> None:
        process.send_signal(number)

    typed: Any = signal.SIG_IGN if sys.stdin is not None and sys.stdin.isatty() else forward
    actions: dict[signal.Signals, Any] = {
        signal.SIGINT: typed,
        signal.SIGQUIT: typed,
        signal.SIGTERM: forward,
        signal.SIGHUP: forward,
    }
    before = {number: signal.signal(number, action) for number, action in actions.items()}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _counts(report: Path) -> tuple[int | None, int | None]:
    """(failed, passed) of a JUnit file; unknown if there is none."""
    try:
        suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
        total, failures, errors, skipped = (
            sum(int(s.get(name, "0")) for s in suites)
            for name in ("tests", "failures", "errors", "skipped")
        )
    except (OSError, ElementTree.ParseError, ValueError):
        return None, None
    failed = failures + errors
    return failed, max(0, total - failed - skipped)


def _commit(directory: Path) -> str | None:
    try:
        return git.head(directory)
    except QiError:  # no git, no commit
        return None
