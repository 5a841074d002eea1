"""A run explained from its files.

They hold the data it learned from, its plan, what the training and the packing came to, the gate's
verdict, and how it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from qi_learn import codec
from qi_learn.dataset.replay import why
from qi_learn.errors import QiError
from qi_learn.plan.fallback import read_rungs
from qi_learn.plan.reasons import reasons
from qi_learn.plan.strength import divergence_sentences
from qi_learn.records import Packed, Placement, Plan, Snapshot, TrainResult, Verdict
from qi_learn.report.verdict_lines import verdict_lines
from qi_learn.report.words import by_reason, clock, counted, one_line, saw_forgotten
from qi_learn.rundir.directory import RunDirectory, RunRequest
from qi_learn.rundir.snapshot import SPLITS, load_snapshot, read_manifest, snapshot_ready

Records = dict[str, Any]
"""What the files hold, as JSON, by what it is."""
Part = Callable[[RunDirectory, Records], Iterator[str]]
"""Yields the lines on one file of a run, and adds what it holds to the records."""


def explain_run(run: RunDirectory) -> tuple[tuple[str, ...], Records]:
    """Lines for a person, and the records behind them.

    A file that cannot be read is a line that says so, and the others are explained all the same.
    """
    records: Records = {}
    parts = (_request, _data_set, _plan, _placement, _result, _packed, _verdict, _end)
    return tuple(line for part in parts for line in _lines(part, run, records)), records


def _lines(part: Part, run: RunDirectory, records: Records) -> list[str]:
    try:
        return list(part(run, records))
    except (QiError, OSError, ValueError) as error:
        return [f"  {one_line(error.what if isinstance(error, QiError) else str(error))}"]


def _request(run: RunDirectory, records: Records) -> Iterator[str]:
    request = run.read(run.request, RunRequest)
    records["request"] = codec.plain(request)
    yield f"  started {clock(request.started)} on top of v{request.parent}: {request.reason}"


def _data_set(run: RunDirectory, records: Records) -> Iterator[str]:
    if not snapshot_ready(run.snapshot):
        return
    if forgotten := len({e["id"] for e in read_manifest(run.snapshot).get("forgotten", ())}):
        records["forgot"] = forgotten
        yield f"  {saw_forgotten(forgotten)}; they are not counted below"
    snapshot = load_snapshot(run.snapshot)
    sizes = {name: len(snapshot.split(name)) for name in SPLITS}
    reasons = [
        {"turn": e.id, "project": e.project, "learning_type": e.learning_type, "why": why(e.recall)}
        for e in snapshot.replay
        if e.recall
    ]
    own = {name: sum(e.person_wrote for e in snapshot.split(name)) for name in SPLITS}
    judging = sum(e.can_judge for e in snapshot.split("gate"))
    records["data"] = {
        **sizes,
        "own": own,
        "dropped": dict(snapshot.dropped),
        "replay": reasons,
    }
    yield (
        f"  learned from {sizes['train']} examples; {sizes['dev']} chose, {sizes['gate']} judged; "
        f"{len(snapshot.replay)} earlier ones could be replayed"
    )
    if any(e.person_mask for e in snapshot.examples):
        yield (
            f"    with text of your own: {own['train']} of those learned from, {own['dev']} of "
            f"those that chose, {own['gate']} of those that judged, {judging} of them with more "
            "than a token to compare; the others were kept as they were"
        )
    yield from _recalls(snapshot)
    if snapshot.pairs:
        sources = Counter(p.source for p in snapshot.pairs)
        records["data"]["pairs"] = dict(sources)
        yield (
            f"    preferences: {counted(sources['edit'], 'edit')}, "
            f"{counted(sources['fork'], 'second answer')}, "
            f"{counted(sources['reject'], 'rejection')}"
        )
    if snapshot.dropped:
        yield f"    left out: {by_reason(snapshot.dropped)}"


def _recalls(snapshot: Snapshot) -> Iterator[str]:
    """How much of the earlier work was due."""
    recalls = [e.recall for e in snapshot.replay if e.recall]
    if recalls:
        forgotten = sum(r.forgotten is True for r in recalls)
        early = sum(r.overdue < 0 for r in recalls)
        yield (
            f"    of those {len(recalls) - early} were due, {forgotten} of them forgotten since; "
            f"{early} came before their time, because there was room"
        )


def _plan(run: RunDirectory, records: Records) -> Iterator[str]:
    if run.plan.exists():
        plan = run.read(run.plan, Plan)
        records["plan"] = codec.plain(plan)
        yield "  the plan:"
        yield from (f"    {reason}" for reason in reasons(plan))
    if rungs := read_rungs(run.path).rungs:
        records["adapted"] = codec.plain(rungs)
        yield "  adapted to the memory there was:"
        yield from (f"    {clock(rung.at)}: {rung.what} ({rung.reason})" for rung in rungs)


def _placement(run: RunDirectory, records: Records) -> Iterator[str]:
    """The device it trained on, and what that asked of others."""
    if run.placement.exists():
        placement = run.read(run.placement, Placement)
        records["placement"] = codec.plain(placement)
        unloaded = f"; unloaded for it: {', '.join(placement.unload)}" if placement.unload else ""
        meanwhile = (
            "; requests waited meanwhile"
            if placement.holds_requests
            else "; paused while requests were answered"
            if placement.activity
            else ""
        )
        yield (
            f"  trained on {one_line(placement.name)}: {placement.reason}{one_line(unloaded)}"
            f"{meanwhile}"
        )


def _result(run: RunDirectory, records: Records) -> Iterator[str]:
    if run.result.exists():
        result = run.read(run.result, TrainResult)
        records["train"] = codec.plain(result)
        before, after = result.dev_loss_before, result.dev_loss
        dev = "" if before is None or after is None else f", dev loss {before:.3f} to {after:.3f}"
        yield (
            f"  trained {result.steps} steps in {result.seconds:.0f} s{dev}; "
            f"stopped by {result.stopped}"
        )
        if result.preferred is not None and result.preferred_before is not None:
            yield (
                "    the kept text was likelier than the suggested one in "
                f"{result.preferred_before:.0%} of the pairs before, in {result.preferred:.0%} "
                "after"
            )
        if run.plan.exists():
            budget = run.read(run.plan, Plan).penalties.kl_budget
            yield from (f"    {line}" for line in divergence_sentences(result, budget))
        yield from (f"    NOTE: {warning}" for warning in result.warnings)


def _packed(run: RunDirectory, records: Records) -> Iterator[str]:
    if run.packed.exists():
        packed = run.read(run.packed, Packed)
        records["packed"] = codec.plain(packed)
        cut = (
            f"cut to rank {packed.rank}, which lost {packed.lost:.1%} of the change"
            if packed.lost
            else "exactly"
        )
        yield (
            f"  joined with the served adapter {cut}, packed at scale {packed.scale:g}"
            f"{_survived(packed)}"
        )


def _survived(packed: Packed) -> str:
    if not packed.gains:
        return ""
    least = min(g.gain for g in packed.gains)
    return f"; of the change of a tensor at least {least:.0%} survived quantising"


def _verdict(run: RunDirectory, records: Records) -> Iterator[str]:
    if run.verdict.exists():
        verdict = run.read(run.verdict, Verdict)
        records["verdict"] = codec.plain(verdict)
        yield from verdict_lines(verdict)


def _end(run: RunDirectory, records: Records) -> Iterator[str]:
    if not run.ended:
        yield "  not ended"
        return
    outcome = codec.read_object(run.outcome)
    records["outcome"] = outcome
    yield f"  ended: {outcome.get('state')}{_because(outcome.get('reason'), records)}"


def _because(reason: object, records: Records) -> str:
    """Why it ended so; what the gate refused has its reasons among the rules already."""
    checks = records.get("verdict", {}).get("checks", ())
    failed = [check for check in checks if not check["passed"]]
    if failed and reason == "; ".join(check["reason"] for check in failed):
        return f" by {', '.join(check['name'] for check in failed)}"
    return f", {one_line(str(reason))}" if reason else ""
