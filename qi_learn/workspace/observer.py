"""Watching directories: by the system's events if it tells all, else by looking.

All projects share one source of events. Trees on file systems that tell nobody of a change
(`mounts`) are looked at, and so is a project for which the system has no room for more watches.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

from qi_learn.outside.mounts import Mount, read_mounts
from qi_learn.workspace.event_source import EventSource, NoRoom
from qi_learn.workspace.inbox import Inbox
from qi_learn.workspace.polling_source import PollingSource
from qi_learn.workspace.silent_mounts import silent_mount

logger = logging.getLogger(__name__)
MORE_ROOM = "More room: sysctl fs.inotify.max_user_watches=524288"


class Observation:
    """The directories under watch, by project."""

    def __init__(
        self,
        inbox: Inbox,
        *,
        polling: bool,
        mounts: Callable[[], tuple[Mount, ...]] = read_mounts,
    ) -> None:
        self._inbox = inbox
        self._polling = polling
        self._read_mounts = mounts
        self._mounts: tuple[Mount, ...] = ()
        self._lock = threading.Lock()
        self._native: EventSource | None = None
        self._poller: EventSource | None = None
        self._looked_at: dict[str, str] = {}
        """By root: why its whole tree is looked at."""
        self._partly: dict[str, str] = {}
        """By root: why a part of its tree is looked at."""

    @property
    def alive(self) -> bool:
        """Whether every source still tells of changes."""
        return all(source.alive for source in (self._native, self._poller) if source is not None)

    def why_polled(self, root: str) -> str | None:
        """Why a project, or a part of it, is looked at; None if it is not."""
        return self._looked_at.get(root) or self._partly.get(root)

    def begin(self, root: str) -> None:
        """Learn what the system mounts where, before a tree is watched."""
        with self._lock:
            self._mounts = self._read_mounts()
            mount = silent_mount(root, self._mounts)
            if self._polling:
                self._looked_at[root] = "its tree is looked at every second, as was asked for"
            elif mount is not None:
                self._look_at(root, _silent(root, mount))

    def watch(self, root: str, directory: str, *, git: str | None = None) -> None:
        """Watch a directory of a project; with `git`, one of a working tree's repository.

        Raises NoRoom if the system has no room. Then the whole project is to be watched again: from
        now on it is looked at.
        """
        with self._lock:
            try:
                self._source(root, directory).watch(directory, git=git)
            except NoRoom as error:
                self._no_room(root, error)
                raise

    def watches(self, directory: str) -> bool:
        """Whether a directory is still watched."""
        sources = (self._native, self._poller)
        return any(source is not None and source.watches(directory) for source in sources)

    def forget(self, directory: str) -> None:
        """Stop watching a directory and every one below it."""
        with self._lock:
            for source in (self._native, self._poller):
                if source is not None:
                    source.forget(directory)

    def end(self, root: str) -> None:
        """Stop watching a project's tree."""
        self.forget(root)
        with self._lock:
            self._looked_at.pop(root, None)
            self._partly.pop(root, None)

    def revive(self) -> None:
        """Let go of a source that has ended, so that what is watched again gets a new one."""
        with self._lock:
            for source in (self._native, self._poller):
                if source is not None and not source.alive:
                    logger.error("a source of file events had ended; a new one is started")
                    source.close()
            if self._native is not None and not self._native.alive:
                self._native = None
            if self._poller is not None and not self._poller.alive:
                self._poller = None

    def close(self) -> None:
        """Stop all watches."""
        for source in (self._native, self._poller):
            if source is not None:
                source.close()

    def _source(self, root: str, directory: str) -> EventSource:
        if root in self._looked_at:
            return self._looking()
        mount = silent_mount(directory, self._mounts)
        if mount is not None:
            self._partly.setdefault(root, _silent(directory, mount))
            return self._looking()
        if self._native is None:
            self._native = self._new_source()
        return self._native

    def _new_source(self) -> EventSource:
        if sys.platform == "linux":
            from qi_learn.workspace.inotify_source import InotifySource

            return InotifySource(self._inbox)
        from qi_learn.workspace.portable_source import PortableSource

        return PortableSource(self._inbox)

    def _looking(self) -> EventSource:
        if self._poller is None:
            self._poller = PollingSource(self._inbox)
        return self._poller

    def _no_room(self, root: str, error: NoRoom) -> None:
        if self._native is not None:
            self._native.forget(root)
        why = f"the system has no room to watch it ({error.strerror})"
        self._look_at(root, f"{root} is looked at every second: {why}. {MORE_ROOM}")

    def _look_at(self, root: str, why: str) -> None:
        self._looked_at[root] = why
        logger.warning("%s", why)


def _silent(directory: str, mount: Mount) -> str:
    return (
        f"{directory} is looked at: the file system at {mount.point} ({mount.type}) tells nobody "
        "of changes made elsewhere"
    )
