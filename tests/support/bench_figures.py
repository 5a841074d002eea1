"""Figures of a cell that was never run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qi_learn.bench.figures import MethodFigures, Unlearning
from qi_learn.records import Check

ONE = MethodFigures(
    stream="conventions",
    method="default",
    seed=0,
    shots=48,
    tasks=("atlas",),
    matrix=((0.9,),),
    unpacked=(0.9,),
    base=(0.4,),
    acc=0.9,
    learned=0.9,
    bwt=0.0,
    forgetting=0.0,
    retention=0.99,
    nll=0.1,
    end=0.01,
    conditional=0.5,
    drift={"python_stdlib": 0.01, "spill_over_header": 0.02, "spill_over_plain": 0.03},
    end_drift={"chat": 0.1},
    fences=0.75,
    indentation=1.0,
    gain=1.0,
    rank_lost=0.0,
    strengths=((100.0, 300.0),),
    drifts=((0.02, None),),
    steps=(48,),
    seconds=1.0,
    cell_seconds=2.0,
    gate=(Check("general", True, 0.01, None, 0.02, 0.05, "it did not get worse"),),
    unlearning=Unlearning("atlas", 0.0, 0.9, 0.5, 0.9, 0.9, 0.6),
)


def figures_of(method: str, **changes: Any) -> MethodFigures:
    """The figures of a method, with other values of some."""
    return replace(ONE, method=method, **changes)
