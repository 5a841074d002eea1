"""Run a command of the person's, as `qi-learn run` does, and tell its result.

The command is the person's own: its words, standard input, output and error are as they are, it
gets every signal, and its exit code comes back. One variable more stands in its environment: with
it our plug-in for pytest, if that is installed where pytest is, tells what ran. Else the person's
own reports say it (`own_reports`). What a result says of suggestions is decided elsewhere
(`joined_outcome`).
"""

from __future__ import annotations

import logging
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from qi_learn.capture.command_kind import CommandKind, kind_of
from qi_learn.capture.command_words import CommandWords, read_words
from qi_learn.capture.coverage_files import CoveredFile, own_coverage
from qi_learn.capture.own_reports import OutputFile, own_report
from qi_learn.capture.pytest_told import REPORT_TO, told_in
from qi_learn.errors import NotFound, QiError
from qi_learn.ids import new_id
from qi_learn.outside import git
from qi_learn.records import CommandResult

_log = logging.getLogger(__name__)
EXIT_MAY_NOT_RUN, EXIT_NO_COMMAND = 126, 127
"""The exit codes of a shell for a command that may not be run, and for one that is not there."""


def run_command(
    argv: Sequence[str], *, project: str, kind: str | None = None, cwd: Path
) -> tuple[CommandResult, float | None]:
    """Run a command to its end in the terminal's foreground; returns its result.

    Beside it, for a `bench` that ended well, the processor seconds it took. `kind` None: told by
    the command. Raises NotFound (with a shell's exit code) if there is no such command, or it may
    not be run.
    """
    with tempfile.TemporaryDirectory(prefix="qi-learn-") as directory:
        output, since = OutputFile(), time.time()
        started, used = time.monotonic(), _processor_seconds()
        exit_code, interrupted = _run_in_foreground(argv, cwd, {REPORT_TO: directory})
        seconds, used = time.monotonic() - started, _processor_seconds() - used
        seen = told_in(Path(directory))
    words = read_words(argv)
    report = own_report(words, cwd, os.environ, since, output) if seen is None else None
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
        commit=_commit(cwd),
        value=value,
        cwd=str(cwd),
        interrupted=True if interrupted else None,
    )
    if actual == "test":
        result = replace(result, covered=_covered(words, cwd, since))
    if seen is not None:
        fields = seen.seen_from(str(cwd))
        both = result.interrupted or fields["interrupted"]
        result = replace(result, **{**fields, "interrupted": both})
    elif report is not None:
        result = replace(
            result,
            failed=report.failed,
            passed=report.passed,
            failing=report.failing,
            tests=_from(cwd, report.tests),
            interrupted=result.interrupted or report.interrupted or None,
        )
    return result, value


def _covered(words: CommandWords, cwd: Path, since: float) -> tuple[CoveredFile, ...] | None:
    """What the command's own reports say that it covered; None if nothing can be told by them."""
    try:
        return own_coverage(words, cwd, since)
    except Exception:  # noqa: BLE001  (others' files, in whatever state: the result is not theirs)
        _log.info("what the tests covered could not be told", exc_info=True)
        return None


def _from(cwd: Path, files: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Files as they are seen from a directory."""
    if files is None:
        return None
    return tuple(os.path.relpath(cwd / file, cwd) for file in files)


def _run_in_foreground(argv: Sequence[str], cwd: Path, more: Mapping[str, str]) -> tuple[int, bool]:
    """Run the command; returns its exit code, and whether Ctrl-C came.

    The exit code is as a shell has it, 128 + n if signal n ended it. `more`: variables that stand
    in its environment beside ours. In a directory that was deleted it runs all the same, as it
    would without us.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        where = None if _in_no_directory() else cwd
        process = subprocess.Popen(argv, cwd=where, env={**os.environ, **more})
    except PermissionError as error:
        hint = "It is there, and may not be run: `chmod +x` on a program of yours."
        refused = NotFound(f"{argv[0]} cannot be run: {error.strerror}.", hint)
        refused.exit_code = EXIT_MAY_NOT_RUN
        raise refused from error
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = NotFound(
            f"{argv[0]} cannot be run: {error.strerror}.",
            "Check the name, as your shell would find it.",
        )
        missing.exit_code = EXIT_NO_COMMAND
        raise missing from error
    with _signals_to(process) as seen:
        code = process.wait()
    return (128 - code if code < 0 else code), signal.SIGINT in seen


def _in_no_directory() -> bool:
    """Whether the directory in which this process is was deleted: no other is like it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


@contextmanager
def _signals_to(process: subprocess.Popen[Any]) -> Iterator[set[int]]:
    """Pass the signals meant for us on to the command; gives those that came.

    Ctrl-C in a terminal reaches it without us, so there we only survive it.
    """
    seen: set[int] = set()
    if threading.current_thread() is not threading.main_thread():  # only the main thread can
        yield seen
        return

    def forward(number: int, _frame: object) -> None:
        seen.add(number)
        process.send_signal(number)

    def survive(number: int, _frame: object) -> None:
        seen.add(number)

    typed = survive if sys.stdin is not None and sys.stdin.isatty() else forward
    actions: dict[signal.Signals, Any] = {
        signal.SIGINT: typed,
        signal.SIGQUIT: typed,
        signal.SIGTERM: forward,
        signal.SIGHUP: forward,
    }
    before = {number: signal.signal(number, action) for number, action in actions.items()}
    try:
        yield seen
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _commit(directory: Path) -> str | None:
    try:
        return git.head(directory)
    except QiError:  # no git, no commit
        return None
