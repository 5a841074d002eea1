"""How far a learning cycle came."""

from __future__ import annotations

from typing import Literal

RunState = Literal[
    "planned",
    "snapshotted",
    "trained",
    "packed",
    "gated",
    "deployed",
    "refused",
    "failed",
    "cancelled",
]
"""How far a cycle came; the last four are ends."""
RUN_STATES_ENDED: tuple[RunState, ...] = ("deployed", "refused", "failed", "cancelled")
