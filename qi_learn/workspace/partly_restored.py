"""Files into which git brought back some of the changes that the person had it show.

`git restore -p` makes a text that git has nowhere: of each place in which the file and git's index
differ it has the one or the other. If the file was also made anew, as git makes it, it may be
git's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import SequenceMatcher
from pathlib import Path

from qi_learn.outside import git_blobs
from qi_learn.workspace.files import FileContent
from qi_learn.workspace.object_age import may_be_gits

_MOST_FILES = 20
_MOST_LINES = 5000
"""Lines up to which two texts are compared."""


def partly_restored(
    top: Path, git_dir: Path, texts: Mapping[str, str], before: Callable[[str], str | None]
) -> set[str]:
    """Those of the files that `git restore -p` may have written, by the texts that they have now.

    `before`: tells what a file had. Of many files it is said of none: a person goes through them by
    hand. Raises NotFound if git does not answer.
    """
    maybe = [name for name, text in texts.items() if text and may_be_gits(f"{top}/{name}", git_dir)]
    found = set()
    indexed = git_blobs.index_blobs(top, maybe) if len(maybe) <= _MOST_FILES else {}
    for name, blob in indexed.items():
        raw, had = git_blobs.read_blob(top, blob), before(name)
        other = None if raw is None else FileContent(raw).text
        if had and other and texts[name] != other and is_between(texts[name], had, other):
            found.add(name)
    return found


def is_between(text: str, one: str, other: str) -> bool:
    """Whether a text has the one or the other of each place in which two texts differ."""
    lines, first, second = (each.splitlines(True) for each in (text, one, other))
    if max(len(lines), len(first), len(second)) > _MOST_LINES:
        return False
    ends = {0}
    for _, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        parts = (first[a:b], second[c:d])
        ends = {at + len(p) for at in ends for p in parts if lines[at : at + len(p)] == p}
    return len(lines) in ends
