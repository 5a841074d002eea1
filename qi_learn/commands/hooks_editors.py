"""The hooks of editors: a file that Neovim loads by itself, and an extension for VS Code.

The invariant: taking away undoes putting there. For Neovim that is a file of its own, of one line;
into VS Code the extension goes, and out of it again, by its own command line. If that is not there,
the `.vsix` is made and named, and the person puts it in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from qi_learn.commands.removal import Removal, Removals
from qi_learn.commands.vsix import vsix_bytes
from qi_learn.errors import NotFound
from qi_learn.outside import vscode
from qi_learn.paths import Paths, user_config

EDITORS = ("nvim", "vscode")
SCRIPTS = {"nvim": "qi-learn.lua", "vscode": "vscode/extension.js"}
EXTENSION = "qi-learn.qi-learn"
"""Publisher and name, by which VS Code knows the extension."""
_OURS = b"-- qi-learn hooks"


def editor_file(name: str, home: Path, environment: Mapping[str, str]) -> Path:
    """Where a hook is loaded from, or would be: Neovim's plug-in file, VS Code's list."""
    if name == "nvim":
        return _plugin(home, environment)
    listed = vscode.lists_with(EXTENSION, home, environment)
    return listed[0] if listed else _vsix(environment)


def has_editor_hook(name: str, home: Path, environment: Mapping[str, str]) -> bool:
    """Whether a hook is there."""
    if name == "nvim":
        return _is_ours(_plugin(home, environment))
    return bool(vscode.lists_with(EXTENSION, home, environment))


def install_editor_hook(
    name: str, script: Path, home: Path, environment: Mapping[str, str]
) -> bool:
    """Put a hook there; False if it is there already.

    Raises NotFound if it has no place, QiError if VS Code refuses it, OSError if a file cannot be
    written.
    """
    if name == "nvim":
        if has_editor_hook(name, home, environment):
            return False
        _write_plugin(_plugin(home, environment), script)
        return True
    return _add_extension(script, home, environment)


def _add_extension(script: Path, home: Path, environment: Mapping[str, str]) -> bool:
    programs = vscode.programs(environment)
    having = vscode.having(EXTENSION, home, environment)
    lacking = [program for name, program in programs.items() if name not in having]
    if having and not lacking:
        return False
    vsix = _vsix(environment)
    vsix.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    vsix.write_bytes(vsix_bytes(script.parent))
    if not programs:
        raise NotFound(
            f"Neither `code` nor `codium` is on the PATH. The extension is {vsix}.",
            "Put it in by hand: in VS Code's Extensions, `...`, Install from VSIX.",
        )
    for program in lacking:
        vscode.add_extension(program, vsix)
    return True


def uninstall_editor_hook(name: str, home: Path, environment: Mapping[str, str]) -> bool:
    """Take a hook away; False if it is not there.

    Raises NotFound if a program that has it cannot be found, QiError if VS Code refuses, OSError.
    """
    there = has_editor_hook(name, home, environment)
    if name == "nvim":
        if there:
            _plugin(home, environment).unlink()
        return there
    _vsix(environment).unlink(missing_ok=True)
    programs = vscode.programs(environment)
    having = vscode.having(EXTENSION, home, environment)
    for program in (programs[name] for name in having if name in programs):
        vscode.remove_extension(program, EXTENSION)
    if missing := [f"`{name}`" for name in having if name not in programs]:
        raise NotFound(
            f"{' and '.join(missing)} has the extension and is not on the PATH.",
            f"Take {EXTENSION} out by hand, in VS Code's Extensions.",
        )
    return there


def find_editor_hooks(home: Path, environment: Mapping[str, str]) -> Removals:
    """The hooks of editors that are there, for an uninstallation."""
    there = (name for name in EDITORS if has_editor_hook(name, home, environment))
    return Removals(
        tuple(
            Removal(
                "hook",
                f"{editor_file(name, home, environment)} ({name})",
                partial(_take, name, home, environment),
            )
            for name in there
        )
    )


def _take(name: str, home: Path, environment: Mapping[str, str]) -> None:
    uninstall_editor_hook(name, home, environment)


def _vsix(environment: Mapping[str, str]) -> Path:
    return Paths.default(environment).data / "qi-learn.vsix"


def _plugin(home: Path, environment: Mapping[str, str]) -> Path:
    configured = user_config(home, environment)
    return configured / (environment.get("NVIM_APPNAME") or "nvim") / "plugin" / "qi-learn.lua"


def _is_ours(plugin: Path) -> bool:
    return plugin.is_file() and plugin.read_bytes().startswith(_OURS)


def _write_plugin(plugin: Path, script: Path) -> None:
    if os.path.lexists(plugin):
        raise NotFound(
            f"{plugin} is a file of your own.", f'Load ours from it: dofile("{script}").'
        )
    plugin.parent.mkdir(parents=True, exist_ok=True)
    name = os.fsencode(script).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    plugin.write_bytes(_OURS + b'\npcall(dofile, "' + name + b'")\n')
