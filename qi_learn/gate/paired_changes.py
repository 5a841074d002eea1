"""Every paired change that the rules judge, from the versions before to the candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qi_learn.gate.answer_rules import (
    PairedChange,
    coherence_pairs,
    likeness_change,
    likeness_pairs,
)
from qi_learn.gate.decline import (
    COHERENCE,
    LIKENESS,
    AnswerMeans,
    Decline,
    decline_of,
    standing_of,
)
from qi_learn.gate.ledger import NextLook
from qi_learn.gate.likelihood_rules import earlier_work_rise, general_rises
from qi_learn.gate.measurements import Comparison
from qi_learn.gate.regressions import Rise, Rises
from qi_learn.gate.superiority import Superiority, measure_superiority


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed; None for what was not measured."""

    superiority: Superiority | None
    likeness: PairedChange | None
    earlier: Rise | None
    general: Rises
    standings: Mapping[str, AnswerMeans]
    """By name, what the answers say of the live version and the candidate."""
    declines: Mapping[str, Decline]
    """By name, how far the candidate is below an earlier version of its line, if that is known."""

    @property
    def rises(self) -> Rises:
        """By the name of the check that is made of each."""
        return {
            "old_work": self.earlier,
            **{f"general_{name}": rise for name, rise in self.general.items()},
        }


def changes_of(models: Comparison, look: NextLook) -> Changes:
    """Every change. Raises ValueError if what must be paired is of different examples."""
    candidate, live, base = models.candidate, models.live, models.base
    known = look.correlation
    pairs = {
        LIKENESS: likeness_pairs(candidate, live),
        COHERENCE: coherence_pairs(candidate.behaviour, live.behaviour),
    }
    standings = {
        name: standing
        for name, both in pairs.items()
        if (standing := standing_of([b for b, _ in both], [a for _, a in both])) is not None
    }
    return Changes(
        measure_superiority(candidate.gate, live.gate, look),
        likeness_change(candidate, live),
        earlier_work_rise(candidate, live, base, past=models.past, known=known),
        general_rises(candidate, live, base),
        standings,
        {
            name: decline
            for name, standing in standings.items()
            if (decline := decline_of(name, look.line, standing)) is not None
        },
    )
