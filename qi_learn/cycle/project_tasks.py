"""Which held-out work a project's own tests can judge, and by which command.

Work counts if the person changed something of it, it settled in one place of a file by a commit,
and a command of tests that can see this file passed in the project, as far as it is known. Of
several such commands the newest that ran with the code in its place counts, else the newest. The
command is taken apart here and never given to a shell: one with anything in it that a shell would
have acted on is left out.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from qi_learn.capture.command_scope import speaks_for
from qi_learn.capture.command_words import ASSIGNMENT, PYTHON, own_words_at, read_words
from qi_learn.errors import QiError
from qi_learn.gate.project_environment import TestCommand, is_of_tests
from qi_learn.gate.project_place import CodePlace
from qi_learn.gate.project_tests import MOST_TASKS, ProjectTask
from qi_learn.outside import git
from qi_learn.records import Example
from qi_learn.stats import evenly
from qi_learn.store.committed import CommittedCode, committed_code
from qi_learn.store.database import Store
from qi_learn.store.outcome_evidence import CommandRun, runs_since

REACH = 30 * 86400.0
"""Seconds before the placement of a piece of code in which a command is looked for."""
TRIED = 3
"""Tasks that are prepared for each that shall judge: of some the tests pass no more."""
_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_ACTED_ON = frozenset("$`\\!")
_STARTERS = frozenset(
    ("uv", "poetry", "pdm", "rye", "hatch", "pipenv", "run", "npx", "exec", "time", "nice", "env")
)
"""Words before a command that change nothing of what it needs."""


def project_tasks(store: Store, examples: Sequence[Example]) -> tuple[ProjectTask, ...]:
    """The tasks of those examples that can be judged, taken evenly."""
    changed = {e.id for e in examples if any(e.person_mask)}
    runs: dict[str, list[CommandRun]] = {}
    tops: dict[str, Path | None] = {}
    found = []
    for code in committed_code(store, [e.id for e in examples if e.id in changed]):
        if code.project not in tops:
            tops[code.project] = _top(code.project)
            runs[code.project] = [
                r for r in runs_since(store, code.project, 0.0) if r.kind == "test"
            ]
        top = tops[code.project]
        if top is not None and (task := _task(code, top, runs[code.project])) is not None:
            found.append(task)
    return evenly(found, TRIED * MOST_TASKS)


def _top(project: str) -> Path | None:
    """The top of the working tree that a project is in; None if there is none any more."""
    try:
        top = git.top(Path(project))
    except QiError:
        return None
    return top.resolve() if top else None


def _task(code: CommittedCode, top: Path, runs: Sequence[CommandRun]) -> ProjectTask | None:
    path = Path(os.path.realpath(os.path.join(code.project, code.file)))
    if not path.is_relative_to(top):
        return None
    for run in _passed(runs, code, os.path.normpath(os.path.join(code.project, code.file))):
        command, cwd = command_of(run.command), Path(os.path.realpath(run.cwd or ""))
        if command is not None and cwd.is_relative_to(top):
            return ProjectTask(
                code.turn_id,
                top,
                code.commit,
                str(path.relative_to(top)),
                CodePlace(code.text, code.name or "", code.before),
                command,
                cwd,
                code.endpoint in ("/api/generate", "/v1/completions"),
            )
    return None


def _passed(runs: Sequence[CommandRun], code: CommittedCode, path: str) -> list[CommandRun]:
    """The runs that passed and can speak for a file, the best first."""
    good = [
        run
        for run in runs
        if run.exit_code == 0
        and run.cwd
        and not run.interrupted
        and run.ts >= code.placed_at - REACH
        and speaks_for(
            path, read_words(_words(run.command)), run.kind, run.cwd, run.tests, run.loaded
        )
    ]
    return sorted(good, key=lambda run: (run.began >= code.placed_at, run.ts), reverse=True)


def command_of(line: str) -> TestCommand | None:
    """A command line as a command of tests; None if it is none that could be started as it is."""
    words = _words(line)
    variables = _leading_variables(words)
    words = words[len(variables) :]
    at = own_words_at(words)
    own = words[at:]
    if not own:
        return None
    tool = read_words(words).tool
    by_module = at > 1 and words[at - 1] == "-m"
    before = list(words[: at - 2 if by_module else at])
    interpreter = words[at - 2] if by_module else ""
    more = [word for word in before if word not in _STARTERS]
    if by_module and not re.fullmatch(PYTHON, os.path.basename(interpreter)):
        return None
    if any(not ASSIGNMENT.fullmatch(word) for word in more) or not is_of_tests(tool, own):
        return None
    given = {**variables, **dict(word.split("=", 1) for word in more)}
    return TestCommand(tool, tuple(own), interpreter, given)


def _words(line: str) -> list[str]:
    """The words of a line; none if a shell would have done more than to part them."""
    try:
        words = shlex.split(line)
    except ValueError:
        return []
    plain = all(_PLAIN.fullmatch(word) for word in line.split())
    quoted = shlex.join(words) in (
        line,
        line.replace('"', "'") if not _ACTED_ON & set(line) else line,
    )
    return words if plain or quoted else []


def _leading_variables(words: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for word in words:
        if not ASSIGNMENT.fullmatch(word):
            break
        name, _, value = word.partition("=")
        found[name] = value
    return found
