"""The scale of the delta: each is packed into a copy of the base's file and measured on dev.

All scales share one file, `model.gguf` in the run directory: each writes only the touched tensors
of the one before, and the types chosen for the first are kept (`pack/splice.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qi_learn.cycle.context import ADAPTER, Cycle
from qi_learn.cycle.reading_device import reading_device
from qi_learn.cycle.resources import giving_way
from qi_learn.gate.budget import SCALE, beginning, shortened, within
from qi_learn.gate.prompt_cut import marks_of
from qi_learn.gate.read_files import ReadingDevice
from qi_learn.gate.reading import FileReader, tokens_of
from qi_learn.gate.verdict import choose_scale
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.pack.join import join, rank_cap
from qi_learn.pack.splice import pack as pack_file
from qi_learn.plan.base_model import read_base
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
        with load_vocabulary(cycle.base) as vocabulary:
            self._marks = marks_of(vocabulary)
        self._live = read_adapter(cycle.previous / ADAPTER) if cycle.previous else None
        self._delta = read_adapter(cycle.run.delta)
        self._rank_cap = rank_cap(self._delta, cycle.base.stat().st_size)
        self.trials: list[ScaleTrial] = []
        """Every scale tried, with the likelihood that chose."""

    def best(self) -> Packed:
        """The packed file at the scale that dev likes best.

        Raises Refused if no scale gives a number, DiskFull or ModelError as packing does.
        """
        device = reading_device(self._cycle, [self._cycle.base], giving_way(self._cycle, "pack"))
        packed: Packed | None = None
        for scale in SCALES:
            packed = self._pack(scale, like=packed)
            self.trials.append(self._trial(packed, device))
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

    def _trial(self, packed: Packed, device: ReadingDevice) -> ScaleTrial:
        """The packed file on dev."""
        cycle = self._cycle
        most, marks = int(SCALE * cycle.settings.gate.max_read), self._marks
        fitting = within(self._dev, context=read_base(cycle.base).context, marks=marks)
        dev = shortened(fitting, most, tokens_of, marks) or beginning(fitting, most, marks)
        if not dev:
            return ScaleTrial(packed.scale, math.nan)
        with FileReader(
            Path(packed.path),
            context=max(len(e.prompt_ids) + len(e.target_ids) for e in dev),
            gpu_layers=device.gpu_layers,
            pause=device.pause,
        ) as reader:
            numbers = reader.numbers(dev)
            took = reader.evaluated, reader.seconds
        nll, tokens = sum(n.nll for n in numbers), sum(n.tokens for n in numbers)
        whole = nll + sum(n.end_nll for n in numbers), sum(len(e.target_ids) for e in dev)
        loss = whole[0] / whole[1] if dev == tuple(self._dev) else None
        return ScaleTrial(packed.scale, nll / tokens if tokens else math.nan, loss, *took)
