"""Rules 3 and 4 of the gate: answers on fresh work are still right and still coherent.

Both are on greedy answers to its questions.
"""

from __future__ import annotations

import math

from qi_learn.gate.checks import finite_or_none, require_same, without_number
from qi_learn.gate.limits import ACCURACY, COHERENCE, ROUNDING
from qi_learn.gate.measurements import Measurements
from qi_learn.records import Behaviour, Check
from qi_learn.stats import Interval, mean, paired_interval


def likeness_change(candidate: Measurements, live: Measurements) -> Interval | None:
    """The change of the answers' likeness to the kept code, by session; None if it is not known.

    Raises ValueError if the two models were asked different questions.
    """
    new, old = candidate.behaviour, live.behaviour
    require_same(new.ids, old.ids)
    changes = [after - before for after, before in zip(new.similarity, old.similarity, strict=True)]
    if not changes or not all(map(math.isfinite, changes)):
        return None
    units = dict(zip(candidate.gate.ids, candidate.gate.units, strict=True))
    return paired_interval(changes, [1.0] * len(changes), [units.get(i, i) for i in new.ids])


def accuracy_check(likeness: Interval | None, candidate: Behaviour, live: Behaviour) -> Check:
    """Rule 3: the likeness to the kept code.

    The mean is over answers, the interval over sessions.
    """
    if likeness is None:
        reason = "the answers could not be compared with the kept code"
        return without_number("accuracy", ACCURACY, reason)
    likeness_now = mean(candidate.similarity)
    change = likeness_now - mean(live.similarity)
    reason = (
        f"answers' likeness to the kept code changed by {change:+.3f} to {likeness_now:.3f} (not "
        f"below {ACCURACY})"
    )
    passed = change >= ACCURACY - ROUNDING
    low, high = finite_or_none(likeness.low), finite_or_none(likeness.high)
    return Check("accuracy", passed, change, low, high, ACCURACY, reason)


def coherence_check(candidate: Behaviour, live: Behaviour) -> Check:
    """Rule 4: at most 2 in 100 answers, or one, that no longer end, loop or do not parse."""
    count = len(candidate.coherent)
    if count == 0:
        return without_number("coherence", -COHERENCE, "there were no answers to compare")
    now, before = sum(candidate.coherent), sum(live.coherent)
    allowed = max(1.0, COHERENCE * count)
    reason = (
        f"{now} of {count} answers end, do not loop and parse; {before} before (at most "
        f"{allowed:g} fewer)"
    )
    passed = before - now <= allowed + ROUNDING
    return Check("coherence", passed, (now - before) / count, None, None, -allowed / count, reason)
