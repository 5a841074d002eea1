"""What the watcher saw while recording was paused: not followed, and no sign of anything."""

from __future__ import annotations

from collections.abc import Callable

from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.store.database import Store
from qi_learn.store.followed import load_followed, save_changes
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.working_time import window_start
from qi_learn.track.overlooked import overlook
from qi_learn.track.state import FOLLOWED
from qi_learn.workspace.changes import Committed, FileSaved


def overlook_seen(
    store: Store,
    seen: FileSaved | Committed,
    settings: CaptureSettings,
    now: float,
    guard: StepGuard,
) -> None:
    """Store that suggestions were lost sight of, by a save or by what git wrote into files.

    A commit of what was saved before changes no file. Raises StoreError if the database cannot be
    written.
    """
    if isinstance(seen, Committed) and seen.action == "commit":
        return
    since = window_start(store, seen.ts, settings.window)
    tracked = load_followed(store, seen.project, guard, placed=now - FOLLOWED, ended=since)
    redactor = redactor_of(store)
    changes = overlook(tracked, seen.project, _changed(seen), settings, now)
    save_changes(store, [redactor.clean(change) for change in changes])


def _changed(seen: FileSaved | Committed) -> Callable[[str], bool]:
    """Whether a file, by its path from the project, was changed."""
    if isinstance(seen, FileSaved):
        return lambda place: place == seen.place
    return lambda place: seen.name_of(place) in seen.files
