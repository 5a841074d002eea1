"""A project's own tests judge answers: the control, what is put where, and what is left out."""

from __future__ import annotations

import shutil
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.errors import Stopped
from qi_learn.gate.project_environment import TestCommand
from qi_learn.gate.project_place import CodePlace
from qi_learn.gate.project_rule import REFUSED, project_tests_check, with_project_tests
from qi_learn.gate.project_tests import ProjectResults, ProjectTask, run_project_tests
from qi_learn.records import Check, Execution, Verdict
from tests.support.tested_projects import (
    KEPT,
    PYTEST,
    QUICK,
    RIGHT,
    UNITTEST,
    WRONG,
    TestedProject,
    fenced,
    project_sandbox_or_skip,
)

FAILS = "from unittest import TestCase\n\nclass B(TestCase):\n    def test_b(self): self.fail()\n"
MODELS = ("new", "live", "base")


@pytest.fixture(scope="module", autouse=True)
def _needs_the_sandbox() -> None:
    project_sandbox_or_skip()


@pytest.fixture
def project(tmp_path: Path) -> TestedProject:
    return TestedProject(tmp_path / "project")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Lists the checkouts that there are now."""
    place = tmp_path / "temporary"
    place.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return lambda: [each.name for each in place.glob("qi-learn-tests-*")]


def judged(task: ProjectTask, **answers: str) -> ProjectResults:
    return run_project_tests([task], {m: {task.id: a} for m, a in answers.items()}, QUICK)


def left_out(task: ProjectTask) -> str:
    results = judged(task, new=fenced(RIGHT))
    assert results.by_model["new"].ids == ()
    (reason,) = results.left_out
    assert results.by_model["new"].problem == f"1 left out: {reason}"
    return reason


def test_each_models_answer_is_tried_in_the_place_of_what_was_kept(
    project: TestedProject,
) -> None:
    results = judged(project.task(), new=fenced(RIGHT), live=fenced(WRONG), base="I cannot.")
    passed = {model: execution.passed for model, execution in results.by_model.items()}
    assert passed == {"new": (True,), "live": (False,), "base": (False,)}
    assert results.runs == 4  # the control, without it, and two texts
    check = project_tests_check(results, *MODELS)
    assert check.passed
    assert check.reason.startswith(
        "of 1 answers in their place 1 pass the project's own tests, 0 before and 0 by the base: "
        "0 lost, 1 gained (4 runs, "
    )


def test_pytest_judges_too(project: TestedProject) -> None:
    results = judged(project.task(command=PYTEST), new=fenced(RIGHT), live=fenced(WRONG))
    assert [e.passed for e in results.by_model.values()] == [(True,), (False,)]


def test_the_projects_own_environment_leads_to_the_checkout(tmp_path: Path) -> None:
    """What is installed in it as a link to the project is the project as it was committed."""
    project = TestedProject(tmp_path / "p", files={".gitignore": ".venv\n"})
    for name in ("numbers_of.py", "test_numbers_of.py"):
        place = "src" if name == "numbers_of.py" else "checks"
        (project.root / place).mkdir()
        (project.root / name).rename(project.root / place / name)
    venv.create(project.root / ".venv", symlinks=True)
    (packages,) = (project.root / ".venv").glob("lib/python3*/site-packages")
    (packages / "project.pth").write_text(f"{project.root / 'src'}\n")
    commit = project.repository.commit()
    (project.root / "src" / "numbers_of.py").write_text("raise SystemExit\n")  # since then
    argv = ("unittest", "discover", "-s", "checks")
    for interpreter in (".venv/bin/python",):
        task = project.task(
            commit=commit,
            file="src/numbers_of.py",
            command=TestCommand("unittest", argv, interpreter),
        )
        results = judged(task, new=fenced(RIGHT), live=fenced(WRONG))
        assert [e.passed for e in results.by_model.values()] == [(True,), (False,)]


def test_a_python_is_shown_by_every_name_that_leads_to_it(tmp_path: Path) -> None:
    """A virtual environment's Python is a link to a link, in a directory that is one too."""
    project = TestedProject(tmp_path / "p", files={".gitignore": ".venv\n"})
    (tmp_path / "installed").symlink_to(sys.base_prefix)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(tmp_path / "installed" / "bin" / "python3")
    own = project.root / ".venv"
    (own / "bin").mkdir(parents=True)
    (own / "bin" / "python").symlink_to(tmp_path / "bin" / "python3")
    (own / "pyvenv.cfg").write_text(f"home = {tmp_path / 'bin'}\n")
    command = TestCommand("unittest", ("unittest",), "python")
    results = judged(project.task(command=command), new=fenced(RIGHT), live=fenced(WRONG))
    assert [e.passed for e in results.by_model.values()] == [(True,), (False,)]


