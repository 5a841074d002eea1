"""Start a coding tool that asks the gateway: `launch`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from qi_learn.cli.output import echo, open_settings, print_json, with_json
from qi_learn.errors import QiError

TOOL_NAMES = (
    *("claude", "codex", "opencode", "qwen", "aider", "llm", "goose", "ollama", "copilot"),
    *("continue", "cline"),
)


@click.command()
@click.argument(
    "tool",
    type=click.Choice(TOOL_NAMES),
    metavar="[TOOL]",
    required=False,
    help=f"Which one: {', '.join(TOOL_NAMES)}. Without it they are listed.",
)
@click.argument(
    "arguments",
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[-- ARGS]",
    help="What the tool itself is given.",
)
@click.option(
    "--config",
    is_flag=True,
    help="Write the gateway into the tool's own settings and start nothing (continue, cline).",
)
@click.option("--restore", is_flag=True, help="Undo `--config`.")
@with_json
def launch(
    tool: str | None, arguments: tuple[str, ...], config: bool, restore: bool, as_json: bool
) -> None:
    """Start a coding tool that asks the gateway; nothing of its own changes for good."""
    if config and restore:
        raise click.UsageError("`--config` and `--restore` exclude each other.")
    if (config or restore) and tool is None:
        raise click.UsageError("Which tool's settings?")
    if (config or restore) and arguments:
        raise click.UsageError("`--config` and `--restore` start no tool: no arguments.")
    if as_json and not (tool is None or config or restore):
        raise click.UsageError("`--json` is for the list, `--config` and `--restore`.")
    if tool is None:
        _list(as_json=as_json)
    elif config:
        _write(tool, as_json=as_json)
    elif restore:
        _restore(tool, as_json=as_json)
    else:
        _begin(tool, arguments)


def _list(*, as_json: bool) -> None:
    from qi_learn.commands.launch import tools_found

    _, settings = open_settings()
    tools = list(tools_found(settings, os.environ))
    if as_json:
        print_json({"tools": tools})
        return
    for tool in tools:
        there = "found" if tool.program else "-"
        echo(f"{tool.name:<10}{there:<7}{tool.how}{'' if tool.works else '; needs Ollama'}")


def _begin(tool: str, arguments: tuple[str, ...]) -> None:
    from qi_learn.commands.launch import prepare

    paths, settings = open_settings()
    launched = prepare(paths, settings, tool, arguments, os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        launched.begin()
    except OSError as error:
        raise QiError(
            f"{launched.program} could not be started: {error.strerror}.", "Try it by itself."
        ) from error


def _write(tool: str, *, as_json: bool) -> None:
    from qi_learn.commands.launch import write_config

    paths, settings = open_settings()
    try:
        file = write_config(paths, settings, tool, Path.home(), os.environ)
    except OSError as error:
        raise _unwritten(error) from error
    if as_json:
        print_json({"tool": tool, "file": str(file)})
    else:
        echo(f"{file} names the gateway. `qi-learn launch {tool} --restore` undoes that.")


def _restore(tool: str, *, as_json: bool) -> None:
    from qi_learn.commands.launch import restore_config

    try:
        file, done = restore_config(tool, Path.home(), os.environ)
    except OSError as error:
        raise _unwritten(error) from error
    if as_json:
        print_json({"tool": tool, "file": str(file), "restored": done})
        return
    echo(
        {
            "as it was": f"{file} is as it was.",
            "only ours taken out": f"{file} was changed meanwhile: only ours was taken out.",
            "nothing": f"{file} was not written by `--config`: nothing to restore.",
        }[done]
    )


def _unwritten(error: OSError) -> QiError:
    return QiError(
        f"{error.filename} could not be changed: {error.strerror}.", "Check who owns it."
    )
