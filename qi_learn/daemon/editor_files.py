"""Which files an editor may tell of: those that are looked at anyway.

The invariant: nothing is taken in of a file that lies in no registered project, or that the
project's `.qi-learn-ignore` leaves out. An editor cannot know those rules, so it is asked here.
"""

from __future__ import annotations

from pathlib import Path

from qi_learn.capture.agent_hooks import Note, told_by_event
from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.store.editor_signs import is_of_editor
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore
from qi_learn.workspace.registry import project_of


def told_here(paths: Paths, event: Event, note: Note = lambda log: None) -> tuple[Event, ...]:
    """The events of what a hook tells; none of a file that is not looked at.

    `note` is told a log that is to be read. Raises ValueError if it is not of its form.
    """
    file = event.body.get("file") if is_of_editor(event) else None
    if isinstance(file, str) and not _is_looked_at(paths, file):
        return ()
    return told_by_event(event, note)


def _is_looked_at(paths: Paths, file: str) -> bool:
    try:
        real = Path(file).resolve()
        project = project_of(paths, real)
    except (SettingsError, OSError, ValueError):
        return False
    return project is not None and bool(QiLearnIgnore(str(project)).allowed([str(real)]))
