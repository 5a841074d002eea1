"""`qi-learn launch TOOL`: start a coding tool that asks the gateway.

The invariant: nothing of the tool's changes for good, unless `--config` was asked for; that is
undone by `--restore`, and by `qi-learn uninstall`. The tool takes the place of this process, with
the person's own arguments behind ours. No shell reads them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn.commands.client_settings import (
    TOOL_SETTINGS,
    Restored,
    ToolSettings,
    restore_settings,
    write_settings,
)
from qi_learn.commands.clients import TOOLS, CodingTool, GatewayTarget
from qi_learn.daemon import client
from qi_learn.deploy.model_server import uses_engine
from qi_learn.errors import DaemonError, NotFound, ToolMissing
from qi_learn.paths import Paths, replace_file
from qi_learn.settings import Settings


@dataclass(frozen=True, slots=True)
class ToolFound:
    """A tool, and whether it is on this machine."""

    name: str
    title: str
    program: str
    """Where it is; empty if it is not on the path."""
    how: str
    """How it is pointed at the gateway."""
    install: str
    works: bool
    """False if the embedded engine serves and refuses the API that it speaks."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What is started: the program, its arguments, its environment."""

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def begin(self) -> None:
        """Become the tool. Raises OSError if the system cannot start it."""
        os.execve(self.program, self.arguments, dict(self.environment))


def tools_found(settings: Settings, environment: Mapping[str, str]) -> Iterator[ToolFound]:
    """All tools that can be pointed at the gateway."""
    for tool in TOOLS.values():
        program = shutil.which(tool.command, path=environment.get("PATH")) or ""
        works = not (tool.needs_ollama and uses_engine(settings))
        yield ToolFound(tool.name, tool.title, program, tool.how, tool.install, works)


def prepare(
    paths: Paths,
    settings: Settings,
    name: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
) -> Launch:
    """What starts a tool that asks the gateway.

    Raises ToolMissing if it is not on the path, DaemonError if no gateway runs, NotFound if only
    its own settings can point it, or if the embedded engine refuses its API.
    """
    tool = TOOLS[name]
    program = shutil.which(tool.command, path=environment.get("PATH"))
    if program is None:
        raise ToolMissing(
            f"{tool.title} is not installed: there is no `{tool.command}` on the path.",
            f"Install it: {tool.install}",
        )
    if tool.point is None:
        raise NotFound(
            f"{tool.title} reads from its own settings alone which server it asks.",
            f"`qi-learn launch {name} --config` writes them; `--restore` undoes that.",
        )
    pointing = tool.point(_target(paths, settings, tool))
    for file, text in pointing.files.items():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(file, text, sync=False)
    words = (tool.command, *pointing.arguments, *arguments)
    return Launch(program, words, {**environment, **pointing.environment})


def write_config(
    paths: Paths, settings: Settings, name: str, home: Path, environment: Mapping[str, str]
) -> Path:
    """Point a tool at the gateway in its own settings; the file.

    Raises NotFound if it needs none or they are not understood, DaemonError if no gateway runs,
    OSError if the file cannot be written.
    """
    written = _settings_of(name)
    file = written.place(home, environment)
    write_settings(written, file, _target(paths, settings, TOOLS[name]))
    return file


def restore_config(name: str, home: Path, environment: Mapping[str, str]) -> tuple[Path, Restored]:
    """Undo that; the file, and what was done. Raises NotFound or OSError as above."""
    written = _settings_of(name)
    file = written.place(home, environment)
    return file, restore_settings(written, file)


def _settings_of(name: str) -> ToolSettings:
    if (found := TOOL_SETTINGS.get(name)) is None:
        raise NotFound(
            f"{TOOLS[name].title} needs no settings: it is pointed by {TOOLS[name].how}.",
            f"`qi-learn launch {name}` starts it so; nothing of its own is changed.",
        )
    return found


def _target(paths: Paths, settings: Settings, tool: CodingTool) -> GatewayTarget:
    if tool.needs_ollama and uses_engine(settings):
        raise NotFound(
            f"{tool.title} speaks an API that the embedded engine does not have.",
            "Name a model of an Ollama in serve.base; see docs/how-to/connect-your-editor.md.",
        )
    state = client.running(paths)
    if state is None or not state.gateway:
        raise DaemonError("The gateway is not running.", "Start it: `qi-learn daemon start`")
    model = settings.serve.alias.removesuffix(":latest")
    return GatewayTarget(state.gateway.rstrip("/"), model, paths.clients)
