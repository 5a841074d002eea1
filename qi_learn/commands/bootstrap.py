"""`qi-learn bootstrap PATH`: learn from the commits that a person made, in one cycle.

It is `import git` and `train --now`, with the wait between them: a cycle reads scores, which come a
moment after what was imported. To ask for it is to opt in; the gate judges what comes of it as it
judges every version.
"""

from __future__ import annotations

import time
from pathlib import Path

from qi_learn.commands.import_ import bring_in
from qi_learn.commands.import_request import ImportReport, ImportRequest
from qi_learn.commands.train import SETTLE_SECONDS, CycleOutcome, View, train_now
from qi_learn.daemon.lock import locked
from qi_learn.daemon.untaken import waiting_answers
from qi_learn.errors import NotFound, SettingsError
from qi_learn.outside.git import top
from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.store.database import open_store
from qi_learn.store.feedback import dirty_turns
from qi_learn.workspace.registry import project_of

LOOK_SECONDS = 0.3


def bootstrap(
    paths: Paths, settings: Settings, path: Path, view: View, *, now: float
) -> tuple[ImportReport, CycleOutcome]:
    """Import the person's own commits of a registered project, and learn.

    Raises NotFound if there is no repository, SettingsError if it lies in no registered project,
    and what `train_now` raises.
    """
    repository = top(path) if path.is_dir() else None
    if repository is None:
        raise NotFound(f"{path} is in no repository.", "Give the directory of one.")
    if project_of(paths, repository) is None:
        raise SettingsError(
            f"{repository} lies in no registered project.",
            f"Run `qi-learn init {repository}` first.",
        )
    report = bring_in(paths, settings, ImportRequest("git", repository), now=now)
    view.say(f"imported from your own commits: {report.turns} new")
    if locked(paths):
        _wait_for_scores(paths)
    return report, train_now(paths, settings, view)


def _wait_for_scores(paths: Paths) -> None:
    """Wait until the daemon has taken everything in and scored it, a minute at most."""
    deadline = time.monotonic() + SETTLE_SECONDS
    waiting_answers(paths, seconds=SETTLE_SECONDS)
    while time.monotonic() < deadline and paths.database.exists():
        with open_store(paths.database, readonly=True) as store:
            if not dirty_turns(store, limit=1):
                return
        time.sleep(LOOK_SECONDS)
