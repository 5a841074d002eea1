"""Whether git had a content before a file had it: then git wrote the file.

git writes a file from an object that it has. What a person saves becomes an object afterwards, by
`git add`. So the times of the two tell who was first, however late they are looked at. (`git add`
gives an object that was there a new time; when it was made stays.) If `git gc` put the object into
a pack, or the times are too close, the dates of the commits that have it decide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from qi_learn.outside import git_blobs
from qi_learn.outside.file_birth import birth_ns
from qi_learn.workspace.files import FileContent

CLOSE_NS = 20_000_000
"""Two times that lie so close say nothing: clocks of files are coarse, and `git apply` makes the
object after the file.
"""


def first_in_git(top: Path, common: Path, blobs: Mapping[str, str], *, doubt: bool) -> set[str]:
    """Those of the files whose contents git had before, by file: the id of the content.

    `doubt`: what is said of those of which the times say nothing and git keeps no log. Raises
    NotFound if git does not answer.
    """
    found, asked = set(), {}
    for name, blob in blobs.items():
        written = written_ns(f"{top}/{name}")
        if written is None:
            continue
        first = _first(common, blob, written)
        if first or (first is None and doubt):
            found.add(name)
        elif first is None:
            asked[name] = written // 10**9
    if asked:
        before = git_blobs.blobs_before(top, sorted(asked), min(asked.values()))
        found |= {name for name in asked if blobs[name] in before.get(name, ())}
    return found


def made_before(
    top: Path, common: Path, contents: Mapping[str, FileContent], *, committed: set[str]
) -> set[str]:
    """Those of the files whose contents became an object of git's just before, and are in no pack.

    So are merged texts, also those that no commit and no index has. If the times are the same, it
    is not said of files that the person `committed`.
    """
    found = set()
    for name, content in contents.items():
        written = written_ns(f"{top}/{name}")
        if written is not None and content.raw is not None and not content.gone:
            latest = written - 1 if name in committed else written
            if any(added <= latest for added in _added(common, content.raw)):
                found.add(name)
    return found


def _added(common: Path, raw: bytes) -> list[int]:
    """When the objects that hold a content were made or last added, of those in no pack."""
    ids = [blob for kind in ("sha1", "sha256") for blob in git_blobs.blob_ids(raw, kind)]
    times = (_time(f"{common}/objects/{blob[:2]}/{blob[2:]}") for blob in ids)
    return [added for added in times if added is not None]


def written_ns(path: str) -> int | None:
    """When a file was written, at the latest; None if it is gone. A time can be set, not both."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return min(status.st_mtime_ns, status.st_ctime_ns)


def changed_ns(path: str) -> int:
    """When a file was changed or put in its place; 0 if there is none."""
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return 0


def _first(common: Path, blob: str, written: int) -> bool | None:
    """Whether the object was there when the file was written; None if its times do not say."""
    file = f"{common}/objects/{blob[:2]}/{blob[2:]}"
    added = _time(file)
    if added is None:
        return True if _newest(common / "objects" / "pack") < written else None
    if added < written:
        return True
    born = birth_ns(file)
    if born is not None and born < written - CLOSE_NS:
        return True
    return None if born is None or added - written < CLOSE_NS else False


def _newest(directory: Path) -> int:
    try:
        files: Iterable[os.DirEntry[str]] = tuple(os.scandir(directory))
    except OSError:
        return 0
    times = (birth_ns(file.path) or _time(file.path) or 0 for file in files)
    return max(times, default=0)


def _time(file: str) -> int | None:
    try:
        return os.stat(file).st_mtime_ns
    except OSError:
        return None
