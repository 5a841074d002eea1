"""What holds for every test, and what the end of a run says of those that did not run."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence

import pytest

from tests.support.left_out import deselected_lines, skipped_lines
from tests.support.odd_homes import open_place, small_disk  # noqa: F401 - fixtures

DESELECTED = pytest.StashKey[list[list[str]]]()
"""The markers of every test that `-m` deselected."""


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C does what it does at a terminal, for the tests and for the processes they start.

    A shell starts what runs in the background with it ignored.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        kept = item.config.stash.setdefault(DESELECTED, [])
        kept.append([marker.name for marker in item.iter_markers()])


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
