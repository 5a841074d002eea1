"""No kind of work drowns the others: caps where there is plenty, and a refusal where one session is
most of it.

Groups are domain × learning type (R2). Weights (`weights.py`) are taken before deletion, because
data is scarce: only what is above the caps is left out, and it counts as not learned, so a later
cycle can take it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.dataset.select import Learnable
from qi_learn.errors import Refused

SESSION_CAP = 200
GROUP_CAP = 600
"""A run sees about 384 sequences (48 steps of 8); more than this of one kind only costs rendering.
"""
ONE_SIDED = 0.5


@dataclass(frozen=True, slots=True)
class Capped:
    """What is within the caps, oldest first, and how many were not."""

    kept: tuple[Learnable, ...]
    left_out: int


def capped(
    candidates: Sequence[Learnable],
    *,
    seed: int,
    session_cap: int = SESSION_CAP,
    group_cap: int = GROUP_CAP,
) -> Capped:
    """At most so many of a session and of a domain and learning type; the best scores stay, ties by
    a draw from the seed.
    """
    ranked = sorted(candidates, key=lambda c: (-c.score, _draw(c.id, seed)))
    sessions: Counter[str] = Counter()
    groups: Counter[tuple[str, str]] = Counter()
    kept: set[str] = set()
    for candidate in ranked:
        if sessions[candidate.session] < session_cap and groups[candidate.group] < group_cap:
            sessions[candidate.session] += 1
            groups[candidate.group] += 1
            kept.add(candidate.id)
    return Capped(tuple(c for c in candidates if c.id in kept), len(candidates) - len(kept))


def _draw(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def one_sided(sessions: Sequence[str]) -> str:
    """Why these sessions (one name an example) are too one-sided to learn from; empty where they
    are not.
    """
    if not sessions:
        return ""
    name, count = Counter(sessions).most_common(1)[0]
    if count <= ONE_SIDED * len(sessions):
        return ""
    return f"{count} of {len(sessions)} examples come from one session ({name}): at least {2 * count - len(sessions)} more from others are missing."


def refuse_one_sided(sessions: Sequence[str]) -> None:
    """Raises Refused where more than half of the examples come from one session."""
    if reason := one_sided(sessions):
        raise Refused(
            f"One-sided: {reason}",
            "Work in further sessions; what is there is kept for the next cycle.",
        )
