"""`qi-learn hooks`: put hooks where shells, git, editors and agents read them, and take them away.

The invariant: taking away undoes putting there, byte for byte, whatever else the file says; and
doing either twice does it once. What has to be known for that stands in the line itself: whether
the file is new, and whether it had no end of line before.

Not covered: a hook of git's in a directory that `core.hooksPath` names, which others may share, and
one that is no script of a shell. Those are told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import qi_learn
from qi_learn.commands import hooks_claude, hooks_editors, hooks_opencode
from qi_learn.commands.removal import rewrite
from qi_learn.commands.uninstall_git import NAME as GIT_HOOK
from qi_learn.commands.uninstall_git import calls_ours, is_ours
from qi_learn.commands.uninstall_shell import (
    NEW_FILE,
    NO_END,
    loads_ours,
    shell_files,
    take_line,
)
from qi_learn.errors import NotFound, QiError
from qi_learn.outside.git_hooks import own_hook_directory
from qi_learn.paths import user_config

SHELLS = ("bash", "zsh", "fish")
AGENTS = ("claude", "opencode")
HOOKS = (*SHELLS, "git", *hooks_editors.EDITORS, *AGENTS)
_SCRIPTS = {
    "git": GIT_HOOK,
    "claude": hooks_claude.SCRIPT,
    "opencode": hooks_opencode.SCRIPT,
    **hooks_editors.SCRIPTS,
}
_PLAIN = re.compile(r"[\w/.@+,=-]+", re.ASCII)
_SHELL_SCRIPT = re.compile(rb"#![^\n]*\b(?:ba|da|z)?sh\b[^\n]*\n")
_ADDED = b"# qi-learn hooks"


@dataclass(frozen=True, slots=True)
class HookState:
    """A hook, and whether it is there."""

    name: str
    script: str
    """The file of ours that it is."""
    file: str
    """Where it is loaded from, or would be; for git empty outside a repository."""
    installed: bool


@dataclass(frozen=True, slots=True)
class HookPlaces:
    """Where hooks go."""

    home: Path
    environment: Mapping[str, str]
    repository: Path
    """The directory whose repository is meant."""


def hook_states(places: HookPlaces) -> Iterator[HookState]:
    """All hooks. Raises nothing for git: outside a repository there is none."""
    for name in HOOKS:
        try:
            yield hook_state(name, places)
        except QiError:
            yield HookState(name, str(script_of(name)), "", installed=False)


def hook_state(name: str, places: HookPlaces) -> HookState:
    """One hook. Raises NotFound if git has no place for it, OSError if its file cannot be read."""
    if name == "git":
        file = _git_file(places)
        data = file.read_bytes() if file.is_file() else b""
        there = is_ours(data) or any(map(calls_ours, data.splitlines(keepends=True)))
        return HookState(name, str(script_of(name)), str(file), there)
    if name in hooks_editors.EDITORS:
        where = places.home, places.environment
        file = hooks_editors.editor_file(name, *where)
        there = hooks_editors.has_editor_hook(name, *where)
        return HookState(name, str(script_of(name)), str(file), there)
    if name in AGENTS:
        file = _agent_file(name, places)
        there = _AGENT_HAS[name](file)
        return HookState(name, str(script_of(name)), str(file), there)
    loading = _loading(name, places)
    file = loading[0] if loading else _file_of(name, places)
    return HookState(name, str(script_of(name)), str(file), bool(loading))


def script_of(name: str) -> Path:
    """The hook's file: in the installed package, or beside it in a checkout."""
    package = Path(qi_learn.__file__).parent
    inside = package / "hooks"
    directory = inside if inside.is_dir() else package.parent / "hooks"
    return directory / _SCRIPTS.get(name, f"qi-learn.{name}")


def install(name: str, places: HookPlaces) -> bool:
    """Put a hook there; False if it is there already.

    Raises NotFound if it has no place, QiError if VS Code refuses it, OSError if its file cannot be
    written.
    """
    if name in hooks_editors.EDITORS:
        script = script_of(name)
        return hooks_editors.install_editor_hook(name, script, places.home, places.environment)
    if name in AGENTS:
        return _AGENT_INSTALL[name](_agent_file(name, places), script_of(name))
    if hook_state(name, places).installed:
        return False
    file = _git_file(places) if name == "git" else _file_of(name, places)
    if os.path.lexists(file) and not file.is_file():  # what is made there could not be taken away
        raise NotFound(f"{file} is no file, or a link to nothing.", "Put a file there, or nothing.")
    if name == "git":
        _install_git(file)
    else:
        _install_line(file, name)
    return True


