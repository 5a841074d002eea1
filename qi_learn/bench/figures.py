"""The benchmark's measurements: records, and the figures that are reported (as text: `tables`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qi_learn.bench.everything_else import STDLIB, ElseFigures
from qi_learn.bench.methods import DEFAULT, NAIVE, NOTHING_STORED
from qi_learn.bench.packed_file import FileFigures
from qi_learn.records import Check, SuiteNll
from qi_learn.stats import mean


@dataclass(frozen=True, slots=True)
class MethodFigures:
    """One method on one seed's stream.

    Scores are shares of the person's tokens in tests, NLLs nats per token of the packed file. The
    token that ends an answer is in `end` and `end_drift` alone.
    """

    stream: str
    method: str
    seed: int
    shots: int
    """Examples of each task."""
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
    """NLL of the person's tokens in the tests, packed, over all tasks."""
    end: float
    """NLL of the token that ends the tests' answers."""
    conditional: float
    """Share of rules with a condition decided rightly, packed, over all tasks; 0.5 with one form
    for all. NaN if the stream has none.
    """
    drift: Mapping[str, float]
    """How much worse each suite of everything else became since the base."""
    end_drift: Mapping[str, float]
    """The same of the token that ends an answer, where a suite's texts have one."""
    fences: float
    """Share of the answers to questions of other projects whose code is in a fence."""
    indentation: float
    """Share of them, if indented, that are indented as is usual in their language."""
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
    """Of training."""
    cell_seconds: float = 0.0
    """Of everything, measuring included."""
    gate: tuple[Check, ...] = ()
    """The gate's checks on likelihoods of the packed file, all of the stream as one update of the
    base; none in a long stream.
    """
    unlearning: Unlearning | None = None
    """What became of a convention that changed; only asked of the default recipe."""

    @property
    def general_rise(self) -> float:
        """How much worse the standard library's code became."""
        return self.drift[STDLIB]


@dataclass(frozen=True, slots=True)
class InContext:
    """What needs no training: the base, and the base with two examples of the task in context."""

    stream: str
    seed: int
    base: FileFigures
    in_context: FileFigures
    fresh: SuiteNll
    """The base's, as the gate compares it."""


@dataclass(frozen=True, slots=True)
class Unlearning:
    """A convention that changed: the packed file before and after the update.

    It is measured on functions that this project never asked for.

    `chooses_new`: the share of functions, written out whole, of which the new way is likelier than
    the old one: what it would rather write. The shares of right tokens are given each way's own
    beginning, which asks for more of the same, so the old way's falls late and little.
    """

    project: str
    chooses_new_before: float
    chooses_new_after: float
    new_before: float
    new_after: float
    old_before: float
    old_after: float


@dataclass(frozen=True, slots=True)
class ShotsRow:
    """One method with so many examples: means over its seeds.

    NaN if the stream has no such number.
    """

    stream: str
    method: str
    shots: int
    seeds: int
    learned: float
    retention: float
    conditional: float
    nll: float
    end: float
    fences: float
    indentation: float
    drift: Mapping[str, float]


@dataclass(slots=True)
class Report:
    """All measurements; `figures` is what `--json` prints."""

    outcomes: list[MethodFigures] = field(default_factory=list)
    references: list[InContext] = field(default_factory=list)
    long: list[MethodFigures] = field(default_factory=list)
    at_base: ElseFigures | None = None
    """The base on everything else."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why a stream was not run, by its name."""
    cells: int = 0
    """Of the whole run, whatever part of it was asked for."""
    seconds: float = 0.0

    def figures(self) -> dict[str, Any]:
        """The reported numbers, worst of the seeds; None for what was not run.

        They are of the first stream with the most examples; `by_shots` has all streams.
        """
        default, naive = self._of(DEFAULT.name), self._of(NAIVE.name)
        nothing = self._of(NOTHING_STORED.name)
        main = self._main()
        contexts = {r.seed: mean(r.in_context.nll) for r in self.references if r.stream == main[0]}
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
            "cells": self.cells,
            "finished": len(self.outcomes) + len(self.long),
            "left_out": self.left_out,
            "by_shots": list(self.by_shots()),
            "at_base": self._at_base(),
            "table": self.outcomes + self.long,
            "references": self.references,
        }

    def by_shots(self) -> Iterator[ShotsRow]:
        """A row for each stream, method and number of examples, in the order of the run."""
        groups: dict[tuple[str, str, int], list[MethodFigures]] = {}
        for o in self.outcomes:
            groups.setdefault((o.stream, o.method, o.shots), []).append(o)
        for (stream, method, shots), group in groups.items():
            yield ShotsRow(
                stream,
                method,
                shots,
                len(group),
                learned=mean([o.learned for o in group]),
                retention=mean([o.retention for o in group]),
                conditional=mean([o.conditional for o in group]),
                nll=mean([o.nll for o in group]),
                end=mean([o.end for o in group]),
                fences=mean([o.fences for o in group]),
                indentation=mean([o.indentation for o in group]),
                drift={name: mean([o.drift[name] for o in group]) for name in group[0].drift},
            )

    def _at_base(self) -> dict[str, Any] | None:
        if self.at_base is None:
            return None
        return {
            "fences": self.at_base.fences,
            "indentation": self.at_base.indentation,
            "nll": {name: suite.per_token for name, suite in self.at_base.suites.items()},
            "end": self.at_base.ends,
        }

    def _main(self) -> tuple[str, int]:
        if not self.outcomes:
            return (self.references[0].stream if self.references else "", 0)
        stream = self.outcomes[0].stream
        return stream, max(o.shots for o in self.outcomes if o.stream == stream)

    def _of(self, method: str) -> dict[int, MethodFigures]:
        main = self._main()
        return {
            o.seed: o for o in self.outcomes if o.method == method and (o.stream, o.shots) == main
        }


def _worst(choose: Callable[[list[float]], float], values: Sequence[float]) -> float | None:
    if not values or any(map(math.isnan, values)):
        return None  # a seed without a number is not a seed on which all is well
    return round(choose(list(values)), 4)
