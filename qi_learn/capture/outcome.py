"""Did it compile, did the tests pass?

Commands run through `qi-learn run`, and what their results say of suggestions (contracts 5).

The command is the person's own: it gets our standard input, output and error as they are and every
signal, and its exit code comes back. One thing is changed: pytest is asked for a JUnit file of its
own if none is asked for, because counts are more than an exit code.

A result is evidence for a suggestion only if the command started after the suggestion's text last
changed. Only the last result of each command counts, and a failure only if the same command passed
before: what failed anyway is not the suggestion's fault.
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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from qi_learn.capture.command_kind import CommandKind, kind_of, pytest_options_at
from qi_learn.errors import NotFound, QiError
from qi_learn.ids import new_id
from qi_learn.outside import git
from qi_learn.records import CommandResult, Outcome, Suggestion
from qi_learn.store import command_results, feedback
from qi_learn.store.database import Store

REACH = command_results.COMMAND_REACH
EARLIER = 30 * 86400.0
"""Seconds before a placement in which a command that passed is looked for."""
NO_VERDICT = 126
"""From this exit code on the shell tells that a command could not be run, or which signal ended
it. That says nothing of the code.
"""
PYTEST_NO_VERDICT = (3, 4, 5)
"""pytest's exit codes for an internal error, a usage error, and no tests collected."""


# --- running --------------------------------------------------------------------------------------


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
    )
    return result, value


def _run_in_foreground(argv: Sequence[str], cwd: Path) -> int:
    """Run the command; returns its exit code as a shell has it, 128 + n if signal n ended it."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        process = subprocess.Popen(argv, cwd=cwd)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise NotFound(
            f"{argv[0]} cannot be run: {error.strerror}.",
            "Check the name, as your shell would find it.",
        ) from error
    with _signals_to(process):
        code = process.wait()
    return 128 - code if code < 0 else code


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


# --- what the results say -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one command says of one suggestion; None is nothing."""

    kind: CommandKind
    passed: bool | None
    faster: float | None


def apply_outcomes(store: Store, project: str, now: float) -> None:
    """Join the results of a project's commands to the turns with changed evidence.

    Raises StoreError if the database cannot be written.
    """
    dirty = set(feedback.dirty_turns(store))
    if not dirty:  # almost always: the daemon asks ten times a second
        return
    placed = [
        s
        for s in feedback.placed_suggestions(store, project, since=now - 2 * REACH)
        if s.turn_id in dirty and s.region is not None and not s.reverted
    ]
    if not placed:
        return
    commands = command_results.commands_of(
        store, project, since=min(s.placed_at or now for s in placed) - EARLIER
    )
    with store.transaction():
        for turn in dict.fromkeys(s.turn_id for s in placed):
            verdicts = [v for s in placed if s.turn_id == turn for v in _verdicts(s, commands)]
            feedback.save_outcome(
                store, turn, _outcome(verdicts, feedback.load_outcome(store, turn))
            )


def _outcome(verdicts: Sequence[_Verdict], before: Outcome) -> Outcome:
    faster = [v.faster for v in verdicts if v.faster is not None]
    return replace(
        before,
        compiles=_all(v.passed for v in verdicts if v.kind == "compile"),
        tests_pass=_all(v.passed for v in verdicts if v.kind == "test"),
        deployed=_all(v.passed for v in verdicts if v.kind == "deploy"),
        performance_change=fmean(faster) if faster else None,
    )


def _all(results: Iterable[bool | None]) -> bool | None:
    passed = [r for r in results if r is not None]
    return all(passed) if passed else None


def _verdicts(suggestion: Suggestion, commands: Sequence[CommandResult]) -> Iterator[_Verdict]:
    placed, changed = suggestion.placed_at or 0.0, suggestion.touched_at or 0.0
    telling = [c for c in commands if not _says_nothing(c)]
    for name in dict.fromkeys(c.command for c in telling):
        runs = [c for c in telling if c.command == name]
        after = [c for c in runs if c.ts - c.seconds >= changed and c.ts <= placed + REACH]
        if not after:
            continue
        before = [c for c in runs if c.ts < placed][-1:] + [
            c for c in runs if placed <= c.ts and c.ts - c.seconds < changed
        ]
        last = after[-1]
        passed_before = any(c.exit_code == 0 for c in before)
        passed = True if last.exit_code == 0 else False if passed_before else None
        faster = _faster(last, runs, placed) if last.kind == "bench" else None
        yield _Verdict(last.kind, passed, faster)


def _says_nothing(command: CommandResult) -> bool:
    if command.exit_code >= NO_VERDICT or command.exit_code < 0:
        return True
    return command.exit_code in PYTEST_NO_VERDICT and "pytest" in command.command


def _faster(last: CommandResult, runs: Sequence[CommandResult], placed: float) -> float | None:
    """How much faster a benchmark is now, as a share of its time before the suggestion came.

    None if one of the two times is unknown.
    """
    before = [
        c
        for c in runs
        if c.ts < placed and c.exit_code == 0 and (c.value is None) == (last.value is None)
    ]
    if last.exit_code != 0 or not before or _cost(before[-1]) <= 0:
        return None
    return 1 - _cost(last) / _cost(before[-1])


def _cost(bench: CommandResult) -> float:
    return bench.seconds if bench.value is None else bench.value
