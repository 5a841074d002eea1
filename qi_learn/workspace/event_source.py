"""What tells of changes in directories: the system's events, or looking.

A source watches single directories. It marks in the inbox what may have changed directly in them:
files, directories that appear or go, and working trees of git if the directory is a repository's
own. It decides by names alone and reads nothing.
"""

from __future__ import annotations

from typing import Protocol

from qi_learn.workspace.files import SKIPPED_DIRECTORIES, plain_file_name
from qi_learn.workspace.inbox import Inbox


class NoRoom(OSError):
    """The system has no room for another watch."""


class EventSource(Protocol):
    """Watches directories until closed."""

    def watch(self, directory: str, *, git: str | None = None) -> None:
        """Watch a directory, if it is there. With `git`, it belongs to that working tree's git.

        Raises NoRoom.
        """

    def watches(self, directory: str) -> bool:
        """Whether a directory is still watched: not if it was removed, also if it was made anew."""

    def forget(self, directory: str) -> None:
        """Stop watching a directory and every one below it."""

    def close(self) -> None:
        """Stop watching. Called once."""

    @property
    def alive(self) -> bool:
        """Whether it still tells of changes."""


def mark(inbox: Inbox, directory: str, name: str, *, is_directory: bool, closed: bool) -> None:
    """Mark what an event in a directory of a project means."""
    if name == ".git":
        inbox.mark_checkout(directory)
    elif is_directory:
        if name not in SKIPPED_DIRECTORIES:
            inbox.mark_directory(f"{directory}/{name}")
    elif plain_file_name(name):
        inbox.mark_file(f"{directory}/{name}", closed=closed)
