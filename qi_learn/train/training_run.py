"""A training run as one of its processes works on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qi_learn.train.ranks import ALONE, Ranks


class Interrupted(Exception):
    """The process was asked to stop; what it was in the middle of is simply done again."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What the steps of a run share."""

    directory: Path
    stopping: Callable[[], bool] = lambda: False
    """Whether to stop, asked between steps; it may take its time (pause.py)."""
    ranks: Ranks = ALONE
    """The processes that share the training."""
