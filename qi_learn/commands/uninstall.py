"""`qi-learn uninstall`: everything that this program put on the machine, listed first, then gone.

In this order, which can be gone through again if it was interrupted anywhere: what runs, the hooks,
the services' files, the models on the server, the files. The list of projects and the journal of
versions tell what else is ours, so they are the last files to go. What cannot be taken away is
told, and the rest goes on.

Nothing of the person's changes but single lines that load a hook of ours. Settings of other tools
that name the gateway are told. The program itself is what installed it can take away.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from qi_learn.commands.client_settings import find_written_settings
from qi_learn.commands.hooks_claude import find_claude_hook
from qi_learn.commands.hooks_editors import find_editor_hooks
from qi_learn.commands.hooks_opencode import find_opencode_plugin
from qi_learn.commands.removal import Removal, Removals
from qi_learn.commands.uninstall_clients import find_client_settings
from qi_learn.commands.uninstall_files import find_files, find_runtime
from qi_learn.commands.uninstall_git import find_git_hooks
from qi_learn.commands.uninstall_models import find_models
from qi_learn.commands.uninstall_services import find_services, stop_services
from qi_learn.commands.uninstall_shell import find_shell_lines
from qi_learn.daemon import client
from qi_learn.daemon.lock import take_lock
from qi_learn.errors import Busy, QiError, StoreError
from qi_learn.outside.installation import this_installation
from qi_learn.paths import Paths
from qi_learn.rundir.directory import run_directories
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings
from qi_learn.store.database import open_store
from qi_learn.workspace.registry import load_projects

CYCLE_SECONDS = 60.0
"""How long a cycle that lost its daemon may take to leave."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who leaves: the home, the person's own home and environment, and what is to stay."""

    paths: Paths
    keep_data: bool = False
    home: Path = field(default_factory=Path.home)
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    platform: str = sys.platform


def find_everything(leaving: Leaving) -> Removals:
    """Everything that an uninstallation takes away, and what it leaves, in order."""
    paths = leaving.paths
    settings, found = _settings(paths)
    found += _processes(leaving)
    if other := _other_home(leaving):
        found += Removals(
            left=(f"Hooks in shells and repositories: the home in {other} has its use of them.",)
        )
    else:
        found += find_shell_lines(leaving.home, leaving.env)
        found += find_editor_hooks(leaving.home, leaving.env)
        found += find_claude_hook(leaving.home, leaving.env)
        found += find_opencode_plugin(leaving.home, leaving.env)
        found += find_written_settings(leaving.home, leaving.env)
        found += _git_hooks(paths)
    found += find_services(paths, leaving.env, leaving.platform)
    if leaving.keep_data:
        found += find_runtime(paths, leaving.env)
    else:
        found += find_models(paths, settings)
        found += find_files(paths, leaving.env)
    return found + find_client_settings(leaving.home, settings, leaving.env)


def take_away(leaving: Leaving, removals: Removals) -> Iterator[str]:
    """Do it, and yield a line on each thing: `Gone: ...`, or `NOT gone: ...` with the reason.

    Raises DaemonError if the daemon does not stop, Busy if a cycle does not leave; nothing else was
    touched then.
    """
    with _alone(leaving):
        for removal in chain(removals.removals, _written_since(leaving, removals)):
            try:
                removal.do()
            except (QiError, OSError) as error:
                yield f"{NOT_GONE}{removal.kind} {removal.what}: {error}"
            else:
                yield f"Gone: {removal.kind} {removal.what}"


def _written_since(leaving: Leaving, removals: Removals) -> Iterator[Removal]:
    """Files of the home that the daemon wrote as it stopped; asked for once the rest is done."""
    if not leaving.keep_data and any(each.kind == "files" for each in removals.removals):
        yield from find_files(leaving.paths, leaving.env).removals


NOT_GONE = "NOT gone: "


def program_text() -> str:
    """How the program itself goes: it does not delete what runs it."""
    here = this_installation()
    python = shlex.quote(here.python)
    command = {
        "uv tool": "uv tool uninstall qi-learn",
        "pipx": "pipx uninstall qi-learn",
        "uv": f"uv pip uninstall --python {python} qi-learn",
    }.get(here.tool, f"{python} -m pip uninstall qi-learn")
    return f"The program itself goes with: {command}"


def _settings(paths: Paths) -> tuple[Settings, Removals]:
    """The settings; the defaults if they cannot be read, which is told."""
    try:
        return load_settings(paths.settings_file), Removals()
    except QiError as error:
        told = f"{error.what} The defaults are taken in their place (server, alias, port)."
        return Settings(), Removals(left=(told,))


def _processes(leaving: Leaving) -> Removals:
    """What runs. It is stopped before anything else is done (`_alone`)."""
    names = [f"{name} (pid {there.pid})" for name, there in client.listening(leaving.paths).items()]
    if client.locked(leaving.paths):
        state = client.running(leaving.paths)
        names.insert(0, f"daemon (pid {state.pid})" if state else "daemon")
    return Removals((Removal("process", ", ".join(names), _is_stopped),) if names else ())


def _is_stopped() -> None:
    """Do nothing: what ran has stopped by now."""


def _stop(leaving: Leaving) -> None:
    stop_services(leaving.paths, leaving.env, leaving.platform)
    client.stop(leaving.paths)


@contextmanager
def _alone(leaving: Leaving) -> Iterator[None]:
    """Stop what runs, and be the only process that could: nothing starts again meanwhile."""
    _stop(leaving)
    with ExitStack() as stack:
        if leaving.paths.state.is_dir():
            with suppress(StoreError):  # on a network file system: there no daemon starts
                stack.callback(os.close, take_lock(leaving.paths))
        _wait_for_cycles(leaving.paths)
        yield


def _wait_for_cycles(paths: Paths) -> None:
    """Wait until a cycle that a killed daemon left behind has noticed, and left."""
    deadline = time.monotonic() + CYCLE_SECONDS
    for run in run_directories(paths.runs):
        while not run.ended and run.held:
            if time.monotonic() > deadline:
                raise Busy(
                    f"A learning cycle is still at work in {run.path}.",
                    "Nothing was taken away; try again when it has ended.",
                )
            time.sleep(0.2)


def _other_home(leaving: Leaving) -> Path | None:
    """The person's usual home, if this is another one and that one is in use.

    Shells and repositories have one hook for all homes.
    """
    env = {name: value for name, value in leaving.env.items() if name != "QI_LEARN_HOME"}
    usual = Paths.default(env)
    if usual.data == leaving.paths.data or not usual.deploy.exists():
        return None
    return usual.data


def _git_hooks(paths: Paths) -> Removals:
    """The hooks in the repositories of all projects that are or were registered."""
    projects: list[Path] = []
    found = Removals()
    try:
        projects += load_projects(paths)
    except (QiError, OSError) as error:
        found += Removals(left=(f"Git hooks of registered projects: {error}",))
    try:
        if paths.database.exists():
            with open_store(paths.database, readonly=True) as store:
                rows = store.rows("SELECT DISTINCT project FROM turns WHERE project IS NOT NULL")
            projects += [Path(str(row[0])) for row in rows]
    except QiError as error:
        told = f"Git hooks of projects that are no longer registered were not looked for: {error}"
        found += Removals(left=(told,))
    return found + find_git_hooks(dict.fromkeys(projects))
