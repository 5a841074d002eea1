"""What likeness and form have lost since the best version there was, candidate included.

Rules 3 and 4 allow what chance may do to a dozen answers, in every cycle: 5 % of coherence lost
each time passed twelve times in a row (0.95 to 0.54). Answers to old questions are not asked for
again, as earlier work is read again. But every verdict keeps what the live version and its
candidate had, and so a version was measured beside the one before it, beside the one after it, and
beside every candidate that was refused.

Each version has one number. What a version had in a look is its number, what the look's questions
are easier or harder by (the same for both versions of the look), and chance of the answer itself.
The numbers are found by generalised least squares over all looks at a version of the live version's
own line, this one included. The candidate may be below none of the others by more than what one
cycle may lose, and `ERRORS` standard errors of that difference: so many that over thirty cycles, in
which all pairs of versions get compared, about one in twenty lines of equally good ones meets a
refusal.

Not covered: what verdicts of before this kept nothing of; a line whose versions are all worse than
any answer was ever good enough to show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qi_learn.records import PastLook

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LIKENESS, COHERENCE = "likeness", "coherence"
PRIOR = {LIKENESS: 0.05, COHERENCE: 0.25}
"""The variance of an answer that is reckoned with once beside what was measured: of a dozen answers
that are all sound it is not known that they always are.
"""
ERRORS = 3.0
"""Standard errors that chance may do to the largest of so many differences."""
MOST = 30
"""Versions of a line, from the newest, that are looked back at."""
_FIELDS = ("before", "after", "answers", "spread", "error")


@dataclass(frozen=True, slots=True)
class AnswerMeans:
    """What the answers of one look say of the live version and its candidate."""

    before: float
    """Mean over the live version's answers."""
    after: float
    """Of the candidate's, to the same questions."""
    answers: int
    spread: float
    """Standard deviation of one answer, over both."""
    error: float
    """Standard error of the paired change."""

    def numbers(self, name: str) -> dict[str, float]:
        """As a verdict keeps it."""
        return {f"{name}_{field}": float(getattr(self, field)) for field in _FIELDS}

    def variances(self, name: str) -> tuple[float, float]:
        """Of a mean by its questions, which both versions share, and by each answer's chance."""
        n, prior = self.answers, PRIOR[name]
        whole = (n * self.spread**2 + prior) / (n + 1) / n
        squares = n * (n - 1) * self.error**2 + n * (self.after - self.before) ** 2
        chance = (squares + 2 * prior) / (n + 1) / n / 2
        return max(0.0, whole - chance), chance


@dataclass(frozen=True, slots=True)
class LineLook:
    """A look at a version of the live version's line: the base, what shipped on it, and so on."""

    before: int
    """Place of the version that was live, in the line."""
    after: int | None
    """Of the one that the look led to; None if it led to none of the line."""
    standings: Mapping[str, AnswerMeans]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The versions that led to the live one, and what looks at them kept."""

    live: int = 0
    """Its place."""
    looks: tuple[LineLook, ...] = ()


NO_LINEAGE = Lineage()


@dataclass(frozen=True, slots=True)
class Decline:
    """How far a candidate is below the version of its line that it is most surely below."""

    fall: float
    error: float
    versions: int
    """How many it was held against."""

    def fits(self, allowed: float) -> bool:
        """Whether that may be chance, beside what may be lost."""
        return self.fall <= allowed + ERRORS * self.error


def standing_of(before: Sequence[float], after: Sequence[float]) -> AnswerMeans | None:
    """Of paired answers; None if they are fewer than two, or a number is none."""
    n = len(before)
    if n < 2 or not all(map(math.isfinite, (*before, *after))):
        return None
    means = math.fsum(before) / n, math.fsum(after) / n
    squares = math.fsum((a - means[0]) ** 2 for a in before)
    squares += math.fsum((b - means[1]) ** 2 for b in after)
    change = means[1] - means[0]
    paired = math.fsum((b - a - change) ** 2 for a, b in zip(before, after, strict=True))
    spread = math.sqrt(squares / (2 * (n - 1)))
    return AnswerMeans(*means, n, spread, math.sqrt(paired / (n - 1) / n))


def standing_in(numbers: Mapping[str, float], name: str) -> AnswerMeans | None:
    """What a verdict kept; None if it is of before it kept that."""
    if not all(f"{name}_{field}" in numbers for field in _FIELDS):
        return None
    before, after, answers, spread, error = (numbers[f"{name}_{field}"] for field in _FIELDS)
    return AnswerMeans(before, after, int(answers), spread, error)


def line_of(past: Sequence[PastLook], live: str) -> Lineage:
    """The looks at the versions that led to `live`, and at itself, oldest first.

    Of a long line the newest `MOST` versions.
    """
    led = {look.version: look.verdict.compared_with for look in past if look.version}
    line = [live]
    while (before := led.get(line[-1])) is not None and len(line) < MOST and before not in line:
        line.append(before)
    places = {version: place for place, version in enumerate(reversed(line))}
    looks = tuple(
        LineLook(places[look.verdict.compared_with], places.get(look.version), standings)
        for look in past
        if look.verdict.compared_with in places and (standings := _standings_of(look))
    )
    return Lineage(len(line) - 1, looks)


def _standings_of(look: PastLook) -> dict[str, AnswerMeans]:
    found = {name: standing_in(look.verdict.numbers, name) for name in PRIOR}
    return {name: standing for name, standing in found.items() if standing is not None}


def decline_of(name: str, line: Lineage, now: AnswerMeans | None) -> Decline | None:
    """How far the candidate of this look is below a version before the live one.

    None if there is none of which anything is known.
    """
    rows = [
        (look.before, look.after, look.standings[name])
        for look in line.looks
        if name in look.standings
    ]
    measured = {place for before, after, _ in rows for place in (before, after)}
    earlier = [place for place in range(line.live) if place in measured]
    if now is None or not earlier:
        return None
    candidate = line.live + 1
    effects, covariance = _fitted(name, [*rows, (line.live, candidate, now)], candidate + 1)
    own = covariance[candidate, candidate]
    declines = [
        Decline(
            float(effects[place] - effects[candidate]),
            math.sqrt(covariance[place, place] + own - 2 * covariance[place, candidate]),
            len(earlier),
        )
        for place in earlier
    ]
    return max(declines, key=lambda decline: decline.fall / decline.error)


def _fitted(
    name: str, rows: Sequence[tuple[int, int | None, AnswerMeans]], versions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each version's number, and their covariance; those of no row mean nothing."""
    import numpy as np

    weights, sums = np.zeros((versions, versions)), np.zeros(versions)
    for before, after, standing in rows:
        shared, chance = standing.variances(name)
        if after is None:
            weights[before, before] += 1 / (shared + chance)
            sums[before] += standing.before / (shared + chance)
            continue
        both = np.linalg.inv(np.array([[shared + chance, shared], [shared, shared + chance]]))
        weights[np.ix_([before, after], [before, after])] += both
        sums[[before, after]] += both @ np.array([standing.before, standing.after])
    covariance = np.asarray(np.linalg.pinv(weights), dtype=np.float64)
    return covariance @ sums, covariance
