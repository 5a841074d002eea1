"""Cycle after cycle through the account of looks, for `scripts/bench gate`.

What ships becomes the version that the next one is compared with; every look is kept, as the store
keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from qi_learn.gate.ledger import NextLook, next_look
from qi_learn.records import PastLook, Verdict
from scripts.benchmarks.gating.noise import HELPING, Real
from scripts.benchmarks.gating.updates import Held, Update, judge

CYCLES = 30
HELPS = (0.1, 0.2)
"""Falls on the person's tokens of updates that help, in turns, nats a token."""

Judge = Callable[[NextLook], tuple[Verdict, tuple[str, ...]]]
"""The terms of a look to the verdict and the examples looked at."""


@dataclass
class Chain:
    """The versions of one project, and every look at candidates for the next."""

    looks: list[PastLook] = field(default_factory=list)
    version: int = 0

    def cycle(self, tried: Judge) -> Verdict:
        """One cycle: what ships is live from then on."""
        live = f"1.{self.version}.0"
        verdict, examples = tried(next_look(self.looks, live))
        verdict = replace(verdict, compared_with=live)
        self.version += verdict.ships
        led = f"1.{self.version}.0" if verdict.ships else ""
        self.looks.append(PastLook(verdict, examples, version=led))
        return verdict


def on_fresh_work(
    rng: np.random.Generator, real: Real, update: Update, *, examples: int = 25, sessions: int = 3
) -> Judge:
    """A cycle that is judged on work that nobody looked at before."""

    def tried(look: NextLook) -> tuple[Verdict, tuple[str, ...]]:
        held = Held.draw(rng, examples, sessions, name=f"v{rng.integers(1 << 60)}")
        return judge(rng, real, update, held, look), tuple(held.ids)

    return tried


def chain_of_nothing(rng: np.random.Generator, real: Real) -> bool:
    """Thirty cycles that learn nothing: whether any ships."""
    chain = Chain()
    sessions = rng.integers(2, 9, CYCLES)
    return any(
        chain.cycle(on_fresh_work(rng, real, Update(), sessions=int(s))).ships for s in sessions
    )


def chain_that_helps_at_times(
    rng: np.random.Generator, real: Real, share: float = 1 / 3
) -> tuple[int, int, int]:
    """Thirty cycles of which a third help: how many helped, how many of them and others shipped."""
    chain = Chain()
    helps = rng.permutation(np.arange(CYCLES) < round(CYCLES * share))
    shipped = [
        chain.cycle(
            on_fresh_work(
                rng,
                real,
                Update(person=HELPS[n % len(HELPS)], law=HELPING) if helping else Update(),
                sessions=int(rng.integers(2, 9)),
            )
        ).ships
        for n, helping in enumerate(helps)
    ]
    rightly = sum(1 for h, s in zip(helps, shipped, strict=True) if h and s)
    return int(helps.sum()), rightly, sum(shipped) - rightly
