"""The benchmark's measurements: records, the figures that are reported, and the same as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qi_learn.bench.methods import DEFAULT, NAIVE, NOTHING_STORED
from qi_learn.bench.packed_file import FileFigures
from qi_learn.records import Check
from qi_learn.stats import mean


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """One method on one seed's stream.

    Scores are shares of test tokens, NLLs nats per token of the packed file.
    """

    method: str
    seed: int
    tasks: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    """R; its last row is the packed file's."""
    unpacked: tuple[float, ...]
    """The last row before packing."""
    base: tuple[float, ...]
    acc: float
    learned: float
    bwt: float
    forgetting: float
    retention: float
    nll: float
    """NLL of the tests, packed, over all tasks."""
    general_rise: float
    gain: float
    """Smallest share of a tensor's change that survived quantising."""
    rank_lost: float
    strengths: tuple[tuple[float, float], ...]
    """The lambdas of each stage: on the change since the base, on the change of past work."""
    drifts: tuple[tuple[float | None, float | None], ...]
    """How far each stage had moved in the end, nats of KL per token: from the base on general code,
    from the stage before on past work. Of the whole delta, even if a method joins only a part of
    it.
    """
    steps: tuple[int, ...]
    """Optimiser steps of each stage."""
    seconds: float
    gate: tuple[Check, ...] = ()
    """The gate's checks on likelihoods of the packed file, all of the stream as one update of the
    base; none in a long stream.
    """


@dataclass(frozen=True, slots=True)
class InContext:
    """What needs no training: the base, and the base with two examples of the task in context."""

    seed: int
    base: FileFigures
    in_context: FileFigures


@dataclass(frozen=True, slots=True)
class Unlearning:
    """A convention that changed: the packed file before and after the update.

    It is measured on functions that this project never asked for.

    `chooses_new`: the share of functions, written out whole, of which the new way is likelier than
    the old one: what it would rather write. The shares of right tokens are given each way's own
    beginning, which asks for more of the same, so the old way's falls late and little.
    """

    seed: int
    project: str
    chooses_new_before: float
    chooses_new_after: float
    new_before: float
    new_after: float
    old_before: float
    old_after: float


@dataclass(slots=True)
class Report:
    """All measurements; `figures` is what `--json` prints."""

    outcomes: list[MethodFigures] = field(default_factory=list)
    references: list[InContext] = field(default_factory=list)
    unlearning: list[Unlearning] = field(default_factory=list)
    long: list[MethodFigures] = field(default_factory=list)
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """The reported numbers, worst of the seeds; None for what was not run."""
        default, naive = self._of(DEFAULT.name), self._of(NAIVE.name)
        nothing = self._of(NOTHING_STORED.name)
        contexts = {r.seed: mean(r.in_context.nll) for r in self.references}
        return {
            "retention_min": _worst(min, [o.retention for o in default.values()]),
            "general_rise_max": _worst(max, [o.general_rise for o in default.values()]),
            "learned_ratio_min": _worst(
                min, [o.learned / naive[s].learned for s, o in default.items() if s in naive]
            ),
            "nothing_stored_retention_min": _worst(min, [o.retention for o in nothing.values()]),
            "nothing_stored_general_rise_max": _worst(
                max, [o.general_rise for o in nothing.values()]
            ),
            "in_context_gap_min": _worst(
                min, [contexts[s] - o.nll for s, o in default.items() if s in contexts]
            ),
            "long_retention": _worst(min, [o.retention for o in self.long]),
            "long_general_rise": _worst(max, [o.general_rise for o in self.long]),
            "seconds": round(self.seconds, 1),
            "table": self.outcomes + self.long,
            "references": self.references,
            "unlearning": self.unlearning,
        }

    def _of(self, method: str) -> dict[int, MethodFigures]:
        return {o.seed: o for o in self.outcomes if o.method == method}


def _worst(choose: Callable[[list[float]], float], values: Sequence[float]) -> float | None:
    if not values or any(map(math.isnan, values)):
        return None  # a seed without a number is not a seed on which all is well
    return round(choose(list(values)), 4)


def line(o: MethodFigures) -> str:
    """One method on one seed, in a line."""
    return (
        f"  {o.method}, seed {o.seed}: learned {o.learned:.3f}, retention {o.retention:.3f}, "
        f"general {o.general_rise:+.4f}, ACC {o.acc:.3f}, BWT {o.bwt:+.3f}, "
        f"NLL {o.nll:.3f}, {o.seconds:.0f} s; lambdas "
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
    """The report as text: one line a method and seed, then every matrix."""
    columns = "seed  learned  retention     BWT  forgot     ACC     NLL  general  seconds  gate"
    lines = [f"{'method':16} {columns}"]
    for r in report.references:
        lines.append(
            f"{'base':16} {r.seed:4}  {mean(r.base.accuracy):7.3f}"
            + " " * 36
            + f"{mean(r.base.nll):7.3f}  {0.0:+.4f}"
        )
        lines.append(
            f"{'in context':16} {r.seed:4}  {mean(r.in_context.accuracy):7.3f}"
            + " " * 36
            + f"{mean(r.in_context.nll):7.3f}"
        )
    for o in (*report.outcomes, *report.long):
        kept = f"{o.retention:9.3f}  {o.bwt:+6.3f}  {o.forgetting:6.3f}  {o.acc:6.3f}"
        lines.append(
            f"{o.method:16} {o.seed:4}  {o.learned:7.3f}  {kept}  {o.nll:6.3f}  "
            f"{o.general_rise:+.4f}  {o.seconds:7.0f}  {_gate_summary(o)}"
        )
    for o in report.outcomes:
        lines.append(f"R of {o.method}, seed {o.seed} ({', '.join(o.tasks)}); last row packed")
        lines += ["  " + " ".join(f"{value:.3f}" for value in row) for row in (o.base, *o.matrix)]
    for u in report.unlearning:
        lines.append(
            f"{u.project} changed (seed {u.seed}): rather writes the new way in "
            f"{u.chooses_new_before:.0%} of functions before, {u.chooses_new_after:.0%} after one "
            f"update; tokens right: new way {u.new_before:.3f} to {u.new_after:.3f}, old way "
            f"{u.old_before:.3f} to {u.old_after:.3f}"
        )
    return "\n".join(lines)


def summary(figures: Mapping[str, Any]) -> str:
    """The reported figures, in one line each."""
    return "\n".join(
        f"{name}: {value}"
        for name, value in figures.items()
        if name not in ("table", "references", "unlearning")
    )
