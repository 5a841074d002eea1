"""What git knows of a directory: asked through the `git` command, never changed by us.

Every call is one process with `--no-optional-locks`, so that nothing we ask gets in the way of the
person's own git. Paths are relative to the directory asked about, also where that is only a part of
the repository. git's refusals become NotFound, an absent git becomes ToolMissing; "there is no
repository", "no commit yet" and "no such file there" are answers, not errors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside.process import Finished, run

TIMEOUT = 30.0
_MOVE = re.compile(
    r"(?P<old>[0-9a-f]{40,64}) (?P<new>[0-9a-f]{40,64}) .*?> (?P<ts>\d+) [+-]\d{4}(?:\t(?P<text>.*))?"
)
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{7,64})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HeadMove:
    """One line of the reflog of HEAD: where it was, where it went, and by what."""

    old: str
    """Empty where there was no commit before."""
    new: str
    ts: float
    action: str
    """`commit`, `amend`, `merge`, `reset`, `revert`, `checkout`, `rebase`, `pull`, `cherry-pick`,
    `clone`, ...
    """
    subject: str


def git_directory(place: Path) -> Path | None:
    """The repository's own directory (of this working tree), or None outside a repository."""
    done = _git(place, "rev-parse", "--absolute-git-dir", check=False)
    return Path(done.text.rstrip("\n")) if done.exit_code == 0 else None


def top(place: Path) -> Path | None:
    """The top of the working tree, or None outside one."""
    done = _git(place, "rev-parse", "--show-toplevel", check=False)
    return Path(done.text.rstrip("\n")) if done.exit_code == 0 and done.text.strip() else None


def head(place: Path) -> str | None:
    """The commit that is checked out; None where there is none (yet), or no repository."""
    done = _git(place, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", check=False)
    return done.text.strip() if done.exit_code == 0 else None


def branch(place: Path) -> str | None:
    """The branch that is checked out; None on a detached HEAD or outside a repository."""
    done = _git(place, "symbolic-ref", "--quiet", "--short", "HEAD", check=False)
    return done.text.strip() if done.exit_code == 0 else None


def tracked(place: Path, *, untracked: bool = False) -> tuple[str, ...]:
    """Files below `place` that git tracks; with `untracked` also those it would take (so not the
    ignored ones). Raises NotFound outside a repository.
    """
    more = ("--others", "--exclude-standard") if untracked else ()
    return _names(_git(place, "ls-files", "-z", "--cached", *more))


def ignored(place: Path, paths: Iterable[str]) -> set[str]:
    """Those of the paths that git ignores. Raises NotFound outside a repository."""
    wanted = list(paths)
    if not wanted:
        return set()
    done = _git(
        place, "check-ignore", "-z", "--stdin", given="".join(f"{p}\0" for p in wanted), check=False
    )
    if done.exit_code not in (0, 1):
        raise _refused(place, done)
    return set(_names(done))


def ignored_directories(place: Path) -> tuple[str, ...]:
    """Directories below `place` that git ignores as a whole.

    Raises NotFound outside a repository.
    """
    names = _names(
        _git(place, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    )
    return tuple(name.rstrip("/") for name in names if name.endswith("/"))


def changed(place: Path, old: str, new: str) -> tuple[str, ...]:
    """Files below `place` in which two commits differ (a renamed file counts with both names).

    `old` empty: what `new` itself changed. Raises NotFound.
    """
    commits = (old, new) if old else ("--root", "--no-commit-id", new)
    return _names(
        _git(place, "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--relative", *commits)
    )


def text_at(place: Path, commit: str, file: str) -> str | None:
    """The text of a file (relative to `place`) in a commit; None where it is not there or is no
    UTF-8 text.
    """
    done = _git(place, "cat-file", "blob", f"{commit}:./{file}", check=False)
    if done.exit_code != 0:
        return None
    try:
        return done.output.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def contains(place: Path, commit: str, ancestor: str) -> bool:
    """Whether `ancestor` is part of the history of `commit`.

    Raises NotFound where one of them is unknown.
    """
    done = _git(place, "merge-base", "--is-ancestor", ancestor, commit, check=False)
    if done.exit_code not in (0, 1):
        raise _refused(place, done)
    return done.exit_code == 0


def names_used(place: Path, names: Sequence[str], *, before: float) -> set[str] | None:
    """Those of the names that occur as whole words in the project's newest commit before `before`
    (Unix seconds); None where it has none. Raises NotFound.
    """
    commit = _git(
        place, "rev-list", "-1", f"--before={int(before)}", "HEAD", check=False
    ).text.strip()
    if not commit:
        return None
    wanted = [part for name in names for part in ("-e", name)]
    done = _git(
        place,
        "grep",
        "-I",
        "-h",
        "-o",
        "-w",
        "-F",
        "-m",
        "200",
        *wanted,
        commit,
        "--",
        ".",
        check=False,
    )
    return set(names) & set(done.text.split("\n"))


def message(place: Path, commit: str) -> str:
    """The whole message of a commit. Raises NotFound where there is no such commit."""
    return _git(place, "log", "-1", "--format=%B", commit).text.strip()


def reverted_by(text: str) -> tuple[str, ...]:
    """The commits that a commit message says it takes back (`git revert` writes that sentence)."""
    return tuple(_REVERTS.findall(text))


def parse_reflog(text: str) -> tuple[HeadMove, ...]:
    """The lines of `logs/HEAD`, oldest first; lines that are not of that form are left out."""
    return tuple(_move(found) for line in text.split("\n") if (found := _MOVE.fullmatch(line)))


def _move(found: re.Match[str]) -> HeadMove:
    label, _, subject = (found["text"] or "").partition(": ")
    word = label.split(" ")[0].rstrip(":") or "unknown"
    action = (
        "amend"
        if label.startswith("commit (amend)")
        else "merge"
        if label.startswith("commit (merge)")
        else word
    )
    old = "" if set(found["old"]) == {"0"} else found["old"]
    return HeadMove(old, found["new"], float(found["ts"]), action, subject)


# --- calling git ----------------------------------------------------------------------------------


def _git(place: Path, *arguments: str, given: str = "", check: bool = True) -> Finished:
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    env["LC_ALL"] = "C"  # its words are shown, not read, but they are shown next to ours
    done = run(
        ["git", "--no-optional-locks", *arguments],
        cwd=place,
        env=env,
        given=given.encode("utf-8", "surrogateescape"),
        timeout=TIMEOUT,
    )
    if done.timed_out or (check and done.exit_code != 0):
        raise _refused(place, done)
    return done


def _refused(place: Path, done: Finished) -> NotFound:
    said = (
        "it took too long" if done.timed_out else done.error_text or f"exit code {done.exit_code}"
    )
    return NotFound(
        f"git cannot answer in {place}: {said}",
        f"Try it yourself: git -C {place} {' '.join(done.argv[2:])}",
    )


def _names(done: Finished) -> tuple[str, ...]:
    names = done.output.decode("utf-8", "surrogateescape").split("\0")
    return tuple(dict.fromkeys(name for name in names if name))
