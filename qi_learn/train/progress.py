"""How far a training run is: `progress.json` in the run directory, replaced whole, for `status` and for whoever waits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qi_learn import codec
from qi_learn.paths import replace_file

Phase = Literal["loading", "general fisher", "training", "past fisher", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    phase: Phase
    step: int
    of: int
    """Steps of this phase; 0 where it has none."""
    at: float
    """Unix seconds when this was written."""
    loss: float | None = None
    """Of the last step, nats per target token."""
    dev: float | None = None
    penalty: float | None = None
    eta: float | None = None
    """Seconds until the phase ends."""
    tokens_per_second: float | None = None


def write_progress(run: Path, progress: Progress) -> None:
    replace_file(run / "progress.json", codec.dumps(progress) + "\n")


def read_progress(run: Path) -> Progress | None:
    """The progress of a run; None before it has begun or where the file is from another version."""
    try:
        return codec.loads(Progress, (run / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
