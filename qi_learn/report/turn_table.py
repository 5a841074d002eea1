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
SCORES_FROM = 64
"""And of so many for rating and score."""
MODEL, FATE = 24, 8
LEAST = 8
"""Columns that the question always has."""
HEADING = ("ID", "WHEN", "FATE", "RATED", "SCORE", "MODEL")
HALF_KNOWN = ("waiting", "placed")
"""States that are shown while the fate is unknown."""


def turn_table(lines: Sequence[TurnLine], width: int | None) -> list[str]:
    """The heading and the lines; `width`: the terminal's columns, None if it is none."""
    rows = [_facts(line) for line in lines]
    if width is not None and width < MODEL_FROM:
        rows = [row[:5] for row in rows]
    if width is not None and width < SCORES_FROM:
        rows = [row[:3] for row in rows]
    wide = max(len(line.short) for line in lines), max(FATE, *(len(row[2]) for row in rows))
    heading = _columns(HEADING[: len(rows[0])], wide)
    room = UNCUT if width is None else max(LEAST, width - len(heading))
    questions = (fitted(_question(line), room) for line in lines)
    return [
        f"{heading}QUESTION",
        *(f"{_columns(row, wide)}{asked}" for row, asked in zip(rows, questions, strict=True)),
    ]


def _facts(line: TurnLine) -> tuple[str, ...]:
    rated = "-" if line.rating is None else f"{line.rating}/5"
    score = "-" if line.target_score is None else f"{line.target_score:.2f}"
    model = fitted(one_line(line.model), MODEL)
    return line.short, _when(line.started), fate_text(line), rated, score, model


def _columns(row: Sequence[str], wide: tuple[int, int]) -> str:
    """The row's columns, as many as it has; id and fate, so `wide`, are never cut."""
    forms = (f"<{wide[0]}", "<11", f"<{wide[1]}", ">5", ">5", f"<{MODEL}")
    return "".join(f"{text:{form}}  " for text, form in zip(row, forms, strict=False))


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
    if line.textless:
        return f"{amiss}(no texts recorded)"
    return amiss + (one_line(line.question) or "(no words)")
