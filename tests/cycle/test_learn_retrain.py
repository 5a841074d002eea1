"""A version that saw what is forgotten is passed over: the next cycle starts from a clean one."""

from __future__ import annotations

import json
import shutil
import time

from qi_learn.commands.forget import forget
from qi_learn.daemon.run_request import run_request
from qi_learn.deploy.journal import load_deployment, runs_behind
from qi_learn.deploy.model_server import ModelServer
from qi_learn.deploy.taint import forgotten_in
from qi_learn.records import ForgetRequest
from qi_learn.rundir.snapshot import load_snapshot
from tests.support.cycles import DONE, SESSIONS, Learned, give_result, kill_at, other_steps
from tests.support.world import World, steps


def test_a_cycle_after_retrain_learns_anew_without_it(world: World, first: Learned) -> None:
    shutil.copytree(first.world.paths.fisher, world.paths.fisher)
    world.work(SESSIONS, steps)
    run = world.request()
    kill_at(world, run, {("train", "begun")})
    give_result(run, first.run, times=1.0)  # what the same work taught another home
    assert world.cycle(run) == DONE, run.log.read_text()
    with world.store() as store:
        world.take_in(store)
    seen = load_snapshot(run.snapshot).split("train")
    receipt = forget(world.paths, ForgetRequest(time.time(), ids=(seen[0].id,), retrain=True))
    assert [(v.version, v.live) for v in receipt.versions] == [("1.1.0", True)]
    assert receipt.starts_from == "1.0.0"
    assert receipt.found == ()

    world.work({f"t{n}": 4 for n in range(6)}, other_steps, first=100)
    server = world.server
    assert server is not None
    asked = run_request(
        world.paths,
        world.settings,
        ModelServer(server.url, True, server.models),
        now=time.time(),
        reason="a test",
        fresh=40,
        asked=True,
    )
    assert (asked.parent, asked.ancestors) == ("1.0.0", ())
    second = world.request(parent=asked.parent, ancestors=asked.ancestors)
    world.cycle(second)
    again = {e.id for e in load_snapshot(second.snapshot).examples}
    assert len(again & {e.id for e in seen}) > len(seen) / 2  # learned anew, not taken for known
    assert seen[0].id not in again
    outcome = json.loads(second.outcome.read_text())
    assert outcome["state"] == "deployed", outcome["reason"]
    deployment = load_deployment(world.paths)
    assert (deployment.live, deployment.live_release.parent) == ("1.2.0", "1.0.0")
    assert runs_behind(deployment, "1.2.0") == (second.run_id,)
    assert [forgotten_in(deployment, v) for v in ("1.1.0", "1.2.0")] == [1, 0]
