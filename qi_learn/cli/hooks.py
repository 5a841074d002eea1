"""What tells qi-learn how commands, completions and agents' edits ended: `hooks`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qi_learn.cli.listed import Listed
from qi_learn.cli.output import FILE, absolute, echo, last_here, print_json, with_json
from qi_learn.errors import QiError

if TYPE_CHECKING:
    from qi_learn.commands.hooks import HookPlaces

HOOK_NAMES = ("bash", "zsh", "fish", "git", "nvim", "vscode", "claude", "opencode")
_name = click.argument(
    "name",
    type=click.Choice(HOOK_NAMES),
    metavar="NAME",
    help="Which hook: bash, zsh, fish, git (it tells of commits at once), nvim or vscode (they "
    "tell which completions you took), claude (Claude Code) or opencode (they tell what became of "
    "their edits and commands).",
)
_repository = click.option(
    "--repository", type=FILE, help="Of git's hook: the repository (default: the one here)."
)


@click.group(cls=Listed)
def hooks() -> None:
    """The hooks of shells, git, editors and agents: put them there, and take them away."""


@hooks.command("list")
@_repository
@with_json
def list_hooks(repository: Path | None, as_json: bool) -> None:
    """List the hooks, whether each is installed, and in which file."""
    from qi_learn.commands.hooks import hook_states

    states = list(hook_states(_places(repository)))
    if as_json:
        print_json({"hooks": states})
        return
    for state in states:
        where = state.file or "in a repository"
        echo(f"{state.name:<10}{'installed' if state.installed else '-':<11}{where}")


@hooks.command()
@_name
@_repository
@with_json
def status(name: str, repository: Path | None, as_json: bool) -> None:
    """Say of one hook whether it is installed, and which file it is."""
    from qi_learn.commands.hooks import hook_state

    state = hook_state(name, _places(repository))
    if as_json:
        print_json(state)
    else:
        there = "installed in" if state.installed else "not installed; it would go into"
        echo(f"{name}: {there} {state.file}. The hook itself is {state.script}.")


@hooks.command()
@_name
@_repository
def install(name: str, repository: Path | None) -> None:
    """Put a hook where its program reads it; it counts from that program's next start on."""
    from qi_learn.commands import hooks as command

    places = _places(repository)
    done = _written(lambda: command.install(name, places))
    state = command.hook_state(name, places)
    echo(f"{name}: {'installed' if done else 'installed already'} in {state.file}.")


@hooks.command()
@_name
@_repository
def uninstall(name: str, repository: Path | None) -> None:
    """Take a hook away; the file is what it was before."""
    from qi_learn.commands import hooks as command

    places = _places(repository)
    done = _written(lambda: command.uninstall(name, places))
    echo(f"{name}: {'taken away' if done else 'it was not installed'}.")


def _places(repository: Path | None) -> HookPlaces:
    from qi_learn.commands.hooks import HookPlaces

    place = last_here() if repository is None else absolute(repository)
    return HookPlaces(Path.home(), os.environ, place)


def _written(act: Callable[[], bool]) -> bool:
    try:
        return act()
    except OSError as error:
        raise QiError(
            f"{error.filename} could not be changed: {error.strerror}.", "Check who owns it."
        ) from error
