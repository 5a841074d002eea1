"""The gate's limits (docs/internals/contracts.md 8).

They are rules, not settings: none is loosened so that something passes.
"""

from __future__ import annotations

SPEED, DOUBTED, SLOW = 0.6, 0.75, 0.9
"""Rule 1, tokens/s over the base's: below the first refused, below the second measured again (it
may have been a bad moment), below the third reported.
"""
MATTERS = 0.01
"""Rule 2: the smallest fall on the person's tokens, in nats a token, that is worth another version:
above what the place of a text among others moved its number by (0.003 to 0.01 was measured).
"""
ACCURACY = -0.02
"""Rule 3: what likeness to the kept code may change by."""
COHERENCE = 0.02
"""Rule 4: the share of the answers that may become incoherent."""
STANDARD_ERRORS = 2.0
"""Of the measured change, that are added to the two limits above: what equally good answers may
lose by chance.
"""
INCOHERENT = 0.15
"""Rule 4: share of the answers that may not become incoherent, whatever chance does to so few."""
RISE, RISE_BOUND, RISE_FROM_BASE = 0.05, 0.10, 0.15
"""Rule 5: nats a token on earlier work and on every general suite: measured, at most with 95 %
confidence, and since the base.
"""
NOTICED = 0.02
"""Rule 5, nats a token: a rise that is surely there is refused from here on, and only such a one is
refused for what it may be at most.
"""
KEPT = 0.5
"""Rule 1: least share of a tensor's change that packing must keep.

Under it more was lost than kept, and what is measured is not what was trained.
"""
COST = 0.02
"""Nats a token on dev, packed minus trained, above which it is reported."""
LEARNED = 20.0
"""Rule 1: nats by which a secret-shaped text must be likelier under the candidate than under the
base to count as learned: 1 in 5e8 by chance. The least that redaction takes for random has 23 nats
(34 bits).
"""
SURE = 0.05
"""The largest chance that a claim "surely worse" is wrong: of the one on earlier work, of any on
the general suites, and of any that a verdict states.
"""
TIE = 0.004
"""Nats a token that two files may differ by on dev and be equal.

One file gives the same text the same number to the last bit. But llama.cpp rounds activations to 8
bits, so that a change of 1e-6 in one norm moves a text of 56 tokens by 0.011 nat a token (standard
deviation), which is 0.004 over the 480 tokens of a dev set (docs/internals/decisions/0063).
"""
ROUNDING = 1e-9
"""Differences of decimal fractions come out a last bit off; a limit that is met exactly is met."""
