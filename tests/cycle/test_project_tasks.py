"""Which held-out work a project's tests can judge, by which command, from what was recorded."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.cycle.context import Cycle
from qi_learn.cycle.project_judgement import judged_by_tests
from qi_learn.cycle.project_tasks import command_of, project_tasks
from qi_learn.errors import Stopped
from qi_learn.gate.project_environment import TestCommand
from qi_learn.gate.project_place import CodePlace
from qi_learn.gate.project_tests import run_project_tests
from qi_learn.outside.ollama_parallel import Stop, Wait, no_wait
from qi_learn.paths import Paths
from qi_learn.records import Behaviour, CommandResult, Example, Suggestion, Verdict
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.settings import GateSettings, Settings
from qi_learn.spool import Spool
from qi_learn.store import feedback, turns
from qi_learn.store.command_results import save_command
from qi_learn.store.database import Store, open_store
from tests.support.redacted import as_redacted
from tests.support.stored_turns import a_turn
from tests.support.tested_projects import (
    KEPT,
    QUICK,
    RIGHT,
    WRONG,
    TestedProject,
    fenced,
    project_sandbox_or_skip,
)

PLACED = 1000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "qi.db")


@pytest.fixture
def project(tmp_path: Path) -> TestedProject:
    return TestedProject(tmp_path / "project")


def example(id: str = "T1", *, person: bool = True) -> Example:
    return Example(id, id, "p", "t", (1,), (2, 3), (True, False), person_mask=(person, False))


def committed(store: Store, project: TestedProject, id: str = "T1", **changed: object) -> None:
    """A turn whose code settled in the project's file by its commit."""
    answer = fenced(KEPT)
    start = answer.index(KEPT)
    turns.save_turn(store, as_redacted(a_turn(id, answer=answer, project=str(project.root))))
    suggestion = Suggestion(
        *(id, 0, KEPT, start, start + len(KEPT), "python", "settled"),
        file="numbers_of.py",
        name="clamp",
        region=KEPT,
        placed_at=PLACED,
        final_text=KEPT,
        commit=project.commit,
    )
    changed = {"turn_id": id, **changed}
    feedback.save_suggestions(store, as_redacted([replace(suggestion, **changed)]))  # type: ignore[arg-type]


def passed(store: Store, project: TestedProject, command: str, **changed: object) -> None:
    """A run of a command, after the code was placed."""
    result = CommandResult(
        *(f"C{command}{changed}", PLACED + 60, str(project.root), "test", command, 0, 1.0),
        cwd=str(project.root),
    )
    save_command(store, as_redacted(replace(result, **changed)))  # type: ignore[arg-type]


def test_what_was_committed_and_tested_is_a_task(store: Store, project: TestedProject) -> None:
    committed(store, project)
    passed(store, project, f"{sys.executable} -m unittest")
    (task,) = project_tasks(store, [example()])
    assert task == project.task(
        "T1",
        place=CodePlace(KEPT, "clamp"),
        command=TestCommand("unittest", ("unittest",), sys.executable),
    )


def test_it_is_judged_by_what_was_recorded(store: Store, project: TestedProject) -> None:
    project_sandbox_or_skip()
    committed(store, project)
    passed(store, project, f"{sys.executable} -m unittest")
    tasks = project_tasks(store, [example()])
    answers = {"new": {"T1": fenced(RIGHT)}, "live": {"T1": fenced(WRONG)}}
    results = run_project_tests(tasks, answers, QUICK)
    assert [e.passed for e in results.by_model.values()] == [(True,), (False,)]


def test_what_the_person_left_as_it_was_is_none(store: Store, project: TestedProject) -> None:
    committed(store, project)
    passed(store, project, "pytest")
    assert project_tasks(store, [example(person=False)]) == ()
    assert project_tasks(store, [replace(example(), person_mask=())]) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"commit": None},
        {"final_text": None},
        {"file": None},
        {"reverted": True},
        {"start": -1, "end": -1},
        {"state": "placed"},
        {"file": "../elsewhere.py"},
    ],
)
def test_what_stands_in_no_commit_is_none(
    store: Store, project: TestedProject, changed: dict[str, object]
) -> None:
    committed(store, project, **changed)  # type: ignore[arg-type]
    passed(store, project, "pytest")
    assert project_tasks(store, [example()]) == ()


def test_a_turn_with_two_places_is_none(store: Store, project: TestedProject) -> None:
    committed(store, project)
    committed(store, project, ordinal=1)
    passed(store, project, "pytest")
    assert project_tasks(store, [example()]) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"exit_code": 1},
        {"kind": "compile"},
        {"interrupted": True},
        {"cwd": None},
        {"ts": PLACED - 40 * 86400},
        {"loaded": ("other.py",), "tests": ("test_other.py",)},
    ],
)
def test_a_command_that_says_nothing_of_the_file_is_not_taken(
    store: Store, project: TestedProject, changed: dict[str, object]
) -> None:
    committed(store, project)
    passed(store, project, "pytest", **changed)
    assert project_tasks(store, [example()]) == ()


def test_the_newest_that_ran_with_the_code_in_place_is_taken(
    store: Store, project: TestedProject
) -> None:
    committed(store, project)
    passed(store, project, "pytest -q", ts=PLACED + 50)
    passed(store, project, "pytest -x", ts=PLACED + 90)
    passed(store, project, "pytest -v", ts=PLACED - 5)
    passed(store, project, "make test", ts=PLACED + 99)
    passed(store, project, "pytest $ALL", ts=PLACED + 99)
    (task,) = project_tasks(store, [example()])
    assert task.command.argv == ("pytest", "-x")


