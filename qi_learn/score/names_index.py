"""Which names a project's code used at a commit: an index, kept and carried from commit to commit.

The words of every tracked text file are counted by file. For another commit only the contents that
differ are read, out of git's store, so the working tree says nothing here. Words are kept as
hashes: no text of the project is copied to another place. Files that are not looked at (by their
names, or by the project's `.qi-learn-ignore` as it is now) are left out; an index that was made by
other rules is made anew, and goes from the disk before that (`OutdatedIndexes`).

What cannot be known is None, never "not in use": a commit whose files are not all here (a partial
clone), a project that is too large, a git that refuses.

Bounds: `MOST_WORDS` words and `MOST_BYTES` of text a project, `IN_MEMORY` indexes in memory,
`ON_DISK` bytes on the disk, those that were not used for longest going first.
"""

from __future__ import annotations

import array
import hashlib
import logging
import os
import re
import sys
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside import git_objects
from qi_learn.outside.git_blobs import changed_blobs, tree_blobs
from qi_learn.outside.git_files import Look, look_of_head
from qi_learn.workspace.files import plain_name
from qi_learn.workspace.qi_learn_ignore import QiLearnIgnore

logger = logging.getLogger(__name__)
_WORD = re.compile(r"\b[^\W\d]\w{2,79}\b")
MOST_WORDS = 500_000
"""Distinct words of a project: some 50 MB of memory."""
MOST_BYTES = 512 * 1024 * 1024
"""Text that is read for one index."""
MOST_FILE_BYTES = 1_000_000
"""A larger file is made, not written, and left out."""
MOST_CARRIED = 5000
"""Contents in which two commits may differ; past that the index is made anew."""
IN_MEMORY, ON_DISK = 4, 64 * 1024 * 1024
READ_SECONDS = 300.0
AGAIN_SECONDS = 3600.0
"""How long a commit that could not be read is not tried again."""
_HEADER = b"qi-learn names 2 "
"""Before the digest of the rules and the commit."""


@dataclass(slots=True)
class _Index:
    rules: str
    """The digest of the rules by which files were left out."""
    commit: str
    counts: dict[int, int]
    """By hash of a word: in how many files it is."""


class NamesIndex:
    """The indexes of all projects, kept in a directory. Used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loaded: OrderedDict[Path, _Index] = OrderedDict()
        self._rules: dict[Path, QiLearnIgnore] = {}
        self._unknown: dict[Path, tuple[str, float]] = {}
        self._heads: dict[Path, tuple[Look | None, tuple[str, int] | None]] = {}

    def used(self, project: Path, names: Iterable[str], *, before: float) -> set[str] | None:
        """Those of the names that the project's newest commit before a time has as whole words.

        None if that is unknown. Raises NotFound if git refuses, ToolMissing without git.
        """
        commit = self._commit(project, before)
        if commit is None or self._known_as_unknown(project, commit):
            return None
        try:
            index = self._at(project, commit)
        except NotFound as error:
            logger.info("the names in use in %s are unknown: %s", project, error.what)
            self._unknown[project] = commit, time.monotonic()
            return None
        return {name for name in names if _hash(name) in index.counts}

    def _commit(self, project: Path, before: float) -> str | None:
        """The project's newest commit before a time; while HEAD stands still git is not asked."""
        look = look_of_head(project)
        if look is None or self._heads.get(project, (None, None))[0] != look:
            self._heads[project] = look, git_objects.newest_commit(project)
        newest = self._heads[project][1]
        if newest is None or newest[1] <= int(before):
            return newest and newest[0]
        return git_objects.commit_before(project, before)

    def _known_as_unknown(self, project: Path, commit: str) -> bool:
        unknown, since = self._unknown.get(project, ("", 0.0))
        return unknown == commit and time.monotonic() - since < AGAIN_SECONDS

    def _at(self, project: Path, commit: str) -> _Index:
        """The project's index at a commit. Raises NotFound if it cannot be made."""
        rules = self._rules.setdefault(project, QiLearnIgnore(str(project)))
        by = rules.digest
        index = self._loaded.pop(project, None) or self._load(project)
        if index is not None and index.rules != by:
            index = None
        if index is None or index.commit != commit:
            index = _carried(index, commit, rules) or _built(commit, rules)
            index.rules = by
            self._save(project, index)
        self._loaded[project] = index
        if len(self._loaded) > IN_MEMORY:
            self._loaded.popitem(last=False)
        return index

    # --- on the disk ------------------------------------------------------------------------------

    def _load(self, project: Path) -> _Index | None:
        """The index as it was saved; None if there is none, or it is damaged."""
        file = _file(self._directory, project)
        try:
            raw = file.read_bytes()
            os.utime(file)
            head, _, packed = raw.partition(b"\n")
            rules, commit = _read_head(head)
            numbers = array.array("Q", zlib.decompress(packed))
        except (OSError, zlib.error, ValueError):
            return None
        if sys.byteorder == "big":
            numbers.byteswap()
        half = len(numbers) // 2
        counts = dict(zip(numbers[:half], numbers[half:], strict=True))
        return _Index(rules, commit, counts)

    def _save(self, project: Path, index: _Index) -> None:
        """Keep the index: a disk without room only makes the next one cost more."""
        numbers = array.array("Q", [*index.counts, *index.counts.values()])
        if sys.byteorder == "big":
            numbers.byteswap()
        file = _file(self._directory, project)
        temp = file.with_suffix(".tmp")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(fd, "wb") as out:
                head = f"{index.rules or '-'} {index.commit}\n"
                out.write(_HEADER + head.encode("ascii"))
                out.write(zlib.compress(numbers.tobytes(), 1))
            temp.replace(file)
            self._make_room()
        except OSError as error:
            logger.info("the names in use in %s are not kept: %s", project, error)
            with suppress(OSError):
                temp.unlink(missing_ok=True)

    def _make_room(self) -> None:
        known = sorted(
            ((f, f.stat()) for f in self._directory.glob("*.names")),
            key=lambda each: each[1].st_mtime,
            reverse=True,
        )
        size = 0
        for file, status in known:
            size += status.st_size
            if size > ON_DISK:
                file.unlink(missing_ok=True)


