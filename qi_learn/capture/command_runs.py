"""The runs of one command: did it pass, and is a failure what a change brought?

Runs are of one command if directory and words are the same. A pass is remembered: what fails later
fails by something that changed since. The first failure after a pass is blamed on what changed in
between, and what failed all along is not blamed on anything. If it is known what failed, that is
told test by test: one that failed before and fails no more is a pass, a new one is a failure.

Not covered: a test that fails now and then, and two changes between the same two runs, which are
both blamed.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from qi_learn.capture.command_scope import speaks_for, understands
from qi_learn.capture.command_words import CommandWords, read_command
from qi_learn.capture.silent_commands import says_nothing
from qi_learn.store.outcome_evidence import CommandRun

SAME_RUN = 2.0
"""Seconds by which the times of a run may differ in what the shell and what pytest tells of it."""


@dataclass(frozen=True, slots=True)
class Runs:
    """All runs of one command that say something, oldest first."""

    words: CommandWords
    runs: Sequence[CommandRun]
    ended: Sequence[float]

    def seeing(self, path: str, since: float, until: float) -> Iterator[int]:
        """The runs that began after a time and can speak for a file, newest first.

        They ended before `until`.
        """
        cwd = self.runs[0].cwd
        if cwd is None:
            return
        first, end = bisect_left(self.ended, since), bisect_right(self.ended, until)
        place = os.path.relpath(path, cwd)
        known: dict[str, tuple[bool, bool]] = {}
        for at in range(end - 1, first - 1, -1):
            run = self.runs[at]
            if run.began < since:
                continue
            if run.kind not in known:
                known[run.kind] = (
                    understands(path, self.words, run.kind, cwd),
                    speaks_for(path, self.words, run.kind, cwd),
                )
            understood, by_words = known[run.kind]
            if understood and self._can_see(run, path, place, by_words=by_words):
                yield at

    def _can_see(self, run: CommandRun, path: str, place: str, *, by_words: bool) -> bool:
        """Whether a run can speak for a file of a language of its tool; `place`: from its cwd."""
        if run.kind == "deploy" or (run.tests is None and run.loaded is None):
            return by_words
        if run.loaded is not None:
            return place in run.loaded or place in (run.tests or ())
        return speaks_for(path, self.words, run.kind, run.cwd, run.tests)

    def blamed(self, last: int, changed: tuple[float, float]) -> bool | None:
        """What follows of a failure from the runs before it; None if that is nothing.

        `changed`: when the text came, and when it last changed.
        """
        better: bool | None = None
        for at in range(last, 0, -1):
            before, run = self.runs[at - 1], self.runs[at]
            if any(before.began < ts <= run.began for ts in changed):
                new, gone = _difference(before, run, self.runs[last])
                if new:
                    return False
                better = better or (True if gone else None)
            if before.exit_code == 0:
                break
        return better

    def faster(self, at: int, placed: float) -> float | None:
        """How much faster a benchmark is, as a share of its time before the suggestion came.

        None if one of the two times is unknown.
        """
        last = self.runs[at]
        before = [
            run
            for run in self.runs[: bisect_left(self.ended, placed)]
            if run.exit_code == 0 and (run.value is None) == (last.value is None)
        ]
        if last.exit_code != 0 or not before or _cost(before[-1]) <= 0:
            return None
        return 1 - _cost(last) / _cost(before[-1])


def by_command(runs: Sequence[CommandRun]) -> tuple[Runs, ...]:
    """The runs that say something, by directory and words."""
    telling = [run for run in _told_once(runs) if not _is_silent(run)]
    telling.sort(key=lambda run: (run.cwd or "", run.command))  # stable: times stay in order
    return tuple(
        _of_one(list(group))
        for _, group in groupby(telling, key=lambda run: (run.cwd, run.command))
    )


def _of_one(runs: list[CommandRun]) -> Runs:
    return Runs(read_command(runs[0].command), runs, [run.ts for run in runs])


def _is_silent(run: CommandRun) -> bool:
    return says_nothing(
        read_command(run.command),
        run.kind,
        run.exit_code,
        (run.failed, run.passed),
        interrupted=run.interrupted,
    )


def _told_once(runs: Sequence[CommandRun]) -> Iterator[CommandRun]:
    """The runs without those that are told better by another event: by one that has counts."""
    counted = [run for run in runs if run.passed is not None]
    times = [run.ts for run in counted]
    for run in runs:
        near = slice(
            bisect_left(times, run.began - SAME_RUN), bisect_right(times, run.ts + SAME_RUN)
        )
        if run.passed is not None or not any(_is_part(better, run) for better in counted[near]):
            yield run


def _is_part(better: CommandRun, run: CommandRun) -> bool:
    """Whether a run with counts is the one of which a shell tells the exit code alone."""
    return (
        (better.kind, better.cwd) == (run.kind, run.cwd)
        and run.began - SAME_RUN <= better.began
        and better.ts <= run.ts + SAME_RUN
        and better.exit_code == run.exit_code
        and read_command(better.command).tool == read_command(run.command).tool
    )


def _difference(before: CommandRun, run: CommandRun, last: CommandRun) -> tuple[bool, bool]:
    """Whether something fails in a run, and still does, that passed before; and the other way."""
    if before.exit_code == 0:
        return True, False
    if before.failing is None or run.failing is None or last.failing is None:
        return False, False
    new = run.failing - before.failing
    gone = before.failing - run.failing - last.failing
    return bool(new & last.failing), bool(gone) and not new


def _cost(bench: CommandRun) -> float:
    return bench.seconds if bench.value is None else bench.value
