"""What was not tested is said in one line a reason, and is a failure if this run requires it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.left_out import REQUIRE, deselected_lines, skipped_lines

ROOT = Path(__file__).parent.parent
SUITE = """
import pytest
from tests.support.left_out import absent

@pytest.mark.parametrize("n", range(3))
def test_shell(n): absent("zsh", "NOT TESTED: zsh is not installed here")

def test_sandbox(): absent("bwrap", "NO SANDBOX")

@pytest.mark.slow
def test_long(): pass

def test_quick(): pass
"""


def run(place: Path, *given: str, **env: str) -> tuple[int, list[str]]:
    """The exit code and the output of a small suite under this suite's own configuration."""
    (place / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (place / "test_some.py").write_text(SUITE)
    inherited = {name: value for name, value in os.environ.items() if name != REQUIRE}
    options = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    options += ["-m", "not slow and not gpu", *given]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, place],
        cwd=ROOT,
        env=inherited | env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("processes", ["0", "2"])
def test_one_line_a_reason_and_the_closing_line_last(tmp_path: Path, processes: str) -> None:
    code, lines = run(tmp_path, "-n", processes)
    assert code == 0
    assert [line for line in lines if line.startswith(("SKIPPED", "LEFT OUT"))] == [
        "SKIPPED 3 tests: NOT TESTED: zsh is not installed here",
        "SKIPPED 1 test: NO SANDBOX",
        "LEFT OUT 1 test: proofs that take minutes; `scripts/test --slow` runs them",
    ]
    assert "1 passed, 4 skipped" in lines[-1]


def test_a_required_tool_that_is_absent_is_a_failure(tmp_path: Path) -> None:
    code, lines = run(tmp_path, **{REQUIRE: "fish, zsh"})
    assert code == 1
    assert "3 failed, 1 passed, 1 skipped, 1 deselected" in lines[-1]
    assert any(f"{REQUIRE} names zsh. NOT TESTED: zsh is not installed" in line for line in lines)


def test_nothing_left_out_nothing_said() -> None:
    assert skipped_lines([]) == []
    assert deselected_lines([["parametrize"], []]) == []


def test_a_reason_of_several_lines_is_one() -> None:
    assert skipped_lines(["Skipped: a\n  b"]) == ["SKIPPED 1 test: a b"]
