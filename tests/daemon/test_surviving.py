"""What is left of committed lines is counted at the commit, a day and a week later."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.background import Background
from qi_learn.daemon.following import clean_texts
from qi_learn.daemon.surviving import FEW, Surviving
from qi_learn.outside import git_call
from qi_learn.records import Survival
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import open_store
from qi_learn.store.lines_left import survivals_of
from tests.support import repository
from tests.support.played_day import Day
from tests.support.played_home import PlayedHome
from tests.support.tracked_code import FILE, SUGGESTED, World, with_mean

DAY = 86400.0
OWN = 6


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_store(tmp_path / "qi.db") as store:
        world = World(tmp_path / "work", store)
        world.begin("stats.py", FILE)
        yield world


def _count(world: World) -> float:
    """Count as rounds of the daemon do, until nothing is due; when something is next."""
    background, guard = Background("test-lines"), StepGuard()
    surviving = Surviving(background, guard)
    end = time.monotonic() + 60
    while surviving.due <= world.now or background.busy:
        surviving.count(world.store, world.now, clean_texts(world.store))
        for done in background.results():
            surviving.keep(world.store, done)
        assert time.monotonic() < end
    background.close()
    assert not guard.set_aside
    return surviving.due


def _left(world: World, turn: str, ordinal: int = 0) -> tuple[Any, ...]:
    found = survivals_of(world.store, turn)[ordinal]
    return found.at_commit, found.after_day, found.after_week


def _row(world: World, turn: str) -> Survival:
    return survivals_of(world.store, turn)[0]


def _commit_at(
    world: World, at: float, monkeypatch: pytest.MonkeyPatch, subject: str = "A change"
) -> None:
    """Commit what is there, by a clock that shows `at`."""
    with monkeypatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setitem(repository.ENV, f"GIT_{who}_DATE", f"{int(at)} +0000")
        world.repo.commit(subject)


def _edit(world: World, old: str, new: str) -> None:
    text = (world.repo.root / "stats.py").read_text()
    assert old in text
    world.repo.write("stats.py", text.replace(old, new))


def _put_before_git(directory: Path, first: str, patch: pytest.MonkeyPatch) -> None:
    """Have git do something else first."""
    directory.mkdir()
    git = directory / "git"
    git.write_text(f'#!/bin/sh\n{first}\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    patch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def _taken(world: World) -> str:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Add mean")
    return turn


def test_counted_at_the_commit_a_day_and_a_week_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = _taken(world)
    made = world.repo_time()
    assert _count(world) == made + DAY
    assert _left(world, turn) == (1.0, None, None)
    _edit(world, "total = 0", "total = 0.0")
    _commit_at(world, made + DAY / 2, monkeypatch)
    world.now = made + DAY + 60
    _count(world)
    assert _left(world, turn) == (1.0, pytest.approx(5 / OWN), None)
    _edit(world, "total + value", "value + total")
    _commit_at(world, made + 3 * DAY, monkeypatch)
    world.now = made + 7 * DAY + 60
    assert _count(world) == math.inf
    assert _left(world, turn) == (1.0, pytest.approx(5 / OWN), pytest.approx(4 / OWN))


def test_a_look_that_comes_late_counts_what_the_branch_had_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = _taken(world)
    made = world.repo_time()
    _edit(world, "total = 0", "total = 0.0")
    _commit_at(world, made + DAY / 2, monkeypatch)
    _edit(world, "total + value", "value + total")
    _commit_at(world, made + 3 * DAY, monkeypatch)
    _edit(world, "return total", "return 1 * total")
    _commit_at(world, made + 7.5 * DAY, monkeypatch)
    world.now = made + 7.9 * DAY
    _count(world)
    _count(world)
    assert _left(world, turn) == (1.0, pytest.approx(5 / OWN), pytest.approx(4 / OWN))


def test_what_was_not_committed_is_not_counted(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.wait(world.settings.settle + 1)
    assert world.fate(turn).fate == "kept"
    assert _count(world) == math.inf
    assert survivals_of(world.store, turn) == {}


def test_a_commit_that_was_thrown_away_is_unknown_and_not_asked_for_for_ever(world: World) -> None:
    turn = _taken(world)
    _count(world)
    made = world.repo_time()
    world.repo.git("reset", "-q", "--hard", "HEAD~1")
    due = [made + days * DAY for days in (2, 7, 8)] + [math.inf]
    for days, then in zip((1.1, 2.1, 7.1, 8.1), due, strict=True):
        world.now = made + days * DAY
        assert _count(world) == then
    assert _left(world, turn) == (1.0, None, None)


def test_a_branch_that_is_away_for_a_day_is_counted_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.repo.git("checkout", "-q", "-b", "feature")
    world.head_moved()
    turn = _taken(world)
    _count(world)
    made = world.repo_time()
    world.repo.git("checkout", "-q", "main")
    world.now = made + 1.1 * DAY
    _count(world)
    assert _left(world, turn) == (1.0, None, None)
    world.repo.git("checkout", "-q", "feature")
    world.now = made + 2.1 * DAY
    _count(world)
    assert _left(world, turn) == (1.0, 1.0, None)


def test_a_project_that_is_gone_is_unknown(world: World) -> None:
    turn = _taken(world)
    _count(world)
    world.repo.root.rename(world.repo.root.with_name("elsewhere"))
    world.now = world.now + 9 * DAY
    assert _count(world) == math.inf
    assert _left(world, turn) == (1.0, None, None)


def test_a_round_asks_git_nothing_and_loads_a_few_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns = []
    for n in range(FEW + 1):
        code = SUGGESTED.replace("mean", f"mean_{n}")
        turns.append(world.ask(code))
        world.save(f"mean_{n}.py", code)
        world.commit(f"Add mean_{n}")
    background = Background("test-lines")
    surviving = Surviving(background, StepGuard())
    with monkeypatch.context() as patch:
        _put_before_git(tmp_path / "bin", "sleep 0.5", patch)
        began = time.monotonic()
        surviving.count(world.store, world.now, clean_texts(world.store))
        assert time.monotonic() - began < 0.5
        assert (background.length, surviving.due) == (FEW, math.inf)
    background.close()
    _count(world)
    assert [_left(world, turn) for turn in turns] == [(1.0, None, None)] * len(turns)


def test_a_project_that_is_away_at_the_commit_is_counted_when_it_is_back(world: World) -> None:
    turn = _taken(world)
    root = world.repo.root
    root.rename(root.with_name("elsewhere"))
    assert _count(world) == world.now + DAY
    assert _left(world, turn) == (None, None, None)
    world.now += DAY
    assert _count(world) == world.now + DAY
    root.with_name("elsewhere").rename(root)
    world.now += DAY
    _count(world)
    assert _left(world, turn)[0] == 1.0


def test_git_that_refuses_at_the_commit_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turn = _taken(world)
    with monkeypatch.context() as patch:
        _put_before_git(tmp_path / "bin", "exit 128", patch)
        assert _count(world) == world.now + DAY
    world.now += DAY
    _count(world)
    assert _left(world, turn)[0] == 1.0


def test_a_project_that_never_comes_back_is_not_asked_for_for_ever(world: World) -> None:
    turn = _taken(world)
    world.repo.root.rename(world.repo.root.with_name("elsewhere"))
    for _ in range(9):
        due = _count(world)
        world.now += DAY
    assert (due, _left(world, turn)) == (math.inf, (None, None, None))


def test_suggestions_of_one_file_and_commit_take_one_process_together(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Counted by git's own trace."""
    codes = [SUGGESTED.replace("mean", f"mean_{n}") for n in range(8)]
    turns = [world.ask(code) for code in codes]
    world.save("means.py", "\n\n".join(codes))
    world.commit("Add means")
    _count(world)
    made = world.repo_time()
    world.repo.write("means.py", (world.repo.root / "means.py").read_text() + "\n\nMORE = 1\n")
    world.repo.commit("More")
    trace = tmp_path / "trace"
    monkeypatch.setattr(git_call, "environment", lambda: {**os.environ, "GIT_TRACE": str(trace)})
    world.now = made + 1.1 * DAY
    _count(world)
    assert [_left(world, turn) for turn in turns] == [(1.0, 1.0, None)] * 8
    asked = [line for line in trace.read_text().split("\n") if "built-in: git" in line]
    assert sum("git blame" in line for line in asked) == 1
    assert len(asked) <= 6, asked


