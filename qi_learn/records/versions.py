"""The versions of the model, and whether it is time for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the model, complete on its own."""

    version: str
    model: str
    """Immutable name under which the server has it: `qi-agent:v1.1.0`."""
    digest: str
    """sha256 of the served GGUF as we uploaded it (hex); the base's own for 1.0.0, may be empty
    where the server would not say.
    """
    created: float
    base_digest: str
    parent: str | None = None
    run_id: str | None = None
    adapter: str | None = None
    """Directory of the joined adapter (`adapter.safetensors`), relative to the data directory; None
    for the base.
    """
    adapter_digest: str | None = None
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Is it time to learn?"""

    due: bool
    reason: str
    missing: Mapping[str, float] = field(default_factory=dict)
    fresh: int = 0
    """Distinct examples over the quality threshold that no live version has learned."""
