"""How far a training run is: `progress.json` in the run directory, replaced whole.

`status` and the commands that wait read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qi_learn import codec
from qi_learn.paths import replace_file
from qi_learn.record_class import dataclass

Phase = Literal["loading", "general fisher", "training", "past fisher", "done"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training run is in its present phase."""

    phase: Phase
    step: int
    """The number of steps (of a Fisher: sequences) done."""
    of: int
    """The number of steps of this phase; 0 if it has none."""
    at: float
    """Unix seconds when this was written."""
    loss: float | None = None
    """Of the last step, nats per target token."""
    dev: float | None = None
    """On dev when it was last measured, nats per target token."""
    penalty: float | None = None
    """Both penalties of the last step together."""
    eta: float | None = None
    """Seconds until the phase ends."""
    tokens_per_second: float | None = None
    paused: str = ""
    """Why it does not go on now; empty while it does."""


def write_progress(run: Path, progress: Progress) -> None:
    """Write the progress of a run, renamed into place."""
    replace_file(run / "progress.json", codec.dumps(progress) + "\n")


def read_progress(run: Path) -> Progress | None:
    """The progress of a run; None before it has begun, or if the file is from another version."""
    try:
        return codec.loads(Progress, (run / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def progress_text(run: Path) -> str:
    """`step 12 of 48, loss 1.834, 41 s to go`; empty if no training is under way."""
    progress = read_progress(run)
    return as_text(progress) if progress is not None else ""


def as_text(p: Progress) -> str:
    """A line for people; empty when the training is done.

    Only the training has steps; a Fisher is estimated from sequences.
    """
    if p.phase == "done":
        return ""
    phase = {
        "loading": "loading the model",
        "general fisher": f"general Fisher: sequence {p.step} of {p.of}",
        "training": f"step {p.step} of {p.of}",
        "past fisher": f"Fisher of this work: sequence {p.step} of {p.of}",
    }[p.phase]
    parts = [f"paused: {p.paused}", phase] if p.paused else [phase]
    losses = (("loss", p.loss), ("dev loss", p.dev))
    parts += [f"{name} {value:.3f}" for name, value in losses if value is not None]
    parts += [f"penalty {p.penalty:.4f}"] if p.penalty is not None else []
    parts += [f"{p.tokens_per_second:.0f} tokens/s"] if p.tokens_per_second is not None else []
    parts += [f"{span(p.eta)} to go"] if p.eta is not None else []
    return ", ".join(parts)


def span(seconds: float) -> str:
    """A time to go, short enough for a line."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