def test_the_persons_working_tree_is_neither_read_nor_written(project: TestedProject) -> None:
    (project.root / "numbers_of.py").write_text("raise SystemExit\n")  # since that commit
    (project.root / "untracked.txt").write_text("mine")
    before = {p: p.read_bytes() for p in project.root.rglob("*") if p.is_file()}
    results = judged(project.task(), new=fenced(RIGHT))
    assert results.by_model["new"].passed == (True,)
    assert {p: p.read_bytes() for p in project.root.rglob("*") if p.is_file()} == before


def test_code_that_leaves_early_has_not_passed(project: TestedProject) -> None:
    early = f"import os\nos._exit(0)\n\n{RIGHT}"
    task = project.task(place=CodePlace(KEPT))
    results = judged(task, new=fenced(early), live=fenced(f"raise SystemExit(0)\n{RIGHT}"))
    assert [e.passed for e in results.by_model.values()] == [(False,), (False,)]


def test_an_answer_that_hangs_has_not_passed(project: TestedProject) -> None:
    hangs = "def clamp(value, low, high):\n    while True: pass\n"
    terms = replace(QUICK, limits=replace(QUICK.limits, seconds=5))
    results = run_project_tests([project.task()], {"new": {"t1": fenced(hangs)}}, terms)
    assert results.by_model["new"].passed == (False,)


def test_lines_that_end_as_on_windows_stay_so(tmp_path: Path) -> None:
    checks = "from unittest import TestCase\n\nclass Ends(TestCase):\n    def test_ends(self):\n"
    checks += '        text = open("numbers_of.py", newline="").read()\n'
    checks += '        assert text.count("\\r\\n") == text.count("\\n")\n'
    project = TestedProject(tmp_path / "p", ends="\r\n", files={"test_ends.py": checks})
    results = judged(project.task(), new=fenced(RIGHT), live=fenced(WRONG))
    assert [e.passed for e in results.by_model.values()] == [(True,), (False,)]


