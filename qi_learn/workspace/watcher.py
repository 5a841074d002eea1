"""File saves and commits of the registered projects, as they happen.

An event of the operating system only says where to look: the file is read a moment later, compared
with what was known, and a `FileSaved` is told where its text differs. So bursts, saves by renaming,
and events that come twice or late all end in the same sequence of texts. Commits are read from the
reflog of HEAD (`.git/logs/HEAD`), which needs no hook and tells `reset` from `revert`; the files of
a commit are read again before it is told, so that nobody hears of a commit before the saves in it.
What git itself wrote into the tree (checkout, pull, reset to another commit) is not a save.

`poll` is called by the daemon's thread; a thread of ours reads files as they change, so that a text
is not lost while the daemon is busy.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import FileClosedEvent, FileSystemEvent

from qi_learn.errors import NotFound, ToolMissing
from qi_learn.outside import git
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.files import plain_name, project_files, read_text
from qi_learn.workspace.observer import Observation
from qi_learn.workspace.reflog import Reflog

logger = logging.getLogger(__name__)
CLOSED_SECONDS = 0.05
"""How long after a file was closed it is read: by then an editor has renamed its temporary file."""
WRITTEN_SECONDS = 0.3
"""The same where the system does not tell when a file is closed."""
LOCK_SECONDS = 10.0
"""git's `index.lock` says that git is writing into the tree; older than this it was left behind."""
HEAD_SECONDS = 0.5
"""How long after its last write to the index git may still move HEAD, which tells whose the files'
texts are; until then they are not read.
"""
MEMORY_BYTES = 128 * 1024 * 1024
FAILED_SECONDS = 5.0
"""How long to leave a project alone whose changes could not be read."""
GIT_WRITES = {
    "checkout",
    "pull",
    "merge",
    "reset",
    "rebase",
    "clone",
    "revert",
    "cherry-pick",
    "am",
}
"""Moves of HEAD with which git itself writes into the tree."""


@dataclass(frozen=True, slots=True)
class FileSaved:
    """A file of a project has another text now; "" where it is gone."""

    project: str
    path: Path
    text: str
    ts: float

    @property
    def file(self) -> str:
        """The path within the project, with `/`."""
        return self.path.relative_to(self.project).as_posix()


@dataclass(frozen=True, slots=True)
class Committed:
    """HEAD moved: by a commit, or by what `action` says.

    `files` (within the project) are those that differ between `previous` and `commit`.
    """

    project: str
    commit: str
    files: tuple[str, ...]
    action: str
    ts: float
    previous: str = ""


@dataclass(frozen=True, slots=True)
class _Mark:
    path: Path
    due: float
    directory: bool


@dataclass(slots=True)
class _Project:
    root: Path
    added: float
    repository: Path | None = None
    files: dict[Path, FileHistory] = field(default_factory=dict)
    pending: dict[Path, float] = field(default_factory=dict)
    ignored: dict[Path, bool] = field(default_factory=dict)
    reflog: Reflog | None = None

    def find_repository(self, *, since: float | None = None) -> None:
        """Where it has one by now.

        A project that becomes one while it is watched tells its commits `since` then.
        """
        try:
            self.repository = git.git_directory(self.root)
        except ToolMissing as error:
            logger.warning("commits in %s are not seen: %s", self.root, error.what)
        self.reflog = None if self.repository is None else Reflog(self.repository, since=since)


