"""A saved file, with what its text is compared with. What is asked for twice is found once.

Every text that it gives is without secrets, as those of suggestions are (clean_texts.py).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.settings import CaptureSettings
from qi_learn.step_guard import StepGuard
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.match import NotCompared, Saved
from qi_learn.track.trees import tree_of
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.file_history import FileHistory


class Save:
    """A saved file and its history, for all that is looked for in it."""

    def __init__(
        self,
        told: FileSaved,
        history: FileHistory,
        settings: CaptureSettings,
        guard: StepGuard,
        texts: CleanTexts,
        *,
        since: float | None = None,
    ) -> None:
        """`since`: when the window of working time began; by the clock alone if it is not given."""
        self.told = told
        """The save as it was told, its text as the file has it: for what else it says."""
        self.history, self.settings, self.guard = history, settings, guard
        self._texts = texts
        self.since = told.ts - settings.window if since is None else since
        """Answers that ended before this are too old to be found in it."""
        self._before: dict[int, str | None] = {}

    def clean(self, text: str | None) -> str | None:
        """A text of the file without secrets; of a notebook its code."""
        return self._texts.of_file(text, self.told.path.name)

    @cached_property
    def saved(self) -> FileSaved:
        """The save without secrets in its text."""
        return replace(self.told, text=self.clean(self.told.text) or "")

    @cached_property
    def text(self) -> Saved:
        """The file's text now."""
        return Saved(self.saved.text)

    @cached_property
    def old(self) -> str | None:
        """The file's text before this save, if it is known."""
        return self.clean(self.history.before(self.told.ts))

    def before(self, when: float) -> str | None:
        """The file's text at a time; if nothing read it then, what git has."""
        number = self.history.number_before(when)
        if number not in self._before:
            text = self.history.before(when)
            self._before[number] = self.clean(self._in_git() if text is None else text)
        return self._before[number]

    def added_since(self, when: float) -> set[int] | None:
        """Numbers of the file's lines that are younger than a time; None if that is unknown."""
        before = self.before(when)
        try:
            return None if before is None else self.text.added_since(before)[0]
        except NotCompared:
            return None

    def _in_git(self) -> str | None:
        try:
            tree, name = tree_of(self.told.project, self.told.place)
            return git.text_at(tree, "HEAD", name)
        except NotFound:
            return None
