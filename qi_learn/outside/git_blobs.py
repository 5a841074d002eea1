"""What files hold according to git, by the ids of their contents.

Comparing ids costs one process for any number of files. A file's own id is computed here, with the
algorithm of the repository. Paths are relative to the directory asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside.git_call import ask, listing, names
from qi_learn.outside.git_loose import loose_blob

_GITLINK = "160000"
_FEW = 100
"""Paths up to which a tree is searched for each; for more of them it is listed whole."""


MOST_ASKED_BACK = 100
"""Files, and commits, up to which the past is asked what was in them."""


def changed_blobs(directory: Path, old: str, new: str) -> dict[str, str | None]:
    """The files in which two commits differ, with the id of the content in `new`.

    The id is None for a file that is gone. If `old` is empty, what `new` itself changed. Other
    repositories within this one are no files. Raises NotFound.
    """
    commits = (old, new) if old else ("--root", "--no-commit-id", new)
    options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--relative")
    answer = ask(directory, "diff-tree", *options, *commits).output
    fields = answer.decode("utf-8", "surrogateescape").split("\0")
    found: dict[str, str | None] = {}
    for head, file in zip(fields[::2], fields[1::2], strict=False):
        old_mode, mode, _, blob, _ = head.lstrip(":").split(" ")
        if _GITLINK not in (old_mode, mode):
            found[file] = blob if blob.strip("0") else None
    return found


def renamed(directory: Path, old: str, new: str) -> dict[str, str]:
    """The files that have another name in `new` than in `old`, by their names in `old`.

    As git judges it, by what they hold. Raises NotFound.
    """
    options = ("-r", "-z", "--name-status", "--find-renames", "--diff-filter=R", "--relative")
    fields = ask(directory, "diff-tree", *options, old, new).output.decode(
        "utf-8", "surrogateescape"
    )
    parts = fields.split("\0")
    return dict(zip(parts[1::3], parts[2::3], strict=False))


def tree_blobs(directory: Path, commit: str, paths: Sequence[str] | None = None) -> dict[str, str]:
    """The ids of the contents of the files in a commit or tree: of all, or of those in `paths`.

    A path that is a directory stands for the files below it. Raises NotFound.
    """
    few = paths is not None and len(paths) <= _FEW
    if paths is not None and not paths:
        return {}
    asked = tuple(paths or ()) if few else ()
    # names as they are: one that begins with `:!` would be an instruction to git
    answer = ask(directory, "--literal-pathspecs", "ls-tree", "-r", "-z", commit, "--", *asked)
    found = _listed(answer.output)
    if few or paths is None:
        return found
    held = set(paths)
    return {file: blob for file, blob in found.items() if _is_held(file, held)}


def _is_held(file: str, held: set[str]) -> bool:
    """Whether a file, or a directory above it, is among the paths."""
    while file:
        if file in held:
            return True
        file = file.rpartition("/")[0]
    return False


def index_blobs(directory: Path, paths: Sequence[str]) -> dict[str, str]:
    """The ids of the contents of the files in git's index, without files in conflict.

    Raises NotFound.
    """
    if not paths:
        return {}
    asked = paths if len(paths) <= _FEW else ()
    answer = ask(directory, "--literal-pathspecs", "ls-files", "-z", "--stage", "--", *asked).output
    return _listed(answer)


def _listed(answer: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in answer.decode("utf-8", "surrogateescape").split("\0"):
        head, _, file = entry.partition("\t")
        fields = head.split(" ")
        if len(fields) != 3 or fields[0] == _GITLINK:
            continue
        # `mode blob id` of a tree, `mode id stage` of the index
        if fields[1] == "blob":
            found[file] = fields[2]
        elif fields[2] == "0":
            found[file] = fields[1]
    return found


def unlike_index(directory: Path, paths: Sequence[str] = ()) -> tuple[str, ...]:
    """The files that are not as git's index has them, judged by size and time.

    Of all, or of those in `paths`. Raises NotFound.
    """
    asked = paths if len(paths) <= _FEW else ()
    options = ("-z", "--name-only", "--relative", "--")
    return names(ask(directory, "--literal-pathspecs", "diff-files", *options, *asked))


def blobs_before(directory: Path, paths: Sequence[str], second: int) -> dict[str, set[str]]:
    """What files held around the newest commits that changed them before a second (Unix time).

    By file, the ids of contents. Of `MOST_ASKED_BACK` files and as many commits. Raises NotFound.
    """
    if not paths:
        return {}
    most, asked = f"-{MOST_ASKED_BACK}", paths[:MOST_ASKED_BACK]
    form = ("-z", "--raw", "--no-abbrev", "--no-renames", "-m", "--relative", "--format=")
    options = ("--all", most, f"--before={second - 1}", *form)
    answer = ask(directory, "--literal-pathspecs", "log", *options, "--", *asked).output
    fields = [f.strip("\n") for f in answer.decode("utf-8", "surrogateescape").split("\0")]
    found: dict[str, set[str]] = {}
    for head, file in pairwise(fields):
        if head.startswith(":") and len(ids := head.split(" ")[2:4]) == 2:
            found.setdefault(file, set()).update(ids)
    return found


def unlike_commit(directory: Path, commit: str) -> tuple[str, ...]:
    """The files that git's index has otherwise than a commit. Raises NotFound."""
    done = ask(directory, "diff-index", "--cached", "-z", "--name-only", "--relative", commit)
    return names(done)


def filtered(directory: Path, paths: Iterable[str]) -> set[str]:
    """Those of the paths that a filter of git's attributes writes otherwise than git keeps them.

    Raises NotFound.
    """
    wanted = ("filter", "ident", "working-tree-encoding")
    given = listing(paths)
    if not given:
        return set()
    answer = ask(directory, "check-attr", "-z", "--stdin", *wanted, given=given).output
    fields = answer.decode("utf-8", "surrogateescape").split("\0")
    triples = zip(fields[::3], fields[2::3], strict=False)
    return {file for file, value in triples if value not in ("unspecified", "unset")}


def held(directory: Path, blobs: Iterable[str]) -> set[str]:
    """Those of the ids of contents that the repository has; none if git cannot say."""
    asked = "".join(f"{blob}\n" for blob in blobs).encode()
    done = ask(directory, "cat-file", "--batch-check", given=asked, check=False)
    answers = (line.split(" ") for line in done.text.splitlines())
    return {answer[0] for answer in answers if answer[1:2] == ["blob"]}


def named(directory: Path, references: Sequence[str]) -> set[str]:
    """Those of the names that name something in the repository; none if git cannot say."""
    asked = "".join(f"{name}\n" for name in references).encode()
    done = ask(directory, "cat-file", "--batch-check", given=asked, check=False)
    answers = zip(references, done.text.splitlines(), strict=False)
    return {name for name, answer in answers if not answer.endswith(" missing")}


def read_blob(directory: Path, blob: str) -> bytes | None:
    """The content with an id; None if the repository does not have it."""
    if (raw := loose_blob(directory, blob)) is not None:
        return raw
    try:
        done = ask(directory, "cat-file", "blob", blob, check=False)
    except NotFound:
        return None
    return done.output if done.exit_code == 0 else None


def blob_ids(raw: bytes, algorithm: str) -> tuple[str, ...]:
    """The ids under which git may keep a file's content: as it is, and with `\\n` at line ends."""
    texts = (raw,) if b"\r\n" not in raw else (raw, raw.replace(b"\r\n", b"\n"))
    return tuple(_id(text, algorithm) for text in texts)


def _id(raw: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()
