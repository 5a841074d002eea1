"""File saves and commits of the registered projects, as they happen.

An event of the operating system only says where to look. The file is read a moment later and
compared with what was known, and a `FileSaved` is reported if its text differs. So bursts, saves by
renaming, and events that come twice or late all end in the same sequence of texts. Commits are read
from the reflog of HEAD (`.git/logs/HEAD`), which needs no hook and tells `reset` from `revert`. The
files of a commit are read again before it is reported, so that no commit comes before the saves in
it. What git itself wrote into the tree (checkout, pull, reset to another commit) is not a save.

`poll` is called by the daemon's thread. A thread of ours reads files as they change, so that a text
is not lost while the daemon is busy.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileClosedEvent, FileSystemEvent

from qi_learn.errors import NotFound
from qi_learn.outside import git
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.files import project_files, read_text
from qi_learn.workspace.observer import Observation
from qi_learn.workspace.watched_project import WatchedProject

logger = logging.getLogger(__name__)
CLOSED_SECONDS = 0.05
"""Seconds from the closing of a file to its reading: by then an editor has renamed it."""
WRITTEN_SECONDS = 0.3
"""The same if the system does not tell when a file is closed."""
MEMORY_BYTES = 128 * 1024 * 1024
FAILED_SECONDS = 5.0
"""Seconds for which a project is left alone after its changes could not be read."""
GIT_WRITES = {
    *("checkout", "pull", "merge", "reset", "rebase", "clone", "revert", "cherry-pick", "am"),
}
"""Moves of HEAD with which git itself writes into the tree."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A path to look at, and when."""

    path: Path
    due: float
    directory: bool


class Watcher:
    """Watches projects until closed.

    `window`: seconds of texts kept per file. `polling`: whether to look at the trees every second
    in place of asking the system. `memory`: bytes of texts up to which all of a file's are kept.
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
        self._projects: dict[Path, WatchedProject] = {}
        self._changes: list[FileSaved | Committed] = []
        self._marks: queue.SimpleQueue[_Mark | None] = queue.SimpleQueue()
        self._observation = Observation(self._mark, polling=polling)
        self._reader = threading.Thread(target=self._read_on, name="qi-learn-watch", daemon=True)
        self._reader.start()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether changes are still read."""
        return self._reader.is_alive()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know: which projects the system could not watch.

        Their trees are looked at every second.
        """
        return self._observation.notes

    def add(self, project: Path) -> None:
        """Watch a project from now on.

        Changes count from its files as they are now, which are all read, so it takes a while for a
        large one.

        Raises NotFound if it is not a directory.
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
            state = WatchedProject(root, self._clock())
            state.find_repository()
            self._observation.add(root, in_git=state.repository is not None)
            for path in project_files(root, in_git=state.repository is not None):
                self._begin(state, path)
            self._projects[root] = state

    def remove(self, project: Path) -> None:
        """Stop watching a project, if it is watched."""
        with self._lock:
            state = self._projects.pop(project.absolute(), None)
            if state is not None:
                self._observation.remove(state.root)
                self._used -= sum(h.size for h in state.files.values())

    def history(self, path: Path) -> FileHistory:
        """The texts of a file of a watched project; an empty history if it was never seen."""
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
            changes, self._changes = self._changes, []
            return changes

    def close(self) -> None:
        """Stop watching. What was not polled is lost."""
        self._observation.close()
        self._marks.put(None)
        self._reader.join()

    # --- from events to texts ---------------------------------------------------------------------

    def _mark(self, event: FileSystemEvent) -> None:
        """Note where to look.

        The observer's thread calls this, so it does no more: a lock taken here could meet the
        observer's own.
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
        """Run the thread: sleep until something is marked, read what is due."""
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
        if mark.path.is_dir() and state.watched([mark.path]):
            files += self._observation.extend(state.root, mark.path)
        state.pending.update(dict.fromkeys(files, mark.due))

    def _owner(self, path: Path) -> WatchedProject | None:
        """The innermost project that holds a path."""
        return next((self._projects[p] for p in (path, *path.parents) if p in self._projects), None)

    def _read_due(self, state: WatchedProject) -> None:
        now = time.monotonic()
        due = [path for path, when in state.pending.items() if when <= now]
        if not due:
            return
        if state.git_is_writing() or state.head_may_move():
            state.pending.update(dict.fromkeys(due, now + CLOSED_SECONDS))
            return
        self._read(state, due)
        for path in due:
            del state.pending[path]

    def _read(
        self, state: WatchedProject, paths: Iterable[Path], *, commit: str | None = None
    ) -> None:
        """Report the texts that are new.

        With `commit`, those that are just what that commit has were written by git: they are noted,
        not reported.
        """
        watched = state.watched(list(dict.fromkeys(paths)))
        # gone files first: of a renamed file the old name is reported before the new one
        for path in sorted(watched, key=lambda p: p.exists()):
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
                self._changes.append(FileSaved(str(state.root), path, text, ts))

    def _history(self, state: WatchedProject, path: Path) -> FileHistory:
        return state.files.get(path) or FileHistory("", window=self._window, began=state.added)

    def _changed(self, path: Path) -> float:
        """When the file was written; now if its own time is not believable."""
        now = self._clock()
        try:
            written = path.stat().st_mtime
        except OSError:
            return now
        return written if now - 60 < written <= now else now

    def _begin(self, state: WatchedProject, path: Path) -> None:
        text = read_text(path)
        if text is None:
            return
        full = self._used >= self._memory
        history = state.files[path] = FileHistory(
            None if full else text, window=self._window, began=state.added
        )
        self._used += history.size

    # --- commits ----------------------------------------------------------------------------------

    def _follow_reflog(self, state: WatchedProject) -> None:
        if state.reflog is None and (state.root / ".git").exists():
            state.find_repository(since=state.added)
        if state.reflog is None or state.git_is_writing():
            return
        moves, written = [], None
        for move in state.reflog.moves():
            try:
                files = git.changed(state.root, move.old, move.new)
            except NotFound:  # the commit was cleaned away before we came to it
                logger.info("the commit %s of %s is gone", move.new, state.root)
                continue
            moves.append(
                Committed(str(state.root), move.new, files, move.action, move.ts, move.old)
            )
            written = move.new if move.action in GIT_WRITES and move.old != move.new else written
        if moves:
            files_moved = (state.root / file for move in moves for file in move.files)
            self._read(state, [*state.pending, *files_moved], commit=written and moves[-1].commit)
            state.pending.clear()
            self._changes += moves
