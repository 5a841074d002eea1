"""What holds for every test, and what the end of a run says of those that did not run.

`pytest -n 4` (scripts/test does) runs the files side by side in processes of their own. The tests
of one file stay together and in order, and so do those of a folder that shares what takes long to
prepare. Those that mostly wait go out one by one.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.left_out import deselected_lines, skipped_lines
from tests.support.odd_homes import open_place, small_disk  # noqa: F401 - fixtures

os.environ.setdefault("QI_LEARN__CAPTURE__UNREGISTERED", "true")
"""Tests ask from directories that nobody registered; those of the rule say `false` themselves."""
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
"""Read by torch and llama.cpp when they are loaded, here and in the processes that tests start. A
thread that waits for another one then gives up its core, which a test beside it needs: the tests of
lanes took 11 s of processor time, and 33 with threads that wait for theirs in a loop.
"""
DESELECTED = pytest.StashKey[list[list[str]]]()
"""The markers of every test that `-m` deselected."""
TOGETHER = ("tests/cycle/test_learn",)
"""Beginnings of the names of files that share a server and learned homes (fixtures of a package):
one process runs them all.
"""
APART = ("tests/workspace/", "tests/daemon/test_first_day")
"""Beginnings of the names of files whose tests share nothing and mostly wait: any process takes the
next of them.
"""


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C does what it does at a terminal, for the tests and for the processes they start.

    A shell starts what runs in the background with it ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: nothing looks through it for garbage, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        kept = item.config.stash.setdefault(DESELECTED, [])
        kept.append([marker.name for marker in item.iter_markers()])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was deselected to the process that reports, if this is one that tests for it."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["deselected"] = session.config.stash.get(DESELECTED, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what one process deselected: each of them has collected every test."""
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    if "deselected" in output:  # not if it died
        node.config.stash[DESELECTED] = output["deselected"]


class Files(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """Hand out the tests by file, those of files that share more all at once, others alone."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        if file.startswith(APART):
            return nodeid
        return next((name for name in TOGETHER if file.startswith(name)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Files:
    return Files(config, log)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    lines = skipped_lines(report.longrepr[2] for report in reports)
    deselected: list[list[str]] = config.stash.get(DESELECTED, [])
    lines += deselected_lines(deselected)
    if lines:
        terminalreporter.section("not tested in this run")
    for line in lines:
        terminalreporter.line(line)
