"""The files of a commit, written into a directory as git keeps them.

The invariant: nothing of the person's is run and nothing is fetched. Contents are written as they
are in the repository, so without filters, attributes, hooks and changes of line ends; the person's
working tree and index are not touched. Other repositories (submodules) are left out, and so is a
name that leads out of the directory. Links are made last, so nothing is written through one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside.git_call import ask

MOST_FILES = 20_000
MOST_BYTES = 256 * 1024 * 1024
"""A commit with more than this is not written."""
_AT_ONCE = 32 * 1024 * 1024
_ENTRY = re.compile(r"(?P<mode>\d{6}) (?P<type>\w+) (?P<id>[0-9a-f]+) +(?P<size>\d+|-)")
_LINK, _PROGRAM = "120000", "100755"


@dataclass(frozen=True, slots=True)
class _Entry:
    mode: str
    id: str
    size: int
    name: str


def write_tree(repository: Path, commit: str, into: Path) -> frozenset[str]:
    """Write the files of a commit into an empty directory; the plain ones, relative to the top.

    Raises NotFound if git does not have all of them, or they are too many; OSError if they cannot
    be written.
    """
    entries = _listed(repository, commit)
    if len(entries) > MOST_FILES or sum(e.size for e in entries) > MOST_BYTES:
        raise NotFound(f"Commit {commit[:12]} of {repository} is too large to be written.", "")
    links = [entry for entry in entries if entry.mode == _LINK]
    plain = [entry for entry in entries if entry.mode != _LINK]
    for entry, content in _contents(repository, (*plain, *links)):
        path = into / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == _LINK:
            path.symlink_to(content.decode("utf-8", "surrogateescape"))
            continue
        with path.open("xb") as file:
            file.write(content)
        path.chmod(0o755 if entry.mode == _PROGRAM else 0o644)
    return frozenset(entry.name for entry in plain)


def _listed(repository: Path, commit: str) -> list[_Entry]:
    """The files of a commit; the other entries are submodules."""
    answer = ask(repository, "ls-tree", "-r", "-z", "--long", "--full-tree", commit).output
    entries: list[_Entry] = []
    for line in answer.decode("utf-8", "surrogateescape").split("\0"):
        head, _, name = line.partition("\t")
        if not line or not _is_inside(name):
            continue
        match = _ENTRY.fullmatch(head)
        if match is None:  # for a size it says that the content is bad
            raise NotFound(f"{repository} lacks the content of {name}.", "")
        if match["type"] == "blob":
            entries.append(_Entry(match["mode"], match["id"], int(match["size"]), name))
    return entries


def _is_inside(name: str) -> bool:
    return not any(step.lower() in ("", ".", "..", ".git") for step in name.split("/"))


def _contents(repository: Path, entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, bytes]]:
    """Each with its content, asked for in portions."""
    portion: list[_Entry] = []
    size = 0
    for entry in entries:
        portion.append(entry)
        size += entry.size
        if size > _AT_ONCE:
            yield from _read(repository, portion)
            portion, size = [], 0
    yield from _read(repository, portion)


def _read(repository: Path, entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, bytes]]:
    if not entries:
        return
    asked = "".join(f"{entry.id}\n" for entry in entries).encode()
    answer = memoryview(ask(repository, "cat-file", "--batch", given=asked).output)
    at = 0
    for entry in entries:
        head = f"{entry.id} blob {entry.size}\n".encode()
        if bytes(answer[at : at + len(head)]) != head:
            raise NotFound(f"{repository} lacks the content of {entry.name}.", "")
        at += len(head)
        yield entry, bytes(answer[at : at + entry.size])
        at += entry.size + 1
