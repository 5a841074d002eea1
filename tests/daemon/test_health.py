"""The parts of the daemon's round, each guarded: a clock that is passed in."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from qi_learn.daemon.health import FAULT_SECONDS, Health
from qi_learn.daemon.pace import Pace


def broken() -> None:
    raise RecursionError("too deep")


def test_a_part_that_fails_for_a_minute_is_a_fault_and_its_neighbours_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    health = Health(lambda: now)
    done = []
    for _ in range(200):
        assert not health.step("taking in", broken)
        assert health.step("deciding", lambda: done.append(1))
        now += 1.0
        assert bool(health.faults()) == (now >= FAULT_SECONDS)
    (fault,) = health.faults()
    assert (fault.part, fault.what, fault.seconds) == (
        "taking in",
        "RecursionError: too deep",
        200.0,
    )
    assert len(done) == 200
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 4, "with its traceback once, then once a minute"
    assert [bool(r.exc_info) for r in errors] == [True, False, False, False]
    health.step("taking in", lambda: None)
    assert health.faults() == ()


def test_what_cannot_pass_by_itself_is_a_fault_at_once_and_until_it_is_well() -> None:
    now = 0.0
    health = Health(lambda: now)
    for _ in range(3):
        assert not health.step("the database", broken, certain=True)
        (fault,) = health.faults()
        assert (fault.part, fault.seconds) == ("the database", now)
        now += 1.0
    assert health.step("the database", lambda: None, certain=True)
    assert health.faults() == ()


def test_a_part_that_does_not_come_to_an_end_is_a_fault() -> None:
    now = 0.0
    health = Health(lambda: now)

    def dawdle() -> None:
        nonlocal now
        now += FAULT_SECONDS + 1
        (fault,) = health.faults()
        assert (fault.part, health.doing[0]) == ("taking in", "taking in")

    assert health.step("taking in", dawdle)
    assert (health.faults(), health.doing) == ((), ("", 0.0))


def test_the_pause_ends_when_woken_and_when_something_is_in_the_spool(tmp_path: Path) -> None:
    pace = Pace(tmp_path)
    pace.wake()
    pace.sleep(3600.0, lambda: False)
    (tmp_path / "gateway-1-1.jsonl").write_text("{}\n")
    pace.sleep(3600.0, lambda: False)
    with (tmp_path / "gateway-1-1.jsonl").open("a") as more:
        more.write("{}\n")
    pace.sleep(3600.0, lambda: False)
    pace.sleep(0.01, lambda: False)


def test_the_pause_ends_when_a_file_for_the_daemon_is_written(tmp_path: Path) -> None:
    pace = Pace(tmp_path / "spool", tmp_path / "projects.json")
    (tmp_path / "projects.json").write_text("[]")
    pace.sleep(3600.0, lambda: False)
    (tmp_path / "projects.json").unlink()
    pace.sleep(3600.0, lambda: False)
    pace.sleep(0.01, lambda: False)