def test_what_is_forgotten_has_no_number(world: World) -> None:
    turn = _taken(world)
    _count(world)
    world.store.execute("DELETE FROM turns WHERE id = ?", (turn,))
    assert survivals_of(world.store, turn) == {}


def test_the_daemon_counts_as_days_go_by(tmp_path: Path) -> None:
    code = SUGGESTED.replace("mean(", "mean_of(")
    with PlayedHome(tmp_path) as home:
        day = Day(home, "python")
        turn = day.ask(code)
        day.paste(code)
        day.repo.commit("Mean")
        home.wait(60.0)
        home.rest()  # the thread asks git
        found = survivals_of(home.store, turn)[0]
        assert (found.own, found.at_commit, found.after_day) == (OWN, 1.0, None)
        day.repo.git("mv", day.file, "invoicer/means.py")
        day.repo.commit("Move")
        moved = day.repo.read("invoicer/means.py").replace("total = 0", "total = 0.0")
        day.repo.save("invoicer/means.py", moved)
        day.repo.commit("Floats")
        home.wait(DAY)
        home.rest()
        assert survivals_of(home.store, turn)[0].after_day == pytest.approx(5 / OWN)
        for _ in range(7):
            home.wait(DAY)
            home.rest()
        found = survivals_of(home.store, turn)[0]
        assert found.after_week == pytest.approx(5 / OWN)
        assert (found.due, found.lines) == (None, ())
