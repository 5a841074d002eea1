"""The plug-in for pytest: tells how the tests ended, which ran, and which files were imported.

It does nothing unless it is asked: by `qi-learn run` (a variable that names where to), by the ini
option `qi_learn`, or by QI_LEARN_PYTEST=1. Then an outcome goes to the spool, as with
`qi-learn run`. It prints nothing, changes no test and no exit code, and what fails in it goes to
the log at INFO: the tests are the person's. Which files were imported is not known with
pytest-xdist, as that happens in other processes; and what a test starts itself is not seen.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from qi_learn.capture.pytest_told import PytestRun

_log = logging.getLogger(__name__)
OPTION = "qi_learn"
ENABLE = "QI_LEARN_PYTEST"
MOST = 2000
"""How many files of one run are told at most; of more, none is known."""
_FOREIGN = frozenset(("site-packages", "dist-packages", ".tox", ".nox", "node_modules"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini(OPTION, "tell qi-learn how the tests ended", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to look, if that is asked for."""
    from qi_learn.capture.pytest_told import REPORT_TO

    report_to = os.environ.pop(REPORT_TO, None)  # a pytest that a test starts is another run
    asked = report_to or config.getini(OPTION) or os.environ.get(ENABLE) == "1"
    if asked and not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(_Looking(config, report_to), "qi-learn-looking")


class _Looking:
    """What was seen of this run so far."""

    def __init__(self, config: pytest.Config, report_to: str | None) -> None:
        self._config = config
        self._report_to = report_to
        self._began = time.time()
        self._passed: dict[str, None] = {}
        self._failing: dict[str, None] = {}
        self._files: dict[str, None] = {}
        self._interrupted = False

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failing[report.nodeid] = None
            self._see(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failing[report.nodeid] = None
            self._passed.pop(report.nodeid, None)
            self._see(report.nodeid)
        elif report.passed and report.when == "call":
            self._passed[report.nodeid] = None
            self._see(report.nodeid)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # a module that could not be imported ends a session by a subclass of it
        self._interrupted = excinfo.type.__name__ != "Interrupted"

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        try:
            self._tell(int(exitstatus))
        except Exception:  # noqa: BLE001  (the tests are the person's, and ended as they did)
            _log.info("how the tests ended could not be told", exc_info=True)

    def _see(self, nodeid: str) -> None:
        if file := nodeid.partition("::")[0]:
            self._files[str(self._config.rootpath / file)] = None

    def _tell(self, exit_code: int) -> None:
        from qi_learn.capture.pytest_told import PytestRun, tell

        tests = tuple(self._files)
        run = PytestRun(
            str(self._config.invocation_params.dir),
            len(self._failing),
            len(self._passed),
            tuple(self._failing)[:MOST],
            tests,
            self._loaded(set(tests)),
            self._interrupted,
        )
        if self._report_to is not None:
            tell(Path(self._report_to), run)
        else:
            self._record(run, exit_code)

    def _loaded(self, tests: set[str]) -> tuple[str, ...] | None:
        """The files of the project that were imported, without those of the tests that ran."""
        if self._config.pluginmanager.hasplugin("dsession"):
            return None
        files = dict.fromkeys(_imported_below(_top(self._config.rootpath)))
        found = tuple(file for file in files if file not in tests)
        return found if len(found) <= MOST else None

    def _record(self, run: PytestRun, exit_code: int) -> None:
        from qi_learn.commands.run import record_outcome
        from qi_learn.ids import new_id
        from qi_learn.paths import Paths
        from qi_learn.records import CommandResult
        from qi_learn.workspace.registry import project_of

        paths, now = Paths.default(), time.time()
        project = project_of(paths, Path(run.directory))
        if project is None:
            return
        words = ["pytest", *map(str, self._config.invocation_params.args)]
        cwd = os.path.realpath(run.directory)
        result = CommandResult(
            new_id(now),
            now,
            str(project),
            "test",
            shlex.join(words),
            exit_code,
            now - self._began,
            cwd=cwd,
            **run.seen_from(cwd),
        )
        record_outcome(paths, result, source="pytest")


def _top(directory: Path) -> Path:
    """The top of the repository that holds a directory, or the directory."""
    above = (directory, *directory.parents)
    return next((each for each in above if (each / ".git").exists()), directory)


def _imported_below(top: Path) -> Iterator[str]:
    root = str(top).rstrip("/") + "/"
    for module in list(sys.modules.values()):
        file: Any = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.startswith(root) or not file.endswith(".py"):
            continue
        if not _FOREIGN.intersection(file.removeprefix(root).split("/")):
            yield file
