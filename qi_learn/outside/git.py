"""What git knows of a directory: asked through the `git` command, and never changed.

Every call is one process, and none gets in the way of the person's own git (`git_call`). Paths are
relative to the directory asked about, even if that is only a part of the repository. A refusal of
git becomes NotFound, an absent git ToolMissing. "There is no repository", "no commit yet" and "no
such file there" are answers, not errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside.git_blobs import changed_blobs, read_blob
from qi_learn.outside.git_call import ask as _git
from qi_learn.outside.git_call import listing
from qi_learn.outside.git_call import names as _names
from qi_learn.outside.git_call import refused as _refused
from qi_learn.outside.git_loose import loose_message, loose_text

_MOVE = re.compile(
    r"(?P<old>[0-9a-f]{40,64}) (?P<new>[0-9a-f]{40,64}) "
    r".*?> (?P<ts>\d+) [+-]\d{4}(?:\t(?P<text>.*))?"
)
_WALKED = re.compile(r"([0-9a-f]{40,64})\0.*@\{(\d+)\}\0(.*)")
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{7,64})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HeadMove:
    """One line of the reflog of HEAD: where it was, where it went, and by what."""

    old: str
    """Empty if there was no commit before."""
    new: str
    ts: float
    """Unix seconds."""
    action: str
    """`commit`, `amend`, `merge`, `reset`, `revert`, `checkout`, `rebase`, `pull`, `cherry-pick`,
    `clone`, ...
    """
    subject: str
    concluded: bool = False
    """Whether git only committed what it had left to the person to finish: a conflict."""


def repository_of(directory: Path) -> Path | None:
    """The repository's own directory (that of this working tree), or None outside a repository.

    Raises NotFound if there is one and git refuses to open it: it belongs to another user, or what
    `.git` names is gone.
    """
    done = _git(directory, "rev-parse", "--absolute-git-dir", check=False)
    if done.exit_code == 0:
        return Path(_path(done.output))
    if "not a git repository (or any" in done.error_text:
        return None
    raise _refused(directory, done)


def common_directory(directory: Path) -> Path:
    """The directory that all working trees of the repository share. Raises NotFound."""
    done = _git(directory, "rev-parse", "--git-common-dir")
    return Path(directory, _path(done.output))


def linked_trees(common: Path) -> tuple[Path, ...]:
    """The working trees that are linked to a repository, by what it keeps of them.

    `common`: the directory that its working trees share.
    """
    found = []
    for note in sorted(common.glob("worktrees/*/gitdir")):
        try:
            found.append(Path(_path(note.read_bytes())).parent)
        except OSError:  # it was removed just now
            continue
    return tuple(found)


def _path(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape").removesuffix("\n")


def top(directory: Path) -> Path | None:
    """The top of the working tree, or None outside one."""
    done = _git(directory, "rev-parse", "--show-toplevel", check=False)
    return Path(_path(done.output)) if done.exit_code == 0 and done.text.strip() else None


def head(directory: Path) -> str | None:
    """The commit that is checked out; None if there is none (yet), or no repository."""
    return commit_named(directory, "HEAD")


def commit_named(directory: Path, name: str) -> str | None:
    """The commit that a name stands for, or None."""
    done = _git(directory, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False)
    return done.text.strip() if done.exit_code == 0 else None


def branch(directory: Path) -> str | None:
    """The branch that is checked out; None on a detached HEAD or outside a repository."""
    done = _git(directory, "symbolic-ref", "--quiet", "--short", "HEAD", check=False)
    return done.text.strip() if done.exit_code == 0 else None


def tracked(directory: Path, *, untracked: bool = False) -> tuple[str, ...]:
    """The files below `directory` that git tracks.

    With `untracked` also those that it would take (so not the ignored ones). Raises NotFound
    outside a repository.
    """
    more = ("--others", "--exclude-standard") if untracked else ()
    return _names(_git(directory, "ls-files", "-z", "--cached", *more))


def untracked(directory: Path) -> tuple[str, ...]:
    """The files below `directory` that git would take and does not track yet.

    A repository within this one is told as a directory. Raises NotFound outside a repository.
    """
    return _names(_git(directory, "ls-files", "-z", "--others", "--exclude-standard"))


def ignored(directory: Path, paths: Iterable[str]) -> set[str]:
    """Those of the paths that are not the repository's to look at.

    Either git ignores them, or it refuses to speak of them: they lie in another repository or
    beyond a link. One such path does not keep the others from their answer. Raises NotFound if the
    repository itself cannot be asked.
    """
    asked = list(paths)
    if not asked:
        return set()
    # a name that begins with a colon would be an instruction to git
    given = listing(f"./{path}" if path.startswith(":") else path for path in asked)
    done = _git(directory, "check-ignore", "-z", "--stdin", given=given, check=False)
    if done.exit_code in (0, 1):
        return {name.removeprefix("./") for name in _names(done)}
    _git(directory, "rev-parse", "--git-dir")
    if len(asked) == 1:
        return set(asked)
    half = len(asked) // 2
    return ignored(directory, asked[:half]) | ignored(directory, asked[half:])


def ignored_directories(directory: Path, *below: str) -> tuple[str, ...]:
    """The directories below `directory` that git ignores as a whole, whatever comes into them.

    One in which git ignores all that there is, each by itself, is none: git lists what is in it
    too. With `below`, only those that are or lie in one of these. Raises NotFound outside a
    repository.
    """
    options = ("-z", "--others", "--ignored", "--exclude-standard", "--directory")
    names = _names(_git(directory, "--literal-pathspecs", "ls-files", *options, "--", *below))
    looked_into = {name.rstrip("/").rpartition("/")[0] for name in names}
    found = (name.rstrip("/") for name in names if name.endswith("/"))
    return tuple(name for name in found if name not in looked_into)


def changed(directory: Path, old: str, new: str) -> tuple[str, ...]:
    """The files below `directory` in which two commits differ.

    A renamed file counts with both names. If `old` is empty, what `new` itself changed. Raises
    NotFound.
    """
    return tuple(changed_blobs(directory, old, new))


def text_at(directory: Path, commit: str, file: str) -> str | None:
    """The text of a file (relative to `directory`) in a commit.

    None if it is not there, or no UTF-8 text.
    """
    raw = loose_text(directory, commit, file)
    raw = read_blob(directory, f"{commit}:./{file}") if raw is None else raw
    try:
        return None if raw is None else raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def contains(directory: Path, commit: str, ancestor: str) -> bool:
    """Whether `ancestor` is part of the history of `commit`.

    Raises NotFound if one of them is unknown.
    """
    done = _git(directory, "merge-base", "--is-ancestor", ancestor, commit, check=False)
    if done.exit_code not in (0, 1):
        raise _refused(directory, done)
    return done.exit_code == 0


def commit_facts(directory: Path, commit: str) -> tuple[tuple[str, ...], float]:
    """The parents of a commit, and when it was made (Unix seconds). Raises NotFound."""
    done = _git(directory, "rev-list", "-1", "--no-walk", "--parents", "--timestamp", commit)
    made, _, *parents = done.text.split()
    return tuple(parents), float(made)


def message(directory: Path, commit: str) -> str:
    """The whole message of a commit. Raises NotFound if there is no such commit."""
    said = loose_message(directory, commit)
    asked = ("log", "-1", "--format=%B", commit)
    return _git(directory, *asked).text.strip() if said is None else said


def reverted_by(text: str) -> tuple[str, ...]:
    """The commits that a commit message takes back, by the sentence that `git revert` writes."""
    return tuple(_REVERTS.findall(text))


def parse_reflog(text: str) -> tuple[HeadMove, ...]:
    """The lines of `logs/HEAD`, oldest first, without lines of another form."""
    return tuple(_move(match) for line in text.split("\n") if (match := _MOVE.fullmatch(line)))


def log_of(directory: Path, reference: str, most: int) -> tuple[HeadMove, ...]:
    """The newest lines of a reference's log, oldest first, however git keeps it; none without one.

    It takes a process: a log that is a file is better read. Raises NotFound if git does not answer.
    """
    form = ("--format=%H%x00%gd%x00%gs", "--date=unix")
    asked = ("log", "--walk-reflogs", f"-{most + 1}", "--no-show-signature", *form)
    done = _git(directory, *asked, reference, "--", check=False)
    text = done.output.decode("utf-8", "surrogateescape")
    lines = [match.groups() for line in text.split("\n") if (match := _WALKED.fullmatch(line))]
    lines.reverse()
    before = ["", *(new for new, _, _ in lines)]
    moves = [
        _told(old, new, float(ts), told)
        for old, (new, ts, told) in zip(before, lines, strict=False)
    ]
    return tuple(moves[-most:])


def _move(match: re.Match[str]) -> HeadMove:
    old = "" if set(match["old"]) == {"0"} else match["old"]
    return _told(old, match["new"], float(match["ts"]), match["text"] or "")


def _told(old: str, new: str, ts: float, text: str) -> HeadMove:
    label, _, subject = text.partition(": ")
    action = label.split(" ")[0].rstrip(":") or "unknown"
    if label.startswith("commit (amend)"):
        action = "amend"
    elif label.startswith("commit (merge)"):
        action = "merge"
    concluded = label.startswith("commit (merge)") or label.endswith("(continue)")
    return HeadMove(old, new, ts, action, subject, concluded)
