"""The figures of a played history, and the report that is printed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qi_learn.records import RunState
from qi_learn.stats import Interval, mean, paired_interval

LIVE, BASE, FEW_SHOT = "live", "base", "few_shot"
MODELS = (LIVE, BASE, FEW_SHOT)
WINDOW = 25
"""Definitions of one point of the curve."""


@dataclass(frozen=True, slots=True)
class CodeFigures:
    """One definition, asked before it was learned. Nats, in sums over its tokens."""

    session: str
    form: str
    draw: str
    version: str
    """The live version that was asked."""
    person_tokens: int
    code_tokens: int
    person: Mapping[str, float]
    """NLL of the person's tokens by model."""
    code: Mapping[str, float]
    """NLL of all tokens of code, live and base."""
    distance: Mapping[str, float] = field(default_factory=dict)
    """Edit distance of the model's own answer to the true text, by model; empty if not asked."""


@dataclass(frozen=True, slots=True)
class Point:
    """A stretch of the curve."""

    first: int
    """The number of its first definition, from 1."""
    definitions: int
    versions: tuple[str, ...]
    """The versions that were live."""
    person_tokens: int
    nll: Mapping[str, float]
    """Nats per token of the person's, by model; NaN without one."""
    code_nll: Mapping[str, float]
    """Nats per token of code, live and base."""
    answers: int
    """Answers that were generated."""
    distance: Mapping[str, float]
    """Their mean edit distance; NaN without one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Nats per token of the person's: one model minus another, over sessions.

    `low` and `high` are one-sided 95 % bounds, infinite with fewer than two sessions.
    """

    mean: float
    low: float
    high: float
    sessions: int
    tokens: int


@dataclass(frozen=True, slots=True)
class CycleFigures:
    """One cycle that started, and what its candidate would have done next."""

    after: int
    """Definitions played before it."""
    state: RunState
    reason: str
    version: str
    """The version that was live afterwards."""
    examples: int
    seconds: float
    refused_by: tuple[str, ...]
    """Names of the gate's rules that did not pass."""
    shipped: bool
    """Whether its version went live."""
    next: Difference | None = None
    """The candidate minus what was live, up to the next cycle; None if nothing came after it."""
    oracle: bool | None = None
    """Whether one that knows what comes would have shipped it; None if nobody can know."""

    def seen(self, next: Difference | None) -> CycleFigures:
        """The same with what came after it."""
        return replace(self, next=next, oracle=None if next is None else next.mean < 0)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One history played once."""

    history: str
    fates: str
    seed: int
    definitions: int
    sessions: int
    left_out: int
    """Definitions that this base cannot be asked for or write."""
    interactions: int
    """Examples of the person's own that start a cycle (`train.min_interactions`)."""
    drawn: Mapping[str, int]
    """What became of the answers."""
    forms: Mapping[str, int]
    languages: Mapping[str, int]
    curve: tuple[Point, ...]
    whole: Point
    over_base: Difference | None
    """Live minus base, on the person's tokens."""
    over_few_shot: Difference | None
    learned: Point | None
    """The part that was asked of a version that had learned something; None if none went live."""
    learned_over_base: Difference | None
    """Live minus base on that part."""
    cycles: tuple[CycleFigures, ...]
    not_yet: str
    """Why no further cycle started at the end."""
    seconds: float
    learned_from_history: float = math.nan
    """Of the code that can be learned, the share that no model wrote and the person did not either:
    answers played as accepted, which are the history's text. NaN if nothing can be learned.
    """


def curve_of(codes: Sequence[CodeFigures]) -> tuple[Point, ...]:
    """The points of the curve."""
    return tuple(point_of(codes[at : at + WINDOW], at) for at in range(0, len(codes), WINDOW))


def point_of(codes: Sequence[CodeFigures], at: int = 0) -> Point:
    """All of these together."""
    tokens, code_tokens = (
        sum(one.person_tokens for one in codes),
        sum(one.code_tokens for one in codes),
    )
    answered = [one for one in codes if one.distance]
    return Point(
        at + 1,
        len(codes),
        tuple(dict.fromkeys(one.version for one in codes)),
        tokens,
        {name: _per(sum(one.person[name] for one in codes), tokens) for name in MODELS},
        {name: _per(sum(one.code[name] for one in codes), code_tokens) for name in (LIVE, BASE)},
        len(answered),
        {name: mean([one.distance[name] for one in answered]) for name in MODELS},
    )


def learned_from_history(codes: Sequence[CodeFigures]) -> float:
    """The share of accepted answers in all code that can be learned, by tokens."""
    tokens = dict.fromkeys(("accepted", "edited", "by_hand"), 0)
    for code in codes:
        if code.draw in tokens:  # of what is rejected nothing is learned
            tokens[code.draw] += code.code_tokens
    return _per(tokens["accepted"], sum(tokens.values()))


def _per(total: float, tokens: int) -> float:
    return total / tokens if tokens else math.nan


def difference(codes: Sequence[CodeFigures], one: str, other: str) -> Difference | None:
    """One model minus another on the person's tokens; None without such a token."""
    own = [code for code in codes if code.person_tokens]
    if not own:
        return None
    interval = paired_interval(
        [code.person[one] - code.person[other] for code in own],
        [float(code.person_tokens) for code in own],
        [code.session for code in own],
    )
    return _difference(interval, sum(code.person_tokens for code in own))


def _difference(interval: Interval, tokens: int) -> Difference:
    return Difference(interval.mean, interval.low, interval.high, interval.units, tokens)


def counts(values: Sequence[str]) -> dict[str, int]:
    """How often each is there, most first."""
    return dict(Counter(values).most_common())


@dataclass(slots=True)
class DayReport:
    """All runs; `figures` is what `--json` prints."""

    runs: list[DayFigures] = field(default_factory=list)
    cells: int = 0
    """Of the whole command, whatever part of it was asked for."""
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """The reported numbers; None for what no run says."""
        cycles = [cycle for run in self.runs for cycle in run.cycles]
        judged = [cycle for cycle in cycles if cycle.oracle is not None]
        return {
            "over_base_worst": self._worst(lambda run: run.over_base),
            "over_few_shot_worst": self._worst(lambda run: run.over_few_shot),
            "better_than_both": sum(map(_better, self.runs)),
            "cycles": len(cycles),
            "shipped": sum(cycle.shipped for cycle in cycles),
            "oracle_knows": len(judged),
            "oracle_agrees": sum(cycle.oracle == cycle.shipped for cycle in judged),
            "shipped_worse": sum(cycle.shipped and not cycle.oracle for cycle in judged),
            "refused_better": sum(bool(cycle.oracle) and not cycle.shipped for cycle in judged),
            "seconds": round(self.seconds, 1),
            "cells": self.cells,
            "finished": len(self.runs),
            "runs": self.runs,
        }

    def _worst(self, of: Callable[[DayFigures], Difference | None]) -> float | None:
        values = [found.mean for run in self.runs if (found := of(run)) is not None]
        return round(max(values), 4) if values else None


def _better(run: DayFigures) -> bool:
    """Whether live is surely better than the base and than few-shot."""
    pair = run.over_base, run.over_few_shot
    return all(found is not None and found.high < 0 for found in pair)
