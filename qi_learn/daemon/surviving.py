"""Counting, round by round, what is left of the lines of committed suggestions.

Once when they are committed, and as the branch was a day and a week after that. What cannot be told
then is tried again a day later. Lines of one file and commit are counted together, and a round
counts for a bounded time: what is left comes in the next.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

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

AT_ONCE = 50
"""The most suggestions that one round loads of each kind."""
LOOKS = (DAY, 2 * DAY, WEEK, WEEK + DAY)
"""Seconds after the commit at which is counted: what could not be told is tried a second time."""


def count_survivals(
    store: Store, now: float, guard: StepGuard, texts: CleanTexts, *, over: float
) -> bool:
    """Count what was committed and what is due; whether that is all.

    It ends at `over` (monotonic clock), after one step at least.
    """
    new = not_counted(store, placed=now - FOLLOWED, limit=AT_ONCE)
    tracked = texts.as_today(load_turns(store, {turn for turn, _ in new}, guard))
    wanted = {(t.suggestion.turn_id, t.suggestion.ordinal): t for t in tracked}
    for key in new:
        save_survivals(store, [_clean(store, _begun(key, wanted.get(key), now, guard, texts))])
        if time.monotonic() >= over:
            return False
    due = due_survivals(store, now, limit=AT_ONCE)
    for _, group in groupby(sorted(due, key=_place), key=_place):
        counted = _counted(store, list(group), now, guard)
        save_survivals(store, [_clean(store, each) for each in counted])
        if time.monotonic() >= over:
            return False
    return len(new) < AT_ONCE and len(due) < AT_ONCE


def survival_due(store: Store, now: float) -> float | None:
    """When `count_survivals` has something to do; None if not before something is committed."""
    waits = bool(not_counted(store, placed=now - FOLLOWED, limit=1))
    return now if waits else next_survival(store)


def _clean(store: Store, survival: Survival) -> Survival:
    return redactor_of(store).clean(survival).value


def _begun(
    key: tuple[str, int],
    tracked: Tracked | None,
    now: float,
    guard: StepGuard,
    texts: CleanTexts,
) -> Survival:
    """What the commit of a suggestion has of it."""
    found: Brought | None = None
    with guard.step("survival", "/".join(map(str, key)), NotFound):
        found = None if tracked is None else brought(tracked, texts)
    if found is None or not found.own:
        return Survival(*key)
    return Survival(
        *key,
        commit=found.commit,
        file=found.file,
        own=found.own,
        lines=found.lines,
        made=found.made,
        at_commit=found.share,
        due=found.made + DAY,
    )


def _place(survival: Survival) -> tuple[str, str, float]:
    return survival.commit, survival.file, survival.made


def _counted(
    store: Store, group: Sequence[Survival], now: float, guard: StepGuard
) -> list[Survival]:
    """Suggestions of one file of one commit, by what is left of their lines."""
    first = group[0]
    for name, age in (("after_day", DAY), ("after_week", WEEK)):
        missing = [each for each in group if getattr(each, name) is None]
        if missing and now >= first.made + age:
            shares: list[float | None] = [None] * len(missing)
            with guard.step("survival", f"{first.turn_id}/{first.ordinal}", NotFound):
                shares = _shares(store, missing, first.made + age, guard)
            now_known = dict(zip(map(_key, missing), shares, strict=True))
            group = [
                replace(each, **{name: now_known.get(_key(each), getattr(each, name))})
                for each in group
            ]
    due = next((first.made + age for age in LOOKS if first.made + age > now), None)
    return [_until(each, due) for each in group]


def _until(survival: Survival, due: float | None) -> Survival:
    """The suggestion as one that is counted again then, if something is missing."""
    if due is None or survival.after_week is not None:
        return replace(survival, due=None, lines=())
    return replace(survival, due=due)


def _key(survival: Survival) -> tuple[str, int]:
    return survival.turn_id, survival.ordinal


def _shares(
    store: Store, group: Sequence[Survival], until: float, guard: StepGuard
) -> list[float | None]:
    first = group[0]
    tree = _tree(load_turns(store, {first.turn_id}, guard), first)
    head = None if tree is None else git.head(tree)
    if tree is None or head is None:
        return [None] * len(group)
    lines = [Brought(tree, s.commit, s.file, s.own, s.lines, s.made) for s in group]
    return still_there(lines, head, until)


def _tree(tracked: Sequence[Tracked], survival: Survival) -> Path | None:
    """The working tree in which a suggestion was committed; None if it is gone."""
    own = (t for t in tracked if t.suggestion.ordinal == survival.ordinal)
    of = next(own, None)
    if of is None or of.turn.project is None or not Path(of.turn.project).is_dir():
        return None
    return tree_with(of.turn.project, of.suggestion.file or survival.file, survival.commit)[0]