def test_submodules_are_left_out_of_the_checkout(project: TestedProject, tmp_path: Path) -> None:
    other = TestedProject(tmp_path / "other")
    added = ("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.root), "sub")
    project.repository.git(*added)
    commit = project.repository.commit()
    results = judged(project.task(commit=commit), new=fenced(RIGHT))
    assert results.by_model["new"].passed == (True,)


def test_a_commit_whose_own_tests_fail_says_nothing(tmp_path: Path) -> None:
    broken = TestedProject(tmp_path / "p", files={"test_b.py": FAILS})
    assert left_out(broken.task()) == "its tests do not pass on the commit itself"


def test_tests_that_do_not_see_the_code_say_nothing(tmp_path: Path) -> None:
    project = TestedProject(tmp_path / "p", files={"test_b.py": FAILS.replace("fail()", "id()")})
    command = replace(UNITTEST, argv=("unittest", "test_b"))
    assert left_out(project.task(command=command)) == "its tests pass without it too"


def test_what_is_gone_or_no_text_is_left_out(project: TestedProject) -> None:
    task = project.task()
    assert left_out(replace(task, commit="0" * 40)) == "its commit is not to be had"
    assert left_out(replace(task, file="other.py")) == "its file is not in the commit"
    elsewhere = replace(task, place=CodePlace("def other(): pass\n"))
    assert left_out(elsewhere) == "its place is not found in the commit"
    (project.root / "numbers_of.py").write_bytes(b"\x00\xff" + KEPT.encode())
    binary = replace(task, commit=project.repository.commit())
    assert left_out(binary) == "its file is no text"
    shutil.rmtree(project.root)
    assert left_out(task) == "its commit is not to be had"


def test_when_the_time_is_up_the_rest_is_left_out_for_every_model(project: TestedProject) -> None:
    """And no commit of theirs is written any more, so it is not known that there is none."""
    now = iter([0.0, *[1.0] * 4, *[700.0] * 20])
    tasks = [project.task(f"t{n}", commit=str(n) * 40 if n else project.commit) for n in range(4)]
    answers = {m: {task.id: fenced(RIGHT) for task in tasks} for m in ("new", "live")}
    results = run_project_tests(tasks, answers, QUICK, clock=lambda: next(now))
    assert {e.ids for e in results.by_model.values()} == {("t0",)}
    assert results.left_out == {"the time (600 s) was up": 3}


def test_what_the_end_of_the_time_broke_off_has_not_failed(project: TestedProject) -> None:
    hangs = "def clamp(value, low, high):\n    while True: pass\n"
    now = iter([0.0, *[1.0] * 3, *[598.0] * 9])
    answers = {"new": {"t1": fenced(hangs)}}
    results = run_project_tests([project.task()], answers, QUICK, clock=lambda: next(now))
    assert results.left_out == {"the time (600 s) was up": 1}


def test_no_more_tasks_are_tried_than_shall_judge(project: TestedProject) -> None:
    tasks = [project.task(f"t{n}") for n in range(3)]
    answers = {"new": {task.id: fenced(RIGHT) for task in tasks}}
    results = run_project_tests(tasks, answers, replace(QUICK, most=1))
    assert (results.by_model["new"].ids, results.runs) == (("t0",), 3)


def test_every_checkout_and_every_run_waits_for_its_turn(
    project: TestedProject, scratch: Callable[[], list[str]]
) -> None:
    waited: list[int] = []
    terms = replace(QUICK, wait=lambda: waited.append(len(scratch())))
    results = run_project_tests([project.task()], {"new": {"t1": fenced(WRONG)}}, terms)
    assert (waited, results.runs) == ([0, 1, 1, 1], 3)


def test_a_commit_is_written_once_for_all_its_tasks_and_each_finds_it_as_it_is(
    project: TestedProject, scratch: Callable[[], list[str]]
) -> None:
    project.repository.write("later.py", "")
    later = project.repository.commit()
    written: set[str] = set()
    terms = replace(QUICK, wait=lambda: written.update(scratch()))
    commits = {"t1": project.commit, "t2": later, "t3": project.commit}
    tasks = [project.task(name, commit=commit) for name, commit in commits.items()]
    answers = {"new": {task.id: fenced(WRONG) for task in tasks}}
    answers["live"] = {task.id: fenced(RIGHT) for task in tasks}
    results = run_project_tests(tasks, answers, terms)
    assert len(written) == 2
    assert results.by_model["live"] == Execution(("t1", "t3", "t2"), (True,) * 3)
    assert results.by_model["new"].passed == (False,) * 3


def test_once_the_cycle_was_cancelled_no_commit_is_written(
    project: TestedProject, scratch: Callable[[], list[str]]
) -> None:
    def cancelled() -> None:
        raise Stopped("The cycle was cancelled.")

    task = project.task(commit="0" * 40)
    with pytest.raises(Stopped):
        run_project_tests([task], {"new": {"t1": ""}}, replace(QUICK, wait=cancelled))
    assert scratch() == []


def test_without_a_sandbox_nothing_is_run_and_the_reason_says_so(
    project: TestedProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    results = judged(project.task(), new=fenced(RIGHT), live="", base="")
    check = project_tests_check(results, *MODELS)
    assert check.passed
    assert check.reason.startswith("not run: bubblewrap is not installed")


# --- the rule -------------------------------------------------------------------------------------


def results_of(new: str, live: str, base: str) -> ProjectResults:
    """Results of tasks, `+` for one that passed."""
    ids = tuple(str(n) for n in range(len(new)))
    own = zip(MODELS, (new, live, base), strict=True)
    return ProjectResults({m: Execution(ids, tuple(c == "+" for c in each)) for m, each in own})


@pytest.mark.parametrize(
    ("new", "live", "base", "passes"),
    [
        ("++++++++++++", "++++++++++++", "++++++++++++", True),
        ("+++++++++---", "++++++++++++", "------------", True),
        ("++++++++----", "++++++++++++", "------------", False),
        ("++++----++++", "++++++++----", "------------", True),
        ("------++++++", "------++++++", "++++++++++++", False),
    ],
)
def test_an_evident_loss_is_refused_and_no_other(
    new: str, live: str, base: str, passes: bool
) -> None:
    check = project_tests_check(results_of(new, live, base), *MODELS)
    assert check.passed is passes
    assert ("an evident loss" in check.reason) is not passes


def test_a_refusal_turns_the_verdict(tmp_path: Path) -> None:
    shipping = Verdict(True, (), (), "low", "roll back to 1.0.0", 1.0, "1.0.0", {"a": 1.0})
    results = results_of("++++----", "++++++++", "--------")
    verdict = with_project_tests(shipping, project_tests_check(results, *MODELS), results)
    assert (verdict.ships, len(verdict.reasons)) == (False, 1)
    assert (verdict.risk, verdict.rollback_plan) == (
        "none: what was live stays live",
        "nothing to roll back",
    )
    assert verdict.helps[0].startswith("answers that pass your projects' tests")
    assert verdict.numbers == {"a": 1.0, "project_test_runs": 0.0, "project_test_seconds": 0.0}
    unasked = Check("project_tests", True, None, None, None, None, REFUSED)
    assert with_project_tests(shipping, unasked, None).numbers == {"a": 1.0}
