"""The files of a home: all that `paths.py` names, and what is made beside them.

Only names that this program gives go, because a home may be put into a directory that holds other
things too; what else lies there is told and left. What tells the rest of the program's traces (the
journal of versions, the list of projects) goes last, so that an uninstallation that was killed can
be run again.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from qi_learn.codec import read_object
from qi_learn.commands.removal import Removal, Removals
from qi_learn.deploy.model_server import ollama_store
from qi_learn.paths import Paths

BESIDE = (
    *("qi-learn.db*", "deploy.lock", "switch.lock", "redaction.key", "redaction-rules"),
    *(".*.tmp", "run", "restoring.json", "backups.json", "qi-learn.vsix"),
)
"""What has no property in `paths.Paths`."""
_STAYS = re.compile(r" is (?:not of qi-learn|a backup that you made)\.\Z")
TEMPORARY = "qi-learn-*"
TEMPORARY_SECONDS = 86400.0
"""A temporary directory that is older belongs to nothing that runs."""


def find_files(paths: Paths, env: Mapping[str, str]) -> Removals:
    """Everything of ours in the directories of the home, and what else lies in them."""
    going, left = [], []
    backups, told = _backups(paths)
    for root in _roots(paths, env):
        for entry in sorted(root.iterdir(), key=lambda entry: _goes_last(paths, entry)):
            if is_ours(paths, entry):
                if entry.is_symlink():
                    left.append(f"{entry} is a link; what it leads to stays: {entry.resolve()}")
                what = f"{entry} ({_size_text(_size(entry))})"
                going.append(Removal("files", what, partial(_remove, entry)))
            elif Path(os.path.realpath(entry)) not in backups:
                left.append(f"{entry} is not of qi-learn.")
    left += [f"{file} is a backup that you made." for file in backups]
    going.sort(key=lambda removal: removal.what.startswith(f"{paths.data}{os.sep}"))
    ends = [
        Removal("files", str(root), partial(_remove_empty, root))
        for root in (*_roots(paths, env), *_common_root(paths, env))
        if not any(
            entry.startswith(f"{root}{os.sep}") and _STAYS.search(entry) is not None
            for entry in left
        )
    ]
    return Removals((*_temporary(), *going, *ends), (*left, *told))


def _backups(paths: Paths) -> tuple[list[Path], list[str]]:
    """The backups that were made of this home and are still there: the person's own files.

    Each once, by its real path; and what is to be told if they are not known.
    """
    try:
        made = read_object(paths.data / "backups.json").get("backups") or ()
        files = [Path(os.path.realpath(str(each["file"]))) for each in made]
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        told = f"{paths.data / 'backups.json'} cannot be read: look for backups that you made."
        return [], [told]
    return [file for file in dict.fromkeys(files) if file.exists()], []


def find_runtime(paths: Paths, env: Mapping[str, str]) -> Removals:
    """Only what is of this boot: sockets and marks."""
    found = [root for root in _roots(paths, env) if root not in (paths.config, paths.data)]
    return Removals(
        tuple(
            Removal("files", str(root), partial(_remove, root))
            for root in found
            if root != paths.state
        )
    )


def is_ours(paths: Paths, entry: Path) -> bool:
    """Whether a file or directory of a home has a name that this program gives."""
    known = {getattr(paths, name) for name, value in vars(Paths).items() if _is_file(value)}
    if entry in known:
        return True
    name = entry.name
    temps = (f".{each.name}.*" for each in known if each.parent == entry.parent)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in (*BESIDE, *temps))


def _is_file(value: object) -> bool:
    return isinstance(value, property)


def _roots(paths: Paths, env: Mapping[str, str]) -> tuple[Path, ...]:
    """The directories of the home that are there, the data last."""
    roots = [paths.runtime, paths.state, paths.config, paths.data]
    if not env.get("QI_LEARN_HOME") and not env.get("XDG_RUNTIME_DIR"):
        roots.insert(0, Path(f"/run/user/{os.geteuid()}/qi-learn"))
    return tuple(root for root in dict.fromkeys(roots) if root.is_dir())


def _common_root(paths: Paths, env: Mapping[str, str]) -> tuple[Path, ...]:
    """The one directory below which all of a home lies, if it is such a home."""
    if not env.get("QI_LEARN_HOME"):
        return ()
    root = paths.data.parent
    named = {paths.config, paths.data, paths.state, paths.runtime}
    return (root,) if root.is_dir() and named >= set(root.iterdir()) else ()


def _goes_last(paths: Paths, entry: Path) -> tuple[int, str]:
    last = (paths.database, paths.projects, paths.deploy)
    return last.index(entry) + 1 if entry in last else 0, entry.name


def _temporary() -> Iterator[Removal]:
    """Temporary directories that a command left behind that was killed; the alias's own file."""
    old = time.time() - TEMPORARY_SECONDS
    for entry in sorted(Path(tempfile.gettempdir()).glob(TEMPORARY)):
        try:
            status = entry.lstat()
        except FileNotFoundError:
            continue
        if status.st_uid == os.geteuid() and entry.is_dir() and status.st_mtime < old:
            yield Removal("files", str(entry), partial(_remove, entry))
    store = ollama_store()
    if store is not None and (left := store / ".qi-learn-alias.tmp").exists():
        yield Removal("files", str(left), partial(_remove, left))


def _remove(entry: Path) -> None:
    """Delete a file, or a directory with all it holds; of a link, the link alone."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def _remove_empty(root: Path) -> None:
    """Delete a directory of the home that is empty by now; of a link, what it leads to as well.

    The daemon's lock is held meanwhile, and there may have been none before.
    """
    (root / "daemon.lock").unlink(missing_ok=True)
    if not root.is_dir() or any(root.iterdir()):
        return
    real = root.resolve()
    if root.is_symlink():
        root.unlink()
    real.rmdir()


def _size(entry: Path) -> int:
    if not entry.is_dir():
        return entry.lstat().st_size
    return sum(
        (Path(place) / name).lstat().st_size
        for place, _, names in os.walk(entry)
        for name in names
        if (Path(place) / name).exists()
    )


def _size_text(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
