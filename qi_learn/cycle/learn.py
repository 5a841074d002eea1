"""ONE learning cycle, top to bottom: freeze the data, train, pack, gate, deploy.

`learn` is the whole story; the steps below it are in the same order. A step whose file is there is
not done again, so a cycle killed anywhere goes on from its last complete step; nothing is live
before the gate has passed on the very file that is served. A cancelled cycle ends at its next safe
point, except during the switch, which is finished. The cycle only reads the database and reports to
the daemon by events; it runs in a process of its own (`__main__.py`).
"""

from __future__ import annotations

from pathlib import Path

from qi_learn.cycle.compare import compare
from qi_learn.cycle.context import ADAPTER, Cycle
from qi_learn.cycle.promotion import announce, drop_candidate, go_live, make_candidate
from qi_learn.cycle.resources import as_devices, choose_placement, give_way, make_room
from qi_learn.cycle.scale_search import ScaleSearch
from qi_learn.cycle.serving import serving_of
from qi_learn.cycle.training import run_worker
from qi_learn.dataset.freeze import DataSetRequest, refuse_secrets
from qi_learn.dataset.freeze import freeze as freeze_data_set
from qi_learn.dataset.general_suites import render_general
from qi_learn.deploy.fisher_files import PAST_FISHER, prune_fishers
from qi_learn.deploy.journal import load_deployment
from qi_learn.errors import Refused, ServerUnreachable
from qi_learn.outside.python_env import look_into
from qi_learn.pack.verify import verify_packed
from qi_learn.plan.backend import LOOKED_FOR
from qi_learn.plan.base_model import read_base
from qi_learn.plan.fallback import read_plan
from qi_learn.plan.plan import PlanInputs, build_plan
from qi_learn.records import Packed, Plan, RunState, Snapshot, TrainResult, Verdict
from qi_learn.redact import load_seen
from qi_learn.rundir.snapshot import load_snapshot, save_snapshot, snapshot_ready
from qi_learn.store.database import open_store
from qi_learn.store.runs import learned

MOST_LOST = 3
"""A server that goes away so often while it answers with the candidate goes away because of it."""


def learn(cycle: Cycle) -> Verdict:
    """ONE learning cycle.

    Raises Refused if the data does not allow one, other QiErrors if a step failed.
    """
    snapshot = freeze(cycle)
    make_plan(cycle, snapshot)
    train(cycle)
    packed = pack(cycle, snapshot)
    verdict = gate(cycle, snapshot, packed)
    with cycle.finishing():
        deploy(cycle, packed, verdict)
    return verdict


# --- the steps ------------------------------------------------------------------------------------


def freeze(cycle: Cycle) -> Snapshot:
    """What is learned and what is held out, fixed for good."""
    run = cycle.run
    if not snapshot_ready(run.snapshot):
        with cycle.step("freeze"), open_store(cycle.paths.database, readonly=True) as store:
            request = DataSetRequest(
                run_id=run.run_id,
                created=cycle.clock(),
                seed=cycle.request.seed,
                earlier=cycle.ancestors,
                learned=learned(store, cycle.request.ancestors),
            )
            serving = serving_of(cycle)
            render_general(serving)  # a server that cannot is to be known before hours of training
            save_snapshot(run.snapshot, freeze_data_set(store, request, serving, cycle.settings))
    snapshot = load_snapshot(run.snapshot)
    refuse_secrets(snapshot, load_seen(cycle.paths.redaction_key))
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
                devices=as_devices(choose_placement(cycle)),
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
    """The result of the training worker, a process (and, if set, an interpreter) of its own."""
    run = cycle.run
    if not run.result.exists():
        placement = choose_placement(cycle, read_plan(run.path))
        with cycle.step("train"), make_room(cycle, placement) as needed:
            done = run_worker(
                run,
                cycle.settings.train.python,
                lock=cycle.lock,
                gpus=placement.gpus,
                needed=needed,
            )
            if not done:
                give_way(cycle)
    result = run.read(run.result, TrainResult)
    cycle.tell("trained", train=result)
    return result


def pack(cycle: Cycle, snapshot: Snapshot) -> Packed:
    """The live adapter plus the delta, merged into a copy of the base's file.

    The scale of the delta is the one that dev likes best.
    """
    run = cycle.run
    if not run.packed.exists():
        with cycle.step("pack"):
            search = ScaleSearch(cycle, snapshot.split("dev"))
            best = search.best()
            verify_packed(cycle.base, Path(best.path), [g.name for g in best.gains])
            run.write(run.scales, search.trials)
            run.write(run.packed, best)
            gain = round(min(g.gain for g in best.gains), 3)
            run.journal(cycle.clock(), "scale", "chosen", scale=best.scale, gain=gain)
    packed = run.read(run.packed, Packed)
    cycle.tell("packed")
    return packed


def gate(cycle: Cycle, snapshot: Snapshot, packed: Packed) -> Verdict:
    """The packed file, as the server serves it, against the version that is live."""
    run = cycle.run
    if not run.verdict.exists():
        with cycle.step("gate"):
            live = load_deployment(cycle.paths).live_release
            make_candidate(cycle, packed)
            try:
                run.write(run.verdict, compare(cycle, snapshot, packed, live))
            except ServerUnreachable as error:
                _count_loss(cycle, error)
                raise
    verdict = run.read(run.verdict, Verdict)
    cycle.tell("gated", verdict=verdict)
    return verdict


def deploy(cycle: Cycle, packed: Packed, verdict: Verdict) -> None:
    """Put the candidate live under a new number, or delete it and leave the version before live."""
    if not verdict.ships:
        end(cycle, "refused", "; ".join(verdict.reasons))
        return
    with cycle.step("deploy"):
        promoted = go_live(cycle, packed, verdict)
    announce(cycle, promoted)
    prune_fishers(cycle.paths)
    version = promoted.release.version
    end(cycle, "deployed", f"version {version} is live", version=version)


def end(cycle: Cycle, state: RunState, reason: str, *, version: str | None = None) -> None:
    """End the cycle: report it to the store, then set the mark that keeps it from being resumed.

    A candidate that does not ship is deleted.
    """
    if state != "deployed":
        drop_candidate(cycle)
    cycle.tell(state, reason=reason)
    cycle.run.journal(cycle.clock(), "end", state, reason=reason)
    cycle.run.write(cycle.run.outcome, {"state": state, "reason": reason, "version": version})
    cycle.run.clear()


# --- what the steps need --------------------------------------------------------------------------


def _count_loss(cycle: Cycle, error: ServerUnreachable) -> None:
    """Note in the journal that the server went away while it answered as the candidate.

    Raises Refused if that has happened too often.
    """
    cycle.run.journal(cycle.clock(), "gate", "lost", reason=error.what)
    lost = sum(line.get("state") == "lost" for line in cycle.run.history())
    if lost >= MOST_LOST:
        raise Refused(
            f"The server went away {lost} times while the candidate was compared: {error.what}",
            "The version before stays live.",
        ) from error
