"""A small project with tests, in a real repository, and what a model might answer in it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from qi_learn.errors import ToolMissing
from qi_learn.gate.project_environment import TestCommand
from qi_learn.gate.project_place import CodePlace
from qi_learn.gate.project_sandbox import ProjectLimits, ProjectSandbox
from qi_learn.gate.project_sandbox_trial import open_project_sandbox
from qi_learn.gate.project_tests import ProjectTask, ProjectTerms
from tests.support.left_out import absent
from tests.support.repository import Repository

KEPT = "def clamp(value, low, high):\n    return max(low, min(value, high))\n"
RIGHT = "def clamp(value, low, high):\n    return low if value < low else min(value, high)\n"
WRONG = "def clamp(value, low, high):\n    return value\n"
TESTS = """
from unittest import TestCase

from numbers_of import clamp

class Clamp(TestCase):
    def test_below(self): assert clamp(-1, 0, 3) == 0
    def test_above(self): assert clamp(9, 0, 3) == 3
"""
UNITTEST = TestCommand("unittest", ("unittest",), sys.executable)
PYTEST = TestCommand(
    "pytest",
    ("pytest", "-q"),
    sys.executable,
    # what is installed beside this pytest may lie in directories that are not shown
    {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
)
QUICK = ProjectTerms(ProjectLimits(seconds=30, memory=400 << 20, scratch=32 << 20, processes=64))


def fenced(code: str) -> str:
    return f"Here it is:\n\n```python\n{code}```\n"


class TestedProject:
    """`numbers_of.py` with `clamp` between two other definitions, and tests of it."""

    __test__ = False

    def __init__(self, root: Path, *, ends: str = "\n", files: Mapping[str, str] = {}) -> None:
        self.repository = Repository(root.resolve())
        text = f'"""Numbers."""\n\nLOW = 0\n\n\n{KEPT}\n\nHIGH = 3\n'
        (self.root / "numbers_of.py").write_bytes(text.replace("\n", ends).encode())
        self.repository.write("test_numbers_of.py", TESTS)
        for name, content in files.items():
            self.repository.write(name, content)
        self.commit = self.repository.commit()

    @property
    def root(self) -> Path:
        return self.repository.root

    def task(self, id: str = "t1", **changed: object) -> ProjectTask:
        fields: dict[str, object] = {
            "id": id,
            "top": self.root,
            "commit": self.commit,
            "file": "numbers_of.py",
            "place": CodePlace(KEPT, "clamp"),
            "command": UNITTEST,
            "cwd": self.root,
        }
        return ProjectTask(**{**fields, **changed})  # type: ignore[arg-type]


def project_sandbox_or_skip() -> ProjectSandbox:
    """The sandbox; skips the test, with the reason, if this machine has none that works."""
    try:
        return open_project_sandbox()
    except ToolMissing as error:
        absent("bwrap", f"THE SANDBOX OF PROJECTS IS NOT TESTED HERE: {error.what}")
