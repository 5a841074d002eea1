"""Scoring in two steps: what an answer is for good, beside the loop; its scores, in the loop.

A thread finds the facts about new answers (a linter, git), the loop stores them and scores from
them, which costs a fraction of a millisecond a turn. A round joins and scores for a
bounded time; what is left is still marked and comes in the next one.

The invariant: every turn that is marked gets a score or is set aside with one that says so, so that
none is looked at again and again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

from qi_learn.capture.joined_outcome import CommandRuns, join_new_commands, join_turns
from qi_learn.daemon.background import Background, Key
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
from qi_learn.store.own_redactor import redactor_of

AHEAD = 200
"""How many answers are handed to the thread at most: the rest waits in the database."""
AT_ONCE = 200
"""The most turns that one round asks the database for."""
JOINED_AT_ONCE = 10
"""How many turns the results of commands are joined to in one step."""


class Scoring:
    """Scores the marked turns, round by round."""

    def __init__(
        self, settings: ScoreSettings, index: NamesIndex, background: Background, guard: StepGuard
    ) -> None:
        self._settings = settings
        self._index = index
        self._background = background
        self._guard = guard
        self._sources: dict[Key, AnswerSource] = {}
        self._runs = CommandRuns()
        self._joining: Iterator[set[str]] | None = None
        self._results_left = True
        self._joined: set[str] = set()
        self._held: frozenset[str] = frozenset()
        self.left = True
        """Whether turns are left that are ready to be scored."""

    @property
    def pending(self) -> bool:
        """Whether turns wait to be scored, or for their facts."""
        return self.left or bool(self._sources)

    def keep_facts(
        self, store: Store, done: dict[Key, AnswerFacts | Exception], now: float
    ) -> None:
        """Store what the thread found out; of an answer that it did not understand, that."""
        facts: list[AnswerFacts] = []
        for key, result in done.items():
            source = self._sources[key]
            if isinstance(result, Exception):
                self._guard.note("facts", source.turn_id, result)
                facts.append(no_facts(source, now))
            else:
                facts.append(result)
        if facts:
            score_queue.save_facts(store, facts)
            self.left = True
        for key in done:
            del self._sources[key]

    def look_again(self) -> None:
        """Take it that evidence changed: turns are marked, and results are joined to them anew."""
        self._joined.clear()
        self._runs.forget()
        self._results_left = self.left = True

    def hold(self, projects: frozenset[str]) -> None:
        """Join no results in projects of which it is not known yet what stands in their files."""
        released = self._held - projects
        self._held = projects
        if released:
            self.look_again()

    def score(self, store: Store, now: float, over: float) -> int:
        """Join new results of commands to turns, and score, until `over` (monotonic clock).

        Each of the two goes on by one step at least; of how many turns something was done.
        """
        looked = self._look_at_new(store, now, over)
        joined = self._join_new(store, over)
        ready = score_queue.ready_to_score(store, limit=AT_ONCE)
        scored = self._score_some(store, ready, now, over)
        self.left = (
            not looked
            or self._results_left
            or self._joining is not None
            or scored < len(ready)
            or len(ready) == AT_ONCE
        )
        if not self.left:
            self._runs.forget()  # none is kept in memory while nothing is done
        return joined + scored

    def _look_at_new(self, store: Store, now: float, over: float) -> bool:
        """Hand answers whose facts are not known to the thread, oldest first; whether all are."""
        for turn_id in score_queue.waiting_for_facts(store, limit=AHEAD):
            key = ("facts", turn_id)
            if key in self._sources:
                continue
            if len(self._sources) >= AHEAD:
                break  # there will be room when facts come
            source = AnswerSource(turn_id, None, now, "", ())
            with self._guard.step("facts", turn_id):
                source = score_queue.load_source(store, turn_id)
            self._sources[key] = source
            self._background.do(key, partial(find_facts, source, self._index, now))
            if time.monotonic() >= over:
                return False
        return True

    def _join_new(self, store: Store, over: float) -> int:
        """Go on with the results that were not joined yet; to how many turns they were."""
        done = 0
        try:
            while self._joining is not None or self._results_left:
                if self._joining is None:
                    self._results_left = False  # what comes from now on is looked for anew
                    self._joining = join_new_commands(
                        store, self._runs, self._guard, JOINED_AT_ONCE, held=self._held
                    )
                turns = next(self._joining, None)
                if turns is None:
                    self._joining = None
                    continue
                self._joined |= turns
                done += len(turns)
                if time.monotonic() >= over:
                    break
        except BaseException:
            self._joining, self._results_left = None, True
            raise
        return done

    def _score_some(self, store: Store, ready: Sequence[str], now: float, over: float) -> int:
        shares: dict[tuple[str, str], float] = {}
        redactor = redactor_of(store)
        with store.transaction():
            for number, turn_id in enumerate(ready):
                if turn_id not in self._joined:
                    self._join(store, ready[number : number + JOINED_AT_ONCE])
                score = self._score(store, turn_id, now, shares)
                save_score(store, redactor.clean(score))
                if time.monotonic() >= over:
                    return number + 1
        return len(ready)

    def _join(self, store: Store, turn_ids: Sequence[str]) -> None:
        """Join results to turns of which something else changed; once, not in every round."""
        new = [t for t in turn_ids if t not in self._joined]
        for project, turns in score_queue.placed_turns(store, new).items():
            if project not in self._held:
                join_turns(store, project, turns, self._runs, self._guard)
        self._joined.update(new)

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
