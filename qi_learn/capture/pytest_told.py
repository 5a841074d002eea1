"""What the plug-in for pytest tells of a run, as JSON between two processes.

The plug-in runs in the person's pytest and writes a file; `qi-learn run` reads all of them, since
one command may run pytest several times. A file of another form counts as none.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qi_learn.record_class import dataclass

REPORT_TO = "QI_LEARN_PYTEST_REPORT"
"""The variable that names the directory for a run that somebody waits for."""


@dataclass(frozen=True, slots=True)
class PytestRun:
    """What was seen of one run of pytest."""

    directory: str
    """The one in which it ran."""
    failed: int
    passed: int
    failing: tuple[str, ...]
    """The tests, and the modules that could not be imported, by their node ids."""
    tests: tuple[str, ...]
    """Files of tests that ran (absolute)."""
    loaded: tuple[str, ...] | None
    """The other files of the project that were imported (absolute); None if that is unknown."""
    interrupted: bool

    def seen_from(self, cwd: str) -> dict[str, Any]:
        """The fields of a `CommandResult` that ran in `cwd`."""
        return {
            "failed": self.failed,
            "passed": self.passed,
            "failing": self.failing,
            "tests": _relative(self.tests, cwd),
            "loaded": None if self.loaded is None else _relative(self.loaded, cwd),
            "interrupted": True if self.interrupted else None,
        }


def tell(directory: Path, run: PytestRun) -> None:
    """Write what was seen, completely or not at all. Raises OSError."""
    name = f"{os.getpid()}-{time.monotonic_ns()}"
    unfinished = directory / f"{name}.part"
    unfinished.write_text(json.dumps(asdict(run)), encoding="utf-8")
    unfinished.replace(directory / f"{name}.json")


def told_in(directory: Path) -> PytestRun | None:
    """What all the runs together were; None if none was told."""
    runs = [run for file in sorted(directory.glob("*.json")) if (run := _read(file)) is not None]
    return _together(runs) if runs else None


def _read(file: Path) -> PytestRun | None:
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        lists = {name: tuple(map(str, fields[name])) for name in ("failing", "tests")}
        loaded = fields["loaded"]
        return PytestRun(
            directory=str(fields["directory"]),
            failed=int(fields["failed"]),
            passed=int(fields["passed"]),
            loaded=None if loaded is None else tuple(map(str, loaded)),
            interrupted=bool(fields["interrupted"]),
            **lists,
        )
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _together(runs: Sequence[PytestRun]) -> PytestRun:
    loaded = [run.loaded for run in runs]
    return PytestRun(
        runs[0].directory,
        sum(run.failed for run in runs),
        sum(run.passed for run in runs),
        tuple(dict.fromkeys(name for run in runs for name in run.failing)),
        tuple(dict.fromkeys(name for run in runs for name in run.tests)),
        None
        if None in loaded
        else tuple(dict.fromkeys(name for names in loaded for name in names or ())),
        any(run.interrupted for run in runs),
    )


def _relative(files: Sequence[str], cwd: str) -> tuple[str, ...]:
    return tuple(os.path.relpath(file, cwd) for file in files)
