"""Cycles that do not ship: the data does not allow one, the server is away, a step fails, the delta
makes it worse, another version went live, no device is free.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.cycle.resources import WAITS
from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.gate.ledger import next_look
from qi_learn.records import Placement, Verdict
from qi_learn.store.looks import past_looks
from qi_learn.store.runs import load_run
from tests.support.cycles import (
    AGAIN,
    DONE,
    FAILED,
    REFUSED,
    SESSIONS,
    Learned,
    falling_server,
    give_result,
    kill_at,
    lines_of,
)
from tests.support.engine_server import Server
from tests.support.gpus import Gpus
from tests.support.world import World, steps

# --- what is refused, and what fails --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sessions", "words"),
    [
        ({"a": 2, "b": 2}, "4 examples with text of your own are too few: the gate alone needs 6"),
        ({"a": 14, "b": 3}, "14 of 17 examples come from one session"),
        ({}, "0 examples"),
    ],
    ids=["thin", "one-sided", "nothing"],
)
def test_data_that_does_not_allow_a_cycle(
    world: World, sessions: dict[str, int], words: str
) -> None:
    world.work(sessions, steps)
    run = world.request()
    assert world.cycle(run) == REFUSED, run.log.read_text()
    outcome = json.loads(run.outcome.read_text())
    assert outcome["state"] == "refused"
    assert words in outcome["reason"]
    with world.store() as store:
        world.take_in(store)
        assert (load_run(store, run.run_id).state, load_run(store, run.run_id).reason) == (
            "refused",
            outcome["reason"],
        )
    assert load_deployment(world.paths).chain == ("1.0.0",)
    world.assert_answers()
    assert world.cycle(run) == DONE  # ended is ended


def test_a_server_that_is_away_ends_nothing(world: World) -> None:
    world.work(SESSIONS, steps)
    run = world.request(server="http://127.0.0.1:9")
    assert world.cycle(run) == AGAIN
    assert not run.ended
    waits = run.history()[-1]
    assert (waits["step"], waits["state"]) == ("cycle", "waits")
    assert "No server answers at http://127.0.0.1:9" in waits["reason"]
    with world.store() as store:
        world.take_in(store)
        assert load_run(store, run.run_id).state == "planned"


def test_a_worker_that_cannot_work_fails_the_cycle_in_its_own_words(world: World) -> None:
    """An interpreter that is not there, then one that lacks torch: it gets our package all the
    same, and says what is missing.
    """
    world.work(SESSIONS, steps)
    world.change("train", python=str(world.root / "no-python"))
    run = world.request()
    assert world.cycle(run) == FAILED
    reason = json.loads(run.outcome.read_text())["reason"]
    assert "could not be started with" in reason
    assert "train.python" in reason

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", world.root / "bare"], check=True)
    world.change("train", python=str(world.root / "bare" / "bin" / "python"))
    again = world.request()
    assert world.cycle(again) == FAILED
    outcome = json.loads(again.outcome.read_text())
    assert outcome["state"] == "failed"
    assert "Install the extra `train`" in outcome["reason"]
    assert "[train]" in outcome["reason"]
    with world.store() as store:
        world.take_in(store)
        assert (load_run(store, again.run_id).state, load_run(store, again.run_id).reason) == (
            "failed",
            outcome["reason"],
        )
    assert load_deployment(world.paths).chain == ("1.0.0",)
    world.assert_answers()


def test_a_base_that_cannot_be_trained_fails_before_the_worker(world: World, base: Path) -> None:
    world.work(SESSIONS, steps)
    other = world.root / "other.gguf"
    other.write_bytes(base.read_bytes().replace(b"llama", b"gemma"))
    run = world.request(base_gguf=str(other))
    assert world.cycle(run) == FAILED
    assert (
        "`gemma`; only llama, qwen2, qwen3 can be trained"
        in json.loads(run.outcome.read_text())["reason"]
    )
    assert [line["step"] for line in run.history()] == ["freeze", "freeze", "end"]


def test_a_delta_that_makes_it_worse_is_refused_also_where_the_disk_was_full_meanwhile(
    world: World, first: Learned
) -> None:
    world.work(SESSIONS, steps)
    run = world.request()
    assert world.cycle(run, most=200) == AGAIN  # bytes in KiB: the data set does not fit
    assert "snapshot" in run.history()[-1]["reason"]
    kill_at(world, run, {("train", "begun")})
    give_result(run, first.run, times=-1.0)  # the very opposite of what was to be learned

    assert world.cycle(run, most=100) == AGAIN  # nor does the model
    assert "model.gguf" in run.history()[-1]["reason"]
    assert not run.ended
    world.assert_answers()

    # requests come all the time, and are given way to for 0.6 s
    world.change("idle", quiet=3600.0, longest_pause=0.01)
    world.paths.activity.touch()
    assert world.cycle(run) == REFUSED, run.log.read_text()
    waited = [line["step"] for line in run.history() if line["state"] == WAITS]
    assert waited == ["pack", "gate"], "for each once"
    outcome = json.loads(run.outcome.read_text())
    verdict = run.read(run.verdict, Verdict)
    assert not verdict.ships
    assert verdict.scale == 0.25  # the least of a bad thing
    assert outcome["reason"] == "; ".join(verdict.reasons)
    assert "not better by more than" in outcome["reason"]
    with world.store() as store:
        world.take_in(store)
        assert load_run(store, run.run_id).verdict == verdict
    deployment = load_deployment(world.paths)
    assert (deployment.chain, deployment.highest) == (("1.0.0",), "1.0.0")
    assert world.names() == [world.alias, deployment.live_release.model]  # the candidate is gone
    assert not list(run.path.glob("*.gguf"))


def test_a_candidate_that_takes_the_server_down_is_refused(world: World, first: Learned) -> None:
    """Else the cycle would come again and again, and the server would go down each time."""
    world.work(SESSIONS, steps)
    run = world.request()
    kill_at(world, run, {("train", "begun")})
    give_result(run, first.run, times=1.0)
    with falling_server(world.url) as url:
        run.write(run.request, replace(world.read_request(run), server=url))
        assert [world.cycle(run) for _ in range(3)] == [AGAIN, AGAIN, REFUSED], run.log.read_text()
    assert "went away 3 times" in json.loads(run.outcome.read_text())["reason"]
    world.assert_answers()


def test_where_another_version_went_live_meanwhile_it_is_compared_with_that_one(
    world: World, server: Server, first: Learned
) -> None:
    world.work(SESSIONS, steps)
    run = world.request()
    kill_at(world, run, {("train", "begun")})
    give_result(run, first.run, times=1.0)
    kill_at(world, run, {("gate", "begun")})
    # it passed, against 1.0.0, and was killed before it could deploy
    overtaken = first.run.read(first.run.verdict, Verdict)
    run.write(run.verdict, overtaken)
    other = world.release(server, seed=0)  # the base again, under another number
    assert other.version == "1.1.0"

    assert world.cycle(run) == AGAIN
    assert "Version 1.1.0 went live" in run.history()[-1]["reason"]
    assert load_deployment(world.paths).live == "1.1.0"
    assert world.cycle(run) == DONE, run.log.read_text()
    verdict = run.read(run.verdict, Verdict)
    assert verdict.compared_with == "1.1.0"
    with world.store() as store:
        world.take_in(store)
        looks = past_looks(store)
    assert [look.verdict for look in looks] == [overtaken, replace(verdict, earlier=())]
    assert next_look(looks, "1.0.0").number == 2, "the look at the version before is booked still"
    deployment = load_deployment(world.paths)
    assert (deployment.chain, deployment.live_release.parent) == (
        ("1.0.0", "1.1.0", "1.2.0"),
        "1.0.0",
    )
    assert live_runs(deployment) == (run.run_id,)
    assert world.digest_of(world.alias) == world.digest_of(deployment.live_release.model)


def test_two_processes_do_not_work_on_one_run(world: World) -> None:
    world.work({"a": 2}, steps)
    run = world.request()
    lock = run.hold()
    assert lock is not None
    assert run.held
    assert world.cycle(run) == AGAIN
    assert run.history() == []
    os.close(lock)
    assert not run.held
    assert world.cycle(run) == REFUSED


def test_where_no_device_has_the_memory_now_it_is_deferred(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU that is full of something else is waited for; when it is gone, the CPU does."""
    gpus = Gpus.install(world.root / "bin", monkeypatch)
    gpus.show(("RTX 4090", 24564, 0), apps=((0, "a-game", 24000),))
    world.work(SESSIONS, steps)
    run = world.request(engine=True)
    assert world.cycle(run) == AGAIN, run.log.read_text()
    waits = run.history()[-1]
    assert (waits["step"], waits["state"]) == ("cycle", "waits")
    assert (
        "No device has the memory to train now: RTX 4090 has 0.0 of 24.0 GiB free"
        in waits["reason"]
    )
    assert not run.ended
    assert not run.plan.exists()
    gpus.show()
    kill_at(world, run, {("train", "placed")})
    placement = run.read(run.placement, Placement)
    assert (placement.device, placement.reason) == ("cpu", "the cycle is planned for it")
    assert lines_of(run).count(("freeze", "begun")) == 1
