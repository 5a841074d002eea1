"""Cycles of the daemon: a version comes out by itself, whatever is stopped or killed meanwhile.

All of it real, the training worker too. Only the model is tiny.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon import client
from qi_learn.daemon import cycles as learning
from qi_learn.daemon.cycles import CycleRunner
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.model_server import ModelServer
from qi_learn.paths import Paths
from qi_learn.records import TrainResult
from qi_learn.rundir.directory import RunDirectory, RunRequest, run_directories
from qi_learn.store.database import open_store
from qi_learn.store.releases import list_moves
from qi_learn.store.runs import load_run
from qi_learn.workspace.registry import add_project
from tests.support.command_line import wait_until
from tests.support.daemon_process import SESSIONS, daemon, end_servers, qi, record_turns
from tests.support.engine_server import running_engine
from tests.support.repository import Repository
from tests.support.world import World, steps


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    end_servers(Paths.under(tmp_path / "home"))


def test_it_learns_by_itself_whatever_is_stopped_or_killed_meanwhile(
    tmp_path: Path, base: Path
) -> None:
    """Turns and commits -> thresholds -> a cycle. It is told to stop in the training, killed after
    it, and finished by `train --now`.
    """
    world = World.make(
        tmp_path / "home", base, None, train={"max_steps": 120, "min_interactions": 24}
    )
    project = Repository(tmp_path / "project")
    project.write("README", "Steps.\n")
    project.commit("Begin")
    add_project(world.paths, project.root)

    with daemon(world) as process:
        for session, count in SESSIONS.items():
            numbers = [100 * int(session[1:]) + n for n in range(count)]
            record_turns(world, project, numbers, session)
            for n in numbers:
                project.write(f"{session}.py", "\n\n".join(steps(m) for m in numbers if m <= n))
            project.commit(f"Work on {session}")
        wait_until(lambda: run_directories(world.paths.runs) != [], 120)
        run = run_directories(world.paths.runs)[0]
        wait_until(lambda: progress(run).get("step", 0) > 20 or run.ended, 120)
        process.terminate()
        assert process.wait(60) == 0
    assert not run.ended
    assert not run.held
    assert (run.history()[-1]["step"], run.history()[-1]["state"]) == ("cycle", "waits")
    saved = max(int(p.name.removeprefix("step-")) for p in (run.path / "checkpoints").iterdir())
    assert saved > 20

    with daemon(world) as process:
        wait_until(lambda: ("train", "done") in lines(run), 120)
        process.kill()
        process.wait()
        assert f"going on from step {saved}" in run.log.read_text()
        assert run.read(run.result, TrainResult).steps >= saved
        wait_until(lambda: not run.held)  # who was started by it leaves with it
    assert not client.locked(world.paths)

    finished = qi(world, "train", "--now")
    assert finished.returncode == 0, finished.stdout + finished.stderr + run.log.read_text()
    assert "version 1.1.0 is live" in finished.stdout
    assert [r.run_id for r in run_directories(world.paths.runs)] == [run.run_id]
    assert lines(run).count(("train", "begun")) == 2
    deployment = load_deployment(world.paths)
    assert (deployment.chain, deployment.live_release.run_id) == (("1.0.0", "1.1.0"), run.run_id)
    with open_store(world.paths.database, readonly=True) as store:
        known = load_run(store, run.run_id)
        assert (known.state, known.examples, known.fresh) == (
            "deployed",
            24,
            24,
        )  # all of the work, in however quick succession it came
        assert known.verdict is not None
        assert [(m.action, m.version) for m in list_moves(store) if m.action != "base"] == [
            ("released", "1.1.0")
        ]
    assert not (run.path / "tries").exists()  # stopped and cut off is not died


def lines(run: RunDirectory) -> list[tuple[str, str]]:
    return [(line["step"], line["state"]) for line in run.history()]


def waited(run: RunDirectory, times: int) -> bool:
    """Whether its process found so often that it must wait."""
    return lines(run).count(("cycle", "waits")) >= times


def watched_until(cycles: CycleRunner, holds: Callable[[], bool]) -> None:
    def watch() -> bool:
        cycles.watch()
        return holds()

    wait_until(watch)


def progress(run: RunDirectory) -> dict[str, Any]:
    try:
        said = json.loads(run.progress.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return said if said.get("phase") == "training" else {}


def test_train_now_says_why_not(tmp_path: Path, base: Path) -> None:
    """Without a daemon it is the daemon for that while, and leaves no process behind."""
    world = World.make(tmp_path / "home", base, None)
    world.work({"a": 2}, steps)
    said = qi(world, "train", "--now")
    assert said.returncode == 4, said.stderr
    assert "2 examples come from one session" in said.stdout
    assert not client.locked(world.paths)
    with open_store(world.paths.database, readonly=True) as store:
        assert load_run(store, run_directories(world.paths.runs)[0].run_id).state == "refused"


def test_a_cycle_that_dies_is_given_up_one_that_waits_is_not(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "RETRY_SECONDS", (0.0,))
    world = World.make(tmp_path / "home", base, None)
    monkeypatch.setenv("QI_LEARN_HOME", str(world.root))
    with running_engine(tmp_path, "--models", str(world.paths.models)) as server:
        World.make(world.root, base, server)
        world.work(SESSIONS, steps)
    away = ModelServer("http://127.0.0.1:9", False, None)

    def request() -> RunRequest:
        return RunRequest(
            f"R{len(run_directories(world.paths.runs))}",
            "http://127.0.0.1:1",
            1.0,
            "a test",
            0,
            24,
            str(base),
            "1.0.0",
        )

    cycles = CycleRunner(world.paths, away)
    waiting = cycles.start(request())
    for tried in range(1, learning.MAX_TRIES + 2):
        watched_until(cycles, partial(waited, waiting, tried))
    assert cycles.busy
    assert (
        "http://127.0.0.1:9" in waiting.history()[-1]["reason"]
    )  # the server that is up now, not the one it began with
    cycles.stop()
    waiting.write(waiting.outcome, {"state": "failed", "reason": "enough", "version": None})

    (world.paths.settings_file).write_text("[train]\nbanana = 1\n")
    cycles = CycleRunner(world.paths, away)
    assert not cycles.busy
    dying = cycles.start(request())
    watched_until(cycles, lambda: not cycles.busy)
    outcome = json.loads(dying.outcome.read_text())
    assert outcome["state"] == "failed"
    assert "died 3 times" in outcome["reason"]
    assert "banana" in outcome["reason"]
    with world.store() as store:
        world.take_in(store)
        assert load_run(store, dying.run_id).reason == outcome["reason"]
