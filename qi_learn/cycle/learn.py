"""ONE learning cycle, top to bottom: freeze the data, train, pack, gate, deploy.

`learn` is the whole story; the steps below it are in the same order. A step whose file is there is
not done again, so a cycle killed anywhere goes on from its last complete step; nothing is live
before the gate has passed on the very file that is served. One that is cancelled ends at the next
place where it can, but for the switch, which is finished. The cycle only reads the database and
tells the daemon by events; it runs in a process of its own (`cycle_process`).
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

from qi_learn import codec
from qi_learn.cycle.compare import compare
from qi_learn.cycle.context import ADAPTER, Cycle, base_modelfile
from qi_learn.cycle.resources import as_devices, find_place, give_way, room
from qi_learn.cycle.training import run_worker
from qi_learn.dataset.freeze import freeze as freeze_data_set
from qi_learn.deploy.candidate import make_model
from qi_learn.deploy.fisher_files import PAST_FISHER, prune_fishers
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.release import promote
from qi_learn.errors import LiveChanged, Refused, ServerError, ServerUnreachable, Stopped
from qi_learn.gate.measure import measure_nll
from qi_learn.gate.verdict import choose_scale
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.python_env import look_into
from qi_learn.pack.join import join, rank_cap
from qi_learn.pack.modelfile import write_modelfile
from qi_learn.pack.splice import pack as pack_file
from qi_learn.pack.splice import verify_packed
from qi_learn.plan.backend import LOOKED_FOR
from qi_learn.plan.base_model import read_base
from qi_learn.plan.fallback import read_plan
from qi_learn.plan.plan import PlanInputs, build_plan
from qi_learn.records import Packed, Plan, Release, RunState, Snapshot, TrainResult, Verdict
from qi_learn.rundir.adapter_file import read_adapter, write_adapter
from qi_learn.rundir.directory import ScaleTrial
from qi_learn.rundir.snapshot import load_snapshot, save_snapshot, snapshot_ready
from qi_learn.store.database import open_store
from qi_learn.store.runs import learned

logger = logging.getLogger(__name__)
SCALES = (0.25, 0.5, 0.75, 1.0)
"""Of the delta, tried on dev.

