"""What a training that ran out of memory gives up, one rung at a time, before it goes on from its
newest checkpoint.

Fewer sequences at a time (the optimiser's steps stay the same), each layer computed twice, shorter
sequences, the base in four bits where that is possible; below the last rung there is only waiting.
The plan stays as it was made: `adapted.json` beside it lists the rungs, and every later start of
the run honours them. No torch: it is the parent of the worker who climbs down.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.paths import replace_file
from qi_learn.plan.schedule import samples
from qi_learn.records import Plan
from qi_learn.rundir.snapshot import load_snapshot, snapshot_ready

EXIT_NO_MEMORY = 12
"""What a worker without memory ends with (ENOMEM)."""
SHORTEST = 256
"""Sequences are not cut below so many tokens."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """One step down: what ran out, what is done about it, and the fields of the plan that change.

    No fields: there was nothing left to give up.
    """

    at: float
    reason: str
    what: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FallbackLog:
    rungs: tuple[Fallback, ...] = ()

    @property
    def deferred(self) -> int:
        """How often there was nothing left to give up."""
        return sum(not rung.changes for rung in self.rungs)


def read_plan(run: Path) -> Plan:
    """The plan of a run as it is to be carried out: its `plan.json` after every rung taken.

    Raises StoreError where it cannot be read.
    """
    path = run / "plan.json"
    try:
        plan = codec.loads(Plan, path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}", "The run cannot go on; the next cycle starts afresh."
        ) from error
    for rung in read_rungs(run).rungs:
        plan = codec.changed(plan, **rung.changes)
    return plan


def read_rungs(run: Path) -> FallbackLog:
    """The rungs that a run has taken. Raises StoreError where their file is damaged."""
    path = run / "adapted.json"
    try:
        return (
            codec.loads(FallbackLog, path.read_text(encoding="utf-8"))
            if path.exists()
            else FallbackLog()
        )
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}", "Delete it: the run then starts from its plan again."
        ) from error


def degrade(run: Path, reason: str, *, now: float) -> Fallback:
    """Takes the next rung of a run and writes it down; one without changes where none is left.

    Raises StoreError.
    """
    taken = read_rungs(run)
    found = next_rung(read_plan(run), run)
    rung = (
        Fallback(now, reason, *found)
        if found
        else Fallback(now, reason, "nothing is left to give up: it is tried again later")
    )
    replace_file(run / "adapted.json", codec.dumps(FallbackLog((*taken.rungs, rung))) + "\n")
    return rung


def fall_back(run: Path, reason: str, *, now: float) -> None:
    """Another backend failed: the plain one trains from the start, and nothing of the other's is
    left. Raises StoreError.
    """
    rung = Fallback(
        now,
        reason,
        "transformers and PEFT instead of Unsloth, from the start",
        {"backend": "plain"},
    )
    replace_file(
        run / "adapted.json", codec.dumps(FallbackLog((*read_rungs(run).rungs, rung))) + "\n"
    )
    for told in ("trained.json", "before.json"):
        (run / told).unlink(missing_ok=True)
    for leftover in ("checkpoints", "adapter"):
        shutil.rmtree(run / leftover, ignore_errors=True)


def next_rung(plan: Plan, run: Path) -> tuple[str, dict[str, Any]] | None:
    """What the plan gives up next, in words and in fields; None where nothing is left."""
    if plan.batches.batch_size > 1:
        whole = plan.batches.batch_size * plan.batches.accumulation
        size = next(
            size for size in range(plan.batches.batch_size // 2, 0, -1) if whole % size == 0
        )
        return (
            f"{size} sequences at a time instead of {plan.batches.batch_size}, in the same steps "
            f"of {whole}",
            {"batch_size": size, "accumulation": whole // size},
        )
    if not plan.hardware.gradient_checkpointing:
        return "every layer keeps only its input and is computed twice (gradient checkpointing)", {
            "gradient_checkpointing": True
        }
    shorter = max(SHORTEST, plan.batches.max_length // 2)
    if shorter < plan.batches.max_length and _still_fit(run, plan.batches.max_length, shorter):
        return f"sequences of at most {shorter} tokens instead of {plan.batches.max_length}", {
            "max_length": shorter
        }
    if plan.hardware.may_be_four_bit and not plan.hardware.four_bit:
        return "the frozen base in 4 bits (NF4), by transformers and PEFT", {
            "four_bit": True,
            "backend": "plain",
        }
    return None


def _still_fit(run: Path, longest: int, shorter: int) -> bool:
    """Whether at least half of the examples that are trained on now can still be: a run that learns
    from a remnant is worth less than one that waits.
    """
    if not snapshot_ready(run / "snapshot"):
        return False
    train = load_snapshot(run / "snapshot").split("train")
    return 2 * len(samples(train, shorter)) >= len(samples(train, longest)) > 0
