"""The hooks that tell of commits, in the repositories of the projects.

A hook is ours if it is byte for byte one that a version of this program came with, or a link to it.
In a hook of the person's own the line goes that does nothing but call ours; if nothing is left but
the line that names the shell, the file goes. What names ours in any other way is told and left.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from qi_learn.commands.removal import Removal, Removals, rewrite, without_lines
from qi_learn.errors import QiError
from qi_learn.outside.git_hooks import hook_directories

KNOWN = frozenset(
    (
        "0bb7be3b2215b2522ab1791511a90c93cfd5a0783560f90b1e6ca0a047cd4086",
        "5861e0a4c4eb95574d9c8508ec2753396299d8c940d67fa79def63ae6b8015a8",
        "984bb4361d500711fc71f80d3edb01baa5dd64c97fe248a61ed12e65df729b37",
        "75d6482e5ee2121d0c12a1c426f97bf8c40b4f1d4fe2ba69e63851bf21e57dd1",
    )
)
"""sha256 of every `hooks/post-commit` that there was (a test holds the newest to the file)."""
NAME = "post-commit"
_CALLS = re.compile(
    rb"\s*(?:(?:\.|source|sh|bash|exec)\s+)?"
    rb"(\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|#\"']+)"
    rb"(?:\s+\"\$@\")?\s*(?:\|\|\s*(?:true|:)\s*)?(?:&\s*)?(?:#.*)?\r?\n?"
)
_OURS = re.compile(rb"qi[-_]learn.*/hooks/post-commit")
_EMPTY = re.compile(rb"\s*(?:#![^\n]*)?\s*")
"""A hook that does nothing, as the documentation's command begins one."""


def find_git_hooks(projects: Iterable[Path]) -> Removals:
    """The hooks of ours in the repositories of these projects."""
    found = Removals()
    seen: set[Path] = set()
    for project in projects:
        try:
            directories = hook_directories(project)
        except QiError as error:
            found += Removals(left=(f"Git hooks of {project} were not looked for: {error.what}",))
            continue
        for file in (directory / NAME for directory in directories if directory not in seen):
            found += _in_hook(file)
        seen.update(directories)
    return found


def _in_hook(file: Path) -> Removals:
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return Removals()
    except OSError as error:
        return Removals(left=(f"{file} cannot be read: {error.strerror}",))
    if is_ours(data):
        return Removals((Removal("git hook", str(file), partial(_unlink, file)),))
    if any(calls_ours(line) for line in data.splitlines(keepends=True)):
        what = f"the line of {file} that calls ours"
        return Removals((Removal("git hook", what, partial(_take, file)),))
    if b"qi-learn" in data or b"qi_learn" in data:
        return Removals(left=(f"{file} names qi-learn in a way of its own: look at it.",))
    return Removals()


def is_ours(data: bytes) -> bool:
    """Whether this is the hook as some version of the program came with it."""
    return hashlib.sha256(data).hexdigest() in KNOWN


def calls_ours(line: bytes) -> bool:
    """Whether a line does nothing but call our hook, wherever that lies."""
    match = _CALLS.fullmatch(line)
    if match is None:
        return False
    called = match[1].strip(b"\"'")
    if not called.endswith(b"/" + NAME.encode()):
        return False
    return _OURS.search(called) is not None or _is_our_file(called)


def _is_our_file(path: bytes) -> bool:
    try:
        return is_ours(Path(os.fsdecode(path)).read_bytes())
    except (OSError, ValueError):
        return False


def _unlink(file: Path) -> None:
    if file.exists() and is_ours(file.read_bytes()):
        file.unlink()


def _take(file: Path) -> None:
    if not file.exists():
        return
    rewrite(file, lambda data: without_lines(data, calls_ours))
    if _EMPTY.fullmatch(file.read_bytes()):
        file.unlink()
