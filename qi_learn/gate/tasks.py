"""The executable suite: small Python tasks of our own (`task_suite/*.toml`).

Each is a stub to complete and checks that no model ever sees.

A check is a line like `clamp(5, 0, 3) == 3` or `pop() raises IndexError`. It is taken apart here:
only the left side goes into the sandbox. What is expected stays outside, as the text that the value
must be written as (`sandbox_main.written`). The order of the tasks is fixed and takes the files in
turns, so that any beginning of it holds all kinds.
"""

from __future__ import annotations

import ast
import builtins
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from qi_learn.gate.sandbox_main import written
from qi_learn.stats import evenly

TASKS = Path(__file__).with_name("task_suite")
_RAISES = re.compile(r"(?P<code>.*) (?P<expected>raises (?P<error>\w+))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CodingTask:
    """One task. `expected[i]` is the value that `checks[i]` must come to."""

    name: str
    prompt: str
    """The stub to complete: a signature and what it should do."""
    checks: tuple[str, ...]
    expected: tuple[str, ...]
    solution: str
    """Code that passes; no model is shown it."""


def load_tasks() -> tuple[CodingTask, ...]:
    """The whole suite. Raises ValueError for a check that cannot be read."""
    groups = [
        tomllib.loads(file.read_text(encoding="utf-8"))["task"]
        for file in sorted(TASKS.glob("*.toml"))
    ]
    return tuple(
        _task(table) for turn in zip_longest(*groups) for table in turn if table is not None
    )


def choose(tasks: Sequence[CodingTask], limit: int) -> tuple[CodingTask, ...]:
    """All of them, or `limit` taken evenly."""
    return evenly(tasks, limit)


def _task(table: Mapping[str, Any]) -> CodingTask:
    checks = [_check(line) for line in table["checks"]]
    return CodingTask(
        table["name"],
        table["prompt"].strip("\n"),
        tuple(code for code, _ in checks),
        tuple(value for _, value in checks),
        table["solution"].strip("\n"),
    )


def _check(line: str) -> tuple[str, str]:
    """The code to evaluate, and the text that must come out."""
    if (match := _RAISES.fullmatch(line)) and hasattr(builtins, match["error"]):
        return match["code"], match["expected"]
    code, equals, value = line.rpartition(" == ")
    if not equals:
        raise ValueError(f"{line!r} is neither `code == value` nor `code raises Error`")
    return code, written(ast.literal_eval(value))
