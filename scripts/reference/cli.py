"""Every command with its arguments and options, from the application that parses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qi_learn import errors
from qi_learn.cli.app import app

from .markdown import paragraphs, table

EXIT_CODES = {
    "EXIT_DONE": "done; for `qi-learn demo` also a refusal by the gate",
    "EXIT_FAILED": "failed",
    "EXIT_USAGE": "usage: an unknown option, a wrong setting",
    "EXIT_NO_DAEMON": "the daemon is needed and not running",
    "EXIT_REFUSED": "refused by the gate or the thresholds",
    "EXIT_TRY_AGAIN": "try again later: something else is at work, or has no room now",
}
"""What each of the exit codes in `qi_learn/errors.py` means."""


def commands(_root: Path) -> str:
    """A section each, in the order of `qi-learn --help`; commands of a group follow the group."""
    root: Any = app
    context = root.context_class(root, info_name="qi-learn")
    whole = f"## qi-learn\n\n{paragraphs(root.help)}\n\n{_options(root, context)}"
    return "\n\n".join((whole, *(_section(each) for each in _below(root, context))))


def exit_codes(_root: Path) -> str:
    """The numbers that a command may end with. Raises LookupError if one is not explained."""
    numbers = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    if set(numbers) != set(EXIT_CODES):
        raise LookupError(f"exit codes without words: {sorted(set(numbers) ^ set(EXIT_CODES))}")
    rows = [(f"`{value}`", EXIT_CODES[name]) for name, value in numbers.items()]
    return table(("exit code", "meaning"), rows)


def _below(group: Any, context: Any) -> Iterator[Any]:
    """The contexts of a group's commands, depth first."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        below = command.context_class(command, info_name=name, parent=context)
        yield below
        if hasattr(command, "commands"):
            yield from _below(command, below)


def _section(context: Any) -> str:
    command = context.command
    usage = command.get_usage(context).removeprefix("Usage: ")
    level = "##" if context.parent.parent is None else "###"
    parts = [
        f"{level} {context.command_path}",
        paragraphs(command.help or ""),
        f"```text\n{usage}\n```",
        _options(command, context),
    ]
    return "\n\n".join(part for part in parts if part)


def _options(command: Any, context: Any) -> str:
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [
        (f"`{names}`", words) for names, words in filter(None, records) if "--help" not in names
    ]
    return table(("argument or option", "meaning"), rows) if rows else ""
