"""One learning cycle end to end: a real engine, a real training worker, a real gate, on a model
small enough for seconds.

What ships, what is refused, and what a cycle leaves behind that is killed, stopped or starved at
any point.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest

from qi_learn.cycle.resources import WAITS
from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.records import Packed, Placement, Plan, TrainResult, Verdict
from qi_learn.rundir.adapter_file import read_adapter, write_adapter
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.store.database import open_store
from qi_learn.store.releases import list_moves, list_releases
from qi_learn.store.runs import learned, list_runs, load_run
from tests.support.engine_server import Server, running_engine
from tests.support.gpus import Gpus
from tests.support.sandboxes import sandbox_here
from tests.support.world import World, steps, tiny_base

SESSIONS = {f"s{n}": 4 for n in range(6)}
DONE, FAILED, REFUSED, AGAIN = 0, 1, 4, 75


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, base: Path, server: Server) -> World:
    """A home with nothing learned and nothing recorded yet."""
    return World.make(tmp_path / "home", base, server, f"{tmp_path.name.replace('_', '-')}:latest")


@dataclass(frozen=True)
class Learned:
    world: World
    run: RunDirectory
    code: int


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, base: Path, server: Server) -> Learned:
    """A home after its first cycle."""
    world = World.make(tmp_path_factory.mktemp("learned"), base, server, "learned:latest")
    world.work(SESSIONS, steps)
    run = world.request()
    code = world.cycle(run)
    with world.store() as store:
        world.take_in(store)
    return Learned(world, run, code)


@pytest.fixture(scope="module")
def second(first: Learned) -> Iterator[Learned]:
    """The same home after a second cycle, which was killed three times on its way."""
    world = first.world
    world.work({f"t{n}": 4 for n in range(6)}, other_steps, first=100)
    run = world.request()
    with watched_alias(world) as seen:
        for line in (("freeze", "done"), ("scale", "chosen"), ("deploy", "begun")):
            kill_at(world, run, {line})
            world.assert_answers()
            assert not run.ended
        code = world.cycle(run)
    with world.store() as store:
        world.take_in(store)
    releases = [load_deployment(world.paths).release(v) for v in ("1.1.0", "1.2.0")]
    assert seen.models == [world.digest_of(r.model) for r in releases]
    assert seen.faults == []
    return Learned(world, run, code)


def other_steps(n: int) -> str:
    return f"class Step{n}(Base):\n    name = 'step-{n}'\n\n    def run(self):\n        return self.done({n})\n"


# --- what ships -----------------------------------------------------------------------------------


def test_a_cycle_ships_a_version_and_everything_agrees(first: Learned) -> None:
    world, run = first.world, first.run
    assert first.code == DONE, run.log.read_text()
    assert json.loads(run.outcome.read_text()) == {
        "state": "deployed",
        "reason": "version 1.1.0 is live",
        "version": "1.1.0",
    }
    verdict = run.read(run.verdict, Verdict)
    assert verdict.ships
    assert verdict.compared_with == "1.0.0"
    assert all(c.passed for c in verdict.checks)
    said = next(c.reason for c in verdict.checks if c.name == "execution")
    assert ("of 2 tasks solved by code that was run" if sandbox_here() else "not run: ") in said
    assert {c.name for c in verdict.checks} >= {
        "loads",
        "stops",
        "repeats",
        "finite",
        "template",
        "speed",
        "packed",
        "secrets",
    }
    assert verdict.numbers["dev_nll_scale_1"] == min(t.dev_nll for t in run.read_trials())
    assert (
        abs(verdict.numbers["packing_cost"]) < 0.02
    )  # Q8_0 of what bfloat16 or float32 training gave
    assert verdict.numbers["p_better"] < 0.05

    deployment = load_deployment(world.paths)
    release = deployment.live_release
    assert (deployment.chain, release.version, release.parent, release.run_id) == (
        ("1.0.0", "1.1.0"),
        "1.1.0",
        "1.0.0",
        run.run_id,
    )
    assert json.loads(world.paths.routes.read_text())["live"] == release.model
    assert json.loads(world.paths.routes.read_text())["digest"] == release.digest
    assert (
        world.digest_of(world.alias)
        == world.digest_of(release.model)
        != world.digest_of(deployment.release("1.0.0").model)
    )
    assert world.names() == [
        world.alias,
        "learned:v1.0.0",
        "learned:v1.1.0",
    ]  # no candidate is left
    world.assert_answers()

    place = world.paths.data / str(release.adapter)
    assert sorted(p.name for p in place.iterdir()) == [
        "Modelfile",
        "adapter.safetensors",
        "past_fisher.safetensors",
    ]
    assert release.adapter_digest == sha256_of(place / "adapter.safetensors")
    assert not list(run.path.glob("*.gguf"))
    assert not (run.path / "checkpoints").exists()
    assert not run.past_fisher.exists()  # the version has it


def test_the_shipped_file_is_the_base_but_for_what_learned(first: Learned, base: Path) -> None:
    world, run = first.world, first.run
    with Ollama(world.server.url) as ollama:
        shipped = served_file(ollama, world.alias)
    assert shipped is not None
    assert sha256_of(shipped) == load_deployment(world.paths).live_release.digest
    before, after = read_head(base), read_head(shipped)
    changed = {n for n in before.tensors if tensor(base, n) != tensor(shipped, n)}
    assert list(before.tensors) == list(after.tensors)
    assert changed == {g.name for g in run.read(run.packed, Packed).gains}
    assert {int(name.split(".")[1]) for name in changed} == {2}  # the plan's upper layer
    assert run.read(run.plan, Plan).first_layer == 2


def test_the_store_knows_what_happened(first: Learned) -> None:
    with open_store(first.world.paths.database, readonly=True) as store:
        known = load_run(store, first.run.run_id)
        assert (known.state, known.reason, known.parent, known.examples) == (
            "deployed",
            "version 1.1.0 is live",
            "1.0.0",
            24,
        )
        assert known.plan == first.run.read(first.run.plan, Plan)
        assert known.train == first.run.read(first.run.result, TrainResult)
        assert known.verdict == first.run.read(first.run.verdict, Verdict)
        assert len(learned(store, [first.run.run_id])) == 24
        assert ("released", "1.1.0", "1.0.0") in [
            (m.action, m.version, m.previous) for m in list_moves(store)
        ]
        assert load_deployment(first.world.paths).release("1.1.0") in list_releases(store)


def test_a_second_cycle_builds_on_the_first(first: Learned, second: Learned) -> None:
    world, run = second.world, second.run
    assert second.code == DONE, run.log.read_text()
    one, two = (load_snapshot(r.snapshot) for r in (first.run, run))
    assert not {e.id for e in one.examples} & {e.id for e in two.examples}
    assert {e.id for e in two.replay} <= {e.id for e in one.split("train")} | {
        e.id for e in one.split("dev")
    }
    assert two.replay

    plan, result = run.read(run.plan, Plan), run.read(run.result, TrainResult)
    before = world.paths.data / str(load_deployment(world.paths).release("1.1.0").adapter)
    assert plan.base.previous_adapter == str(before / "adapter.safetensors")
    assert plan.penalties.past_fisher == str(before / "past_fisher.safetensors")
    assert result.penalty_past > 0
    assert result.penalty_general > 0
    assert result.warnings == ()
    assert result.divergence_general is not None
    assert result.divergence_past is not None
    assert (result.divergence_general.sequences, (result.divergence_past.kappa or 0) > 0) == (
        16,
        True,
    )
    verdict = run.read(run.verdict, Verdict)
    assert verdict.compared_with == "1.1.0"
    assert {"old_nll_candidate", "old_nll_live", "old_nll_base"} <= set(verdict.numbers)
    assert (
        verdict.numbers["old_nll_base"] > verdict.numbers["old_nll_live"]
    )  # what was learned in the first cycle

    packed = run.read(run.packed, Packed)
    assert (packed.rank, packed.lost) == (2 * plan.lora.rank, 0.0)

    deployment = load_deployment(world.paths)
    assert deployment.chain == ("1.0.0", "1.1.0", "1.2.0")
    assert live_runs(deployment) == (first.run.run_id, run.run_id)
    adapters = [
        read_adapter(world.paths.data / str(deployment.release(v).adapter) / "adapter.safetensors")
        for v in ("1.1.0", "1.2.0")
    ]
    for name, old in adapters[
        0
    ].modules.items():  # complete on its own: what was served, and the delta beside it
        new = adapters[1].modules[name]
        assert new.up.shape[1] > old.up.shape[1]
        assert np.allclose(
            new.up[:, : old.up.shape[1]] @ new.down[: old.up.shape[1]], old.up @ old.down, atol=1e-6
        )


def test_killed_three_times_it_ended_once(second: Learned) -> None:
    """The numbers are used once, and the history tells one release, whatever was begun again."""
    deployment = load_deployment(second.world.paths)
    assert (deployment.highest, deployment.abandoned, deployment.announced) == ("1.2.0", (), None)
    assert [r.version for r in deployment.releases] == ["1.0.0", "1.1.0", "1.2.0"]
    assert second.world.names() == [
        second.world.alias,
        "learned:v1.0.0",
        "learned:v1.1.0",
        "learned:v1.2.0",
    ]
    with open_store(second.world.paths.database, readonly=True) as store:
        assert [(m.action, m.version) for m in list_moves(store)] == [
            ("released", "1.2.0"),
            ("released", "1.1.0"),
            ("base", "1.0.0"),
        ]
        assert load_run(store, second.run.run_id).state == "deployed"
    begun = [line["step"] for line in second.run.history() if line["state"] == "begun"]
    assert begun.count("freeze") == begun.count("train") == 1  # what was done was not done again


# --- what is refused, and what fails --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sessions", "words"),
    [
        ({"a": 2, "b": 2}, "4 examples are too few: the gate alone needs 6"),
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
    assert "Nobody answers at http://127.0.0.1:9" in waits["reason"]
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

    world.change(
        "idle", quiet=3600.0, longest_pause=0.01
    )  # somebody works all the time, and is given way to for 0.6 s
    world.paths.activity.touch()
    assert world.cycle(run) == REFUSED, run.log.read_text()
    assert [line["state"] for line in run.history()].count(WAITS) == 1
    outcome = json.loads(run.outcome.read_text())
    verdict = run.read(run.verdict, Verdict)
    assert not verdict.ships
    assert verdict.scale == 0.25  # the least of a bad thing
    assert outcome["reason"] == "; ".join(verdict.reasons)
    assert "not surely better" in outcome["reason"]
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
    with falling_server(world.server.url) as url:
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
    run.write(
        run.verdict, first.run.read(first.run.verdict, Verdict)
    )  # it passed, against 1.0.0, and was killed before it could deploy
    other = world.release(server, seed=0)  # the base again, under another number
    assert other.version == "1.1.0"

    assert world.cycle(run) == AGAIN
    assert "Version 1.1.0 went live" in run.history()[-1]["reason"]
    assert load_deployment(world.paths).live == "1.1.0"
    assert world.cycle(run) == DONE, run.log.read_text()
    assert run.read(run.verdict, Verdict).compared_with == "1.1.0"
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
        until(lambda run=run, stage=stage: (stage, "begun") in lines_of(run), process)  # type: ignore[misc]
        if stage == "gate":
            until(lambda run=run: any("candidate-" in name for name in world.names()), process)  # type: ignore[misc]
        run.cancel()
        process.terminate()
        assert process.wait(60) == DONE, run.log.read_text()
        assert json.loads(run.outcome.read_text()) == {
            "state": "cancelled",
            "reason": "by `qi-learn train --cancel`",
            "version": None,
        }
        assert (stage, "done") not in lines_of(run)
        assert not run.held
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
    assert process.wait(60) == DONE, run.log.read_text()
    assert json.loads(run.outcome.read_text())["version"] == "1.1.0"
    assert load_deployment(world.paths).chain == ("1.0.0", "1.1.0")
    assert world.digest_of(world.alias) != digest
    world.assert_answers()


def take_over(run: RunDirectory, frozen: RunDirectory, trained: RunDirectory, stage: str) -> None:
    """What a run would have by that stage: the data and the plan of one, what another one learned."""
    if stage == "train":
        return
    shutil.copytree(frozen.snapshot, run.snapshot)
    shutil.copyfile(frozen.plan, run.plan)
    give_result(run, trained, times=1.0)


def lines_of(run: RunDirectory) -> list[tuple[str, str]]:
    return [(line["step"], line["state"]) for line in run.history()]


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


# --- how it is looked at --------------------------------------------------------------------------


def kill_at(
    world: World,
    run: RunDirectory,
    at: set[tuple[str, str]] | None,
    *,
    not_at: set[tuple[str, str]] = frozenset(),
) -> tuple[str, str] | None:  # type: ignore[assignment]
    """Starts the cycle and kills it and its worker as soon as it writes one of the lines (any line
    but `not_at` where None); which one it was.
    """
    old = len(run.history())
    process = world.start(run)
    while True:
        ended = process.poll() is not None
        lines = [(line["step"], line["state"]) for line in run.history()[old:]]
        hit = next(
            (line for line in lines if (line in at if at is not None else line not in not_at)), None
        )
        if hit and not ended:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return hit
        if ended:
            assert at is None, run.log.read_text()
            assert process.returncode == 0, run.log.read_text()
            return None
        time.sleep(0.002)


def until(holds: object, process: subprocess.Popen[bytes] | None = None) -> None:
    limit = time.monotonic() + 200
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < limit
        assert process is None or process.poll() is None
        time.sleep(0.02)


def give_result(run: RunDirectory, other: RunDirectory, *, times: float) -> None:
    """What a training worker would have left: what it learned in another run, so many times over."""
    learned = read_adapter(other.delta)
    delta = replace(
        learned,
        modules={
            name: replace(both, up=both.up * np.float32(times))
            for name, both in learned.modules.items()
        },
    )
    run.delta.parent.mkdir(exist_ok=True)
    write_adapter(delta, run.delta)
    run.past_fisher.write_bytes(b"")  # the other run's is gone, and nobody reads this one
    shutil.copyfile(other.result, run.result)


def tensor(path: Path, name: str) -> tuple[str, bytes]:
    head = read_head(path)
    found = head.tensors[name]
    with path.open("rb") as file:
        file.seek(found.start)
        return found.type, file.read(found.size)


@dataclass
class Seen:
    """What the alias led to, in order, and when it did not."""

    models: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@contextmanager
def watched_alias(world: World) -> Iterator[Seen]:
    """Asks all the time what the alias is."""
    seen, over = Seen(), threading.Event()

    def look() -> None:
        with Ollama(world.server.url) as ollama:
            while not over.wait(0.02):
                found = ollama.find(world.alias)
                if found is None:
                    seen.faults.append(f"no alias at {time.time()}")
                elif seen.models[-1:] != [found.digest]:
                    seen.models.append(found.digest)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def falling_server(url: str) -> Iterator[str]:
    """The server at `url`, but that it breaks the connection where a candidate is asked something,
    as one does that dies of it.
    """

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_all(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if (
                self.path == "/api/chat"
                and b"candidate-" in body
                and b"_debug_render_only" not in body
            ):
                self.close_connection = True
                return
            kept = {
                k: v
                for k, v in self.headers.items()
                if k.lower() not in ("host", "connection", "transfer-encoding")
            }
            answer = httpx.request(
                self.command, url + self.path, content=body, headers=kept, timeout=60
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("content-type", "text/plain"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_GET = do_POST = do_HEAD = do_DELETE = handle_all

        def log_message(self, format: str, *args: object) -> None:
            pass

    front = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        thread.join()
        front.server_close()
