"""What `qi-learn export data --format jsonl` wrote: one turn a line, with what was said of it.

A turn keeps its id, so it comes back once however often it is imported, also into the home that it
is from. The form is the export's (`commands/export_turns.py`), and its `format` says which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qi_learn.importers.json_lines import behind, inner, json_lines, objects
from qi_learn.importers.json_lines import text_of as text
from qi_learn.records import ImportedItem, NotUnderstood, ReturningTurn, ToolRating

FORMAT = "qi-learn turn 1"


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """There is none: an export lies where the person put it."""
    return Path("turns.jsonl")


def files(path: Path) -> list[Path]:
    """The files of an export that a path means."""
    return sorted(path.glob("turns*.jsonl")) if path.is_dir() else [path]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The turns behind a cursor (bytes), and their ratings.

    Raises NotFound if the file cannot be read.
    """
    since = behind(after)
    for line in json_lines(file):
        if line.end <= since:
            continue
        value = line.value or {}
        turn = inner(value, "turn")
        times = [turn.get(name) for name in ("started", "ended")]
        if value.get("format") != FORMAT or not text(turn.get("id")) or not all(map(_time, times)):
            why = line.problem or f"not a line of the form {FORMAT!r}"
            yield NotUnderstood(str(line.end), f"line {line.number}", why)
            continue
        id = text(turn["id"])
        yield ReturningTurn(
            id,
            str(line.end),
            float(turn["ended"]),
            float(turn["started"]),
            turn,
            text(turn.get("project")) or None,
        )
        yield from _ratings(id, str(line.end), value)


def _ratings(id: str, cursor: str, value: Mapping[str, Any]) -> Iterator[ToolRating]:
    for said in objects(value.get("ratings")):
        rating, ts = said.get("rating"), said.get("ts")
        if _time(ts):
            yield ToolRating(
                id,
                cursor,
                float(ts or 0.0),
                rating if isinstance(rating, int) else None,
                text(said.get("correction")) or None,
                text(said.get("comment")) or None,
            )


def _time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
