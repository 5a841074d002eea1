"""A project with suggestions that are followed, and a clock that only the test moves."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path
from typing import Any

from qi_learn.daemon.following import follow_commit, follow_save, follow_time
from qi_learn.outside import git
from qi_learn.records import Feedback, Message, Suggestion, Turn
from qi_learn.settings import CaptureSettings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.working_time import note_save
from qi_learn.track.suggestions import suggestions_of
from qi_learn.track.waiting import WaitingSketches
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.files import read_text
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore
from qi_learn.workspace.reflog import Reflog
from tests.support.repository import Repository

SUGGESTED = textwrap.dedent('''\
    def mean(values):
        """The mean of some numbers."""
        total = 0
        for value in values:
            total = total + value
        return total / len(values)
    ''')


AUTHORS = textwrap.dedent('''\
    def mean(values: Sequence[float]) -> float:
        """The mean of some numbers; NaN for none."""
        if not values:
            return math.nan
        return math.fsum(values) / len(values)
    ''')


FILE = textwrap.dedent('''\
    """Statistics."""

    import math


    def median(values):
        """The one in the middle."""
        ordered = sorted(values)
        return ordered[len(ordered) // 2]


    ...  # mean


    def spread(values):
        """The largest minus the smallest."""
        return max(values) - min(values)
    ''')


MARK = "...  # mean\n"


CUT = (
    "def mean(values):\n"
    '    """The mean of some numbers, that is their sum\n'
    "    divided by how many there"
)


class World:
    """A project, a store, and a clock that only the test moves."""

    def __init__(self, root: Path, store: Store) -> None:
        self.repo = Repository(root)
        self.store = store
        self.settings = CaptureSettings()
        self.now = time.time()
        self.histories: dict[Path, FileHistory] = {}
        self.repo.commit("Begin")
        self._reflog = Reflog(root / ".git")
        self._count = 0

    def begin(self, file: str, text: str) -> None:
        """A file that was there, and committed, before anything was asked."""
        self.histories[self.repo.write(file, text)] = FileHistory(text, window=7200)
        self.repo.commit(f"Begin {file}")
        self._reflog.moves()

    def ask(self, answer: str, *, fenced: bool = True, closed: bool = True, **more: Any) -> str:
        """Record a turn that was answered a second ago; its id."""
        self._count += 1
        text = (
            f"Here it is:\n\n```python\n{answer}" + ("```\nEnjoy!" if closed else "")
            if fenced
            else answer
        )
        given: dict[str, Any] = {
            "project": str(self.repo.root),
            "endpoint": "/api/chat",
            "messages": (Message("user", f"Question {self._count}"),),
            **more,
        }
        turn = Turn(
            f"turn-{self._count:03}",
            answer=text,
            model_asked="m",
            model_answered="m",
            started=self.now - 2,
            ended=self.now - 1,
            **given,
        )
        redactor = redactor_of(self.store)
        clean = redactor.clean(turn)
        turns.save_turn(self.store, clean)
        feedback.save_suggestions(self.store, redactor.clean(suggestions_of(clean.value)))
        self.now += 5
        return turn.id

    def save(
        self,
        file: str,
        text: str,
        *,
        after: float = 10.0,
        restarted: bool = False,
        sketches: WaitingSketches | None = None,
    ) -> None:
        """Save the whole file. `restarted`: the daemon was off, so the text before is unknown."""
        self.now += after
        path = self.repo.write(file, text)
        if restarted:
            self.histories[path] = FileHistory(text, window=7200, began=self.now)
        history = self.histories.setdefault(path, FileHistory("", window=7200))
        ts, rules = history.record(self.now, text), QiLearnIgnore(str(self.repo.root))
        saved = FileSaved(str(self.repo.root), path, text, ts, partly=rules.any)
        follow_save(self.store, saved, history, self.settings, self.now, sketches=sketches)

    def delete(self, file: str) -> None:
        path = self.repo.root / file
        path.unlink()
        saved = FileSaved(str(self.repo.root), path, "", self.histories[path].record(self.now, ""))
        follow_save(self.store, saved, self.histories[path], self.settings, self.now)

    def head_moved(self) -> None:
        """Report what git did; texts that git wrote are known, not saved, as the watcher has it."""
        self.now += 1
        for move in self._reflog.moves():
            files = git.changed(self.repo.root, move.old, move.new)
            for file in files:
                path = self.repo.root / file
                self.histories.setdefault(path, FileHistory("", window=7200)).record(
                    self.now, read_text(path) or ""
                )
            told = Committed(str(self.repo.root), move.new, files, move.action, move.ts, move.old)
            follow_commit(self.store, told, self.settings, self.now)

    def commit(self, subject: str = "A change") -> str:
        commit = self.repo.commit(subject)
        self.head_moved()
        return commit

    def wait(self, seconds: float) -> None:
        self.now += seconds
        follow_time(self.store, self.settings, self.now)

    def work(self, seconds: float) -> None:
        """A person works for so long on something else: a save of some other file each minute."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + 60)
            note_save(self.store, self.now)
        follow_time(self.store, self.settings, self.now)

    def repo_time(self) -> float:
        """When the newest commit was made: git goes by the real clock."""
        return float(self.repo.git("log", "-1", "--format=%ct"))

    def fate(self, turn: str, ordinal: int = 0) -> Suggestion:
        return feedback.suggestions_of(self.store, turn)[ordinal]

    def feedback(self, turn: str) -> Feedback:
        return feedback.load_feedback(self.store, turn)


def with_mean(code: str) -> str:
    return FILE.replace(MARK, code if code.endswith("\n") else code + "\n")
