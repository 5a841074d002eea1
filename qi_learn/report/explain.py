"""`qi-learn explain`: why a turn has its score, why a run did what it did, why a version was
shipped or refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn import codec
from qi_learn.dataset.replay import why
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.version import is_version
from qi_learn.errors import NotFound, QiError, StoreError
from qi_learn.paths import Paths
from qi_learn.plan.fallback import read_rungs
from qi_learn.plan.reasons import reasons
from qi_learn.plan.strength import divergence_sentences
from qi_learn.records import (
    LearningInteraction,
    Packed,
    Placement,
    Plan,
    Score,
    Suggestion,
    TrainResult,
    Verdict,
)
from qi_learn.report.listing import clock, one_line
from qi_learn.rundir.directory import RunDirectory, RunRequest, run_directories
from qi_learn.rundir.snapshot import load_snapshot, recalled_in, snapshot_ready
from qi_learn.settings import Settings
from qi_learn.store.database import open_store
from qi_learn.store.feedback import load_interaction


@dataclass(frozen=True, slots=True)
class Explanation:
    """What it is, its lines for a person, and the records behind them."""

    kind: str
    id: str
    lines: tuple[str, ...]
    records: dict[str, Any] = field(default_factory=dict)


def explain(paths: Paths, settings: Settings, what: str) -> Explanation:
    """A version (`1.1.0` or `v1.1.0`), a run (its id) or a turn (its id).

    Raises NotFound where it is none of these.
    """
    if is_version(what):
        return _version(paths, what.removeprefix("v"))
    run = RunDirectory(paths.runs / what)
    if what.isalnum() and run.request.exists():
        return _run(run)
    if not paths.database.exists():
        raise _nothing_like(what)
    with open_store(paths.database, readonly=True) as store:
        try:
            known = load_interaction(store, what)
        except NotFound:
            raise _nothing_like(what) from None
    return Explanation(
        "turn",
        what,
        (*_turn(known, settings), *_uses(paths, what)),
        {"interaction": codec.plain(known)},
    )


def as_text(found: Explanation) -> str:
    """Its lines under its name."""
    return "\n".join((f"{found.kind} {found.id}", *found.lines))


def _nothing_like(what: str) -> NotFound:
    return NotFound(
        f"{what} is no turn, run or version.",
        "`qi-learn log` lists turns, `qi-learn versions` versions with their runs.",
    )


# --- a turn ---------------------------------------------------------------------------------------


def _turn(known: LearningInteraction, settings: Settings) -> Iterator[str]:
    turn = known.turn
    where = f"project {one_line(turn.project or 'unknown')}, session {one_line(turn.session or 'unknown')}"
    yield f"  {clock(turn.started)}, {turn.endpoint}, asked for {one_line(turn.model_asked)}, answered by {one_line(turn.model_answered)}"
    yield f"  {known.learning_type}, {known.complexity}, domain {known.domain or 'unknown'}; {where}"
    yield from (_suggestion(s) for s in known.suggestions)
    yield "  feedback: " + _known(
        codec.plain(known.feedback), without=("final_version", "correction")
    )
    yield "  outcome: " + _known(codec.plain(known.outcome))
    if known.score is None:
        yield "  not scored yet"
    else:
        yield from _score(known.score, settings.train.quality_threshold)


def _uses(paths: Paths, turn: str) -> Iterator[str]:
    """What each run did with it."""
    for run in run_directories(paths.runs):
        try:
            split, recall = recalled_in(run.snapshot, turn)
        except StoreError:
            continue  # its data set was never frozen, or is damaged: `explain` of the run says so
        if split:
            yield (
                f"  run {run.run_id}: "
                + {"train": "learned from it", "dev": "chose by it", "gate": "was judged by it"}[
                    split
                ]
            )
        if recall:
            yield f"  run {run.run_id}: replayed it: {why(recall)}"


def _suggestion(s: Suggestion) -> str:
    parts = [
        s.state + (f" in {one_line(s.file)}" + (f" ({s.name})" if s.name else "") if s.file else "")
    ]
    parts += [f"now {s.similarity:.2f} like it"] if s.similarity is not None else []
    parts += [f"matched by {s.match_method}"] if s.match_method else []
    parts += [f"commit {s.commit[:10]}"] if s.commit else []
    parts += ["reverted"] if s.reverted else []
    return f"  suggestion {s.ordinal}: {', '.join(parts)}"


def _score(score: Score, threshold: float) -> Iterator[str]:
    worth = "unknown" if score.suggestion_score is None else f"{score.suggestion_score:.2f}"
    yield f"  suggestion score {worth} (confidence {score.confidence:.2f}):"
    yield from (
        f"    {signal.name} {signal.value:.2f}, weight {signal.weight:g}: {signal.reason}"
        for signal in score.signals
    )
    target = (
        "unknown: nothing was kept that could be learned"
        if score.target_score is None
        else f"{score.target_score:.2f} (threshold {threshold:g})"
    )
    yield f"  target score {target}"
    yield from (f"    {reason}" for reason in score.target_reasons)


def _known(values: Mapping[str, Any], without: tuple[str, ...] = ()) -> str:
    return (
        ", ".join(
            f"{k} {one_line(str(v))}"
            for k, v in values.items()
            if v is not None and k not in without
        )
        or "unknown"
    )


# --- a run ----------------------------------------------------------------------------------------


_Teller = Callable[[RunDirectory, dict[str, Any]], Iterator[str]]
"""Tells one file of a run in lines, and adds what it holds to the records."""


def _run(run: RunDirectory) -> Explanation:
    """What its files say; one that cannot be read is a line that says so, and the rest is told all
    the same.
    """
    records: dict[str, Any] = {}
    lines = [
        line
        for part in (_request, _data_set, _plan, _placement, _result, _packed, _verdict, _end)
        for line in _part(part, run, records)
    ]
    return Explanation("run", run.run_id, tuple(lines), records)


def _part(part: _Teller, run: RunDirectory, records: dict[str, Any]) -> list[str]:
    try:
        return list(part(run, records))
    except (QiError, OSError, ValueError) as error:
        return [f"  {error.what if isinstance(error, QiError) else error}"]


def _request(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    request = run.read(run.request, RunRequest)
    records["request"] = codec.plain(request)
    yield f"  started {clock(request.started)} on top of v{request.parent}: {request.reason}"


def _data_set(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    if not snapshot_ready(run.snapshot):
        return
    snapshot = load_snapshot(run.snapshot)
    sizes = {name: len(snapshot.split(name)) for name in ("train", "dev", "gate")}
    reasons = [
        {"turn": e.id, "project": e.project, "learning_type": e.learning_type, "why": why(e.recall)}
        for e in snapshot.replay
        if e.recall
    ]
    records["data"] = {**sizes, "dropped": dict(snapshot.dropped), "replay": reasons}
    yield f"  learned from {sizes['train']} examples; {sizes['dev']} chose, {sizes['gate']} judged; {len(snapshot.replay)} earlier ones could be replayed"
    recalls = [e.recall for e in snapshot.replay if e.recall]
    if recalls:
        lost, early = sum(r.forgotten is True for r in recalls), sum(r.overdue < 0 for r in recalls)
        yield f"    of those {len(recalls) - early} were due, {lost} of them forgotten since; {early} came before their time, because there was room"
    if snapshot.pairs:
        sources = Counter(p.source for p in snapshot.pairs)
        records["data"]["pairs"] = dict(sources)
        yield f"    preferences: {sources['edit']} edits, {sources['fork']} second answers, {sources['reject']} rejections"
    if snapshot.dropped:
        yield "    left out: " + ", ".join(
            f"{count} ({reason})" for reason, count in snapshot.dropped.items()
        )


def _plan(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    if run.plan.exists():
        plan = run.read(run.plan, Plan)
        records["plan"] = codec.plain(plan)
        yield "  the plan:"
        yield from (f"    {reason}" for reason in reasons(plan))
    if rungs := read_rungs(run.path).rungs:
        records["adapted"] = codec.plain(rungs)
        yield "  adapted to the memory there was:"
        yield from (f"    {clock(rung.at)}: {rung.what} ({rung.reason})" for rung in rungs)


def _placement(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    """Where it trained, and what that asked of others."""
    if run.placement.exists():
        placed = run.read(run.placement, Placement)
        records["placement"] = codec.plain(placed)
        unloaded = f"; unloaded for it: {', '.join(placed.unload)}" if placed.unload else ""
        held = (
            "; requests waited meanwhile"
            if placed.holds_requests
            else "; paused while requests were answered"
            if placed.activity
            else ""
        )
        yield f"  trained on {one_line(placed.name)}: {placed.reason}{one_line(unloaded)}{held}"


def _result(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    if run.result.exists():
        result = run.read(run.result, TrainResult)
        records["train"] = codec.plain(result)
        before, after = result.dev_loss_before, result.dev_loss
        dev = "" if before is None or after is None else f", dev loss {before:.3f} to {after:.3f}"
        yield f"  trained {result.steps} steps in {result.seconds:.0f} s{dev}; stopped by {result.stopped}"
        if result.preferred is not None and result.preferred_before is not None:
            yield f"    the kept text was likelier than the suggested one in {result.preferred_before:.0%} of the pairs before, in {result.preferred:.0%} after"
        if run.plan.exists():
            yield from (
                f"    {line}"
                for line in divergence_sentences(result, run.read(run.plan, Plan).penalties.kl_budget)
            )
        yield from (f"    NOTE: {warning}" for warning in result.warnings)


def _packed(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    if run.packed.exists():
        packed = run.read(run.packed, Packed)
        records["packed"] = codec.plain(packed)
        cut = (
            f"cut to rank {packed.rank}, which lost {packed.lost:.1%} of the change"
            if packed.lost
            else "exactly"
        )
        kept = (
            f"; of the change of a tensor at least {min(g.gain for g in packed.gains):.0%} survived "
            ""
            "quantising"
            if packed.gains
            else ""
        )
        yield f"  joined with the served adapter {cut}, packed at scale {packed.scale:g}{kept}"


def _verdict(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    if run.verdict.exists():
        verdict = run.read(run.verdict, Verdict)
        records["verdict"] = codec.plain(verdict)
        yield from _verdict_lines(verdict)


def _end(run: RunDirectory, records: dict[str, Any]) -> Iterator[str]:
    if not run.ended:
        yield "  not ended"
        return
    outcome = codec.read_object(run.outcome)
    records["outcome"] = outcome
    yield f"  ended: {outcome.get('state')}" + (
        f", {outcome['reason']}" if outcome.get("reason") else ""
    )


def _verdict_lines(verdict: Verdict) -> list[str]:
    head = f"  the gate {'passed' if verdict.ships else 'refused'} it against {verdict.compared_with}, at scale {verdict.scale:g}:"
    checks = [f"    {'yes' if c.passed else 'NO '} {c.name}: {c.reason}" for c in verdict.checks]
    return [
        head,
        *checks,
        *(f"    {note}" for note in verdict.notes),
        f"    risk: {verdict.risk}",
        f"    way back: {verdict.rollback_plan}",
    ]


# --- a version ------------------------------------------------------------------------------------


def _version(paths: Paths, version: str) -> Explanation:
    deployment = load_deployment(paths)
    release = deployment.release(version)
    records: dict[str, Any] = {"release": codec.plain(release)}
    lines = [
        f"  {release.model}, made {clock(release.created)}, "
        f"{'live' if deployment.live == version else 'not live'}",
        f"  sha256 {release.digest or 'unknown'}",
    ]
    if release.run_id is None:
        lines.append("  the base's own weights: nothing was learned")
    else:
        told = _run(RunDirectory(paths.runs / release.run_id))
        lines += [f"  learned on top of v{release.parent} by run {release.run_id}:", *told.lines]
        records |= told.records
    return Explanation("version", version, tuple(lines), records)
