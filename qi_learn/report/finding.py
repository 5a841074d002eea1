"""What a check of `qi-learn doctor` found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `hint` if something should be done."""

    name: str
    ok: bool
    what: str
    hint: str = field(default="", metadata={"key": "todo"})
