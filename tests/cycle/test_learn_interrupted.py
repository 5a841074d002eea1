"""A cycle that is cancelled or killed at any point, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from functools import partial

import pytest

from qi_learn.deploy.journal import load_deployment
from qi_learn.records import Verdict
from qi_learn.rundir.directory import RunDirectory
from qi_learn.store.releases import list_moves
from qi_learn.store.runs import list_runs, load_run
from tests.support.cycles import (
    AGAIN,
    DONE,
    SESSIONS,
    Learned,
    kill_at,
    lines_of,
    take_over,
    until,
    watched_alias,
)
from tests.support.world import World, steps

# --- cancelled anywhere ---------------------------------------------------------------------------


def test_cancelled_at_every_stage_it_ends_and_the_live_version_is_untouched(
    world: World, first: Learned
) -> None:
    """Freeze, train, pack, gate: cancelled. Deploy: the switch is finished."""
    shutil.copytree(first.world.paths.fisher, world.paths.fisher)
    world.work(SESSIONS, steps)
    digest = world.digest_of(world.alias)
    done: RunDirectory | None = None
    for stage in ("freeze", "train", "pack", "gate"):
        run = world.request()
        if done is not None:
            take_over(run, done, first.run, stage)
        process = world.start(run)
        until(partial(_begun, run, stage), process)
        if stage == "gate":
            until(lambda: any("candidate-" in name for name in world.names()), process)
        run.cancel()
        process.terminate()
        assert process.wait(600) == DONE, run.log.read_text()
        assert json.loads(run.outcome.read_text()) == {
            "state": "cancelled",
            "reason": "by `qi-learn train --cancel`",
            "version": None,
        }
        assert (stage, "done") not in lines_of(run)
        until(partial(_left, run))  # its worker, if it had one, leaves a moment after it
        assert not list(run.path.glob("*.gguf"))
        assert not (run.path / "checkpoints").exists()
        assert world.cycle(run) == DONE  # it is not resumed
        assert lines_of(run)[-1] == ("end", "cancelled")
        assert (load_deployment(world.paths).chain, world.digest_of(world.alias)) == (
            ("1.0.0",),
            digest,
        )
        assert world.names() == [
            world.alias,
            load_deployment(world.paths).live_release.model,
        ]  # no candidate
        done = run if stage == "train" else done
    with world.store() as store:
        world.take_in(store)
        assert {r.state for r in list_runs(store)} == {"cancelled"}

    assert done is not None
    run = world.request()
    take_over(run, done, first.run, "deploy")
    kill_at(world, run, {("gate", "begun")})
    run.write(run.verdict, first.run.read(first.run.verdict, Verdict))
    process = world.start(run)
    until(lambda: ("deploy", "begun") in lines_of(run), process)
    run.cancel()
    process.terminate()
    assert process.wait(600) == DONE, run.log.read_text()
    assert json.loads(run.outcome.read_text())["version"] == "1.1.0"
    assert load_deployment(world.paths).chain == ("1.0.0", "1.1.0")
    assert world.digest_of(world.alias) != digest
    world.assert_answers()


def _left(run: RunDirectory) -> bool:
    return not run.held


def _begun(run: RunDirectory, stage: str) -> bool:
    return (stage, "begun") in lines_of(run)


# --- killed anywhere ------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_after_every_line_of_its_journal(world: World, first: Learned) -> None:
    """A fresh home, and a cycle that gets no further each time than one line further than ever
    before.
    """
    shutil.copytree(first.world.paths.fisher, world.paths.fisher)
    world.work(SESSIONS, steps)
    run = world.request()
    killed: set[tuple[str, str]] = set()
    with watched_alias(world) as seen:
        while line := kill_at(world, run, None, not_at=killed):
            killed.add(line)
            world.assert_answers()
            assert len(killed) < 20
    assert {
        ("freeze", "begun"),
        ("train", "begun"),
        ("pack", "begun"),
        ("gate", "begun"),
        ("deploy", "begun"),
        ("deploy", "done"),
    } <= killed
    assert json.loads(run.outcome.read_text())["version"] == "1.1.0"
    deployment = load_deployment(world.paths)
    assert (deployment.chain, deployment.highest, deployment.abandoned) == (
        ("1.0.0", "1.1.0"),
        "1.1.0",
        (),
    )
    assert world.names() == [world.alias, *(r.model for r in deployment.releases)]
    assert seen.faults == []
    assert seen.models == [world.digest_of(r.model) for r in deployment.releases]
    with world.store() as store:
        world.take_in(store)
        assert load_run(store, run.run_id).state == "deployed"
        assert [(m.action, m.version) for m in list_moves(store)] == [
            ("released", "1.1.0"),
            ("base", "1.0.0"),
        ]


@pytest.mark.slow
def test_a_worker_whose_cycle_was_killed_leaves_and_nobody_begins_before(
    world: World, first: Learned
) -> None:
    shutil.copytree(first.world.paths.fisher, world.paths.fisher)
    world.change("train", max_steps=2000)
    world.work(SESSIONS, steps)
    run = world.request()
    process = world.start(run)
    until(lambda: (run.path / "checkpoints").exists(), process)
    process.kill()
    process.wait()
    assert run.held  # the worker has it
    assert world.cycle(run) == AGAIN
    until(lambda: not run.held)
    assert list((run.path / "checkpoints").glob("step-*/state.json"))


@pytest.mark.slow
def test_a_worker_without_room_is_tried_again(world: World, first: Learned) -> None:
    shutil.copytree(first.world.paths.fisher, world.paths.fisher)
    world.work(SESSIONS, steps)
    run = world.request()
    kill_at(world, run, {("train", "begun")})
    assert world.cycle(run, most=20) == AGAIN
    assert "no room" in run.history()[-1]["reason"]
    assert world.cycle(run) == DONE, run.log.read_text()
