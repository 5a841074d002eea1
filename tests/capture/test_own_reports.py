"""`qi-learn run` changes nothing of a command, and reads what the person's own tools write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from qi_learn.capture.outcome import run_command
from qi_learn.records import CommandResult
from tests.support.plugged import plugged

TESTS = textwrap.dedent("""\
    import pytest

    def test_a(): pass
    def test_b(): assert 0
    @pytest.mark.skip
    def test_c(): pass
    def test_d(): pass
    """)
RUN = textwrap.dedent("""\
    import sys
    from pathlib import Path
    from qi_learn import codec
    from qi_learn.capture.outcome import run_command
    import json
    result, _ = run_command(sys.argv[2:], project="/p", cwd=Path.cwd())
    Path(sys.argv[1]).write_text(json.dumps(codec.plain(result)))
    sys.exit(result.exit_code)
    """)
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    root.mkdir()
    (root / "test_it.py").write_text(TESTS)
    return root


def ran(project: Path, *words: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """What `run_command` told, in a process of its own; its output is in `output`."""
    import json

    told = project.parent / "told.json"
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(told), *words],
        cwd=project,
        env=environment or {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(told.read_text())
    return {**result, "output": done.stdout, "rc": done.returncode}


def test_the_words_and_the_output_of_pytest_are_the_persons(project: Path, tmp_path: Path) -> None:
    environment = plugged(tmp_path / "installed")
    plain = subprocess.run(
        PYTEST, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    told = ran(project, *PYTEST, environment=environment)
    assert told["rc"] == plain.returncode == 1
    assert _timeless(told["output"]) == _timeless(plain.stdout)
    assert (told["failed"], told["passed"], told["kind"]) == (1, 2, "test")
    assert told["failing"] == ["test_it.py::test_b"]
    assert told["tests"] == ["test_it.py"]


def _timeless(output: str) -> list[str]:
    return [line.split(" in ")[0] for line in output.splitlines()]


def test_where_the_plug_in_is_not_installed_the_exit_code_alone_is_known(project: Path) -> None:
    told = ran(project, *PYTEST, "-p", "no:qi_learn")
    assert (told["exit_code"], told["failed"], told["passed"]) == (1, None, None)


@pytest.mark.parametrize("asked", ["words", "addopts", "settings"])
def test_the_persons_own_junit_file_is_read_and_stays(
    project: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*PYTEST, "-p", "no:qi_learn"]
    if asked == "words":
        words += ["--junitxml", "out/mine.xml"]
    elif asked == "addopts":
        monkeypatch.setenv("PYTEST_ADDOPTS", "--junit-xml=out/mine.xml")
    else:
        (project / "pyproject.toml").write_text(
            "[tool.pytest.ini_options]\naddopts = '--junitxml=out/mine.xml'\n"
        )
    told = ran(project, *words)
    assert (told["failed"], told["passed"], told["tests"]) == (1, 2, ["test_it.py"])
    assert told["failing"] == ["test_it::test_b"]
    assert (project / "out/mine.xml").read_text().startswith("<?xml")


def test_a_report_of_an_earlier_run_is_not_this_ones(project: Path) -> None:
    report = project / "junit.xml"
    report.write_text('<testsuite><testcase name="a" classname="b"/></testsuite>')
    os.utime(report, (1, 1))
    assert run_in(project, "true").passed is None
    assert run_in(project, "touch junit.xml").passed == 1


def run_in(project: Path, script: str) -> CommandResult:
    return run_command(["sh", "-c", script], project=str(project), kind="test", cwd=project)[0]


def test_a_broken_report_says_nothing(project: Path) -> None:
    result = run_in(project, "echo '<testsuite><testcase' > junit.xml")
    assert (result.failed, result.passed, result.exit_code) == (None, None, 0)


def test_output_that_goes_into_a_file_is_read_there(project: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("NOT TESTED: go is not installed here")
    (project / "go.mod").write_text("module example.org/m\n\ngo 1.21\n")
    (project / "m_test.go").write_text(
        'package m\n\nimport "testing"\n\nfunc TestA(t *testing.T) {}\n'
    )
    told = project.parent / "told.json"
    line = f'"$0" -c "$1" {told} go test -run NoSuch . >> log.txt'
    (project / "log.txt").write_text("ok  \texample.org/earlier\t0.1s\n")
    subprocess.run(
        ["sh", "-c", line, sys.executable, RUN],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GOFLAGS": "-mod=mod"},
        check=True,
    )
    assert '"passed": 0' in told.read_text()
    assert "[no tests to run]" in (project / "log.txt").read_text()
