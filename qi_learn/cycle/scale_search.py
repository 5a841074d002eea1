"""The scale of the delta: each is packed into a copy of the base's file and measured on dev.

All scales share one file, `model.gguf` in the run directory: each writes only the touched tensors
of the one before, and the types chosen for the first are kept (`pack/splice.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qi_learn.cycle.context import ADAPTER, Cycle
from qi_learn.gate.measure import measure_nll
from qi_learn.gate.verdict import choose_scale
from qi_learn.pack.join import join, rank_cap
from qi_learn.pack.splice import pack as pack_file
from qi_learn.records import Example, Packed
from qi_learn.rundir.adapter_file import read_adapter, write_adapter
from qi_learn.rundir.directory import ScaleTrial

SCALES = (0.25, 0.5, 0.75, 1.0)
"""Of the delta, tried on dev.

The full one last: it mostly wins, and then its file is there already.
"""


class ScaleSearch:
    """The live adapter plus the delta at one scale after another."""

    def __init__(self, cycle: Cycle, dev: Sequence[Example]) -> None:
        self._cycle = cycle
        self._dev = dev
        self._live = read_adapter(cycle.previous / ADAPTER) if cycle.previous else None
        self._delta = read_adapter(cycle.run.delta)
        self._rank_cap = rank_cap(self._delta, cycle.base.stat().st_size)
        self.trials: list[ScaleTrial] = []
        """Every scale tried, with the likelihood that chose."""

    def best(self) -> Packed:
        """The packed file at the scale that dev likes best.

        Raises Refused if no scale gives a number, DiskFull or ModelError as packing does.
        """
        packed: Packed | None = None
        for scale in SCALES:
            packed = self._pack(scale, like=packed)
            self.trials.append(ScaleTrial(scale, self._dev_nll(packed)))
        scale = choose_scale({trial.scale: trial.dev_nll for trial in self.trials})
        if packed is None or packed.scale != scale:
            packed = self._pack(scale, like=packed)
        return packed

    def _pack(self, scale: float, *, like: Packed | None) -> Packed:
        cycle, run = self._cycle, self._cycle.run
        joined, lost = join(self._live, self._delta, scale, rank_cap=self._rank_cap)
        if lost:
            run.journal(cycle.clock(), "join", "cut", rank=self._rank_cap, lost=round(lost, 4))
        run.joined.parent.mkdir(exist_ok=True)
        write_adapter(joined, run.joined)
        packed = pack_file(
            cycle.base, joined, run.model, base_weights=cycle.base_weights, like=like
        )
        rank = max((factors.rank for factors in joined.modules.values()), default=0)
        return replace(packed, scale=scale, rank=rank, lost=lost)

    def _dev_nll(self, packed: Packed) -> float:
        settings = self._cycle.settings
        measured = measure_nll(
            Path(packed.path),
            "dev",
            self._dev,
            max_tokens=settings.gate.max_tokens,
            context=settings.serve.context,
        )
        return measured.per_token
