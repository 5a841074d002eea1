"""Every paired change that the rules judge, from the versions before to the candidate."""

from __future__ import annotations

from dataclasses import dataclass

from qi_learn.gate.answer_rules import PairedChange, likeness_change
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
    return Changes(
        measure_superiority(candidate.gate, live.gate, look),
        likeness_change(candidate, live),
        earlier_work_rise(candidate, live, base, past=models.past, known=known),
        general_rises(candidate, live, base),
    )
