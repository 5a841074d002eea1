"""What a training that ran out of memory gives up, one rung at a time.

It then goes on from its newest checkpoint. Fewer sequences at a time (the optimiser's steps stay
the same), each layer computed twice, shorter sequences, the base in four bits if that is possible;
below the last rung there is only waiting. The plan stays as it was made: `adapted.json` beside it
lists the rungs, and every later start of the run honours them. The worker's parent takes the rungs,
so this needs no torch.
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
"""Exit code of a worker without memory (ENOMEM)."""
SHORTEST = 256
"""Tokens below which sequences are not cut."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """One step down: what ran out, what is done about it, and the keys of the plan that change.

    No keys: there was nothing left to give up.
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

    Raises StoreError if a file cannot be read.
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
    """The rungs that a run has taken. Raises StoreError if their file is damaged."""
    path = run / "adapted.json"
    try:
        if not path.exists():
            return FallbackLog()
        return codec.loads(FallbackLog, path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path} cannot be read: {error}", "Delete it: the run then starts from its plan again."
        ) from error


def degrade(run: Path, reason: str, *, now: float) -> Fallback:
    """Take the next rung of a run and write it down; it changes nothing if none is left.

    Raises StoreError.
    """
    given_up = next_rung(read_plan(run), run)
    rung = (
        Fallback(now, reason, *given_up)
        if given_up
        else Fallback(now, reason, "nothing is left to give up: it is tried again later")
    )
    _append(run, rung)
    return rung


def fall_back(run: Path, reason: str, *, now: float) -> None:
    """Let the plain backend train from the start, because another one failed.

    Nothing of the other's is left. Raises StoreError.
    """
    what = "transformers and PEFT instead of Unsloth, from the start"
    _append(run, Fallback(now, reason, what, {"backend": "plain"}))
    for name in ("trained.json", "before.json"):
        (run / name).unlink(missing_ok=True)
    for name in ("checkpoints", "adapter"):
        shutil.rmtree(run / name, ignore_errors=True)


def next_rung(plan: Plan, run: Path) -> tuple[str, dict[str, Any]] | None:
    """What the plan gives up next, in words and in keys; None if nothing is left."""
    batches, hardware = plan.batches, plan.hardware
    if batches.batch_size > 1:
        whole = batches.batch_size * batches.accumulation
        size = next(size for size in range(batches.batch_size // 2, 0, -1) if whole % size == 0)
        fewer = f"{size} sequences at a time instead of {batches.batch_size}"
        keys = {"batch_size": size, "accumulation": whole // size}
        return f"{fewer}, in the same steps of {whole}", keys
    if not hardware.gradient_checkpointing:
        twice = "every layer keeps only its input and is computed twice (gradient checkpointing)"
        return twice, {"gradient_checkpointing": True}
    shorter = max(SHORTEST, batches.max_length // 2)
    if shorter < batches.max_length and _still_fit(run, batches.max_length, shorter):
        cut = f"sequences of at most {shorter} tokens instead of {batches.max_length}"
        return cut, {"max_length": shorter}
    if hardware.may_be_four_bit and not hardware.four_bit:
        small = "the frozen base in 4 bits (NF4), by transformers and PEFT"
        return small, {"four_bit": True, "backend": "plain"}
    return None


def _append(run: Path, rung: Fallback) -> None:
    log = FallbackLog((*read_rungs(run).rungs, rung))
    replace_file(run / "adapted.json", codec.dumps(log) + "\n")


def _still_fit(run: Path, longest: int, shorter: int) -> bool:
    """Whether at least half of the examples that are trained on now still can be.

    A run that learns from a remnant is worth less than one that waits.
    """
    if not snapshot_ready(run / "snapshot"):
        return False
    train = load_snapshot(run / "snapshot").split("train")
    return 2 * len(samples(train, shorter)) >= len(samples(train, longest)) > 0
