"""What every command shares: paths and settings, one JSON object, a text that is given."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from qi_learn.errors import NotFound
from qi_learn.paths import Paths, refuse_unusable_home
from qi_learn.terminal_text import harmless

if TYPE_CHECKING:
    from qi_learn.settings import Settings

_ALARM = re.compile(r"(fault|lost|problem|set aside)  |recording +OFF|MEND  ")
"""How a line begins that needs attention."""
_INDENT = re.compile(r" *(?:\w+(?: \w+)? {2,}|(?:yes|NO|--) +|- |-> )?")
"""What stands before a line's text: blanks, a first column, the word of a rule, or the sign of an
item.
"""
_QUOTED = re.compile(r" *\| ")
_COMMAND = r"(`[^`]+`)"
_NUMBER = re.compile(r"(?<=\d) (?=%)|(?<=\bp) (?=[<=] \d)|(?<=\bp [<=]) (?=\d)")
"""The blanks within `95 %` and `p < 0.001`, which stand on one line."""
_HELD = "\0"
"""Stands for a blank that is no place to cut; it is in no text that was made harmless."""

FILE = click.Path(path_type=Path)
"""A path as it was given, whether or not there is something."""
with_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done.")


def readable_home() -> Paths:
    """The paths, for the commands that only look at what was recorded.

    Raises StoreError if there is no home and none can be made there: that is why it is empty.
    """
    paths = Paths.default()
    if not os.path.exists(paths.database):
        refuse_unusable_home(paths)
    return paths


def here() -> Path:
    """The directory in which one is. Raises NotFound if it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise NotFound(
            "The directory in which you are was deleted.", "Go to one that is there: `cd ~`."
        ) from error


def last_here() -> Path:
    """The same, or if it was deleted, the directory that it was as far as one knows."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/", os.environ.get("PWD", ""))


def absolute(path: Path) -> Path:
    """The path from the root, as it was given. Raises NotFound if one is in no directory."""
    return path if path.is_absolute() else here() / path


def open_settings() -> tuple[Paths, Settings]:
    """Paths and settings, for the commands that need the settings.

    The others work with a broken `config.toml` too.
    """
    from qi_learn.settings_file import load_settings

    paths = Paths.default()
    return paths, load_settings(paths.settings_file)


def echo(text: str) -> None:
    """Print lines for a person.

    What would steer the terminal is shown as a sign in its place, whoever wrote it: a file, a
    model, another process. On a terminal long lines are wrapped below their own beginning, and
    what needs attention is red.
    """
    for line in harmless(text).split("\n"):
        for piece in wrapped_for(sys.stdout, line):
            click.echo(click.style(piece, fg="red") if _ALARM.match(line) else piece)


def wrapped_for(stream: TextIO, line: str) -> list[str]:
    """A line as it goes to a stream: wrapped if that is a terminal."""
    width = screen_width(stream)
    return [line] if width is None else wrapped(line, width)


def screen_width(stream: TextIO | None = None) -> int | None:
    """The terminal's columns; None if the stream (the standard output) goes elsewhere."""
    if not (stream or sys.stdout).isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def wrapped(line: str, width: int) -> list[str]:
    """A line cut between words, the rest below the text that follows the first column.

    What is quoted (behind `|`) has that sign on each of its lines.

    A command (between backticks) is never cut, so that it can be copied: one that is too long for
    the width stands alone on a line, and the terminal shows it as it can.
    """
    first = _INDENT.match(line)
    indent = " " * (first.end() if first and first.end() < width // 2 else 0)
    if quoted := _QUOTED.match(line):
        indent = quoted[0]
    pieces: list[str] = []
    for text, command in _around_long_commands(line, width - len(indent)):
        if not pieces:
            pieces += _cut(text, width, indent, begins=True)
        elif text := text.strip(" .;,"):
            pieces += _cut(text, width, indent, begins=False)
        if command and pieces and len(pieces[-1]) < len(indent):
            pieces[-1] = pieces[-1].ljust(len(indent)) + command.strip("`")
        elif command:
            pieces.append(indent + command.strip("`"))
    return pieces or [""]


def _around_long_commands(line: str, room: int) -> list[tuple[str, str]]:
    """The line's texts, each with the command after it that has no room on a line."""
    texts, before = [], ""
    for part in re.split(_COMMAND, line):
        if re.fullmatch(_COMMAND, part) and len(part) > room:
            texts.append((before, part))
            before = ""
        else:
            before += part
    return [*texts, (before, "")]


def _cut(text: str, width: int, indent: str, *, begins: bool) -> list[str]:
    """A text cut between words and commands; `begins`: it begins the line, indent and all."""
    import textwrap

    whole = re.sub(_COMMAND, lambda command: command[0].replace(" ", _HELD), text)
    whole = _NUMBER.sub(_HELD, whole)
    cut = textwrap.wrap(
        whole if begins else whole.strip(),
        width,
        initial_indent="" if begins else indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [piece.replace(_HELD, " ") for piece in cut]


def print_json(value: Any) -> None:
    """Print a record, or what is made of records, as one line of JSON."""
    from qi_learn.codec import plain

    click.echo(json.dumps(_finite(plain(value)), allow_nan=False))


def _finite(value: Any) -> Any:
    """The value with null for NaN and infinity, which JSON does not know: unknown."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_input(file: Path) -> str:
    """The text of a file, or of the standard input for `-`.

    Raises NotFound if it cannot be read or is no text.
    """
    hint = "Give the path of a UTF-8 text file, or - for the input."
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror or error}.", hint) from error
    except UnicodeDecodeError as error:
        raise NotFound(f"{file} cannot be read: {error}", hint) from error
    if "\0" in text:
        raise NotFound(f"{file} is no text file.", hint)
    return text
