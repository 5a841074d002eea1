"""Which files of a project are looked at, and what is read of them.

Left out are what git ignores, version control itself, dependencies and caches by their names,
editors' own files, tools' records of conversations, files with names that tell of secrets or are no
UTF-8, links and what lies beyond them, binary files, and files over `MAX_BYTES`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from qi_learn.outside import git
from qi_learn.outside.git_blobs import blob_ids

MAX_BYTES = 1_000_000
SKIPPED_DIRECTORIES = {
    *(".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".idea", ".aws", ".ssh", ".gnupg", "secrets"),
    ".specstory",
}
EDITORS_OWN = (
    *(".git", "*~", "*.swp", "*.swo", "*.swx", "*.tmp", "*.bak", "*.orig", "*.rej", ".#*", "#*#"),
    *("*___jb_???___", "4913"),
)
CONVERSATIONS = (".aider.*history*",)
"""Files in which tools write down what was asked and answered: each answer stands there, used or
not. aider has git ignore its own, unless it is told not to; SpecStory's are in `.specstory`.
"""
SECRETS = (
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.tfstate", ".npmrc", ".netrc"),
    *(".pypirc", "id_rsa*", "id_ed25519*", "id_ecdsa*", "credentials*"),
)
_CONFLICT = re.compile(rb"^<{7} .*^={7}\r?\n.*^>{7} ", re.MULTILINE | re.DOTALL)
"""What git writes into a file that it cannot merge."""
_LEFT_OUT = re.compile(
    "|".join(translate(pattern) for pattern in (*EDITORS_OWN, *CONVERSATIONS, *SECRETS))
)
TOO_LARGE = "larger than 1 MB"
NOT_TEXT = "no UTF-8 text"
NOT_READABLE = "not readable"
ODD_NAME = "a name that is no UTF-8"


@dataclass(frozen=True, slots=True)
class FileContent:
    """What was read of a file."""

    raw: bytes | None
    """None if it is not to be looked at."""
    gone: bool = False
    reason: str = ""
    """Why it is not to be looked at, if that is worth telling."""

    @property
    def text(self) -> str | None:
        """The text with `\\n` at the ends of its lines.

        "" if there is no such file, None if it is not a text of a reasonable size.
        """
        if self.raw is None or b"\0" in self.raw:
            return None
        try:
            return self.raw.decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError:
            return None

    def has_id(self, blob: str) -> bool:
        """Whether git keeps this content under the id `blob`."""
        if self.raw is None or self.gone:
            return False
        return blob in blob_ids(self.raw, "sha256" if len(blob) == 64 else "sha1")


GONE = FileContent(b"", gone=True)


def in_conflict(raw: bytes) -> bool:
    """Whether a content has the marks that git leaves in a file that it cannot merge."""
    return _CONFLICT.search(raw) is not None


def plain_name(relative: str) -> bool:
    """Whether a file may be looked at, judged by its path with `/` below the top."""
    *above, name = relative.split("/")  # no Path: all files of all projects are asked for
    return SKIPPED_DIRECTORIES.isdisjoint(above) and plain_file_name(name)


def plain_file_name(name: str) -> bool:
    """Whether a file may be looked at, judged by its own name alone."""
    return _LEFT_OUT.match(name) is None


def plain_text(name: str) -> bool:
    """Whether a path can be written down: it is UTF-8."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def read_content(path: Path | str) -> FileContent:
    """What a file holds, without following a link and without waiting for a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return GONE
    except OSError:  # a link; or not readable by us, so not ours to look at
        return FileContent(None, reason="" if os.path.islink(path) else NOT_READABLE)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return FileContent(None)
        raw = _read(descriptor, found.st_size)
    except OSError:
        return FileContent(None, reason=NOT_READABLE)
    finally:
        os.close(descriptor)
    return FileContent(None, reason=TOO_LARGE) if len(raw) > MAX_BYTES else FileContent(raw)


def _read(descriptor: int, size: int) -> bytes:
    """What is in a file, or a byte more than is looked at; a file object costs twice the calls."""
    parts, length, most = [], 0, min(size, MAX_BYTES) + 1
    while length <= MAX_BYTES and (raw := os.read(descriptor, most)):
        parts.append(raw)
        length, most = length + len(raw), MAX_BYTES + 1
    return b"".join(parts)[: MAX_BYTES + 1]


def read_text(path: Path) -> str | None:
    """The file's text with `\\n` at the ends of its lines.

    "" if there is no such file, None if it is not a text of a reasonable size.
    """
    return read_content(path).text


def project_files(root: Path, *, in_git: bool) -> Iterator[Path]:
    """The files below `root` that are looked at, judged by their names and by git."""
    if in_git:
        names = git.tracked(root, untracked=True)
        yield from (root / name for name in names if plain_name(name))
        return
    for directory, below, files in os.walk(root):
        below[:] = sorted(d for d in below if d not in SKIPPED_DIRECTORIES)
        for name in sorted(files):
            if plain_file_name(name):
                yield Path(directory, name)


@dataclass(frozen=True, slots=True)
class Walked:
    """What lies in a tree."""

    files: list[str]
    checkouts: list[str]
    """Directories below the top that are working trees of git themselves. The walk goes no further
    there.
    """


def walk(top: str, *, left_out: set[str], enter: Callable[[str], object]) -> Walked:
    """Everything in a tree, without following links, but what `left_out` and names leave out.

    `enter` is called with each directory before what is in it is listed. So what appears in one
    that is watched there is either listed or told.
    """
    found = Walked([], [])
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        enter(directory)
        entries = _entries(directory)
        if directory != top and any(entry.name == ".git" for entry in entries):
            found.checkouts.append(directory)
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in SKIPPED_DIRECTORIES and entry.path not in left_out:
                    waiting.append(entry.path)
            elif entry.is_file(follow_symlinks=False) and plain_file_name(entry.name):
                found.files.append(entry.path)
    return found


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """What is directly in a directory; nothing if it is gone or closed to us."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []
