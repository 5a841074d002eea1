"""`qi-learn bench day`: its options as runs over histories, and what it prints.

A cell is one history with one mix of fates and one seed. Finished ones are kept as those of `bench
learning` are, under a key that also names what was written, the gate and the data set. Progress
goes to stderr, then the table or one JSON object to stdout.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn import codec
from qi_learn.bench.cells import Cell, FinishedCells, code_version, part_asked
from qi_learn.bench.command import say
from qi_learn.bench.day.answering import ANSWER_TOKENS, QUICK_TOKENS
from qi_learn.bench.day.commits import steps_of_commits
from qi_learn.bench.day.day_figures import DayFigures, DayReport
from qi_learn.bench.day.day_tables import day_line, day_summary, day_table
from qi_learn.bench.day.history import MOST_A_SESSION, WrittenCode, written
from qi_learn.bench.day.home import day_home
from qi_learn.bench.day.play import MIXES
from qi_learn.bench.day.prequential import DaySizes, play_history
from qi_learn.bench.day.releases import steps_of_releases
from qi_learn.deploy import model_server
from qi_learn.errors import SettingsError
from qi_learn.outside import git
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.train.__main__ import ENVIRONMENT

MOST, QUICK_MOST = 300, 32
"""Definitions of a history that are played."""
QUICK_A_SESSION = 6
"""Of one session: a few sessions are needed before a cycle can start."""
ANSWERS, QUICK_ANSWERS = 24, 3
"""Of them those that the models answer themselves."""
DEPENDS_ON = (".",)
"""A day is played by all of the package."""
QUICK: Mapping[str, Mapping[str, object]] = {
    "train": {"min_interactions": 6, "max_steps": 4, "lambda_general": 0.0},
    "gate": {"min_examples": 4, "answer_tokens": 16, "max_read": 60000, "execute": 1},
}
"""Settings of a run that only shows that everything works."""


@dataclass(frozen=True, slots=True)
class DayOptions:
    """The options of the command, as they were given."""

    repositories: Sequence[Path]
    fates: Sequence[str]
    """All for the first seed, `usual` for others, if empty."""
    seeds: tuple[int, ...]
    most: int | None
    answers: int | None
    every: int | None
    """`train.min_interactions` instead of the setting's default."""
    base: Path | None
    cache: Path | None
    resume: Path | None
    part: str | None
    quick: bool


def run_day(options: DayOptions, out: Callable[[Any], None], *, as_json: bool) -> None:
    """Play every history and print it.

    If it ends early (Ctrl-C, a fault), it prints what was finished until then. Raises QiError.
    """
    os.environ.update(ENVIRONMENT)  # read by torch when it is imported, which is not yet
    report = DayReport()
    began = time.monotonic()
    try:
        _run(options, report)
    finally:
        report.seconds = time.monotonic() - began
        if report.runs:
            figures = report.figures()
            out(figures if as_json else f"{day_table(report)}\n{day_summary(figures)}")


def _run(options: DayOptions, report: DayReport) -> None:
    base = options.base or model_server.embedded_file()
    most = options.most or (QUICK_MOST if options.quick else MOST)
    part, cells = part_asked(options.part), _cells(options)
    a_session = QUICK_A_SESSION if options.quick else MOST_A_SESSION
    histories = {
        _name(path): history_of(path, most=most, a_session=a_session)
        for path in options.repositories
    }
    report.cells = len(cells)
    finished = {name: _finished(options, base, written) for name, written in histories.items()}
    for cell in cells:
        if (known := finished[cell.stream].get(cell, DayFigures)) is not None:
            report.runs.append(known)
    for cell in part.cells(cells):
        if finished[cell.stream].get(cell, DayFigures) is None:
            say(str(cell))
            figures = _play(options, base, cell, histories[cell.stream])
            finished[cell.stream].put(cell, figures)
            report.runs.append(figures)
            say(day_line(figures))


def _play(
    options: DayOptions, base: Path, cell: Cell, written: Sequence[WrittenCode]
) -> DayFigures:
    quick = options.quick
    sizes = DaySizes(
        (QUICK_ANSWERS if quick else ANSWERS) if options.answers is None else options.answers,
        QUICK_TOKENS if quick else ANSWER_TOKENS,
    )
    fisher = None if options.cache is None else options.cache / "fisher"
    with (
        day_home(base, settings_of(options), fisher) as home,
        load_vocabulary(base) as vocabulary,
    ):
        return play_history(
            *(home, base, vocabulary, written),
            history=cell.stream,
            fates=cell.method,
            seed=cell.seed,
            sizes=sizes,
            say=say,
        )


def settings_of(options: DayOptions) -> dict[str, dict[str, object]]:
    """What a run sets otherwise than a new home has it."""
    tables = {name: dict(table) for name, table in QUICK.items()} if options.quick else {}
    if options.every is not None:
        tables.setdefault("train", {})["min_interactions"] = options.every
    return tables


def history_of(
    path: Path, *, most: int, a_session: int = MOST_A_SESSION
) -> tuple[WrittenCode, ...]:
    """The newest definitions of a git repository, or of a folder of releases.

    Raises NotFound if it is neither, or has none.
    """
    top = git.top(path) if path.is_dir() else None
    is_repository = top is not None and top.samefile(path)
    steps = steps_of_commits(path) if is_repository else steps_of_releases(path)
    return written(steps, most=most, a_session=a_session)


def _name(path: Path) -> str:
    return path.resolve().name


def _cells(options: DayOptions) -> list[Cell]:
    """Those of a seed together; every mix for the first seed, if none is named."""
    if unknown := [name for name in options.fates if name not in MIXES]:
        raise SettingsError(
            f"There is no mix of fates `{unknown[0]}`.", f"There are: {', '.join(MIXES)}."
        )
    histories = [_name(path) for path in options.repositories]
    if len(set(histories)) < len(histories):
        raise SettingsError(
            "Two of the histories have the same name.", "Name each folder otherwise."
        )
    usual, *_ = MIXES
    made = []
    for seed in options.seeds:
        mixes = options.fates or (tuple(MIXES) if seed == options.seeds[0] else (usual,))
        made += [Cell(name, mix, seed, 0) for name in histories for mix in dict.fromkeys(mixes)]
    return made


def _finished(options: DayOptions, base: Path, written: Sequence[WrittenCode]) -> FinishedCells:
    file = options.resume
    if file is None and options.cache is not None:
        file = options.cache / "days.jsonl"
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(codec.plain(list(written)), sort_keys=True)
    return FinishedCells(
        file,
        {
            "base": sha256_of(base),
            "code": code_version(DEPENDS_ON, day=True),
            "history": hashlib.sha256(text.encode()).hexdigest()[:16],
            "answers": options.answers,
            "settings": settings_of(options),
            "quick": options.quick,
        },
    )
