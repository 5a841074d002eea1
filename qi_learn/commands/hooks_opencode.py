"""The plug-in for OpenCode: a file of ours in its directory of plug-ins.

The invariant: a file is ours if it begins as ours does, whichever version wrote it. One of the
person's under that name is left and told. OpenCode loads every file there when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from qi_learn.commands.removal import Removal, Removals, rewrite
from qi_learn.errors import NotFound
from qi_learn.paths import user_config

SCRIPT = "qi-learn.opencode.js"
FILE = "qi-learn.js"
_BEGINS = b"// qi-learn plug-in for OpenCode"


def opencode_plugin(home: Path, environment: Mapping[str, str]) -> Path:
    """Where the plug-in is, or would be: `plugin` is read by every version, `plugins` by newer."""
    return next(_places(home, environment, there=True), _first(home, environment))


def has_opencode_plugin(file: Path) -> bool:
    """Whether the plug-in is there. Raises OSError if its file cannot be read."""
    return file.is_file() and file.read_bytes().startswith(_BEGINS)


def install_opencode_plugin(file: Path, script: Path) -> bool:
    """Put the plug-in there, or the newer one in its place; False if it is there.

    Raises NotFound if another's file has its name, OSError if it cannot be written.
    """
    data = script.read_bytes()
    if file.exists():
        if not has_opencode_plugin(file):
            raise NotFound(f"{file} is a plug-in of your own.", "Give it another name.")
        same = file.read_bytes() == data
        rewrite(file, lambda _: data)
        return not same
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return True


def uninstall_opencode_plugin(home: Path, environment: Mapping[str, str]) -> bool:
    """Take the plug-in away from wherever it is; False if it is nowhere. Raises OSError."""
    found = list(_places(home, environment, there=True))
    for file in found:
        _unlink(file)
    return bool(found)


def find_opencode_plugin(home: Path, environment: Mapping[str, str]) -> Removals:
    """The plug-in in every directory that OpenCode reads."""
    files = dict.fromkeys((*_places(home, environment, there=True), *_places(home, {}, there=True)))
    return Removals(tuple(Removal("hook", str(file), partial(_unlink, file)) for file in files))


def _places(home: Path, environment: Mapping[str, str], *, there: bool) -> Iterator[Path]:
    for directory in _directories(home, environment):
        for name in ("plugin", "plugins"):
            file = directory / name / FILE
            if not there or _is_ours(file):
                yield file


def _first(home: Path, environment: Mapping[str, str]) -> Path:
    return next(_places(home, environment, there=False))


def _directories(home: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    yield user_config(home, environment) / "opencode"
    if chosen := environment.get("OPENCODE_CONFIG_DIR"):
        yield Path(chosen)


def _is_ours(file: Path) -> bool:
    try:
        return has_opencode_plugin(file)
    except OSError:
        return False


def _unlink(file: Path) -> None:
    """Delete it, and the directory if it was made for it."""
    file.unlink(missing_ok=True)
    made = file.parent
    if made.name == "plugin" and made.is_dir() and not any(made.iterdir()):
        made.rmdir()
