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
LAST_OF_SECOND = 0.999
"""The last moment of a second of git's log."""
MADE_NS = 1_000_000_000
"""The longest that git takes from making a file to having written it, also under load."""


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


def made_after(top: Path, common: Path, blobs: Mapping[str, str], *, solved: set[str]) -> set[str]:
    """Those of the files whose contents became objects of git's only after they were written.

    So they were added by the person. If the times are the same, it is said of files that were in
    conflict (`solved`): git had no such text of them. It is not said of what lies in a pack.
    """
    found = set()
    for name, blob in blobs.items():
        written, file = written_ns(f"{top}/{name}"), f"{common}/objects/{blob[:2]}/{blob[2:]}"
        added = _time(file)
        if written is not None and added is not None:
            made = min(added, birth_ns(file) or added)
            if made > written or (made == written and name in solved):
                found.add(name)
    return found


def _added(common: Path, raw: bytes) -> list[int]:
    """When the objects that hold a content were made or last added, of those in no pack."""
    ids = [blob for kind in ("sha1", "sha256") for blob in git_blobs.blob_ids(raw, kind)]
    times = (_time(f"{common}/objects/{blob[:2]}/{blob[2:]}") for blob in ids)
    return [added for added in times if added is not None]


def put_back(
    top: Path,
    git_dir: Path,
    common: Path,
    contents: Mapping[str, FileContent],
    *,
    like: str,
    filters: bool,
) -> set[str]:
    """Those of the files that git may have brought back as it had them, and told nobody.

    `git restore --source` takes git's lock and leaves the index as it was. So what it wrote was
    made anew, the lock was let go since, and the content was an object before. `like`: an id of the
    repository's kind. `filters`: whether there may be files that git keeps otherwise than it writes
    them. Of those it cannot be told what the object is without running the person's filter, so each
    may be git's.
    """
    maybe = {
        name: content.raw
        for name, content in contents.items()
        if content.raw is not None and not content.gone and may_be_gits(f"{top}/{name}", git_dir)
    }
    if not maybe:
        return set()
    odd = git_blobs.filtered(top, maybe) if filters else set()
    maybe = {name: raw for name, raw in maybe.items() if name not in odd}
    kind = "sha256" if len(like) == 64 else "sha1"
    ids = {name: git_blobs.blob_ids(raw, kind) for name, raw in maybe.items()}
    held = git_blobs.held(top, {blob for each in ids.values() for blob in each})
    blobs = {name: blob for name, each in ids.items() for blob in each if blob in held}
    return odd | first_in_git(top, common, blobs, doubt=False)


def taken_up(common: Path, blob: str | None, second: float) -> float:
    """When git took up a content, by `git add` or in the second in which it was committed.

    The log of HEAD has whole seconds. The end of that second if the object does not tell, as what
    was asked for within it came before.
    """
    latest = second + LAST_OF_SECOND
    added = None if blob is None else _time(f"{common}/objects/{blob[:2]}/{blob[2:]}")
    return latest if added is None else min(added / 1e9, latest)


def may_be_gits(path: str, git_dir: Path) -> bool:
    """Whether a file was made anew, and not in a repository that nothing was done in since."""
    written, let_go = written_ns(path), _time(str(git_dir))
    if written is None or let_go is None or let_go < written:
        return False
    return not is_written_into(path)


def is_written_into(path: str) -> bool:
    """Whether a file was there for a while when it was written: git makes it anew each time.

    Many editors write into it. False if the system does not tell when it was made.
    """
    written, born = written_ns(path), birth_ns(path)
    return written is not None and born is not None and written - born >= MADE_NS


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
