"""The versions of the model, and whether it is time for the next one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the model, complete on its own."""

    version: str
    """`1.1.0`: major for a base, minor for a learning cycle, patch for a repack."""
    model: str
    """Its immutable name on the server: `qi-agent:v1.1.0`."""
    digest: str
    """sha256 (hex) of the served GGUF as it was uploaded; for 1.0.0 that of the base, empty if the
    server would not say.
    """
    created: float
    base_digest: str
    """sha256 (hex) of the base's GGUF."""
    parent: str | None = None
    """The version it was trained on top of; None for the base."""
    run_id: str | None = None
    """The cycle that made it; None for the base."""
    adapter: str | None = None
    """Directory of the joined adapter (`adapter.safetensors`), relative to the data directory; None
    for the base.
    """
    adapter_digest: str | None = None
    """sha256 (hex) of that adapter file."""
    pinned: bool = False
    """Whether it is kept however many newer ones there are."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is time to learn."""

    due: bool
    reason: str
    """Why, or why not yet, in words."""
    missing: Mapping[str, float] = field(default_factory=dict)
    """What is missing if it is not: `interactions`, `seconds`."""
    fresh: int = 0
    """Distinct examples over the quality threshold that no live version has learned, and of which
    the person wrote or changed something: what a cycle needs.
    """
    kept: int = 0
    """The others, which were kept as they were: they train too, and say nothing of another model.
    """
