"""A cycle waits until it does not disturb the user, says why, and not for ever. One that is asked
for does not wait, and one that is not wanted can be ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from qi_learn.commands import train
from qi_learn.daemon import daemon as daemon_module
from qi_learn.daemon.daemon import Daemon
from qi_learn.daemon.idle import IdleGate
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import NotFound
from qi_learn.outside.machine import load_per_core, on_battery
from qi_learn.paths import Paths
from qi_learn.report import status
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.settings import IdleSettings, Settings
from qi_learn.store.runs import load_run
from qi_learn.workspace.registry import add_project
from tests.support.command_line import wait_until
from tests.support.repository import Repository
from tests.support.world import World, steps, tiny_base

NOW = 1_800_000_000.0
LONG_AGO = float("-inf")


def idleness(
    tmp_path: Path,
    *,
    started: float = 0.0,
    supplies: Path = Path("/nowhere"),
    **changes: float | bool,
) -> IdleGate:
    settings = Settings(idle=replace(IdleSettings(load=1000.0), **changes))  # type: ignore[arg-type]
    return IdleGate(Paths.under(tmp_path / "home").ensure(), settings, started, supplies)


def mark(paths: Paths, at: float) -> None:
    paths.activity.touch()
    os.utime(paths.activity, (at, at))


def supply(place: Path, name: str, **files: str) -> None:
    (place / name).mkdir(parents=True)
    for file, text in files.items():
        (place / name / file).write_text(text + "\n")


# --- the signals ----------------------------------------------------------------------------------


def test_each_disturbance_is_a_reason_until_it_is_long_enough_ago(tmp_path: Path) -> None:
    idle = idleness(tmp_path)
    assert idle.blocked_by(NOW, edited=LONG_AGO) == ""
    mark(idle.paths, NOW - 300)
    assert (
        idle.blocked_by(NOW, edited=LONG_AGO)
        == "a request was answered 5 min ago (idle.minutes = 10); at the latest in 24.0 h"
    )
    assert idle.blocked_by(NOW + 301, edited=LONG_AGO) == ""
    mark(idle.paths, NOW - 3600)
    assert idle.blocked_by(NOW, edited=NOW - 3).startswith(
        "a file of a watched project changed just now"
    )
    assert idle.blocked_by(NOW, edited=NOW - 601) == ""
    assert "the daemon started 60 s ago" in idleness(tmp_path, started=NOW - 60).blocked_by(
        NOW, edited=LONG_AGO
    )
    busy = idleness(tmp_path, load=1e-9)
    assert load_per_core() > 0
    assert "the machine is busy: load" in busy.blocked_by(NOW, edited=LONG_AGO)
    assert idleness(tmp_path, load=1e-9, minutes=0.0, started=NOW).blocked_by(NOW, edited=NOW) == ""


def test_it_does_not_wait_longer_than_the_longest_wait_also_over_restarts(tmp_path: Path) -> None:
    idle = idleness(tmp_path, longest_wait=2.0)
    assert "at the latest in 2.0 h" in idle.blocked_by(NOW, edited=NOW)
    assert idle.waits
    again = idleness(tmp_path, longest_wait=2.0, started=NOW + 7000)
    assert "at the latest in 100 s" in again.blocked_by(NOW + 7100, edited=NOW + 7100)
    assert again.blocked_by(NOW + 7200, edited=NOW + 7200) == ""
    again.over()
    assert not again.waits
    assert "at the latest in 2.0 h" in again.blocked_by(NOW + 9000, edited=NOW + 9000)
    assert "at the latest in 2.0 h" in again.blocked_by(
        NOW - 5000, edited=NOW - 5000
    )  # a clock that was set back: it begins to wait anew
    idle.paths.waiting.write_bytes(b"\x00[")
    assert "at the latest in 2.0 h" in again.blocked_by(NOW, edited=NOW)


def test_what_can_wait_for_another_night_waits_without_an_end_and_is_not_noted(
    tmp_path: Path,
) -> None:
    idle = idleness(tmp_path, longest_wait=0.0)
    assert idle.disturbs(NOW, edited=LONG_AGO) == ""
    mark(idle.paths, NOW - 300)
    assert "a request was answered" in idle.disturbs(NOW, edited=LONG_AGO)
    assert idle.blocked_by(NOW, edited=LONG_AGO) == ""
    idle.over()
    idle.disturbs(NOW, edited=NOW)
    assert not idle.waits
    supply(tmp_path / "power", "BAT0", type="Battery", status="Discharging")
    tired = idleness(tmp_path, supplies=tmp_path / "power", minutes=0.0)
    assert "battery" in tired.disturbs(NOW, edited=LONG_AGO)


def test_marks_from_the_future_keep_nobody_waiting(tmp_path: Path) -> None:
    idle = idleness(tmp_path, started=NOW + 5000)
    mark(idle.paths, NOW + 5000)
    assert idle.blocked_by(NOW, edited=NOW + 5000) == ""


@pytest.mark.parametrize(
    ("supplies", "empties"),
    [
        ({}, False),
        ({"BAT0": ("Battery", "Discharging", "")}, True),
        ({"BAT0": ("Battery", "Charging", ""), "AC": ("Mains", "", "")}, False),
        (
            {
                "BAT0": ("Battery", "Not charging", "System"),
                "BAT1": ("Battery", "Discharging", "System"),
            },
            True,
        ),
        ({"hidpp_battery_0": ("Battery", "Discharging", "Device"), "AC": ("Mains", "", "")}, False),
    ],
    ids=["none", "on battery", "charging", "the second one", "a mouse"],
)
def test_the_battery_is_not_emptied(
    tmp_path: Path, supplies: dict[str, tuple[str, str, str]], empties: bool
) -> None:
    place = tmp_path / "power_supply"
    for name, (kind, state, scope) in supplies.items():
        supply(
            place,
            name,
            type=kind,
            **({"status": state} if state else {}),
            **({"scope": scope} if scope else {}),
        )
    assert on_battery(place) == empties
    assert (
        "battery" in idleness(tmp_path, supplies=place).blocked_by(NOW, edited=LONG_AGO)
    ) == empties
    tired = idleness(tmp_path, supplies=place, longest_wait=0.0, minutes=0.0)
    assert (
        tired.blocked_by(NOW, edited=LONG_AGO) == "the machine runs on its battery (idle.battery)"
    ) == empties  # for as long as it takes
    assert idleness(tmp_path, supplies=place, battery=True).blocked_by(NOW, edited=LONG_AGO) == ""


# --- the daemon -----------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Daemon, Clock]]:
    """A daemon, ticked by the tests, with enough to learn from."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("here")
        world = World.make(
            root / "home", tiny_base(root), None, idle={"minutes": 10.0, "load": 1000.0}
        )
        world.work({f"s{n}": 4 for n in range(6)}, steps)
        patch.setenv("QI_LEARN_HOME", str(world.root))
        patch.setattr(daemon_module, "DECIDE_SECONDS", (0.0, 0.0))
        clock = Clock()
        with Daemon(world.paths, world.settings, clock=clock) as opened:
            yield world, opened, clock


