"""The plug-in tells what a real pytest ran, and is not noticed otherwise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.pytest_told import REPORT_TO, PytestRun, told_in
from qi_learn.paths import Paths
from qi_learn.spool import read_from, spool_files
from qi_learn.workspace.registry import add_project
from tests.support.plugged import plugged

MEAN = "def mean(values):\n    return sum(values) / len(values)\n"
TESTS = textwrap.dedent("""\
    import pytest
    from stats.mean import mean

    def test_mean():
        assert mean([1, 2]) == 1.5

    def test_of_none():
        assert mean([]) == 0

    @pytest.mark.skip
    def test_later():
        pass

    @pytest.mark.xfail
    def test_known():
        assert mean([1]) == 2

    @pytest.fixture
    def broken():
        raise OSError

    def test_without_its_fixture(broken):
        pass
    """)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    for file, text in {
        ".git/HEAD": "",
        "stats/__init__.py": "",
        "stats/mean.py": MEAN,
        "stats/csv_rows.py": "",
        "conftest.py": "",
        "tests/test_mean.py": TESTS,
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    return root


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return plugged(tmp_path / "installed")


def ran(
    project: Path, environment: dict[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def told(project: Path, environment: dict[str, str], *words: str) -> PytestRun | None:
    reports = project.parent / "reports"
    reports.mkdir(exist_ok=True)
    for file in reports.iterdir():
        file.unlink()
    ran(project, {**environment, REPORT_TO: str(reports)}, *words)
    return told_in(reports)


def outcomes(home: Path) -> list[dict[str, Any]]:
    files = spool_files(Paths.under(home).spool)
    return [dict(line.event.body) for file in files for line in read_from(file, 0) if line.event]


def test_it_tells_what_ran_what_failed_and_what_was_imported(
    project: Path, environment: dict[str, str]
) -> None:
    run = told(project, environment)
    assert run is not None
    seen = run.seen_from(str(project))
    assert (seen["failed"], seen["passed"], seen["interrupted"]) == (2, 1, None)
    assert seen["failing"] == (
        "tests/test_mean.py::test_of_none",
        "tests/test_mean.py::test_without_its_fixture",
    )
    assert seen["tests"] == ("tests/test_mean.py",)
    assert set(seen["loaded"]) == {"conftest.py", "stats/__init__.py", "stats/mean.py"}
    assert run.seen_from(str(project / "tests"))["tests"] == ("test_mean.py",)


def test_tests_that_were_skipped_or_not_chosen_did_not_run(
    project: Path, environment: dict[str, str]
) -> None:
    skipped = told(project, environment, "-k", "later")
    assert skipped is not None
    assert (skipped.failed, skipped.passed, skipped.tests) == (0, 0, ())


def test_a_module_that_cannot_be_imported_fails(project: Path, environment: dict[str, str]) -> None:
    (project / "tests/test_broken.py").write_text("import no_such_module\n")
    run = told(project, environment)
    assert run is not None
    assert (run.failing, run.passed, run.interrupted) == (("tests/test_broken.py",), 0, False)


def test_to_collect_is_no_run(project: Path, environment: dict[str, str]) -> None:
    assert told(project, environment, "--collect-only") is None


def test_with_xdist_what_was_imported_is_unknown(
    project: Path, environment: dict[str, str]
) -> None:
    run = told(project, environment, "-n", "1")
    assert run is not None
    assert (run.passed, run.failed, run.loaded) == (1, 2, None)
    assert [Path(file).name for file in run.tests] == ["test_mean.py"]


def test_ctrl_c_is_told_as_that(project: Path, environment: dict[str, str], tmp_path: Path) -> None:
    (project / "tests/test_slow.py").write_text(
        f"import pathlib, time\ndef test_it():\n    pathlib.Path({str(tmp_path / 'ready')!r})"
        ".touch()\n    time.sleep(60)\n"
    )
    reports = tmp_path / "reports"
    reports.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "tests/test_slow.py"],
        cwd=project,
        env={**environment, REPORT_TO: str(reports)},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 2
    run = told_in(reports)
    assert run is not None
    assert (run.interrupted, run.failed, run.passed) == (True, 0, 0)


def test_several_runs_are_told_together(project: Path, environment: dict[str, str]) -> None:
    reports = project.parent / "reports"
    reports.mkdir()
    for test in ("test_mean", "test_of_none"):
        words = f"tests/test_mean.py::{test}"
        ran(project, {**environment, REPORT_TO: str(reports)}, words)
    run = told_in(reports)
    assert run is not None
    assert (run.passed, run.failed) == (1, 1)


def test_a_pytest_that_a_test_starts_is_not_told(
    project: Path, environment: dict[str, str]
) -> None:
    (project / "tests/test_inner.py").write_text(
        "import subprocess, sys\ndef test_it():\n    subprocess.run([sys.executable, '-m', "
        "'pytest', '-q', 'tests/test_mean.py'], check=False)\n"
    )
    run = told(project, environment, "tests/test_inner.py")
    assert run is not None
    assert (run.passed, run.failed) == (1, 0)


def test_without_being_asked_it_does_nothing(
    project: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    paths = Paths.under(tmp_path / "home")
    add_project(paths.ensure(), project)
    done = ran(project, {**environment, "QI_LEARN_HOME": str(tmp_path / "home")}, "-q")
    without = ran(project, environment, "-q", "-p", "no:qi_learn")
    assert done.returncode == without.returncode == 1
    assert done.stdout.rsplit(" in ", 1)[0] == without.stdout.rsplit(" in ", 1)[0]
    assert outcomes(tmp_path / "home") == []


@pytest.mark.parametrize("asked", ["ini", "variable"])
def test_asked_by_the_project_it_writes_an_outcome(
    project: Path, environment: dict[str, str], tmp_path: Path, asked: str
) -> None:
    home = tmp_path / "home"
    add_project(Paths.under(home).ensure(), project)
    environment = {**environment, "QI_LEARN_HOME": str(home)}
    if asked == "ini":
        (project / "pytest.ini").write_text("[pytest]\nqi_learn = true\n")
    else:
        environment["QI_LEARN_PYTEST"] = "1"
    assert ran(project, environment, "-q", "tests").returncode == 1
    (body,) = outcomes(home)
    assert (body["kind"], body["exit_code"], body["failed"], body["passed"]) == ("test", 1, 2, 1)
    assert body["command"] == "pytest -p no:cacheprovider -q tests"
    assert body["cwd"] == str(project)
    assert "stats/mean.py" in body["loaded"]


def test_in_no_project_and_with_a_broken_home_the_tests_run_all_the_same(
    project: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    environment = {**environment, "QI_LEARN_HOME": str(home), "QI_LEARN_PYTEST": "1"}
    assert ran(project, environment, "-q").returncode == 1
    assert not Paths.under(home).spool.exists()
    home.write_text("no directory")
    done = ran(project, environment, "-q")
    assert (done.returncode, done.stderr) == (1, "")


def test_what_is_not_of_the_form_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("no JSON")
    (tmp_path / "b.json").write_text(json.dumps({"failed": 1}))
    (tmp_path / "c.json").write_text(json.dumps(["failed"]))
    assert told_in(tmp_path) is None