def uninstall(name: str, places: HookPlaces) -> bool:
    """Take a hook away, from every file that loads it; False if it is not there.

    Raises NotFound if git has no place for it, OSError if its file cannot be written.
    """
    if name == "git":
        return _uninstall_git(_git_file(places))
    if name in hooks_editors.EDITORS:
        return hooks_editors.uninstall_editor_hook(name, places.home, places.environment)
    if name == "claude":
        return hooks_claude.uninstall_claude_hook(_agent_file(name, places))
    if name == "opencode":
        return hooks_opencode.uninstall_opencode_plugin(places.home, places.environment)
    loading = _loading(name, places)
    for file in loading:
        for line in set(_lines_of(name, file.read_bytes())):
            take_line(file, line)
    return bool(loading)


# --- shells ---------------------------------------------------------------------------------------


def _file_of(name: str, places: HookPlaces) -> Path:
    home, environment = places.home, places.environment
    if name == "fish":
        return user_config(home, environment) / "fish" / "config.fish"
    return (
        Path(environment.get("ZDOTDIR") or home) / ".zshrc" if name == "zsh" else home / ".bashrc"
    )


def _loading(name: str, places: HookPlaces) -> list[Path]:
    """The files of the shells that load a hook."""
    return [
        file
        for file in shell_files(places.home, places.environment)
        if any(_lines_of(name, file.read_bytes()))
    ]


def _lines_of(name: str, data: bytes) -> Iterator[bytes]:
    ending = f"qi-learn.{name}".encode()
    return (line for line in data.splitlines(keepends=True) if loads_ours(line) and ending in line)


def _install_line(file: Path, name: str) -> None:
    script = os.fspath(script_of(name))
    plain = _PLAIN.fullmatch(script) is not None
    word = script if plain else re.sub(r"([^\w/.@+,=-])", r"\\\1", script, flags=re.ASCII)
    load = f"source {word}" if name == "fish" else f". {word}"
    test = f"test -f {word}; and " if name == "fish" else f"[ -f {word} ] && "
    line = os.fsencode((test if plain else "") + load)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(line + b"  " + NEW_FILE + b"\n")
        return
    before = file.read_bytes()
    ended = not before or before.endswith(b"\n")
    note = _ADDED if ended else NO_END
    added = (b"" if ended else b"\n") + line + b"  " + note + b"\n"
    rewrite(file, lambda data: data + added)


# --- agents ---------------------------------------------------------------------------------------

_AGENT_HAS = {
    "claude": hooks_claude.has_claude_hook,
    "opencode": hooks_opencode.has_opencode_plugin,
}
_AGENT_INSTALL = {
    "claude": hooks_claude.install_claude_hook,
    "opencode": hooks_opencode.install_opencode_plugin,
}


def _agent_file(name: str, places: HookPlaces) -> Path:
    if name == "claude":
        return hooks_claude.claude_settings(places.home, places.environment)
    return hooks_opencode.opencode_plugin(places.home, places.environment)


# --- git ------------------------------------------------------------------------------------------


def _git_file(places: HookPlaces) -> Path:
    directory = own_hook_directory(places.repository)
    if directory is None:
        raise NotFound(
            f"{places.repository} is in no repository that has hooks of its own: there is none, or "
            "`core.hooksPath` is set.",
            f"If it is, call {script_of('git')} from your own hook.",
        )
    return directory / GIT_HOOK


def _install_git(file: Path) -> None:
    script = script_of("git")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(script.read_bytes())
        file.chmod(0o755)
        return
    begins = _SHELL_SCRIPT.match(file.read_bytes())
    if begins is None or '"' in str(script):
        raise NotFound(
            f"{file} is a hook of your own, and no script of a shell.", f"Call {script} from it."
        )
    line = os.fsencode(f'"{script}" "$@" || true\n')
    rewrite(file, lambda data: data[: begins.end()] + line + data[begins.end() :])


def _uninstall_git(file: Path) -> bool:
    if not file.is_file():
        return False
    data = file.read_bytes()
    if is_ours(data):
        file.unlink()
        return True
    kept = [line for line in data.splitlines(keepends=True) if not calls_ours(line)]
    rewrite(file, lambda _: b"".join(kept))
    return b"".join(kept) != data
