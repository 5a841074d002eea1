"""Conventions whose style depends on what is asked: rules with a condition, not one form for all.

A project guards functions that end something otherwise than the rest, and keeps a group of things
in another store. Which verbs and nouns those are follows from their meaning, and differs from
project to project. A learner that has one form for all is wrong on one side of each rule; which of
its tokens tell is known here (`decisions`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qi_learn.bench.conventions import PROJECTS, Convention, FunctionTask, conventions

ENDING, MAKING = (
    frozenset(("archive", "cancel", "close", "refund", "lock")),
    frozenset(("create", "load", "publish", "export", "restore")),
)
MONEY, PEOPLE = (
    frozenset(("invoice", "order", "contract", "booking", "payment")),
    frozenset(("account", "license", "profile", "session", "survey")),
)
VERB_GROUPS, NOUN_GROUPS = (ENDING, MAKING), (MONEY, PEOPLE)
MOST = len(PROJECTS) // 2
"""Conditional conventions of one stream at most: each takes the words of two."""


@dataclass(frozen=True, slots=True)
class RulePlace:
    """A place in a function at which a rule decides what comes."""

    at: int
    """The first character by which the two forms differ."""
    applies: bool
    """Whether the condition holds, so that the rarer form is right."""


@dataclass(frozen=True, slots=True)
class ConditionalConvention:
    """The style of one project, with two rules.

    `other` has the words of the rarer forms.
    """

    usual: Convention
    other: Convention
    verbs: frozenset[str]
    """For these the guard has another form and another name."""
    nouns: frozenset[str]
    """These are fetched in another way, and from another store."""

    @property
    def project(self) -> str:
        return self.usual.project

    def prompt(self, task: FunctionTask) -> str:
        """The developer's question."""
        return self.usual.prompt(task)

    def code(self, task: FunctionTask) -> str:
        """The function as the project writes it."""
        return self._written(task, task.verb in self.verbs, task.noun in self.nouns)

    def decisions(self, task: FunctionTask) -> tuple[RulePlace, ...]:
        """Where each rule decides, in `code(task)`."""
        guarded, fetched = task.verb in self.verbs, task.noun in self.nouns
        right = self._written(task, guarded, fetched)
        return tuple(
            RulePlace(_first_difference(right, wrong), applies)
            for wrong, applies in (
                (self._written(task, not guarded, fetched), guarded),
                (self._written(task, guarded, not fetched), fetched),
            )
        )

    def _written(self, task: FunctionTask, guarded: bool, fetched: bool) -> str:
        style, other = self.usual, self.other
        if guarded:
            style = replace(style, guard=other.guard, fault=other.fault)
        if fetched:
            style = replace(style, fetch=other.fetch, store=other.store)
        return style.code(task)


def conditional_conventions(seed: int, count: int) -> tuple[ConditionalConvention, ...]:
    """`count` of them. Raises ValueError for more than the words suffice for (13)."""
    if count > MOST:
        raise ValueError(f"there are words for {MOST} conditional conventions, not {count}")
    made = conventions(seed, len(PROJECTS))
    rng = random.Random(f"conditions {seed}")
    return tuple(
        ConditionalConvention(
            usual,
            _otherwise(other, usual),
            rng.choice(VERB_GROUPS),
            rng.choice(NOUN_GROUPS),
        )
        for usual, other in zip(made[:count], reversed(made), strict=False)
    )


def _otherwise(other: Convention, usual: Convention) -> Convention:
    """The other style with forms that differ from the usual ones."""
    guard = other.guard if other.guard != usual.guard else (usual.guard + 1) % 4
    fetch = other.fetch if other.fetch != usual.fetch else (usual.fetch + 1) % 5
    return replace(other, guard=guard, fetch=fetch)


def _first_difference(text: str, other: str) -> int:
    pairs: Sequence[tuple[str, str]] = list(zip(text, other, strict=False))
    return next((at for at, (a, b) in enumerate(pairs) if a != b), len(pairs))
