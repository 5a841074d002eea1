"""The newest run, as `qi-learn status` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace

from qi_learn.codec import read_object
from qi_learn.daemon.lock import locked
from qi_learn.errors import QiError
from qi_learn.gate.cost import cost_of, cost_sentence
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.report.gpu_use import GpuUse, gpu_use
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.rundir.progress import Progress, progress_text, read_progress
from qi_learn.rundir.snapshot import dropped_in, snapshot_ready
from qi_learn.store.short_ids import short_id


@dataclass(frozen=True, slots=True)
class RunLine:
    """The newest run: how far it is, or how it ended."""

    id: str
    state: str
    """`running`, `waiting` (for the daemon or a quiet moment, to go on), `deferred` (it cannot go
    on now and is tried again: `reason`), or how it ended: `deployed`, `refused`, `failed`,
    `cancelled`.
    """
    reason: str
    step: str = ""
    progress: str = ""
    training: Progress | None = None
    """The numbers behind `progress`, while it trains."""
    gpus: tuple[GpuUse, ...] = ()
    """The GPUs on which it trains, if it does."""
    short: str = ""
    """The beginning of its id, as a person types it."""
    cost: str = ""
    """What its gate read and generated, how long that took, and how long it would take at 7B; empty
    if there is no verdict, or one of before that was measured.
    """
    dropped: Mapping[str, int] = field(default_factory=dict)
    """The number of texts that its data set left out, by reason."""
    helps: tuple[str, ...] = ()
    """What would have made it pass, if the gate refused it and its numbers tell."""
    refused_by: Mapping[str, str] = field(default_factory=dict)
    """The rules of the gate that refused it, each with its reason."""
    held: int = 0
    """How many rules held, if one refused it."""


def newest_run(paths: Paths, waiting: str) -> RunLine | None:
    """How far the newest run is; None if there is none. `waiting`: why the daemon holds it."""
    runs = run_directories(paths.runs)
    if not runs:
        return None
    run = runs[-1]
    short = short_id(run.run_id, *(before.run_id for before in runs[-2:-1]))
    if run.ended:
        ended = read_object(run.outcome)
        reason = str(ended.get("reason") or "")
        state = str(ended.get("state"))
        line = RunLine(run.run_id, state, reason, short=short, cost=_gate_cost(run))
        return _refusal(run, line) if state == "refused" else line
    state, reason = _under_way(
        run, str(read_object(run.request).get("reason") or ""), waiting, locked=locked(paths)
    )
    progress = read_progress(run.path)
    training = progress if progress is not None and progress.phase != "done" else None
    shown = progress_text(run.path) if state != "deferred" else ""
    gpus = gpu_use(run) if training is not None and state == "running" else ()
    return RunLine(run.run_id, state, reason, _step(run), shown, training, gpus, short)


def dropped_by(paths: Paths, run_id: str) -> dict[str, int]:
    """What a run's data set left out, by reason. Raises StoreError if its manifest is damaged."""
    snapshot = RunDirectory(paths.runs / run_id).snapshot
    return dropped_in(snapshot) if snapshot_ready(snapshot) else {}


def _gate_cost(run: RunDirectory) -> str:
    """What the gate took, in words."""
    numbers = read_object(run.verdict).get("numbers") if run.verdict.exists() else None
    cost = cost_of(numbers) if isinstance(numbers, dict) else None
    return cost_sentence(cost) if cost is not None else ""


def _refusal(run: RunDirectory, line: RunLine) -> RunLine:
    """The line with what the verdict says; without, if there is none or it cannot be read."""
    from qi_learn.records import Verdict  # most homes have no refused run to tell of

    try:
        verdict = run.read(run.verdict, Verdict)
    except (QiError, OSError, ValueError):
        return line
    if line.reason != "; ".join(verdict.reasons):
        return replace(line, helps=verdict.helps)
    return replace(
        line,
        helps=verdict.helps,
        refused_by=dict(zip(verdict.refused_by, verdict.reasons, strict=True)),
        held=sum(check.passed and check.ran for check in verdict.checks),
    )


def _under_way(run: RunDirectory, reason: str, waiting: str, *, locked: bool) -> tuple[str, str]:
    """State and reason of a run that has not ended.

    Deferred: its last line says that it cannot go on, and no process works on it now.
    """
    last = run.history()[-1:]
    if waiting or not locked:
        return "waiting", waiting or reason
    if last and last[0].get("state") == "waits" and not run.held:
        return "deferred", str(last[0].get("reason") or reason)
    return "running", reason


def _step(run: RunDirectory) -> str:
    history = run.history()
    return str(history[-1].get("step")) if history else "starting"
