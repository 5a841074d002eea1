"""The account over cycles: how sure the next look must be, and what earlier looks have shown.

The account of contracts 8. A look is a verdict against one live version, however it came about
(`train --now` too). All looks against one live version together make it give way to nothing better
in at most 5 % of the cases:

* 4 % are spent (alpha spending): the k-th look may err in 0.04 / (k (k + 1)), which sums to 0.04
  for ever, by the union bound, so it does not matter how the looks hang together;
* 1 % goes to a test martingale against "nothing tried against this version is better": each look
  multiplies the evidence by an e-value, from the examples that were not looked at before. An
  e-value is at most 1 on average if nothing is better, so evidence of 100 is reached in at most 1 %
  of the cases (Ville's inequality). That of a refused look is not lost. The same examples again add
  none, nor do others of the same sessions: what these have in common was looked at.

A version that ships is compared with from then on, and starts a new account. If it is taken back,
the older version's account goes on: what was spent stays spent, and the evidence, which was used,
starts again at 1. A verdict by rules before these spent nothing: it is no look.

The e-value of a look is a function of its p-value p: (1 + L) / 2, where L is the likelihood ratio
exp(s z - s^2 / 2) at z, the normal quantile of 1 - p, averaged over the shifts s and at most
`MOST`, so that no single look decides. The half makes evidence last: a cycle between two that help,
and that came to nothing, halves it at worst. Whatever the differences are like, the e-value is as
valid as p is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from qi_learn.gate.decline import NO_LINEAGE, Lineage, line_of
from qi_learn.gate.mixed_model import CAUTIOUS, Correlation
from qi_learn.records import PastLook

SPENT = 0.04
"""The chance of shipping nothing that is spent look by look, per live version."""
ENOUGH = 100.0
"""Evidence, 1 / 0.01, at which what is as sure as a first look must be ships at any look."""
SHIFTS = (1.0, 2.0)
"""Means of z, in standard errors, that the likelihood ratio holds against none."""
MOST = 20.0
"""The largest likelihood ratio of one look."""


@dataclass(frozen=True, slots=True)
class NextLook:
    """The terms of one look, settled before anything is measured."""

    number: int = 1
    """1 for the first against this live version."""
    level: float = SPENT / 2
    """The chance with which this look may take nothing for better."""
    evidence: float = 1.0
    """What earlier looks have shown."""
    seen: frozenset[str] = frozenset()
    """Examples and sessions that a verdict against this version was on, by whatever rules: ids."""
    correlation: Correlation = CAUTIOUS
    """What is believed of the sessions' correlation, from every earlier look at any version."""
    line: Lineage = NO_LINEAGE
    """What earlier looks kept of the versions that led to the live one."""


def next_look(past: Sequence[PastLook], live: str) -> NextLook:
    """The terms of the next look at a candidate against version `live`.

    `past`: every earlier verdict, oldest first. It was a look if its numbers say which.
    """
    against = [look for look in past if look.verdict.compared_with == live]
    number = sum("look" in look.verdict.numbers for look in against) + 1
    return NextLook(
        number,
        level_of(number),
        _evidence(against),
        frozenset(name for look in against for name in (*look.examples, *look.sessions)),
        sum((correlation_in(look.verdict.numbers) for look in past), CAUTIOUS),
        line_of(past, live),
    )


def level_of(number: int) -> float:
    """What the look of that number against one version may spend."""
    return SPENT / (number * (number + 1))


def e_value(p: float) -> float:
    """The e-value of a p-value: at most 1 on average if `p` is uniform, or larger than that."""
    if p <= 0 or p >= 1:
        return (1 + MOST) / 2 if p <= 0 else 0.5
    z = -NormalDist().inv_cdf(p)
    ratio = sum(math.exp(shift * z - shift * shift / 2) for shift in SHIFTS) / len(SHIFTS)
    return (1 + min(MOST, ratio)) / 2


def _evidence(against: Sequence[PastLook]) -> float:
    """What the looks since the last one that shipped have shown together."""
    evidence = 1.0
    for look in against:
        shown = look.verdict.numbers.get("e_value", 1.0)
        evidence = 1.0 if look.verdict.ships else evidence * shown
    return evidence


def correlation_in(numbers: Mapping[str, float]) -> Correlation:
    """What a verdict says of the correlation within sessions; nothing if it is an older one."""
    return Correlation(
        numbers.get("rho_excess", 0.0),
        numbers.get("rho_weight", 0.0),
        numbers.get("rho_freedom", 0.0),
    )
