"""Following suggestions: load once, compute, write once.

`texts` in each: what takes secrets out of the texts of files, and remembers those it has seen. The
store's own if it is not given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qi_learn.records import TurnChange, Waiting
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import VALUE_ERRORS, Store
from qi_learn.store.followed import (
    load_due,
    load_followed,
    load_turns,
    load_waiting,
    next_due,
    oldest_waiting,
    save_changes,
)
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.working_time import note_save, over_at, window_start
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.commits import on_committed
from qi_learn.track.looking_again import LOOK_SECONDS
from qi_learn.track.save import Save
from qi_learn.track.state import FOLLOWED
from qi_learn.track.survival import on_saved, settle
from qi_learn.track.waiting import CLOSELY, WaitingSketches
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import FileHistory


def follow_save(
    store: Store,
    saved: FileSaved,
    history: FileHistory,
    settings: CaptureSettings,
    now: float,
    guard: StepGuard | None = None,
    texts: CleanTexts | None = None,
    sketches: WaitingSketches | None = None,
) -> None:
    """Store what a save made of the suggestions that may stand in the file.

    `sketches`: what is known of those that wait. Raises StoreError if the database cannot be
    written.
    """
    guard, texts = guard or StepGuard(also=VALUE_ERRORS), texts or clean_texts(store)
    since = window_start(store, saved.ts, settings.window)
    save = Save(saved, history, settings, guard, texts, since=since)
    if not saved.taken_back:
        note_save(store, saved.ts)
    sketches = sketches or WaitingSketches()
    waiting: tuple[Waiting, ...] = ()
    if not saved.taken_back:
        waiting = load_waiting(store, ended=since, saved=saved.ts)
    turns, new = _concerned(store, waiting, save, sketches, texts)
    placed, file = now - FOLLOWED, saved.place
    tracked = load_followed(
        *(store, saved.project, guard),
        placed=placed,
        ended=since,
        file=file,
        turns=turns,
        accepted=settings.accepted_similarity,
    )
    tracked = texts.as_today(tracked)
    sketches.learn([t for t in tracked if t.turn.id in new], guard, since=since)
    _save(store, on_saved(tracked, save, now), texts)


def _concerned(
    store: Store,
    waiting: Sequence[Waiting],
    save: Save,
    sketches: WaitingSketches,
    texts: CleanTexts,
) -> tuple[set[str], set[str]]:
    """The turns with suggestions that wait and of which a save may say something.

    And those among them that are still to be sketched.
    """
    lacking = sketches.lacking(waiting) if len(waiting) > CLOSELY else set()
    if 2 * len(lacking) > len(waiting) or len(waiting) <= CLOSELY:
        return {each.turn_id for each in waiting}, lacking
    loaded = texts.as_today(load_turns(store, lacking, save.guard))
    sketches.learn(loaded, save.guard, since=save.since)
    return sketches.chosen(waiting, save), set()


def follow_commit(
    store: Store,
    committed: Committed,
    settings: CaptureSettings,
    now: float,
    guard: StepGuard | None = None,
    texts: CleanTexts | None = None,
) -> None:
    """Store what a move of HEAD made of the suggestions that were placed in the project.

    Raises StoreError if the database cannot be written.
    """
    guard, texts = guard or StepGuard(also=VALUE_ERRORS), texts or clean_texts(store)
    tracked = texts.as_today(load_followed(store, committed.project, guard, placed=now - FOLLOWED))
    _save(store, on_committed(tracked, committed, settings, now, guard, texts), texts)


def follow_time(
    store: Store,
    settings: CaptureSettings,
    now: float,
    guard: StepGuard | None = None,
    texts: CleanTexts | None = None,
) -> None:
    """Store what time made of the suggestions, in every project.

    Raises StoreError if the database cannot be written.
    """
    guard, texts = guard or StepGuard(also=VALUE_ERRORS), texts or clean_texts(store)
    end = window_start(store, now, settings.window)
    tracked = load_due(
        store,
        now,
        guard,
        settle=settings.settle,
        window_end=end,
        looked_at=now - LOOK_SECONDS,
    )
    tracked = texts.as_today(tracked)
    _save(store, settle(tracked, settings, now, guard, texts, window_end=end), texts)


def time_due(store: Store, settings: CaptureSettings, now: float) -> float:
    """When `follow_time` has something to do next; infinite if not before something new comes."""
    due = next_due(store, settle=settings.settle, look=LOOK_SECONDS)
    oldest = oldest_waiting(store)
    over = math.inf if oldest is None else over_at(store, oldest, now, settings.window)
    return min(over, math.inf if due is None else due)


def clean_texts(store: Store) -> CleanTexts:
    """What takes secrets out of the texts of files, by the key of the store's home."""
    return CleanTexts(redactor_of(store))


def _save(store: Store, changes: Sequence[TurnChange], texts: CleanTexts) -> None:
    save_changes(store, [texts.redactor.clean(change) for change in changes])
