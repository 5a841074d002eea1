"""Scoring in two steps: what an answer is for good, beside the loop; its scores, in the loop.

A thread finds the facts about new answers (a linter, git), the loop stores them and scores from
them, which costs a fraction of a millisecond a turn. A round scores for a bounded time; what is
left is still marked and comes in the next one.

The invariant: every turn that is marked gets a score or is set aside with one that says so, so that
none is looked at again and again.
"""

from __future__ import annotations

import time
from collections.abc import Hashable
from functools import partial

from qi_learn.capture.joined_outcome import join_new_commands, join_turns
from qi_learn.daemon.background import Background
from qi_learn.errors import NotFound
from qi_learn.records import AnswerFacts, AnswerSource, Score
from qi_learn.score.answer_facts import find_facts, no_facts
from qi_learn.score.names_index import NamesIndex
from qi_learn.score.suggestion_score import score_turn
from qi_learn.settings import ScoreSettings
from qi_learn.step_guard import StepGuard
from qi_learn.store import score_queue
from qi_learn.store.database import Store
from qi_learn.store.feedback import domain_share, save_score

ROUND_SECONDS = 0.025
"""How long one round scores."""
AHEAD = 200
"""How many answers are handed to the thread at most: the rest waits in the database."""
BATCH = 20
"""How many turns are scored in one transaction."""


class Scoring:
    """Scores the marked turns, round by round."""

    def __init__(
        self, settings: ScoreSettings, index: NamesIndex, background: Background, guard: StepGuard
    ) -> None:
        self._settings = settings
        self._index = index
        self._background = background
        self._guard = guard
        self._sources: dict[Hashable, AnswerSource] = {}
        self._joined: set[str] = set()
        self.left = True
        """Whether turns are left that are ready to be scored."""

    @property
    def pending(self) -> bool:
        """Whether turns wait to be scored, or for their facts."""
        return self.left or bool(self._sources)

    def keep_facts(
        self, store: Store, done: dict[Hashable, AnswerFacts | Exception], now: float
    ) -> None:
        """Store what the thread found out; of an answer that it did not understand, that."""
        facts: list[AnswerFacts] = []
        for key, result in done.items():
            source = self._sources.pop(key)
            if isinstance(result, Exception):
                self._guard.note("facts", source.turn_id, result)
                facts.append(no_facts(source, now))
            else:
                facts.append(result)
        if facts:
            score_queue.save_facts(store, facts)
            self.left = True

    def look_again(self) -> None:
        """Take it that evidence changed: turns are marked, and results are joined to them anew."""
        self._joined.clear()
        self.left = True

    def score(self, store: Store, now: float) -> int:
        """Join new results of commands, and score for a bounded time; how many were scored."""
        self._joined |= join_new_commands(store, self._guard)
        self._look_at_new(store, now)
        over = time.monotonic() + ROUND_SECONDS
        ready = score_queue.ready_to_score(store)
        self._join(store, [t for t in ready if t not in self._joined])
        shares: dict[tuple[str, str], float] = {}
        scored = 0
        while scored < len(ready) and time.monotonic() < over:
            batch = ready[scored : scored + BATCH]
            with store.transaction():
                for turn_id in batch:
                    save_score(store, self._score(store, turn_id, now, shares))
            scored += len(batch)
        self.left = scored < len(ready)
        return scored

    def _join(self, store: Store, turn_ids: list[str]) -> None:
        """Join results to turns of which something else changed; once, not in every round."""
        for project, turns in score_queue.placed_turns(store, turn_ids).items():
            join_turns(store, project, turns, self._guard)
        self._joined.update(turn_ids)

    def _look_at_new(self, store: Store, now: float) -> None:
        """Hand answers whose facts are not known to the thread, oldest first."""
        for turn_id in score_queue.waiting_for_facts(store)[: AHEAD - len(self._sources)]:
            key = ("facts", turn_id)
            if key in self._sources:
                continue
            source = AnswerSource(turn_id, None, now, "", ())
            with self._guard.step("facts", turn_id):
                source = score_queue.load_source(store, turn_id)
            self._sources[key] = source
            self._background.do(key, partial(find_facts, source, self._index, now))

    def _score(
        self, store: Store, turn_id: str, now: float, shares: dict[tuple[str, str], float]
    ) -> Score:
        """The turn's score; if it cannot be understood, one that says so.

        It counts until the turn's evidence changes.
        """
        failures: tuple[type[Exception], ...] = (*self._guard.failures, NotFound)
        try:
            scorable = score_queue.load_scorable(store, turn_id)
            share = None
            if scorable.project is not None and scorable.domain:
                key = (scorable.project, scorable.domain)
                if key not in shares:
                    shares[key] = domain_share(store, *key)
                share = shares[key]
            return score_turn(scorable, self._settings, now, domain_share=share)
        except failures as error:
            self._guard.note("score", turn_id, error)
            reason = f"could not be scored: {error}"
            return Score(turn_id, None, 0.0, None, None, (), (reason,), now)
