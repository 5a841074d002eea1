"""What the results of commands say of suggestions: did it compile, did the tests pass?

A result is evidence for a suggestion only if the command started after the suggestion's text last
changed, and could see its file (`command_scope`). A pass is remembered; what a failure means is
told by the runs before it (`command_runs`, contracts 5).

A new result is joined once, to the suggestions it can speak for, some turns a step. A turn is
marked only if its outcome is another one then, so that a test command that passes for the hundredth
time costs no new score.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean

from qi_learn.capture.command_runs import Runs, by_command
from qi_learn.capture.unseen_lines import SourceLines
from qi_learn.records import Outcome
from qi_learn.step_guard import StepGuard
from qi_learn.store import feedback
from qi_learn.store.command_results import COMMAND_REACH as REACH
from qi_learn.store.database import Store
from qi_learn.store.outcome_evidence import (
    Coverage,
    NewCommand,
    PlacedSuggestion,
    RanLines,
    Unseen,
    coverage_of,
    mark_joined,
    mark_unseen,
    new_commands,
    placed_between,
    placed_of,
    runs_since,
    unseen_of,
)

LARGEST_SOURCE = 1_000_000
"""Bytes of a file in which the lines of a suggestion are looked for."""
EARLIER = 30 * 86400.0
"""Seconds before a placement in which a command that passed is looked for."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What one command says of one suggestion; None is nothing."""

    kind: str
    passed: bool | None
    faster: float | None


class CommandRuns:
    """The runs of the projects' commands, prepared once for many turns."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, tuple[Runs, ...]]] = {}

    def since(self, store: Store, project: str, since: float) -> tuple[Runs, ...]:
        """By command: the runs of a project's commands since a time, and perhaps earlier ones."""
        known = self._known.get(project)
        if known is None or known[0] > since:
            known = since, by_command(runs_since(store, project, since))
            self._known[project] = known
        return known[1]

    def forget(self) -> None:
        """Take it that commands were run since."""
        self._known.clear()


def join_new_commands(
    store: Store,
    runs: CommandRuns,
    guard: StepGuard,
    at_once: int,
    *,
    held: Collection[str] = (),
) -> Iterator[set[str]]:
    """Join the results that were not joined yet, to `at_once` turns a step.

    Each step gives the turns whose outcome is as it should be now; one that reads a file gives
    none. A result counts as joined after
    its last step; if that is never done, the next call begins anew. Those of the projects `held`
    are left for later. Raises StoreError if the database cannot be written.
    """
    new = sorted(new_commands(store, held=held), key=_project_of)
    for project, group in groupby(new, key=_project_of):
        commands = list(group)
        times = [c.ts for c in commands]
        placed = placed_between(store, project, min(times) - REACH, max(times))
        turn_ids = list(dict.fromkeys(p.turn_id for p in placed))
        for _ in _note_unseen(store, [c.id for c in commands], placed, guard):
            yield set()
        for first in range(0, len(turn_ids), at_once):
            own = turn_ids[first : first + at_once]
            join_turns(store, project, own, runs, guard)
            yield set(own)
        mark_joined(store, [c.id for c in commands])


def _project_of(command: NewCommand) -> str:
    return command.project


def join_turns(
    store: Store, project: str, turn_ids: Sequence[str], runs: CommandRuns, guard: StepGuard
) -> None:
    """Join a project's results to turns, as these are now.

    Raises StoreError if the database cannot be written.
    """
    placed = placed_of(store, project, turn_ids)
    if not placed:
        return
    known = runs.since(store, project, min(p.placed_at for p in placed) - EARLIER)
    unseen = unseen_of(store, turn_ids)
    with store.transaction():
        _join(store, placed, known, unseen, guard)


def _join(
    store: Store,
    placed: Sequence[PlacedSuggestion],
    runs: Sequence[Runs],
    unseen: Collection[Unseen],
    guard: StepGuard,
) -> None:
    by_turn: dict[str, list[PlacedSuggestion]] = {}
    for each in placed:
        by_turn.setdefault(each.turn_id, []).append(each)
    for turn_id, own in by_turn.items():
        with guard.step("outcome", turn_id):
            verdicts = [v for p in own for v in _verdicts(p, runs, unseen)]
            before = feedback.load_outcome(store, turn_id)
            feedback.save_outcome(store, turn_id, _outcome(verdicts, before))


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


def _note_unseen(
    store: Store, ids: Sequence[str], placed: Sequence[PlacedSuggestion], guard: StepGuard
) -> Iterator[None]:
    """Store of which suggestions new commands did not run any line, file by file.

    Told by the files as the commands saw them: one that was saved since says nothing.
    """
    told = coverage_of(store, ids)
    for path, same in groupby(sorted(placed, key=_path_of), key=_path_of):
        own = list(same)
        having = [
            (coverage, lines)
            for coverage in told
            if (lines := coverage.files.get(os.path.relpath(path, coverage.cwd))) is not None
        ]
        if having and (read := _read(path, max(each.began for each, _ in having))) is not None:
            changed, source = read
            for coverage, lines in having:
                if changed <= coverage.began:
                    with guard.step("coverage", coverage.command_id):
                        mark_unseen(store, list(_unseen(own, coverage, lines, source)))
            yield


def _path_of(placed: PlacedSuggestion) -> str:
    return placed.path


def _unseen(
    placed: Iterable[PlacedSuggestion], coverage: Coverage, lines: RanLines, source: SourceLines
) -> Iterator[Unseen]:
    for each in placed:
        if each.touched_at <= coverage.began and source.is_unseen(each.region, *lines):
            yield Unseen(coverage.command_id, each.turn_id, each.ordinal)


def _read(path: str, latest: float) -> tuple[float, SourceLines] | None:
    """When a file changed last, and its lines; None if it has changed since a time."""
    try:
        status = os.stat(path)
        if status.st_mtime > latest or status.st_size > LARGEST_SOURCE:
            return None
        text = Path(path).read_text(encoding="utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError):
        return None
    return status.st_mtime, SourceLines(text, python=path.endswith((".py", ".pyi")))


# --- one suggestion, one command ------------------------------------------------------------------


def _verdicts(
    placed: PlacedSuggestion, commands: Sequence[Runs], unseen: Collection[Unseen]
) -> Iterator[_Verdict]:
    """What each command says of the suggestion, by its last run that can speak for it."""
    changed = placed.placed_at, placed.touched_at
    for command in commands:
        since = (
            at
            for at in command.seeing(placed.path, placed.touched_at, placed.placed_at + REACH)
            if Unseen(command.runs[at].id, placed.turn_id, placed.ordinal) not in unseen
        )
        if (last := next(since, None)) is None:
            continue
        run = command.runs[last]
        passed = run.exit_code == 0 or any(command.runs[at].exit_code == 0 for at in since)
        faster = command.faster(last, placed.placed_at) if run.kind == "bench" else None
        yield _Verdict(run.kind, True if passed else command.blamed(last, changed), faster)