The full one last: it mostly wins, and then its file is there already.
"""
MOST_LOST = 3
"""A server that goes away so often while it answers with the candidate goes away because of it."""


def learn(cycle: Cycle) -> Verdict:
    """ONE learning cycle.

    Raises Refused where the data does not allow one, other QiErrors where a step failed.
    """
    snapshot = freeze(cycle)
    plan = make_plan(cycle, snapshot)
    train(cycle)
    packed = pack(cycle, snapshot, plan)
    verdict = gate(cycle, snapshot, packed)
    with cycle.finishing():
        deploy(cycle, packed, verdict)
    return verdict


# --- the steps ------------------------------------------------------------------------------------


def freeze(cycle: Cycle) -> Snapshot:
    """What is learned and what is held out, fixed for good."""
    run = cycle.run
    if not snapshot_ready(run.snapshot):
        parent = load_deployment(cycle.paths).release(cycle.request.parent)
        with cycle.step("freeze"), open_store(cycle.paths.database, readonly=True) as store:
            frozen = freeze_data_set(
                store,
                run_id=run.run_id,
                server=cycle.server,
                model=parent.model,
                vocabulary=load_vocabulary(cycle.base),
                settings=cycle.settings,
                earlier=cycle.ancestors,
                learned=learned(store, cycle.request.ancestors),
                base_digest=sha256_of(cycle.base),
                seed=cycle.request.seed,
                now=cycle.clock(),
                cache=run.path / "rendered.jsonl",
            )
            save_snapshot(run.snapshot, frozen)
    snapshot = load_snapshot(run.snapshot)
    cycle.tell(
        "snapshotted",
        examples=[{"turn": e.id, "hash": e.hash, "split": e.split} for e in snapshot.examples],
        parent=cycle.request.parent,
    )
    return snapshot


def make_plan(cycle: Cycle, snapshot: Snapshot) -> Plan:
    """Every number of the training, derived once and written down."""
    run = cycle.run
    if not run.plan.exists():
        adapter = cycle.previous
        plan = build_plan(
            PlanInputs(
                run_id=run.run_id,
                snapshot=snapshot,
                base=read_base(cycle.base),
                settings=cycle.settings,
                paths=cycle.paths,
                devices=as_devices(find_place(cycle)),
                packages=look_into(cycle.settings.train.python, LOOKED_FOR),
                previous_adapter=adapter and adapter / ADAPTER,
                past_fisher=adapter and adapter / PAST_FISHER,
                last=cycle.last_training(snapshot.base_digest),
            )
        )
        run.write(run.plan, plan)
        cycle.tell("snapshotted", plan=plan)
    return run.read(run.plan, Plan)


def train(cycle: Cycle) -> TrainResult:
    """The training worker, in a process (and, if set, an interpreter) of its own."""
    run = cycle.run
    if not run.result.exists():
        placement = find_place(cycle, read_plan(run.path))
        with cycle.step("train"), room(cycle, placement) as wanted:
            if not run_worker(
                run,
                cycle.settings.train.python,
                lock=cycle.lock,
                gpus=placement.gpus,
                wanted=wanted,
            ):
                give_way(cycle)
    result = run.read(run.result, TrainResult)
    cycle.tell("trained", train=result)
    return result


def pack(cycle: Cycle, snapshot: Snapshot, plan: Plan) -> Packed:
    """The live adapter plus the delta, at the scale that dev likes best, merged into a copy of the
    base's file.
    """
    run = cycle.run
    if not run.packed.exists():
        with cycle.step("pack"):
            trials, packed = _try_scales(cycle, snapshot, plan)
            scale = choose_scale({t.scale: t.dev_nll for t in trials})
            if packed.scale != scale:
                packed = _pack_at(cycle, plan, scale, like=packed)
            verify_packed(cycle.base, Path(packed.path), [g.name for g in packed.gains])
            run.write(run.scales, trials)
            run.write(run.packed, packed)
            run.journal(
                cycle.clock(),
                "scale",
                "chosen",
                scale=scale,
                gain=round(min(g.gain for g in packed.gains), 3),
            )
    packed = run.read(run.packed, Packed)
    cycle.tell("packed")
    return packed


def gate(cycle: Cycle, snapshot: Snapshot, packed: Packed) -> Verdict:
    """The packed file, as the server serves it, against the version that is live."""
    run = cycle.run
    if not run.verdict.exists():
        with cycle.step("gate"):
            live = load_deployment(cycle.paths).live_release
            _make_candidate(cycle, packed)
            try:
                run.write(run.verdict, compare(cycle, snapshot, packed, live))
            except ServerUnreachable as error:
                _bear_a_loss(cycle, error)
                raise
    verdict = run.read(run.verdict, Verdict)
    cycle.tell("gated", verdict=verdict)
    return verdict


def deploy(cycle: Cycle, packed: Packed, verdict: Verdict) -> None:
    """Live under a new number, or the candidate is deleted and the version before stays."""
    if not verdict.ships:
        end(cycle, "refused", "; ".join(verdict.reasons))
        return
    try:
        with cycle.step("deploy"):
            if not cycle.server.has(cycle.candidate):
                _make_candidate(cycle, packed)  # somebody deleted it
            done = promote(
                cycle.paths,
                cycle.server,
                cycle.candidate,
                compared_with=verdict.compared_with,
                run_id=cycle.run.run_id,
                bump="minor",
                make=lambda version, model: _release(cycle, packed, version, model),
                store=Path(cycle.request.model_store) if cycle.request.model_store else None,
                keep=cycle.settings.serve.keep,
            )
    except LiveChanged:
        cycle.run.verdict.unlink()  # the next try compares with the version that is live by then
        raise
    except ServerError as error:
        if cycle.released:  # what is missing is completed by the next try
            raise Stopped(
                f"The version is live, but not everything is in its place: {error.what}", error.hint
            ) from error
        raise
    version = done.release.version
    told = {
        "action": "released",
        "version": version,
        "alias": done.alias,
        "from": done.previous,
        "release": codec.plain(done.release),
    }
    cycle.spool.append(
        "release", told, id=f"{cycle.run.run_id}:released"
    )  # the same line again, after a crash, is the same event
    for retired in done.retired:
        cycle.spool.append(
            "release", {"action": "retired", "version": retired, "alias": done.alias}
        )
    prune_fishers(cycle.paths)
    end(cycle, "deployed", f"version {version} is live", version=version)


def end(cycle: Cycle, state: RunState, reason: str, *, version: str | None = None) -> None:
    """The cycle is over: the store is told, then the mark is set that keeps it from being resumed.

    A candidate that does not ship goes.
    """
    if state != "deployed":
        _drop_candidate(cycle)
    cycle.tell(state, reason=reason)
    cycle.run.journal(cycle.clock(), "end", state, reason=reason)
    cycle.run.write(cycle.run.outcome, {"state": state, "reason": reason, "version": version})
    cycle.run.clear()


# --- what the steps need --------------------------------------------------------------------------


def _make_candidate(cycle: Cycle, packed: Packed) -> None:
    """The packed file on the server, under a name that nobody else uses."""
    make_model(
        cycle.server,
        cycle.candidate,
        Path(packed.path),
        packed.digest,
        base_modelfile(cycle).as_create(),
    )


def _bear_a_loss(cycle: Cycle, error: ServerUnreachable) -> None:
    """The server was there when the gate began.

    Raises Refused where that has happened too often.
    """
    cycle.run.journal(cycle.clock(), "gate", "lost", reason=error.what)
    lost = sum(line.get("state") == "lost" for line in cycle.run.history())
    if lost >= MOST_LOST:
        raise Refused(
            f"The server went away {lost} times while the candidate was compared: {error.what}",
            "The version before stays live.",
        ) from error


def _drop_candidate(cycle: Cycle) -> None:
    try:
        if cycle.server.has(cycle.candidate):
            cycle.server.delete(cycle.candidate)
    except ServerError as error:
        logger.warning(
            "%s stays on the server until the daemon's next start: %s", cycle.candidate, error.what
        )


def _try_scales(cycle: Cycle, snapshot: Snapshot, plan: Plan) -> tuple[list[ScaleTrial], Packed]:
    """Every scale of the delta, packed and measured on dev; the last file stays for the next."""
    trials: list[ScaleTrial] = []
    packed: Packed | None = None
    for scale in SCALES:
        packed = _pack_at(cycle, plan, scale, like=packed)
        measured = measure_nll(
            Path(packed.path),
            "dev",
            snapshot.split("dev"),
            max_tokens=cycle.settings.gate.max_tokens,
            context=cycle.settings.serve.context,
        )
        trials.append(ScaleTrial(scale, measured.per_token))
    assert packed is not None  # SCALES is not empty
    return trials, packed


def _pack_at(cycle: Cycle, plan: Plan, scale: float, *, like: Packed | None) -> Packed:
    directory = cycle.previous
    previous = read_adapter(directory / ADAPTER) if directory else None
    delta = read_adapter(cycle.run.delta)
    joined, lost = join(
        previous, delta, scale, rank_cap=(cap := rank_cap(delta, cycle.base.stat().st_size))
    )
    if lost:
        cycle.run.journal(cycle.clock(), "join", "cut", rank=cap, lost=round(lost, 4))
    cycle.run.joined.parent.mkdir(exist_ok=True)
    write_adapter(joined, cycle.run.joined)
    packed = pack_file(
        cycle.base, joined, cycle.run.model, base_weights=cycle.base_weights, like=like
    )
    return replace(
        packed,
        scale=scale,
        rank=max((f.rank for f in joined.modules.values()), default=0),
        lost=lost,
    )


def _release(cycle: Cycle, packed: Packed, version: str, model: str) -> Release:
    """The record of a release, its adapter and Fisher put where the next cycle finds them."""
    place = cycle.paths.adapters / f"v{version}"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(cycle.run.joined, place / ADAPTER)
    shutil.copyfile(cycle.run.past_fisher, place / PAST_FISHER)
    (place / "Modelfile").write_text(
        write_modelfile(replace(base_modelfile(cycle), source=model)), encoding="utf-8"
    )
    return Release(
        version=version,
        model=model,
        digest=packed.digest,
        created=cycle.clock(),
        base_digest=sha256_of(cycle.base),
        parent=cycle.request.parent,
        run_id=cycle.run.run_id,
        adapter=str(place.relative_to(cycle.paths.data)),
        adapter_digest=sha256_of(place / ADAPTER),
    )
