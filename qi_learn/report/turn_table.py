"""The table that `qi-learn log` shows: a line a turn, as wide as the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence

from qi_learn.report.words import fitted, one_line
from qi_learn.store.turn_lines import TurnLine

UNCUT = 80
"""Columns of a question if it is not for a terminal."""
MODEL_FROM = 110
"""A terminal of so many columns has room for the model's name."""
MODEL = 24
LEAST = 12
"""Columns that the question always has."""
HALF_KNOWN = ("waiting", "placed")
"""States that are shown while the fate is unknown."""


def turn_table(lines: Sequence[TurnLine], width: int | None) -> list[str]:
    """The heading and the lines; `width`: the terminal's columns, None if it is none."""
    ids = max(len(line.short) for line in lines)
    model = width is None or width >= MODEL_FROM
    heading = _columns("ID", "WHEN", "FATE", "RATED", "SCORE", "MODEL" if model else "", ids)
    room = UNCUT if width is None else max(LEAST, width - len(heading))
    return [
        f"{heading}QUESTION",
        *(f"{_facts(line, ids, model=model)}{fitted(_question(line), room)}" for line in lines),
    ]


def _facts(line: TurnLine, ids: int, *, model: bool) -> str:
    rated = "-" if line.rating is None else f"{line.rating}/5"
    score = "-" if line.target_score is None else f"{line.target_score:.2f}"
    name = fitted(one_line(line.model), MODEL) if model else ""
    return _columns(line.short, _when(line.started), fate_text(line), rated, score, name, ids)


def _columns(id: str, when: str, fate: str, rated: str, score: str, model: str, ids: int) -> str:
    shown = f"{id:{ids}}  {when:11}  {fate:8}  {rated:>5}  {score:>5}  "
    return f"{shown}{model:{MODEL}}  " if model else shown


def fate_text(line: TurnLine) -> str:
    """What became of a turn's suggestions, or how far that is known; a stroke if it has none."""
    if line.fate is None:
        return "-"
    return line.state if line.fate == "unknown" and line.state in HALF_KNOWN else line.fate


def _when(ts: float) -> str:
    """Day and time of this year, else the date."""
    then = time.localtime(ts)
    this_year = then.tm_year == time.localtime().tm_year
    return time.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d", then)


def _question(line: TurnLine) -> str:
    """The question, and before it what is amiss with its answer."""
    amiss = (
        "(cancelled) "
        if line.cancelled
        else f"({line.status}) "
        if line.status != 200
        else ""
        if line.complete
        else "(broken off) "
    )
    amiss += "(never learned) " if line.never_learn else ""
    amiss += "(its texts have expired) " if line.texts_gone is not None else ""
    return amiss + one_line(line.question)
