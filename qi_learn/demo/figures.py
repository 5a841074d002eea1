"""The figures of a demonstration: what `qi-learn demo --json` prints (docs/reference/json.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qi_learn.demo.measures import SuiteChange


@dataclass(slots=True)
class Figures:
    """What `--json` prints."""

    total_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    heldout_nll: SuiteChange | None = None
    general_nll: dict[str, float] | None = None
    """Of base and last live version, as the gate measured them."""
    heldout_similarity: dict[str, float] = field(default_factory=dict)
    forgotten_nll: SuiteChange | None = None
    """The first cycle's held-out functions, before and after the later cycles."""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    rollback_seconds: float | None = None
    engine: str = "embedded"
    asked: int = 0
    live_answers: int = 0
    live_failures: int = 0