def qi(world: World, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "qi_learn", *words]
    return subprocess.Popen(
        command, env=world.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ticked_until(opened: Daemon, holds: Callable[[], bool]) -> None:
    def tick() -> bool:
        opened.tick()
        return holds()

    wait_until(tick)


def newest(world: World) -> RunDirectory:
    return run_directories(world.paths.runs)[-1]


def ended(world: World, opened: Daemon) -> dict[str, str]:
    ticked_until(
        opened, lambda: newest(world).ended and load_state(opened, newest(world)) != "planned"
    )
    return dict(json.loads(newest(world).outcome.read_text()))


def load_state(opened: Daemon, run: RunDirectory) -> str:
    return load_run(opened.store, run.run_id).state


def test_a_cycle_that_is_due_waits_and_says_why(
    here: tuple[World, Daemon, Clock], tmp_path: Path
) -> None:
    world, opened, clock = here
    opened.tick()
    assert opened.decision.due
    assert opened.waiting.startswith("the daemon started")
    seen = status.gather(world.paths, world.settings)
    assert seen.waiting == opened.waiting
    assert "learning    waiting until you are idle: the daemon started" in status.as_text(seen)
    asked = qi(world, "train")
    assert asked.communicate(timeout=60)[0].startswith("waiting until you are idle: ")

    clock.ahead = 300.0
    project = Repository(tmp_path / "project")
    add_project(world.paths, project.root)
    ticked_until(
        opened,
        lambda: (
            [p.mode for p in opened.condition.projects if p.project == str(project.root)]
            == ["watched"]
        ),
    )
    project.write("a.py", "x = 1\n")
    ticked_until(opened, lambda: "watched project changed" in opened.waiting)
    mark(world.paths, clock())
    opened.tick()
    assert "a request was answered just now" in opened.waiting
    assert run_directories(world.paths.runs) == []


def test_who_asks_does_not_wait_and_whoever_does_not_want_it_ends_it(
    here: tuple[World, Daemon, Clock],
) -> None:
    world, opened, _ = here
    before = (load_deployment(world.paths).chain, world.names())
    following = qi(world, "train", "--now")
    ticked_until(
        opened, lambda: bool(run_directories(world.paths.runs)) and newest(world).history() != []
    )
    assert opened.waiting == ""
    assert newest(world).held
    cancelling = qi(world, "train", "--cancel")
    ticked_until(opened, lambda: cancelling.poll() is not None and following.poll() is not None)
    assert cancelling.returncode == 0
    assert "The cycle is cancelled; the live version is what it was." in cancelling.communicate()[0]
    assert following.returncode == 1
    assert "end: cancelled: by `qi-learn train --cancel`" in following.communicate()[0]
    assert ended(world, opened)["state"] == "cancelled"
    assert load_state(opened, newest(world)) == "cancelled"
    assert (load_deployment(world.paths).chain, world.names()) == before
    seen = status.gather(world.paths, world.settings).run
    assert seen is not None
    assert (seen.state, seen.reason) == ("cancelled", "by `qi-learn train --cancel`")
    # its process may be leaving still
    ticked_until(opened, lambda: "the last cycle was cancelled" in opened.decision.reason)
    nothing = qi(world, "train", "--cancel")
    ticked_until(opened, lambda: nothing.poll() is not None)
    assert (nothing.returncode, "No cycle is under way" in nothing.communicate()[0]) == (1, True)


def test_after_the_longest_wait_it_starts_and_ctrl_c_leaves_it_or_cancels_it(
    here: tuple[World, Daemon, Clock],
) -> None:
    world, opened, clock = here
    clock.ahead += 2 * 3600
    mark(world.paths, clock())
    opened.tick()
    assert "at the latest in" in opened.waiting
    clock.ahead += 25 * 3600
    mark(world.paths, clock())
    ticked_until(
        opened,
        lambda: len(run_directories(world.paths.runs)) == 2 and newest(world).history() != [],
    )
    assert opened.settings.idle.minutes != 0
    following = qi(world, "train", "--now")
    ticked_until(opened, lambda: json.loads(newest(world).request.read_text())["asked"])
    following.send_signal(signal.SIGINT)
    time.sleep(0.7)
    opened.tick()
    following.send_signal(signal.SIGINT)
    ticked_until(opened, lambda: following.poll() is not None)
    said = following.communicate()[0]
    assert "Ctrl-C again cancels it" in said
    assert "Cancelling the cycle." in said
    assert (following.returncode, ended(world, opened)["state"]) == (1, "cancelled")


class Heard:
    """What a person is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def show(self, run: RunDirectory) -> None:
        """Nothing is drawn."""


def test_one_ctrl_c_leaves_the_cycle_and_a_third_one_does_not_wait_for_the_cancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "ASK_SECONDS", 0.5)
    run = RunDirectory(tmp_path / "R1")
    run.path.mkdir()
    for presses, cancels in ((1, 0), (3, 1)):
        heard = Heard()
        cancelled: list[bool] = []
        with train.interrupts() as pressed:
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)
            host = train.CycleHost(
                alive=lambda: True,
                cancel=partial(cancelled.append, True),
                left="It goes on.",
            )
            ended = train.follow(run, heard, pressed, host)
        assert (ended.state, ended.exit_code, len(cancelled)) == ("left", 75, cancels)
        assert heard.lines[-1] == "It goes on."
        assert not run.ended
    assert (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # afterwards it is what it was


# --- with no daemon -------------------------------------------------------------------------------


def test_a_cycle_that_waits_for_the_daemon_is_cancelled_without_one(
    here: tuple[World, Daemon, Clock], tmp_path: Path
) -> None:
    other = Paths.under(tmp_path / "home").ensure()
    source = here[0].paths
    other.deploy.write_bytes(source.deploy.read_bytes())
    with pytest.raises(NotFound, match="No cycle is under way"):
        train.cancel(other, lambda _: None)
    run = RunDirectory(other.runs / "01R")
    run.path.mkdir()
    run.request.write_text("{}")
    (run.path / "model.gguf").write_bytes(b"GGUF")
    assert train.cancel(other, lambda _: None).state == "cancelled"
    assert (run.ended, run.cancelled, (run.path / "model.gguf").exists()) == (True, True, False)
    assert [
        json.loads(line[9:])["body"]["state"]
        for file in other.spool.glob("*.jsonl")
        for line in file.read_text().splitlines()
    ] == ["cancelled"]
