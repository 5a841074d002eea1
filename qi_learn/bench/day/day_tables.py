"""The figures of played histories as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from qi_learn.bench.day.day_figures import (
    MODELS,
    CycleFigures,
    DayFigures,
    DayReport,
    Difference,
    Point,
)

_HEAD = (
    f"{'':>11} {'live version':14} {'own tokens':>10} "
    f"{'NLL live':>8} {'base':>6} {'few':>6} {'answers':>7} {'distance':>8} {'base':>6} {'few':>6}"
)


def day_line(run: DayFigures) -> str:
    """One run, in a line."""
    shipped = sum(cycle.shipped for cycle in run.cycles)
    return (
        f"  {run.history}, fates {run.fates}, seed {run.seed}: {run.definitions} definitions in "
        f"{run.sessions} sessions, {len(run.cycles)} cycles, {shipped} shipped, "
        f"{run.seconds:.0f} s"
    )


def day_table(report: DayReport) -> str:
    """The report as text: for each run its curve, its cycles, and what an oracle says."""
    return "\n".join(line for run in report.runs for line in _run(run))


def _run(run: DayFigures) -> Iterator[str]:
    yield day_line(run).strip()
    became = ", ".join(f"{number} {draw.replace('_', ' ')}" for draw, number in run.drawn.items())
    asked = ", ".join(f"{number} {form}" for form, number in run.forms.items())
    yield f"  {became}; {asked}; {', '.join(run.languages)}"
    if not math.isnan(run.learned_from_history):
        share = f"{run.learned_from_history:.0%}"
        yield f"  {share} of what can be learned is the history's text, accepted as an answer"
    if run.left_out:
        yield f"  {run.left_out} definitions left out: this base cannot be asked for them"
    yield _HEAD
    for point in run.curve:
        yield _point(f"{point.first}-{point.first + point.definitions - 1}", point)
    yield _point("all", run.whole)
    if run.learned is not None:
        yield _point("learned", run.learned)
    yield f"  live minus base: {_difference(run.over_base)}"
    if run.learned is not None:
        yield f"  live minus base, learned: {_difference(run.learned_over_base)}"
    yield f"  live minus few-shot: {_difference(run.over_few_shot)}"
    for cycle in run.cycles:
        yield from _cycle(cycle)
    yield f"  no further cycle: {run.not_yet}"


def _point(name: str, point: Point) -> str:
    nll = " ".join(_number(point.nll[model], 6) for model in MODELS[1:])
    far = " ".join(_number(point.distance[model], 6) for model in MODELS[1:])
    return (
        f"{name:>11} {' '.join(point.versions):14} {point.person_tokens:10} "
        f"{_number(point.nll[MODELS[0]], 8)} {nll} {point.answers:7} "
        f"{_number(point.distance[MODELS[0]], 8)} {far}"
    )


def _cycle(cycle: CycleFigures) -> Iterator[str]:
    by = f" by {', '.join(cycle.refused_by)}" if cycle.refused_by else ""
    yield (
        f"  cycle after {cycle.after}: {cycle.state}{by}, {cycle.examples} examples, "
        f"{cycle.seconds:.0f} s"
    )
    if not cycle.refused_by and not cycle.shipped:
        yield f"    {cycle.reason.splitlines()[0][:120] if cycle.reason else ''}"
    if cycle.oracle is None:
        yield "    what an oracle would do is not known"
        return
    word = "ship" if cycle.oracle else "not ship"
    yield f"    an oracle would {word}: candidate minus live, next: {_difference(cycle.next)}"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "not known"
    bounds = f"{found.low:+.3f} to {found.high:+.3f}" if math.isfinite(found.low) else "no bounds"
    return f"{found.mean:+.3f} ({bounds}; {found.sessions} sessions, {found.tokens} tokens)"


def _number(value: float, width: int) -> str:
    return f"{'':{width}}" if math.isnan(value) else f"{value:{width}.3f}"


def day_summary(figures: Mapping[str, Any]) -> str:
    """The reported figures, in one line each."""
    return "\n".join(f"{name}: {value}" for name, value in figures.items() if name != "runs")
