"""What `qi-learn export data --format jsonl` wrote: one turn a line, with what became of it.

All has its own id, so it comes back once however often it is imported, also into the home that it
is from. The form is the export's (`commands/export_turns.py`), and its `format` says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qi_learn import codec
from qi_learn.importers.json_lines import (
    JsonLine,
    behind,
    inner,
    is_number,
    json_lines,
    regular_files,
    written_at,
)
from qi_learn.importers.json_lines import text_of as text
from qi_learn.importers.told_evidence import checked
from qi_learn.importers.training_lines import items_of
from qi_learn.records import (
    Became,
    CommandResult,
    ImportedItem,
    NotUnderstood,
    ReturningCommand,
    ReturningRating,
    ReturningTurn,
)

FORMAT, COMMAND = "qi-learn turn 1", "qi-learn command 1"
"""The two kinds of lines."""


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """There is none: an export lies where the person put it."""
    return Path("turns.jsonl")


def files(path: Path) -> list[Path]:
    """The files of an export that a path means."""
    return regular_files(sorted(path.glob("turns*.jsonl"))) if path.is_dir() else [path]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The turns and results of commands behind a cursor (bytes), and the ratings of each turn.

    Lines of a data set for other trainers are read too (`training_lines`).

    Raises NotFound if the file cannot be read.
    """
    since, written = behind(after), written_at(file)
    for line in json_lines(file):
        if line.end <= since:
            continue
        try:
            foreign = "format" not in (line.value or {})
            others = items_of(line.value or {}, str(line.end), written) if foreign else ()
            items = list(others)
            yield from items or _items(line)
        except ValueError as error:
            yield NotUnderstood(str(line.end), f"line {line.number}", str(error))


def _items(line: JsonLine) -> Iterator[ImportedItem]:
    """What a line says. Raises ValueError if it is none of the two kinds."""
    value, cursor = line.value or {}, str(line.end)
    form = value.get("format")
    if form == COMMAND:
        result = codec.build(CommandResult, _object(value.get("command"), "command"))
        yield ReturningCommand(cursor, result, value.get("joined") is True)
        return
    turn = inner(value, "turn")
    times = [turn.get(name) for name in ("started", "ended")]
    if form != FORMAT or not text(turn.get("id")) or not all(map(is_number, times)):
        raise ValueError(line.problem or f"not a line of the form {FORMAT!r}")
    became = checked(codec.build(Became, _object(value.get("became", {}), "became")))
    yield ReturningTurn(
        text(turn["id"]),
        cursor,
        float(turn["ended"]),
        float(turn["started"]),
        turn,
        became,
        text(turn.get("project")) or None,
    )
    for given in became.ratings:
        yield ReturningRating(text(turn["id"]), cursor, given)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value
