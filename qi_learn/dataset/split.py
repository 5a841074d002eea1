"""Which examples train, which choose, which judge: by whole sessions (contracts 7).

The newest sessions go to the gate.

The invariant: no session gives examples both to the gate and to training or dev, so the gate
measures work whose beginning the training never saw. The gate gets the newest sessions until it has
the larger of `min_gate` and a fifth of all examples, at least two sessions, and three if that
leaves half. Of the rest a tenth is dev (whole sessions too if they are small enough, else the
newest examples), and all others train.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qi_learn.dataset.balance import refuse_one_sided
from qi_learn.errors import Refused

if TYPE_CHECKING:
    from qi_learn.records import Example, Split

GATE_SHARE = 0.2
FEWEST, ENOUGH, MOST = 2, 3, 0.5
"""Sessions that the gate takes at least, and the number it takes if that leaves half of the
examples. It compares session by session, so of one it can never be certain, and of two only if they
agree (docs/internals/decisions/0010).
"""
DEV_SHARE = 0.1
DEV_LIMIT = 0.2
"""A whole session is dev only while dev keeps below this share of what the gate leaves."""


def split(examples: Sequence[Example], *, min_gate: int) -> tuple[Example, ...]:
    """The examples in the order given, oldest first, each with its split.

    Raises Refused as `assign` does.
    """
    splits = assign([e.session for e in examples], min_gate=min_gate)
    return tuple(replace(e, split=name) for e, name in zip(examples, splits, strict=True))


def assign(sessions: Sequence[str], *, min_gate: int) -> list[Split]:
    """The split of each example, given their sessions, oldest example first.

    Raises Refused, with the number that is missing, if the gate or the training would be left
    without examples.
    """
    count = len(sessions)
    if count < min_gate:
        missing = f"{min_gate - count} are missing, and some to train on"
        hint = "Go on working through the gateway; `qi-learn status` counts."
        few = "1 example is" if count == 1 else f"{count} examples are"
        raise Refused(f"{few} too few: the gate alone needs {min_gate}; {missing}.", hint)
    work = _newest_first(sessions)
    gate = _take(work, max(min_gate, math.ceil(GATE_SHARE * count)), most=MOST * count)
    rest = [indices for indices in work if indices[0] not in gate]
    left = count - len(gate)
    if left < 2:
        taken = f"the gate takes the newest sessions whole, {len(gate)} of {count} examples"
        missing = f"at least {2 - left} more from another session are missing"
        raise Refused(
            f"Nothing is left to train on: {taken}; {missing}.", "Work in further sessions."
        )
    dev = _dev(rest, max(1, round(DEV_SHARE * left)), left)
    return ["gate" if i in gate else "dev" if i in dev else "train" for i in range(count)]


def refuse_thin(sessions: Sequence[str], *, min_gate: int) -> None:
    """Raise Refused with everything that is missing, if these examples are no data set.

    Too few, nothing left to train on, or most of one session: one refusal names them all.
    """
    found = []
    try:
        assign(sessions, min_gate=min_gate)
    except Refused as refused:
        found.append(refused)
    try:
        refuse_one_sided(sessions)
    except Refused as refused:
        found.append(refused)
    if found:
        hints = dict.fromkeys(refused.hint for refused in found)
        raise Refused(" ".join(refused.what for refused in found), " ".join(hints))


def _newest_first(sessions: Sequence[str]) -> list[list[int]]:
    """Indices by session; the session with the newest example comes first."""
    indices: dict[str, list[int]] = {}
    for index, session in enumerate(sessions):
        indices.setdefault(session, []).append(index)
    return sorted(indices.values(), key=lambda of_session: -of_session[-1])


def _take(work: Sequence[list[int]], need: int, *, most: float) -> set[int]:
    """The gate's examples: whole sessions from the front until there are enough of both."""
    taken: set[int] = set()
    for sessions, indices in enumerate(work):
        few = sessions < FEWEST or (sessions < ENOUGH and len(taken) + len(indices) <= most)
        if len(taken) >= need and not few:
            break
        taken |= set(indices)
    return taken


def _dev(work: Sequence[list[int]], need: int, left: int) -> set[int]:
    """Dev's examples: whole sessions while they are small enough, else the newest examples."""
    taken: set[int] = set()
    for indices in work:
        if len(taken) < need and len(taken) + len(indices) <= max(need, DEV_LIMIT * left):
            taken |= set(indices)
    newest = sorted((i for indices in work for i in indices), reverse=True)
    return taken if taken and len(taken) < left else set(newest[:need])
