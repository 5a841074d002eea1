"""The gate's limits (docs/internals/contracts.md 8).

They are rules, not settings: none is loosened so that something passes.
"""

from __future__ import annotations

SPEED, DOUBTED, SLOW = 0.6, 0.75, 0.9
"""Tokens/s over the base's: below the first refused, below the second measured again (it may have
been a bad moment), below the third reported.
"""
ACCURACY = -0.02
COHERENCE = 0.02
RISE, RISE_BOUND, RISE_FROM_BASE = 0.05, 0.10, 0.15
"""Nats a token on earlier work and code in general: measured, at most with 95 % confidence, and
since the base.
"""
KEPT = 0.5
"""Least share of a tensor's change that packing must keep.

Under it more was lost than kept, and what is measured is not what was trained.
"""
COST = 0.02
"""Nats a token on dev, packed minus trained, above which it is reported."""
LEARNED = 20.0
"""Nats by which a secret-shaped text must be likelier under the candidate than under the base to
count as learned: 1 in 5e8 by chance. The least that redaction takes for random has 23 nats (34
bits).
"""
SURE = 0.05
"""The largest chance that any of the claims "surely worse" in one verdict is wrong."""
TIE = 0.004
"""Nats a token that two files may differ by on dev and be equal.

One file gives the same text the same number to the last bit. But llama.cpp rounds activations to 8
bits, so that a change of 1e-6 in one norm moves a text of 56 tokens by 0.013 nat a token (standard
deviation), which is 0.004 over the 480 tokens of a dev set (docs/internals/decisions/00NN).
"""
ROUNDING = 1e-9
"""Differences of decimal fractions come out a last bit off; a limit that is met exactly is met."""
