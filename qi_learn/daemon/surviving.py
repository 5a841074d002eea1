"""Counting, round by round, what is left of the lines of committed suggestions.

Once when they are committed, and as the branch was a day and a week after that. What cannot be told
then is tried again a day later, at the commit for as long as its suggestion is followed. A thread
counts: in a long history that takes a quarter second. Lines of one file and commit are counted
together then. What a round loads for that is bounded.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from qi_learn.daemon.background import Background, Done, Key
from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.records import Survival, Tracked
from qi_learn.records.surviving_lines import DAY, WEEK
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import Store
from qi_learn.store.followed import load_turns
from qi_learn.store.lines_left import (
    due_survivals,
    next_survival,
    not_counted,
    save_survivals,
)
from qi_learn.store.own_redactor import redactor_of
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.line_survival import Brought, brought, still_there
from qi_learn.track.state import FOLLOWED
from qi_learn.track.trees import tree_with

logger = logging.getLogger(__name__)
LINES = "lines"
"""The kind of job."""
AT_ONCE = 50
"""The most suggestions that one round finds to be due."""
FEW = 8
"""The most of which is loaded at once what they were and what came of them."""
LOOKS = (DAY, 2 * DAY, WEEK, WEEK + DAY)
"""Seconds after the commit at which is counted: what could not be told is tried a second time."""


class Surviving:
    """Has lines counted beside the loop: what a commit brought, later what is left of it."""

    def __init__(self, background: Background, guard: StepGuard) -> None:
        self._background = background
        self._guard = guard
        self._asked: dict[Key, tuple[list[Survival], float]] = {}
        self.due = float("-inf")
        """When there is something to count; infinite if not before something is committed."""

    def look_again(self) -> None:
        """Take it that something was committed."""
        self.due = float("-inf")

    def count(self, store: Store, now: float, texts: CleanTexts) -> None:
        """Hand to the thread what was committed, some at a time, and what is due."""
        due = due_survivals(store, now, limit=AT_ONCE)
        self._hand_over(store, now, [each for each in due if each.commit])
        more = False
        if all(group[0].commit for group, _ in self._asked.values()):
            new = not_counted(store, placed=now - FOLLOWED, limit=FEW)
            again = [_key(each) for each in due if not each.commit]
            self._begin(store, now, [*new, *again][:FEW], texts)
            more = len(new) == FEW
        if self._asked or not more:  # what is kept of them makes it due again
            waits = None if self._asked else next_survival(store)
            self.due = math.inf if waits is None else waits

    def _begin(
        self, store: Store, now: float, keys: Sequence[tuple[str, int]], texts: CleanTexts
    ) -> None:
        tracked = texts.as_today(load_turns(store, {turn for turn, _ in keys}, self._guard))
        wanted = {(t.suggestion.turn_id, t.suggestion.ordinal): t for t in tracked}
        own = CleanTexts(texts.redactor)  # the loop's is no other thread's
        for key in keys:
            one, job = wanted.get(key), (LINES, "/".join(map(str, key)))
            if one is None or (one.suggestion.placed_at or 0.0) < now - FOLLOWED:
                save_survivals(store, [Survival(*key)])
            elif job not in self._asked:
                self._asked[job] = [Survival(*key)], now
                self._background.do(job, partial(_begun, key, one, own))

    def _hand_over(self, store: Store, now: float, due: Sequence[Survival]) -> None:
        waiting: dict[Key, list[Survival]] = {}
        for (commit, file, _), same in groupby(sorted(due, key=_place), key=_place):
            if (key := (LINES, f"{commit} {file}")) not in self._asked:
                waiting.setdefault(key, list(same))
        few = dict(list(waiting.items())[:FEW])
        tracked = load_turns(store, {group[0].turn_id for group in few.values()}, self._guard)
        places = {(t.turn.id, t.suggestion.ordinal): t for t in tracked}
        for key, group in few.items():
            self._asked[key] = group, now
            place = places.get(_key(group[0]))
            self._background.do(key, partial(_counted, group, place, now))

    def keep(self, store: Store, done: Done) -> None:
        """Store what the thread counted; what it could not is tried again when it is due next."""
        if done.key not in self._asked:  # kept before the round failed
            return
        group, now = self._asked[done.key]
        if isinstance(done.error, NotFound):  # git refuses, or the project is not there
            logger.info("lines of %s are not counted: %s", done.key[1], done.error.what)
        elif done.error is not None:
            self._guard.note("survival", done.key[1], done.error)
        counted = group if done.error is not None else done.value
        if group[0].commit:
            counted = [_next(each, now) for each in counted]
        elif done.error is not None:
            counted = [replace(each, due=now + DAY) for each in counted]
        save_survivals(store, [_clean(store, each) for each in counted])
        del self._asked[done.key]
        self.due = float("-inf")


def _clean(store: Store, survival: Survival) -> Survival:
    return redactor_of(store).clean(survival).value


def _begun(key: tuple[str, int], tracked: Tracked, texts: CleanTexts) -> list[Survival]:
    """What the commit of a suggestion has of it; asks git alone.

    Raises NotFound if that cannot be told now.
    """
    found = brought(tracked, texts)
    if found is None or not found.own:
        return [Survival(*key)]
    begun = Survival(
        *key,
        commit=found.commit,
        file=found.file,
        own=found.own,
        lines=found.lines,
        made=found.made,
        at_commit=found.share,
        due=found.made + DAY,
    )
    return [begun]


def _place(survival: Survival) -> tuple[str, str, float]:
    return survival.commit, survival.file, survival.made


def _counted(group: Sequence[Survival], place: Tracked | None, now: float) -> list[Survival]:
    """Suggestions of one file of one commit, by what is left of their lines; asks git alone."""
    made = group[0].made
    day = _shares([s for s in group if s.after_day is None], place, made + DAY, now)
    week = _shares([s for s in group if s.after_week is None], place, made + WEEK, now)
    return [
        replace(
            each,
            after_day=day.get(_key(each), each.after_day),
            after_week=week.get(_key(each), each.after_week),
        )
        for each in group
    ]


def _next(survival: Survival, now: float) -> Survival:
    """The suggestion as one that is counted again at its next look, if something is missing."""
    due = next((survival.made + age for age in LOOKS if survival.made + age > now), None)
    if due is None or survival.after_week is not None:
        return replace(survival, due=None, lines=())
    return replace(survival, due=due)


def _key(survival: Survival) -> tuple[str, int]:
    return survival.turn_id, survival.ordinal


def _shares(
    group: Sequence[Survival], place: Tracked | None, until: float, now: float
) -> dict[tuple[str, int], float | None]:
    """What the branch had of suggestions at a time; nothing if that has not come."""
    if not group or place is None or now < until:
        return {}
    try:
        tree = _tree(place, group[0])
        if tree is None or (head := git.head(tree)) is None:
            return {}
        lines = [Brought(tree, s.commit, s.file, s.own, s.lines, s.made) for s in group]
        return dict(zip(map(_key, group), still_there(lines, head, until), strict=True))
    except NotFound as error:  # git refuses, or the repository is damaged
        logger.info("lines of %s are not counted: %s", group[0].commit, error.what)
        return {}


def _tree(place: Tracked, survival: Survival) -> Path | None:
    """The working tree in which a suggestion was committed; None if it is gone."""
    project, file = place.turn.project, place.suggestion.file or survival.file
    if project is None or not Path(project).is_dir():
        return None
    return tree_with(project, file, survival.commit)[0]
