"""Which questions served models are asked first, and what each kind may take of the purse.

Few answers are paid for, so those come first that can tell most: the person changed something of
what was answered, and they are of different sessions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from qi_learn.records import Example


def in_order_of_use(gate: Sequence[Example]) -> tuple[Example, ...]:
    """The questions, those first whose answers the person changed, each session in its turn.

    Changed enough to be compared (`compared_tokens`): likeness is asked of no other.

    Of a session the newest come first.
    """
    own = [e for e in gate if e.can_judge]
    kept = [e for e in gate if not e.can_judge]
    return (*_in_turns(own), *_in_turns(kept))


def _in_turns(examples: Sequence[Example]) -> list[Example]:
    sessions: dict[str, list[Example]] = defaultdict(list)
    for example in reversed(examples):
        sessions[example.session or example.id].append(example)
    return [e for turn in zip_longest(*sessions.values()) for e in turn if e is not None]


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of what a gate may generate; they come to less than all of it."""

    own: float
    """Of one model's answers to fresh work; the candidate and the live version have it."""
    base: float
    """Of the base's, where it is neither."""
    few_shot: float
    """Of the base's with examples in its prompt."""
    aside: float
    """Of questions that no training was about. They are the same every time, so usually only the
    candidate is asked; if more models are, they share it.
    """
    tasks: float
    """Of tasks whose code is run, in the same way."""
    inviting: float
    """Of prompts that invite a secret."""

    @property
    def total(self) -> float:
        """What is promised in all."""
        parts = self.base, self.few_shot, self.aside, self.tasks, self.inviting
        return 2 * self.own + sum(parts)


SHARES = Shares(own=0.2, base=0.07, few_shot=0.07, aside=0.17, tasks=0.2, inviting=0.06)
FOR_PROJECT_TESTS = Shares(
    own=0.22, base=0.22, few_shot=0.06, aside=0.12, tasks=0.08, inviting=0.06
)
"""Where the projects' own tests judge: they need answers of all three models, and say more than
tasks that nobody works on.
"""