class OutdatedIndexes:
    """The indexes of which a project's rules leave out more, or less, than they did."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rules: dict[Path, QiLearnIgnore] = {}

    def drop(self, projects: Iterable[Path]) -> None:
        """Remove those of these projects."""
        for project in projects:
            rules = self._rules.setdefault(project, QiLearnIgnore(str(project)))
            file = _file(self._directory, project)
            try:
                with file.open("rb") as opened:
                    head = opened.readline(256).rstrip(b"\n")
                if _is_by(head, rules):
                    continue
                file.unlink(missing_ok=True)
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("an index of names by older rules stays: %s", error)


def _is_by(head: bytes, rules: QiLearnIgnore) -> bool:
    try:
        return _read_head(head)[0] == rules.digest
    except ValueError:
        return False


def _file(directory: Path, project: Path) -> Path:
    return directory / f"{hashlib.sha256(os.fsencode(project)).hexdigest()[:32]}.names"


def _read_head(head: bytes) -> tuple[str, str]:
    """The digest of the rules and the commit of an index; ValueError if it is no such file."""
    if not head.startswith(_HEADER):
        raise ValueError(head)
    rules, commit = head[len(_HEADER) :].decode("ascii").split(" ")
    return rules.strip("-"), commit


# --- from git's store -----------------------------------------------------------------------------


def _built(commit: str, rules: QiLearnIgnore) -> _Index:
    project = Path(rules.root)
    blobs = tree_blobs(project, commit)
    files = Counter(blobs[file] for file in _looked_at(blobs, rules))
    return _Index("", commit, _checked(project, _words(project, files)))


def _looked_at(files: Iterable[str], rules: QiLearnIgnore) -> list[str]:
    """Those of a project's files that are looked at."""
    paths = {os.path.join(rules.root, f): f for f in files if plain_name(f)}
    return [paths[path] for path in rules.allowed(paths)]


def _carried(index: _Index | None, commit: str, rules: QiLearnIgnore) -> _Index | None:
    """The index at another commit, by what differs.

    None if there is none to begin with, or more differs than a new one costs.
    """
    if index is None:
        return None
    project = Path(rules.root)
    try:
        new = changed_blobs(project, index.commit, commit)
    except NotFound:  # that commit was cleaned away
        return None
    files = _looked_at(new, rules)
    old = Counter(tree_blobs(project, index.commit, files).values())
    added = Counter(blob for file in files if (blob := new[file]) is not None)
    if old.total() + added.total() > MOST_CARRIED:
        return None
    change = _words(project, added)
    change.subtract(_words(project, old))
    counts = dict(index.counts)
    for word, files_more in change.items():
        if (left := counts.pop(word, 0) + files_more) > 0:
            counts[word] = left
    return _Index("", commit, _checked(project, counts))


def _checked(project: Path, counts: Mapping[int, int]) -> dict[int, int]:
    if len(counts) > MOST_WORDS:
        raise NotFound(f"The project {project} has more than {MOST_WORDS} names.")
    return dict(counts)


def _words(project: Path, files: Mapping[str, int]) -> Counter[int]:
    """By hash of a word: in how many of the files it is. `files`: how many have each content."""
    sizes = git_objects.sizes(project, list(files))
    if missing := sum(size is None for size in sizes.values()):
        raise NotFound(f"{missing} contents of {project} are not here: it is a partial clone.")
    read = [blob for blob, size in sizes.items() if size is not None and size <= MOST_FILE_BYTES]
    if sum(sizes[blob] or 0 for blob in read) > MOST_BYTES:
        raise NotFound(f"The project {project} has more than {MOST_BYTES} bytes of text.")
    counts: Counter[int] = Counter()
    hashes: dict[str, int] = {}
    texts = git_objects.contents(project, read, timeout=READ_SECONDS)
    for blob, raw in zip(read, texts, strict=True):
        if b"\0" in raw[:8000]:
            continue
        for word in set(_WORD.findall(raw.decode("utf-8", "replace"))):
            if (known := hashes.get(word)) is None:
                known = hashes[word] = _hash(word)
            counts[known] += files[blob]
        if len(hashes) > MOST_WORDS:
            raise NotFound(f"The project {project} has more than {MOST_WORDS} names.")
    return counts


def _hash(word: str) -> int:
    digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def words(names: Sequence[str]) -> list[str]:
    """Those of the names that an index can know."""
    return [name for name in names if _WORD.fullmatch(name)]
