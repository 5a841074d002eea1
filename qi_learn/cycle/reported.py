"""What a verdict reports and never decides by, gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qi_learn.cycle.context import Cycle
from qi_learn.errors import StoreError
from qi_learn.gate.measurements import ReportedOnly
from qi_learn.gate.suite import cycles_of
from qi_learn.records import Behaviour, Example, Plan, Snapshot, SuiteNll, TrainResult
from qi_learn.rundir.directory import ScaleTrial
from qi_learn.store.database import open_store
from qi_learn.store.releases import rollback_seconds


def reported_only(
    cycle: Cycle,
    snapshot: Snapshot,
    earlier: Sequence[Snapshot],
    *,
    few_shot: Behaviour | None,
    old: Sequence[Example],
    fixed: Mapping[str, SuiteNll],
) -> ReportedOnly:
    """All of it.

    `earlier`: the data sets behind the version trained on; `old`: what of them is read again.
    """
    trials = cycle.run.read_trials()
    return ReportedOnly(
        few_shot=few_shot,
        dev_by_scale={trial.scale: trial.dev_nll for trial in trials},
        packing_cost=_packing_cost(cycle, snapshot, trials),
        rollback_seconds=_rollback_seconds(cycle),
        cycles=cycles_of(old, earlier),
        fixed=fixed,
        own=sum(example.can_judge for example in snapshot.examples),
    )


def _packing_cost(cycle: Cycle, snapshot: Snapshot, trials: Sequence[ScaleTrial]) -> float | None:
    """NLL a token on dev of the whole delta, as packed minus as it was trained.

    None if the two were not measured on the same tokens.
    """
    run, dev = cycle.run, snapshot.split("dev")
    packed = next((trial.dev_loss for trial in trials if trial.scale == 1.0), None)
    if packed is None or not (run.result.exists() and run.plan.exists()):
        return None
    trained = run.read(run.result, TrainResult).dev_loss
    longest = run.read(run.plan, Plan).batches.max_length
    uncut = all(len(e.prompt_ids) + len(e.target_ids) <= longest for e in dev)
    return packed - trained if trained is not None and uncut else None


def _rollback_seconds(cycle: Cycle) -> float | None:
    """What the last rollback on this machine took; None if that is not known.

    It is only reported, so a database that cannot be read now stops nothing.
    """
    try:
        with open_store(cycle.paths.database, readonly=True) as store:
            return rollback_seconds(store)
    except StoreError:
        return None
