"""Which files of a project are looked at, and how its directories are watched.

What is ignored is not watched.

Left out are what git ignores, version control itself, dependencies and caches by their names,
editors' own files, files with names that tell of secrets, links, binary files, and files over
`MAX_BYTES`. A directory tree with nothing to leave out is one recursive watch. If something is left
out of it (`.git`, `node_modules`), the directories above that are watched one by one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from qi_learn.outside import git

MAX_BYTES = 1_000_000
MAX_UNITS = 64
"""The most watches of a project. Each costs a thread: one that needs more is watched as a tree."""
SKIPPED_DIRECTORIES = {
    *(".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".idea", ".aws", ".ssh", ".gnupg", "secrets"),
}
EDITORS_OWN = (
    *("*~", "*.swp", "*.swo", "*.swx", "*.tmp", "*.bak", "*.orig", "*.rej", ".#*", "#*#"),
    *("*___jb_???___", "4913"),
)
SECRETS = (
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.tfstate", ".npmrc", ".netrc"),
    *(".pypirc", "id_rsa*", "id_ed25519*", "id_ecdsa*", "credentials*"),
)


@dataclass(frozen=True, slots=True)
class Unit:
    """One watch: a directory, with everything below it or alone."""

    directory: Path
    recursive: bool


def plain_name(relative: Path) -> bool:
    """Whether a file may be looked at, judged by its name."""
    if SKIPPED_DIRECTORIES & set(relative.parts[:-1]):
        return False
    return not any(fnmatch(relative.name, pattern) for pattern in (*EDITORS_OWN, *SECRETS))


def read_text(path: Path) -> str | None:
    """The file's text with `\\n` at the ends of its lines.

    "" if there is no such file, None if it is not a text of a reasonable size.
    """
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return None
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError:
        return None  # not readable by us, so not ours to look at
    if len(raw) > MAX_BYTES or b"\0" in raw:
        return None
    try:
        return raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def project_files(root: Path, *, in_git: bool) -> Iterator[Path]:
    """The files below `root` that are looked at, judged by their names and by git."""
    if in_git:
        names = git.tracked(root, untracked=True)
        yield from (root / name for name in names if plain_name(Path(name)))
        return
    for directory, below, files in os.walk(root):
        below[:] = sorted(d for d in below if d not in SKIPPED_DIRECTORIES)
        for name in sorted(files):
            path = Path(directory, name)
            if plain_name(path.relative_to(root)):
                yield path


def units(root: Path, *, left_out: set[Path]) -> list[Unit]:
    """The watches for the tree below `root`.

    Without the directories in `left_out` and those left out by name.
    """
    watches, _ = _units(root, left_out)
    return watches if len(watches) <= MAX_UNITS else [Unit(root, recursive=True)]


def _units(directory: Path, left_out: set[Path]) -> tuple[list[Unit], bool]:
    """Watches for a tree, and whether it is whole, so that they are one recursive watch."""
    whole, below = True, []
    for child in directories_in(directory):
        if child in left_out or child.name in SKIPPED_DIRECTORIES:
            whole = False
            continue
        inner, inner_whole = _units(child, left_out)
        below += inner
        whole = whole and inner_whole
    if whole:
        return [Unit(directory, recursive=True)], True
    return [Unit(directory, recursive=False), *below], False


def directories_in(directory: Path) -> list[Path]:
    """The directories, not links to them, directly in `directory`.

    There are none if it is gone or closed to us.
    """
    with suppress(OSError), os.scandir(directory) as entries:
        return sorted(Path(e.path) for e in entries if e.is_dir(follow_symlinks=False))
    return []


def count_directories(unit: Unit) -> int:
    """How many directories a watch has to cover."""
    return sum(1 for _ in os.walk(unit.directory)) if unit.recursive else 1