def test_a_project_that_is_gone_has_none(store: Store, project: TestedProject) -> None:
    committed(store, project)
    passed(store, project, "pytest")
    project.root.rename(project.root.with_name("moved"))
    assert project_tasks(store, [example()]) == ()


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("pytest -q tests/a.py", TestCommand("pytest", ("pytest", "-q", "tests/a.py"))),
        ("uv run pytest", TestCommand("pytest", ("pytest",))),
        (".venv/bin/pytest", TestCommand("pytest", (".venv/bin/pytest",))),
        ("python3 -m unittest a", TestCommand("unittest", ("unittest", "a"), "python3")),
        ("A=1 B= pytest", TestCommand("pytest", ("pytest",), "", {"A": "1", "B": ""})),
        ("env A=1 pytest", TestCommand("pytest", ("pytest",), "", {"A": "1"})),
        ("pytest -k 'a and b'", TestCommand("pytest", ("pytest", "-k", "a and b"))),
        ('pytest -k "a and b"', TestCommand("pytest", ("pytest", "-k", "a and b"))),
        ("go test ./...", TestCommand("go", ("go", "test", "./..."))),
        ("cargo +nightly test", TestCommand("cargo", ("cargo", "+nightly", "test"))),
        ("npx vitest run", TestCommand("vitest", ("vitest", "run"))),
        ("node --test", TestCommand("node", ("node", "--test"))),
    ],
)
def test_a_command_is_taken_apart(line: str, command: TestCommand) -> None:
    assert command_of(line) == command


@pytest.mark.parametrize(
    "line",
    [
        *("pytest; rm -rf ~", "pytest && make", "pytest | tee log", "pytest > log", "pytest $(ls)"),
        *("pytest `ls`", "pytest *.py", "pytest {a,b}", 'pytest "$ALL"', "pytest ~/a", "pytest &"),
        *("make test", "npm test", "go build", "cargo build", "sudo pytest", "vitest --watch"),
        *("uv run --with x pytest", "tox", "", "'", "sh -c pytest", "node a.js"),
    ],
)
def test_what_a_shell_would_act_on_or_is_no_test_is_none(line: str) -> None:
    assert command_of(line) is None


# --- in a verdict ---------------------------------------------------------------------------------

SHIPS = Verdict(True, (), (), "low", "roll back to 1.0.0", 1.0, "1.0.0", {})


def a_cycle(tmp_path: Path, *, asked: bool) -> Cycle:
    paths = Paths.under(tmp_path / "home").ensure()
    run = RunDirectory(paths.runs / "01")
    run.path.mkdir(parents=True)
    request = RunRequest("01", "", 0.0, "", 0, 0, "/base.gguf", "1.0.0")
    settings = Settings(gate=GateSettings(project_tests=asked))
    server: Any = None
    spool = Spool(paths.spool, "cycle")
    return Cycle(run, request, paths, settings, server, spool, lambda: 0.0, 0)


def answers(cycle: Cycle, new: str, live: str) -> dict[str, Behaviour]:
    def one(text: str) -> Behaviour:
        return Behaviour(("T1",), (0.0,), (True,), (text,), 1.0)

    return {cycle.candidate: one(new), "live": one(live)}


def test_nothing_is_run_unless_it_was_asked_for(tmp_path: Path) -> None:
    cycle = a_cycle(tmp_path, asked=False)
    assert judged_by_tests(cycle, SHIPS, [example()], answers(cycle, "", ""), no_wait) is SHIPS


def test_what_is_refused_already_is_not_run(tmp_path: Path) -> None:
    cycle = a_cycle(tmp_path, asked=True)
    refused = replace(SHIPS, ships=False)
    verdict = judged_by_tests(cycle, refused, [example()], answers(cycle, "", ""), no_wait)
    assert [check.reason for check in verdict.checks] == [
        "not run: the other rules refuse it already"
    ]
    assert not verdict.ships


def test_the_verdict_says_what_the_tests_said(tmp_path: Path, project: TestedProject) -> None:
    project_sandbox_or_skip()
    cycle = a_cycle(tmp_path, asked=True)
    waited: list[int] = []
    with open_store(cycle.paths.database) as store:
        committed(store, project)
        passed(store, project, f"{sys.executable} -m unittest")
    compared = answers(cycle, fenced(RIGHT), fenced(WRONG))
    wait: Wait = lambda stop: waited.append(1)  # noqa: E731
    verdict = judged_by_tests(cycle, SHIPS, [example()], compared, wait)
    (check,) = verdict.checks
    assert verdict.ships
    assert check.reason.startswith(
        "of 1 answers in their place 1 pass the project's own tests, 0 before and 0 by the base"
    )
    assert verdict.numbers["project_test_runs"] == 4
    assert len(waited) == 5, "before each run, and before the checkout"
    assert verdict.numbers["project_test_seconds"] > 0
    assert [line["state"] for line in cycle.run.history()] == ["projects' tests run"]


def test_a_cycle_that_was_cancelled_runs_no_further_test(
    tmp_path: Path, project: TestedProject
) -> None:
    project_sandbox_or_skip()
    cycle = a_cycle(tmp_path, asked=True)
    with open_store(cycle.paths.database) as store:
        committed(store, project)
        passed(store, project, f"{sys.executable} -m unittest")

    def stopped(stop: Stop) -> None:
        raise Stopped("The cycle was cancelled.")

    with pytest.raises(Stopped):
        judged_by_tests(cycle, SHIPS, [example()], answers(cycle, "", ""), stopped)
