"""The benchmark's measurements as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qi_learn.bench.figures import MethodFigures, Report, ShotsRow, Unlearning
from qi_learn.stats import mean

HEADER, PLAIN = "spill_over_header", "spill_over_plain"
_MATRICES = 8
"""Cells of which every matrix is printed; of more they are in `--json` alone."""
_LISTS = ("table", "references", "by_shots", "at_base", "left_out")


def line(o: MethodFigures) -> str:
    """One method on one seed, in a line."""
    conditional = "" if math.isnan(o.conditional) else f"conditional {o.conditional:.3f}, "
    return (
        f"  {o.method}, {o.stream}, {o.shots} examples, seed {o.seed}: learned {o.learned:.3f}, "
        f"retention {o.retention:.3f}, {conditional}general {o.general_rise:+.4f}, "
        f"ACC {o.acc:.3f}, BWT {o.bwt:+.3f}, NLL {o.nll:.3f}, fences {o.fences:.0%}, "
        f"{o.cell_seconds:.0f} s; lambdas "
        f"{' '.join(f'{general:.0f}/{past:.0f}' for general, past in o.strengths)}; gate: "
        f"{_gate_summary(o)}"
    )


def _gate_summary(o: MethodFigures) -> str:
    """What the gate would decide, by likelihoods alone."""
    if not o.gate:
        return "not asked"
    return (
        ", ".join(f"refuses by {check.name}" for check in o.gate if not check.passed)
        or "has nothing against it"
    )


def table(report: Report) -> str:
    """The report as text: by number of examples, by seed, drift of every suite, matrices."""
    return "\n".join(
        (
            *_by_shots(report),
            *_by_seed(report),
            *_drifts(list(report.by_shots())),
            *_matrices(report.outcomes),
            *(_changed(o.seed, u) for o in report.outcomes if (u := o.unlearning) is not None),
            *(f"{stream} left out: {why}" for stream, why in report.left_out.items()),
        )
    )


def _by_shots(report: Report) -> Iterator[str]:
    yield (
        f"{'stream':13} {'method':15} {'n':>3} {'seeds':>5} {'learned':>8} {'retention':>9} "
        f"{'conditional':>11} {'NLL':>6} {'end':>6} {'fences':>6} {'indent':>6} "
        f"{'look-alike':>10} {'plain':>7}"
    )
    for r in report.references:
        yield (
            f"{r.stream:13} {'base':15} {'':3} {r.seed:5} {mean(r.base.accuracy):8.3f} {'':9} "
            f"{_number(mean(r.base.conditional), 11)} {mean(r.base.nll):6.3f} "
            f"{mean(r.base.end):6.3f} {_at_base(report)}"
        )
        yield (
            f"{r.stream:13} {'in context':15} {'':3} {r.seed:5} "
            f"{mean(r.in_context.accuracy):8.3f} {'':9} "
            f"{_number(mean(r.in_context.conditional), 11)} {mean(r.in_context.nll):6.3f} "
            f"{mean(r.in_context.end):6.3f}"
        )
    for row in report.by_shots():
        yield (
            f"{row.stream:13} {row.method:15} {row.shots:3} {row.seeds:5} {row.learned:8.3f} "
            f"{row.retention:9.3f} {_number(row.conditional, 11)} {row.nll:6.3f} {row.end:6.3f} "
            f"{_percent(row.fences)} {_percent(row.indentation)} {_signed(row.drift, HEADER, 10)} "
            f"{_signed(row.drift, PLAIN, 7)}"
        )


def _at_base(report: Report) -> str:
    if report.at_base is None:
        return ""
    return f"{_percent(report.at_base.fences)} {_percent(report.at_base.indentation)}"


def _by_seed(report: Report) -> Iterator[str]:
    for o in (*report.outcomes, *report.long):
        yield line(o)


def _drifts(rows: Sequence[ShotsRow]) -> Iterator[str]:
    """What each suite rose by, in nats a token."""
    if not rows:
        return
    names = list(rows[0].drift)
    yield "rise of NLL a token: " + ", ".join(names)
    for row in rows:
        values = " ".join(f"{row.drift.get(name, math.nan):+.3f}" for name in names)
        yield f"{row.stream:13} {row.method:15} {row.shots:3} {values}"


def _matrices(outcomes: Sequence[MethodFigures]) -> Iterator[str]:
    for o in outcomes if len(outcomes) <= _MATRICES else ():
        yield f"R of {o.method}, {o.stream}, seed {o.seed} ({', '.join(o.tasks)}); last row packed"
        for row in (o.base, *o.matrix):
            yield "  " + " ".join(f"{value:.3f}" for value in row)


def _changed(seed: int, u: Unlearning) -> str:
    return (
        f"{u.project} changed (seed {seed}): rather writes the new way in "
        f"{u.chooses_new_before:.0%} of functions before, {u.chooses_new_after:.0%} after one "
        f"update; tokens right: new way {u.new_before:.3f} to {u.new_after:.3f}, old way "
        f"{u.old_before:.3f} to {u.old_after:.3f}"
    )


def _number(value: float, width: int) -> str:
    return f"{'':{width}}" if math.isnan(value) else f"{value:{width}.3f}"


def _percent(value: float) -> str:
    return " " * 6 if math.isnan(value) else f"{value:6.0%}"


def _signed(values: Mapping[str, float], name: str, width: int) -> str:
    return f"{values[name]:+{width}.3f}" if name in values else " " * width


def summary(figures: Mapping[str, Any]) -> str:
    """The reported figures, in one line each."""
    return "\n".join(f"{name}: {value}" for name, value in figures.items() if name not in _LISTS)
