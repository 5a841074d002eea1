"""Rules 3 and 4 of the gate: answers on fresh work are still right and still coherent.

Both are on greedy answers, paired by question: they may get worse by their limit
and by what equally good answers lose by chance, two standard errors of the measured change. Answers
count as independent there: if they hang together, the limit is rather too narrow than too wide.

What one cycle may lose adds up over many, so that both are also held against the best version of
the live version's own line (`decline`).

Likeness is asked only where the person changed something: of an answer that was kept as it was, the
kept text *is* the live model's answer, and another one that is as good could only lose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.gate.checks import require_same, without_number
from qi_learn.gate.decline import ERRORS, Decline
from qi_learn.gate.limits import ACCURACY, COHERENCE, INCOHERENT, ROUNDING, STANDARD_ERRORS
from qi_learn.gate.measurements import Measurements, paired
from qi_learn.records import Behaviour, Check
from qi_learn.stats import mean

Pairs = Sequence[tuple[float, float]]
"""Of each answer what it was worth before, and what the candidate's is."""


@dataclass(frozen=True, slots=True)
class PairedChange:
    """The mean change of paired answers, and what chance alone may do to it."""

    mean: float
    error: float
    """Standard error over the answers; 0 for a single one."""
    answers: int

    def limit(self, allowed: float, most: float = math.inf) -> float:
        """The lowest change that passes: a loss of `most` does not."""
        return -min(abs(allowed) + STANDARD_ERRORS * self.error, most)


def likeness_pairs(candidate: Measurements, live: Measurements) -> Pairs:
    """Likeness to the kept code before and after, of answers that the person changed.

    Of those that both models gave. Raises ValueError if they were asked in different orders.
    """
    new, old = paired(candidate.behaviour, live.behaviour)
    require_same(new.ids, old.ids)
    tokens = dict(zip(candidate.gate.ids, candidate.gate.person_tokens, strict=False))
    return [
        (before, after)
        for name, after, before in zip(new.ids, new.similarity, old.similarity, strict=True)
        if tokens.get(name, 0) > 0
    ]


def coherence_pairs(candidate: Behaviour, before: Behaviour) -> Pairs:
    """Whether an answer was coherent and is, as 0 or 1, of those that both models gave.

    Raises ValueError as above.
    """
    new, old = paired(candidate, before)
    require_same(new.ids, old.ids)
    return [(float(b), float(a)) for a, b in zip(new.coherent, old.coherent, strict=True)]


def likeness_change(candidate: Measurements, live: Measurements) -> PairedChange | None:
    """The change of the likeness to the kept code; None if there are no answers."""
    return _change(likeness_pairs(candidate, live))


def coherence_change(candidate: Behaviour, before: Behaviour) -> PairedChange | None:
    """The change of the share of coherent answers; None if there are no answers."""
    return _change(coherence_pairs(candidate, before))


def accuracy_check(change: PairedChange | None, decline: Decline | None = None) -> Check:
    """Rule 3: the likeness to the kept code, where the person changed something.

    `decline`: since the best version of the line.
    """
    if change is None:
        reason = "no answer could be compared with code that you changed"
        return without_number("accuracy", ACCURACY, reason)
    limit = change.limit(ACCURACY)
    reason = (
        f"likeness to the kept code changed by {change.mean:+.3f} over the {change.answers} answers"
        f" that you changed (not below {limit:.3f}: {ACCURACY} and what chance may do)"
    )
    return _check("accuracy", change, limit, reason, _declined(decline, abs(ACCURACY)))


def coherence_check(
    candidate: Behaviour, live: Behaviour, base: Behaviour, decline: Decline | None = None
) -> Check:
    """Rule 4: the share of answers that end, do not loop and parse where code was asked for.

    Against the live version, and the same against the base and, as far as looks have kept it,
    against the best version of the line (`decline`), so that small losses do not add up.
    """
    change, since_base = coherence_change(candidate, live), coherence_change(candidate, base)
    if change is None or since_base is None:
        return without_number("coherence", -COHERENCE, "there were no answers to compare")
    now, before = (sum(model.coherent) for model in paired(candidate, live))
    limit = change.limit(COHERENCE, INCOHERENT)
    of_base, now_of_base = (sum(model.coherent) for model in paired(base, candidate))
    reason = (
        f"{now} of {change.answers} answers end, do not loop and parse in their place; {before} "
        f"before (at most {-limit * change.answers:.1f} fewer); of the {since_base.answers} that "
        f"the base was asked too {now_of_base}, and {of_base} of its own"
    )
    faults = [] if _fits(since_base) else ["fewer than the base's by more than chance allows"]
    return _check("coherence", change, limit, reason, [*faults, *_declined(decline, COHERENCE)])


def _check(
    name: str, change: PairedChange, limit: float, reason: str, faults: Sequence[str]
) -> Check:
    reach = STANDARD_ERRORS * change.error
    passed = change.mean >= limit - ROUNDING and not faults
    words = "; ".join((reason, *faults))
    return Check(name, passed, change.mean, change.mean - reach, change.mean + reach, limit, words)


def _declined(decline: Decline | None, allowed: float) -> list[str]:
    """What speaks against a candidate, if it is surely below a version before the live one."""
    if decline is None or decline.fits(allowed):
        return []
    return [
        f"{decline.fall:.2f} below the best of {decline.versions} versions before the live one, "
        f"more than chance allows ({allowed + ERRORS * decline.error:.2f})"
    ]


def _fits(change: PairedChange) -> bool:
    return change.mean >= change.limit(COHERENCE, INCOHERENT) - ROUNDING


def _change(pairs: Pairs) -> PairedChange | None:
    changes = [after - before for before, after in pairs]
    if not changes or not all(map(math.isfinite, changes)):
        return None
    middle, n = mean(changes), len(changes)
    square = math.fsum((c - middle) ** 2 for c in changes) / (n - 1) if n > 1 else 0.0
    return PairedChange(middle, math.sqrt(square / n), n)
