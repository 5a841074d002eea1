"""Which examples train, which choose, which judge: by whole sessions (contracts 7).

The newest sessions go to the gate.

The invariant: no session gives examples both to the gate and to training or dev, so the gate
measures work whose beginning the training never saw. What counts are the examples of which the
person wrote or changed something: an answer that was kept as it was is the model's own, and says
nothing of another. The gate gets the newest sessions until it has the larger of `min_gate` and a
fifth of those that count, from `SESSIONS` sessions at least. Of the rest a tenth is dev (whole
sessions too if they are small enough, else the newest examples), and all others train, those that
were kept as they were among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING

from qi_learn.dataset.balance import refuse_one_sided
from qi_learn.errors import Refused

if TYPE_CHECKING:
    from qi_learn.records import Split

GATE_SHARE = 0.2
SESSIONS = 3
"""Sessions with an example that counts, which the gate takes at least: it compares session by
session (docs/internals/decisions/0010).
"""
LEFT = 2
"""Examples that count and that the gate leaves at least: one to learn from, one to choose by."""
DEV_SHARE = 0.1
DEV_LIMIT = 0.2
"""A whole session is dev only while dev keeps below this share of what the gate leaves."""


def assign(sessions: Sequence[str], own: Sequence[bool], *, min_gate: int) -> list[Split]:
    """The split of each example, oldest first, given their sessions.

    `own`: whether the person wrote or changed something of it. Raises Refused, with the number that
    is missing, if the gate or the training would be left without examples that count.
    """
    count = sum(own)
    if count < min_gate:
        missing = f"{min_gate - count} are missing, and some to train on"
        few = f"{_with_own_text(count)} {'is' if count == 1 else 'are'} too few"
        raise Refused(
            f"{few}: the gate alone needs {min_gate}; {missing}.",
            "Go on working through the gateway; `qi-learn status` counts.",
        )
    work = _newest_first(sessions)
    gate = _take(work, own, max(min_gate, math.ceil(GATE_SHARE * count)))
    rest = [indices for indices in work if indices[0] not in gate]
    judging = sum(own[i] for i in gate)
    if count - judging < LEFT:
        taken = (
            f"the gate takes the newest sessions whole, {SESSIONS} at least: {judging} of "
            f"{_with_own_text(count)}"
        )
        missing = f"at least {LEFT - count + judging} more from another session are missing"
        raise Refused(
            f"Nothing is left to train on: {taken}; {missing}.", "Work in further sessions."
        )
    dev = _dev(rest, own, count - judging)
    return ["gate" if i in gate else "dev" if i in dev else "train" for i in range(len(sessions))]


def refuse_thin(sessions: Sequence[str], own: Sequence[bool], *, min_gate: int) -> None:
    """Raise Refused with everything that is missing, if these examples are no data set.

    Too few, nothing left to train on, or most of one session: one refusal names them all.
    """
    found = []
    try:
        assign(sessions, own, min_gate=min_gate)
    except Refused as refused:
        found.append(refused)
    try:
        refuse_one_sided(list(compress(sessions, own)))
    except Refused as refused:
        found.append(refused)
    if found:
        hints = dict.fromkeys(refused.hint for refused in found)
        raise Refused(" ".join(refused.what for refused in found), " ".join(hints))


def _with_own_text(count: int) -> str:
    return f"{count} example{'' if count == 1 else 's'} with text of your own"


def _newest_first(sessions: Sequence[str]) -> list[list[int]]:
    """Indices by session; the session with the newest example comes first."""
    indices: dict[str, list[int]] = {}
    for index, session in enumerate(sessions):
        indices.setdefault(session, []).append(index)
    return sorted(indices.values(), key=lambda of_session: -of_session[-1])


def _take(work: Sequence[list[int]], own: Sequence[bool], need: int) -> set[int]:
    """The gate's examples: whole sessions from the front until there are enough of both."""
    taken: set[int] = set()
    counted = sessions = 0
    for indices in work:
        if counted >= need and sessions >= SESSIONS:
            break
        taken |= set(indices)
        counting = sum(own[i] for i in indices)
        counted += counting
        sessions += counting > 0
    return taken


def _dev(work: Sequence[list[int]], own: Sequence[bool], left: int) -> set[int]:
    """Dev's examples: whole sessions while they are small enough, else the newest that count.

    `left`: the number of those that count which the gate leaves.
    """
    need = max(1, round(DEV_SHARE * left))
    taken: set[int] = set()
    counted = 0
    for indices in work:
        counting = sum(own[i] for i in indices)
        if counting and counted < need and counted + counting <= max(need, DEV_LIMIT * left):
            taken |= set(indices)
            counted += counting
    newest = sorted((i for indices in work for i in indices if own[i]), reverse=True)
    return taken if 0 < counted < left else set(newest[:need])
