"""What a data set is made from, read in one pass: turns with everything known of them.

The invariant: a turn that was loaded here is never asked for again. Interaction, session and
redaction travel together as `TurnEvidence`, so `dataset/` selects, renders and compares without the
database. What is worth learning is decided there, not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from qi_learn.records import LearningInteraction
from qi_learn.store.database import Store
from qi_learn.store.feedback import load_interaction, rejected_turns, scored_turns
from qi_learn.store.sessions import session_of
from qi_learn.store.turns import forks, was_redacted

READS = 2.0
"""Seconds that a person needs at least to look at an answer and ask again.

A client that tries again by itself waits less at first.
"""


@dataclass(frozen=True, slots=True)
class TurnEvidence:
    """A turn with everything known of it."""

    interaction: LearningInteraction
    session: str
    redacted: bool
    """Whether something was taken out of the turn's texts before they were stored: then what the
    server rendered is not what is here.
    """

    @property
    def id(self) -> str:
        """The turn's id."""
        return self.interaction.turn.id


@dataclass(frozen=True, slots=True)
class LearnableTurns:
    """The turns over the quality threshold, beside the learned ones that may say the same."""

    fresh: tuple[TurnEvidence, ...]
    """Over the threshold and in no data set behind the live chain, oldest first."""
    learned: tuple[TurnEvidence, ...]
    """In such a data set, and asked the same, word for word, as one of `fresh`: only those can say
    the same, however many were learned.
    """


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything the database contributes to one data set."""

    learnable: LearnableTurns
    earlier_answers: Mapping[str, tuple[TurnEvidence, ...]]
    """By id of a fresh turn whose question was asked again in its session: the answers before its
    own, oldest first.
    """
    rejected: Iterator[TurnEvidence]
    """Turns that were not kept or were rated badly and that no data set has, newest first; each is
    loaded when it is taken, because few are needed of many.
    """
    gone: Set[str]
    """Of the ids that were asked about, those whose turn is no longer stored, or never learned."""


def load_evidence(
    store: Store, *, threshold: float, learned: Set[str], earlier: Iterable[str]
) -> Evidence:
    """The evidence for a data set after those that hold the turns `learned` (ids).

    `threshold` is the least target score; `earlier` are the ids of turns that may be replayed.
    """
    learnable = learnable_turns(store, threshold=threshold, learned=learned)
    return Evidence(
        learnable=learnable,
        earlier_answers=_earlier_answers(store, learnable.fresh),
        rejected=(
            load_turn_evidence(store, turn)
            for turn in reversed(rejected_turns(store))
            if turn not in learned
        ),
        gone=_gone(store, earlier),
    )


def learnable_turns(store: Store, *, threshold: float, learned: Set[str]) -> LearnableTurns:
    """The turns whose target score is `threshold` or more and that are not `learned` (ids)."""
    fresh = [turn for turn in scored_turns(store, threshold=threshold) if turn not in learned]
    return LearnableTurns(
        fresh=tuple(load_turn_evidence(store, turn) for turn in fresh),
        learned=tuple(
            load_turn_evidence(store, turn) for turn in _asked_the_same(store, fresh, learned)
        ),
    )


def load_turn_evidence(store: Store, turn_id: str) -> TurnEvidence:
    """A turn with everything known of it. Raises NotFound if there is no such turn."""
    interaction = load_interaction(store, turn_id)
    session = interaction.turn.session or session_of(store, interaction.turn)
    return TurnEvidence(interaction, session, was_redacted(store, turn_id))


def _asked_the_same(store: Store, fresh: Sequence[str], learned: Set[str]) -> list[str]:
    sql = """
        SELECT DISTINCT old.id FROM turns new JOIN turns old ON old.tip = new.tip
        WHERE new.id IN (SELECT value FROM json_each(?))
            AND old.id IN (SELECT value FROM json_each(?))
        ORDER BY old.id
    """
    values = (json.dumps(list(fresh)), json.dumps(sorted(learned)))
    return [row["id"] for row in store.rows(sql, values)]


def _earlier_answers(
    store: Store, fresh: Sequence[TurnEvidence]
) -> dict[str, tuple[TurnEvidence, ...]]:
    loaded = {turn.id: turn for turn in fresh}
    groups = {turn: group for group in forks(store) for turn in group if turn in loaded}
    before = {turn: group[: group.index(turn)] for turn, group in groups.items()}
    others = {other for earlier in before.values() for other in earlier} - loaded.keys()
    loaded |= {other: load_turn_evidence(store, other) for other in others}
    return {
        turn: tuple(loaded[i] for i in earlier if _asked_again(loaded[i], loaded[turn]))
        for turn, earlier in before.items()
    }


def _asked_again(first: TurnEvidence, second: TurnEvidence) -> bool:
    """Whether a person asked a question a second time, after the first answer to it.

    Samples that were asked for together, a client that tries again, an editor that completes the
    same place again, and the same question on another day are none of that.
    """
    turn, later = first.interaction.turn, second.interaction.turn
    asked = any(message.role == "user" for message in later.messages)
    return asked and first.session == second.session and later.started - turn.ended >= READS


def _gone(store: Store, ids: Iterable[str]) -> set[str]:
    sql = """
        SELECT value FROM json_each(?)
        WHERE value NOT IN (SELECT id FROM turns WHERE NOT never_learn)
    """
    return {row["value"] for row in store.rows(sql, (json.dumps(sorted(ids)),))}