class Watcher:
    """Watches projects until closed.

    `window`: seconds of texts kept per file; `polling`: look at the trees every second in place of
    asking the system.
    """

    def __init__(
        self,
        *,
        window: float = 7200.0,
        clock: Callable[[], float] = time.time,
        polling: bool = False,
        memory: int = MEMORY_BYTES,
    ) -> None:
        self._window = window
        self._clock = clock
        self._memory = memory
        self._used = 0
        self._lock = threading.RLock()
        self._projects: dict[Path, _Project] = {}
        self._told: list[FileSaved | Committed] = []
        self._marks: queue.SimpleQueue[_Mark | None] = queue.SimpleQueue()
        self._observation = Observation(self._mark, polling=polling)
        self._reader = threading.Thread(target=self._read_on, name="qi-learn-watch", daemon=True)
        self._reader.start()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: where the system could not watch and the trees are looked at
        every second.
        """
        return self._observation.notes

    def add(self, project: Path) -> None:
        """Watches a project from now on; its files as they are now are where changes count from.
        Reads them all, so it takes a while for a large one.

        Raises NotFound where it is not a directory.
        """
        root = project.absolute()
        if not root.is_dir():
            raise NotFound(
                f"The project {root} is not a directory.",
                "Remove it from the projects, or put it back.",
            )
        with self._lock:
            if root in self._projects:
                return
            state = _Project(root, self._clock())
            state.find_repository()
            self._observation.add(root, in_git=state.repository is not None)
            for path in project_files(root, in_git=state.repository is not None):
                self._begin(state, path)
            self._projects[root] = state

    def remove(self, project: Path) -> None:
        """Stops watching a project; nothing where it was not watched."""
        with self._lock:
            state = self._projects.pop(project.absolute(), None)
            if state is not None:
                self._observation.remove(state.root)
                self._used -= sum(h.size for h in state.files.values())

    def history(self, path: Path) -> FileHistory:
        """The texts of a file of a watched project; an empty history for a file nobody saw."""
        with self._lock:
            state = self._owner(path)
            return (
                FileHistory("", window=self._window)
                if state is None
                else self._history(state, path)
            )

    def poll(self) -> list[FileSaved | Committed]:
        """What happened since the last call, in order."""
        with self._lock:
            for state in self._projects.values():
                self._follow_reflog(state)
            told, self._told = self._told, []
            return told

    def close(self) -> None:
        """Stops watching; what was not polled is lost."""
        self._observation.close()
        self._marks.put(None)
        self._reader.join()

    # --- from events to texts ---------------------------------------------------------------------

    def _mark(self, event: FileSystemEvent) -> None:
        """Called by the observer's thread: only notes where to look (a lock taken here could meet
        the observer's own).
        """
        due = time.monotonic() + (
            CLOSED_SECONDS
            if isinstance(event, FileClosedEvent) or event.event_type in ("moved", "deleted")
            else WRITTEN_SECONDS
        )
        for path in (event.src_path, event.dest_path):
            if path:
                self._marks.put(_Mark(Path(os.fsdecode(path)), due, event.is_directory))

    def _read_on(self) -> None:
        """The thread: sleeps until something is marked, reads what is due."""
        while True:
            with self._lock:
                due = min(
                    (d for s in self._projects.values() for d in s.pending.values()), default=None
                )
            try:
                mark = self._marks.get(
                    timeout=None if due is None else max(0.0, due - time.monotonic())
                )
            except queue.Empty:
                mark = _Mark(Path("/"), 0.0, False)  # in no project
            if mark is None:
                return
            with self._lock:
                self._put_off(mark)
                self._take_marks()
                for state in self._projects.values():
                    try:
                        self._read_due(state)
                    except Exception:
                        logger.exception(
                            "the changes in %s could not be read; trying again", state.root
                        )
                        state.pending.update(
                            dict.fromkeys(state.pending, time.monotonic() + FAILED_SECONDS)
                        )

    def _take_marks(self) -> None:
        with suppress(queue.Empty):
            while mark := self._marks.get_nowait():
                self._put_off(mark)
            self._marks.put(None)  # closing: that is for the loop to see

    def _put_off(self, mark: _Mark) -> None:
        state = self._owner(mark.path)
        if state is None or mark.path == state.root:
            return
        if not mark.directory:
            state.pending[mark.path] = mark.due
            return
        files = [path for path in state.files if mark.path in path.parents]  # it may be gone
        if mark.path.is_dir() and self._watched(state, [mark.path]):
            files += self._observation.extend(state.root, mark.path)
        state.pending.update(dict.fromkeys(files, mark.due))

    def _owner(self, path: Path) -> _Project | None:
        """The innermost project that holds a path."""
        return next((self._projects[p] for p in (path, *path.parents) if p in self._projects), None)

    def _read_due(self, state: _Project) -> None:
        now = time.monotonic()
        due = [path for path, when in state.pending.items() if when <= now]
        if not due:
            return
        if self._git_is_writing(state) or self._head_may_move(state):
            state.pending.update(dict.fromkeys(due, now + CLOSED_SECONDS))
            return
        self._read(state, due)
        for path in due:
            del state.pending[path]

    def _read(self, state: _Project, paths: Iterable[Path], *, commit: str | None = None) -> None:
        """Tells the texts that are new.

        With `commit`, those that are just what that commit has were written by git: they are noted,
        not told.
        """
        wanted = self._watched(state, list(dict.fromkeys(paths)))
        for path in sorted(
            wanted, key=lambda p: p.exists()
        ):  # gone files first: of a renamed file the old name is told before the new one
            text = read_text(path)
            history = self._history(state, path)
            if text is None or text == history.newest:
                continue
            by_git = (
                commit is not None
                and git.text_at(state.root, commit, path.relative_to(state.root).as_posix()) == text
            )
            self._used -= history.size
            ts = history.record(self._changed(path), text)
            state.files[path] = history
            self._used += history.size
            if self._used > self._memory:
                self._used -= history.size
                history.shorten()
                self._used += history.size
            if not by_git:
                self._told.append(FileSaved(str(state.root), path, text, ts))

    def _history(self, state: _Project, path: Path) -> FileHistory:
        return state.files.get(path) or FileHistory("", window=self._window, began=state.added)

    def _changed(self, path: Path) -> float:
        """When the file was written; now, where its own time is not believable."""
        now = self._clock()
        try:
            written = path.stat().st_mtime
        except OSError:
            return now
        return written if now - 60 < written <= now else now

    def _begin(self, state: _Project, path: Path) -> None:
        text = read_text(path)
        if text is None:
            return
        full = self._used >= self._memory
        history = state.files[path] = FileHistory(
            None if full else text, window=self._window, began=state.added
        )
        self._used += history.size

    def _watched(self, state: _Project, paths: list[Path]) -> list[Path]:
        """Those that are looked at: by name, and by what git ignores (asked once per file, again
        when a `.gitignore` changes).
        """
        named = [p for p in paths if plain_name(p.relative_to(state.root))]
        if state.repository is None:
            return named
        if any(p.name == ".gitignore" for p in named):
            state.ignored.clear()
        unknown = [p for p in named if p not in state.files and p not in state.ignored]
        found = git.ignored(state.root, (str(p.relative_to(state.root)) for p in unknown))
        state.ignored.update({p: str(p.relative_to(state.root)) in found for p in unknown})
        return [p for p in named if not state.ignored.get(p, False)]

    # --- commits ----------------------------------------------------------------------------------

    def _git_is_writing(self, state: _Project) -> bool:
        return self._age(state, "index.lock") < LOCK_SECONDS

    def _head_may_move(self, state: _Project) -> bool:
        """Whether git wrote its index just now: a checkout lets go of `index.lock` a moment before
        it says what it did.
        """
        return abs(self._age(state, "index")) < HEAD_SECONDS

    def _age(self, state: _Project, name: str) -> float:
        """Seconds since git wrote a file of its own (below 0 after the clock was put back);
        infinite where there is none.
        """
        if state.repository is None:
            return math.inf
        try:
            return time.time() - (state.repository / name).stat().st_mtime
        except OSError:
            return math.inf

    def _follow_reflog(self, state: _Project) -> None:
        if state.reflog is None and (state.root / ".git").exists():
            state.find_repository(since=state.added)
        if state.reflog is None or self._git_is_writing(state):
            return
        told, written = [], None
        for move in state.reflog.moves():
            try:
                files = git.changed(state.root, move.old, move.new)
            except NotFound:  # the commit was cleaned away before we came to it
                logger.info("the commit %s of %s is gone", move.new, state.root)
                continue
            told.append(Committed(str(state.root), move.new, files, move.action, move.ts, move.old))
            written = move.new if move.action in GIT_WRITES and move.old != move.new else written
        if told:
            self._read(
                state,
                [*state.pending, *(state.root / file for move in told for file in move.files)],
                commit=written and told[-1].commit,
            )
            state.pending.clear()
            self._told += told
