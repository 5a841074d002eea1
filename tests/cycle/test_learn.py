"""One learning cycle end to end: a real engine, a real training worker, a real gate, on a model
small enough for seconds.

Here what ships; what is refused is in `test_learn_refused.py`, what a cycle leaves behind that is
killed or cancelled at any point in `test_learn_interrupted.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from qi_learn.deploy.journal import live_runs, load_deployment
from qi_learn.outside.gguf import read_head, sha256_of
from qi_learn.outside.ollama import Ollama, served_file
from qi_learn.records import Packed, Plan, TrainResult, Verdict
from qi_learn.rundir.adapter_file import read_adapter
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.store.database import open_store
from qi_learn.store.releases import list_moves, list_releases
from qi_learn.store.runs import learned, load_run
from tests.support.cycles import (
    DONE,
    Learned,
    tensor,
)
from tests.support.sandboxes import sandbox_here

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
    asked = next(c.reason for c in verdict.checks if c.name == "project_tests")
    assert asked == "not run: no held-out work has tests that could be run"
    gate = world.settings.gate
    assert 1000 < verdict.numbers["tokens_read"] <= gate.max_read
    assert 100 < verdict.numbers["tokens_generated"] <= gate.max_generated
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
    with Ollama(world.url) as ollama:
        shipped = served_file(ollama, world.alias)
    assert shipped is not None
    assert sha256_of(shipped) == load_deployment(world.paths).live_release.digest
    before, after = read_head(base), read_head(shipped)
    changed = {n for n in before.tensors if tensor(base, n) != tensor(shipped, n)}
    assert list(before.tensors) == list(after.tensors)
    assert changed == {g.name for g in run.read(run.packed, Packed).gains}
    assert {int(name.split(".")[1]) for name in changed} == {2}  # the plan's upper layer
    assert run.read(run.plan, Plan).lora.first_layer == 2


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
    assert verdict.numbers["look"] == 1.0, "what shipped started an account of its own"
    assert verdict.numbers["rho"] != first.run.read(first.run.verdict, Verdict).numbers["rho"]
    assert {"old_nll_candidate", "old_nll_live", "old_nll_base"} <= set(verdict.numbers)
    assert (
        verdict.numbers["old_nll_base"] > verdict.numbers["old_nll_live"]
    )  # what was learned in the first cycle
    of_first = f"_of_{first.run.run_id}"
    assert {n for n in verdict.numbers if "_of_" in n} == {
        f"old_nll_{who}{of_first}" for who in ("candidate", "live", "base")
    }
    assert verdict.numbers[f"old_nll_live{of_first}"] == verdict.numbers["old_nll_live"]
    left_out = "the fixed texts were not read, to keep to gate.max_tokens"
    assert ("fixed_nll_candidate" in verdict.numbers) != (left_out in verdict.notes)

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
