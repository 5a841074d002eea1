"""The saves that went into a stash before they were read.

`git stash` takes the file back at once, and `git stash pop` writes it anew, so that the file itself
says that git wrote it. But what git had before the stash was an object before, and what a person
saved became one by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qi_learn.errors import NotFound
from qi_learn.outside import git_blobs
from qi_learn.outside.git_stashes import LooseStash, made_by
from qi_learn.workspace.file_history import Blob
from qi_learn.workspace.files import in_conflict
from qi_learn.workspace.partly_restored import is_between
from qi_learn.workspace.repository_state import RepositoryState

MOST_FILES = 50
"""Files of a stash that are asked for."""


@dataclass(frozen=True, slots=True)
class PutAway:
    """A save that is in a stash."""

    name: str
    text: str
    ts: float
    """When git took it up."""


def put_away(
    repository: RepositoryState,
    stash: LooseStash,
    held: Mapping[str, str],
    before: Callable[[str], str | None],
) -> list[PutAway]:
    """The saves in a stash, of the files that it holds, by the ids of their contents.

    `before`: tells what a file had. What is put together from that and what git's index had is no
    save: `git stash -p` takes some of the changes, `git restore -p` brings some back.
    """
    common, saves = repository.common, []
    made = {n: at for n, blob in held.items() if (at := made_by(common, stash, blob)) is not None}
    names = sorted(made)[:MOST_FILES]
    try:
        index = git_blobs.tree_blobs(repository.top, stash.index, names)
    except NotFound:  # it was cleaned away
        return []
    for name in names:
        text = Blob(repository.top, held[name]).text()
        had = before(name)
        if text is None or text == had or in_conflict(text.encode()):
            continue
        indexed = Blob(repository.top, index[name]).text() if name in index else None
        if had and indexed and is_between(text, had, indexed):
            continue
        saves.append(PutAway(name, text, made[name] / 1e9))
    return saves
