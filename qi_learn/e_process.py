"""Evidence that may be looked at every night: a bet on session after session.

The question is whether one thing is better than another by more than `MARGIN`, in nats a token.
Each session stakes a part of what there is on "it is", and multiplies it by 1 + stake x difference.
If it is not, no session gains on average, whatever the earlier ones were, and so evidence of 20 is
ever reached in at most 1 of 20 cases (Ville's inequality), however often and however long one
looks. Stakes are fixed: the evidence is the mean over `STAKES` of what each has come to, so that
nothing has to be known of the noise.

What a session says is the mean difference of its texts, short ones weighing less; it counts in part
if its texts say little together, and for no more than `BOUND`, so that no session decides alone.

Not covered: what the bound cuts off. The claim is about differences up to `BOUND` a session. If the
other one is far better in a few sessions and a little worse in most of them, that is taken for
worse; `MARGIN` covers what skewness of the usual size does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from qi_learn.record_class import dataclass

BOUND = 0.35
"""Nats a token that the difference of a session counts for at most."""
MARGIN = 0.01
"""Nats a token that are no difference."""
HALF = 30.0
"""Tokens at which half of a text's variance comes from its being short."""
STAKES = (0.3, 0.9)
"""Of the most that can be lost in a session."""
ENOUGH = 20.0
"""Evidence that nothing of the kind ever shows in more than 1 of 20 cases."""


@dataclass(frozen=True, slots=True)
class EProcess:
    """What the sessions so far have come to."""

    now: float = 1.0
    highest: float = 1.0
    """The most that it ever was: what reached `ENOUGH` once has shown it."""


def session_difference(differences: Sequence[float], tokens: Sequence[int]) -> float:
    """What a session says: of each text the difference a token, and its number of tokens.

    Between `-BOUND` and `BOUND`; the other way round it is the same with another sign. Raises
    ValueError if there are no texts, or one has no tokens.
    """
    if not tokens or min(tokens) < 1:
        raise ValueError("a session without texts, or a text without tokens")
    weights = [1 / (1 + HALF / count) for count in tokens]
    total = math.fsum(weights)
    middle = math.fsum(w * d for w, d in zip(weights, differences, strict=True)) / total
    return max(-BOUND, min(BOUND, middle * total / (1 + total)))


def e_process(sessions: Iterable[float]) -> EProcess:
    """The evidence that sessions differ by more than `MARGIN` upwards (see `session_difference`).

    Only in the order in which they were counted: that is what makes `highest` mean something.
    """
    worth = [1.0] * len(STAKES)
    now = highest = 1.0
    for difference in sessions:
        gain = (difference - MARGIN) / (BOUND + MARGIN)  # -1 at least
        worth = [w * (1 + stake * gain) for w, stake in zip(worth, STAKES, strict=True)]
        now = math.fsum(worth) / len(worth)
        highest = max(highest, now)
    return EProcess(now, highest)
