"""Pauses and the clock: what is in one stays in it, however the clock is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.outside.boot_clock import boot_clock
from qi_learn.rundir.recording_pause import (
    ALWAYS,
    Mark,
    PauseFile,
    begin_pause,
    end_pause,
    read_pauses,
)


class Clocks:
    """A wall clock, and the time since the system's start."""

    def __init__(self) -> None:
        self.wall, self.steady, self.boot = 10_000.0, 50.0, "one"

    def mark(self) -> Mark:
        return self.boot, self.steady

    def pass_on(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pause.json"


def pauses_of(file: Path, clocks: Clocks) -> PauseFile:
    return PauseFile(file, lambda: clocks.wall, clocks.mark)


def test_a_save_in_a_pause_is_in_it_after_the_clock_was_set_back(
    file: Path, clocks: Clocks
) -> None:
    pauses = pauses_of(file, clocks)
    begin_pause(file, clocks.wall, None, clocks.mark())
    clocks.pass_on(100)
    clocks.wall -= 5_000
    clocks.pass_on(10)
    saved = clocks.wall
    assert pauses.at(saved) is not None
    assert pauses.at(saved - 200) is None, "it was before the pause by either clock"
    end_pause(file, clocks.wall + 5, clocks.mark())
    clocks.pass_on(60)
    assert pauses.at(saved) is not None, "told late it is of that time"
    assert pauses.at(clocks.wall) is None
    assert not pauses.known_between(clocks.wall - 10, clocks.wall)


def test_a_pause_within_an_exchange_counts_whatever_the_clock(file: Path, clocks: Clocks) -> None:
    pauses = pauses_of(file, clocks)
    began = clocks.wall
    clocks.pass_on(10)
    begin_pause(file, clocks.wall, None, clocks.mark())
    clocks.wall -= 3_000
    clocks.pass_on(10)
    end_pause(file, clocks.wall, clocks.mark())
    clocks.pass_on(10)
    pauses.look()
    assert pauses.known_between(min(began, clocks.wall - 30), max(clocks.wall, began + 30))


def test_another_start_of_the_system_says_nothing_of_the_clock(file: Path, clocks: Clocks) -> None:
    pauses = pauses_of(file, clocks)
    begin_pause(file, clocks.wall, 600, clocks.mark())
    clocks.boot, clocks.steady = "two", 5.0
    clocks.pass_on(20)
    assert pauses.at(clocks.wall) is not None
    assert pauses.at(clocks.wall - 100) is None


def test_a_clock_that_is_corrected_by_a_second_was_not_set_back(file: Path, clocks: Clocks) -> None:
    pauses = pauses_of(file, clocks)
    begin_pause(file, clocks.wall, None, clocks.mark())
    before = clocks.wall
    clocks.pass_on(10)
    clocks.wall -= 1
    assert pauses.at(before - 0.5) is None


def test_a_clock_set_forward_ends_no_pause(file: Path, clocks: Clocks) -> None:
    pauses = pauses_of(file, clocks)
    begin_pause(file, clocks.wall, 1800, clocks.mark())
    clocks.pass_on(10)
    before = clocks.wall
    clocks.wall += 3600
    pauses.look()
    assert pauses.known_now(clocks.wall) is not None
    assert pauses.at(clocks.wall) is not None
    assert pauses.at(before) is not None, "told late it is of that time"
    assert pauses.known_between(clocks.wall, clocks.wall + 5)
    clocks.pass_on(1800)
    assert pauses.known_now(clocks.wall) is None, "over by what passed"
    assert pauses.at(clocks.wall) is None
    assert pauses.at(clocks.wall - 20) is not None


def test_a_pause_that_is_ended_under_a_clock_set_forward_is_kept_by_both(
    file: Path, clocks: Clocks
) -> None:
    pauses = pauses_of(file, clocks)
    begin_pause(file, clocks.wall, 1800, clocks.mark())
    clocks.pass_on(10)
    before = clocks.wall
    clocks.wall += 36_000
    clocks.pass_on(10)
    after = clocks.wall
    clocks.pass_on(10)
    assert end_pause(file, clocks.wall, clocks.mark())
    clocks.pass_on(10)
    assert pauses.at(before) is not None
    assert pauses.at(after) is not None
    assert pauses.at(clocks.wall) is None
    assert not end_pause(file, clocks.wall, clocks.mark())


def test_a_clock_set_forward_after_a_pause_brings_none_back(file: Path, clocks: Clocks) -> None:
    pauses = pauses_of(file, clocks)
    begin_pause(file, clocks.wall, 1800, clocks.mark())
    clocks.pass_on(2000)
    assert pauses.at(clocks.wall) is None
    clocks.wall += 3600
    assert pauses.known_now(clocks.wall) is None
    assert pauses.at(clocks.wall) is None


def test_a_mark_that_is_none_means_a_pause(file: Path) -> None:
    for mark in ("7", '"x"', '["a"]', '["a", "b"]'):
        file.write_text('{"until": null, "since": 1.0, "earlier": [], "mark": ' + mark + "}")
        assert read_pauses(file) == (ALWAYS,)


def test_the_time_since_the_start_goes_on() -> None:
    first, second = boot_clock(), boot_clock()
    if first is None or second is None:
        pytest.skip("the system has no name for its start")
    assert first[0] == second[0]
    assert first[1] <= second[1]
