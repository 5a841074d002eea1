"""No kind of work drowns the others: caps, and a refusal if one session is most of it.

Groups are domain × learning type (R2). Weights (`weighting.py`) are preferred to deletion, because
data is scarce: only what is above the caps is left out, and it counts as not learned, so a later
cycle can take it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qi_learn.errors import Refused
from qi_learn.record_class import dataclass

if TYPE_CHECKING:
    from qi_learn.dataset.select import Learnable

SESSION_CAP = 200
"""Examples of one session at most."""
GROUP_CAP = 600
"""A run sees about 384 sequences (48 steps of 8); more than this of one kind only costs rendering.
"""
ONE_SIDED = 0.5
"""Share of the examples above which one session is too much."""


@dataclass(frozen=True, slots=True)
class Capped:
    """The turns within the caps, oldest first, and the number of the others."""

    kept: tuple[Learnable, ...]
    left_out: int


def capped(
    learnables: Sequence[Learnable],
    *,
    seed: int,
    session_cap: int = SESSION_CAP,
    group_cap: int = GROUP_CAP,
) -> Capped:
    """At most `session_cap` examples of one session, and `group_cap` of one group.

    A group is one domain and learning type. Those in which the person wrote something stay, then
    the best scores; between equals a draw from the seed decides.
    """
    ranked = sorted(learnables, key=lambda one: (not one.own, -one.score, _draw(one.id, seed)))
    sessions: Counter[str] = Counter()
    groups: Counter[tuple[str, str]] = Counter()
    kept: set[str] = set()
    for turn in ranked:
        if sessions[turn.session] < session_cap and groups[turn.group] < group_cap:
            sessions[turn.session] += 1
            groups[turn.group] += 1
            kept.add(turn.id)
    return Capped(tuple(t for t in learnables if t.id in kept), len(learnables) - len(kept))


def _draw(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def one_sided(sessions: Sequence[str]) -> str:
    """Reason why these sessions are too one-sided to learn from; empty if they are not.

    `sessions` has one name for each example.
    """
    if not sessions:
        return ""
    name, count = Counter(sessions).most_common(1)[0]
    if count <= ONE_SIDED * len(sessions):
        return ""
    missing = 2 * count - len(sessions)
    named = "" if name.startswith("turns-from-") else f" ({name})"  # no client gave it a name
    return (
        f"{count} of {len(sessions)} examples come from one session{named}: "
        f"at least {missing} more from others are missing."
    )


def refuse_one_sided(sessions: Sequence[str]) -> None:
    """Raise Refused if more than half of the examples come from one session."""
    if reason := one_sided(sessions):
        raise Refused(
            f"One-sided: {reason}",
            "Work in further sessions; what is there is kept for the next cycle.",
        )
