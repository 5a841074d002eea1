"""How much the model's answers hang on each direction of each weight: the Fisher information, by
module, as two factors S and C.

The Fisher of dW at a linear module is E[(g x^T)(g x^T)^T], with x the module's input and g the
gradient of the sequence's *summed* negative log-likelihood at its output, for labels drawn from the
model itself (not the data's: those give the empirical Fisher, which vanishes where the model has
just been trained). Gradients are per sequence: one sequence's loss never reaches another's
activations, so one backward pass through a padded batch gives all of them, and padding adds exactly
nothing. Batch gradients are never squared, and packed batches are refused.

* `kfac`: S = sum g g^T / N_tok over all positions, C = sum x x^T / N_pos over the positions where g
  is not 0.
* `diagonal`: S and C are diagonal and hold the exact row and column sums of the exact per-sequence
  Fisher's diagonal.

0.5 * tr(dW^T S dW C) is then nats of KL divergence per target token.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from qi_learn.errors import ModelError, TrainingError
from qi_learn.plan.schedule import Sample
from qi_learn.train.adapter import load_tensors, save_tensors
from qi_learn.train.factor import Factor, FactorSum, Form
from qi_learn.train.network import Network, head_pass

FORMAT, READABLE = "qi-learn fisher 2", ("qi-learn fisher 1", "qi-learn fisher 2")
ENOUGH = 32
"""Fewer sequences than this say nothing about general ability."""

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """The worker was asked to stop in the middle of something that is simply done again."""


@dataclass(frozen=True, slots=True)
class ModuleFisher:
    """The Fisher of one module: S (out side) and C (in side), accumulated over `cycles` estimates."""

    S: Factor
    C: Factor
    cycles: int = 1


@dataclass(frozen=True, slots=True)
class Fisher:
    """Factors by module name, with what they were made from."""

    form: Form
    modules: dict[str, ModuleFisher]
    sequences: int
    tokens: int
    skipped: int = 0
    """Sequences left out because something in them was not finite."""
    seconds: float = 0.0
    base: str = ""
    """sha256 of the base's GGUF."""

    def accumulated(self, new: Fisher) -> Fisher:
        """This and one more estimate: S summed (each cycle's work counts in full), C averaged over
        cycles. Raises ModelError where forms differ.
        """
        if self.form != new.form or self.base != new.base:
            raise ModelError(
                f"A Fisher of form {self.form!r} cannot be added to one of form {new.form!r} of "
                "another run or base.",
                "Start from the base, or set `train.fisher` back.",
            )
        joined = dict(self.modules)
        for name, fresh in new.modules.items():
            joined[name] = _accumulated(joined[name], fresh) if name in joined else fresh
        return replace(
            new,
            modules=joined,
            sequences=self.sequences + new.sequences,
            tokens=self.tokens + new.tokens,
            skipped=self.skipped + new.skipped,
        )

    def save(self, path: Path) -> None:
        tensors = {
            f"{name}.{side}.{part}": value
            for name, both in self.modules.items()
            for side in ("S", "C")
            for part, value in getattr(both, side).parts().items()
        }
        about = {
            "form": self.form,
            "sequences": self.sequences,
            "tokens": self.tokens,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "cycles": {name: both.cycles for name, both in self.modules.items()},
        }
        save_tensors(
            path, tensors, {"format": FORMAT, "base": self.base, "about": json.dumps(about)}
        )


def load_fisher(path: Path, base_digest: str) -> Fisher:
    """The Fisher in a file. Raises ModelError where it is missing, damaged or of another base."""
    tensors, metadata = load_tensors(path)
    if metadata.get("format") not in READABLE or metadata.get("base") != base_digest:
        raise ModelError(
            f"{path} holds no Fisher of this base.", "Delete it; the general one is computed anew."
        )
    about = json.loads(metadata["about"])
    if about["form"] not in get_args(Form):
        raise ModelError(
            f"{path} holds a Fisher of unknown form {about['form']!r}.",
            "Delete it; the general one is computed anew.",
        )
    modules = {
        name: ModuleFisher(_factor(tensors, f"{name}.S"), _factor(tensors, f"{name}.C"), cycles)
        for name, cycles in about["cycles"].items()
    }
    return Fisher(
        about["form"],
        modules,
        about["sequences"],
        about["tokens"],
        about["skipped"],
        about["seconds"],
        base_digest,
    )


def estimate(
    network: Network,
    samples: Sequence[Sample],
    *,
    form: Form,
    seed: int,
    batch_tokens: int,
    least: int = 1,
    on_batch: Callable[[int], None] = lambda done: None,
) -> Fisher:
    """The Fisher of every target module over `samples`, at the network's present weights.

    Labels depend on `seed` and the sequence alone, not on the batch it is in. A batch has at most
    `batch_tokens` tokens. `on_batch` hears how many sequences are done and may raise Interrupted.
    Raises TrainingError where fewer than `least` sequences could be used.
    """
    begun = time.monotonic()
    sums = {name: _SUMS[form]() for name in network.names}
    used = tokens = done = 0
    batches = iter(_batches(samples, batch_tokens))
    while parts := list(islice(batches, network.lanes.count)):
        for count, targets in _add_passes(network, parts, sums, seed):
            used, tokens = used + count, tokens + targets
        done += sum(map(len, parts))
        on_batch(done)
    if used < least or tokens == 0:
        raise TrainingError(
            f"Only {used} of {len(samples)} sequences could be used for the Fisher; "
            f"{max(least, 1)} are needed.",
            "Sequences with values that are not finite are left out; if most are, the base file is "
            "damaged. Else add data.",
        )
    if used < len(samples):
        logger.warning(
            "%d of %d sequences were left out of the Fisher: values not finite",
            len(samples) - used,
            len(samples),
        )
    modules = {name: one.result(tokens) for name, one in sums.items()}
    return Fisher(
        form,
        modules,
        used,
        tokens,
        len(samples) - used,
        time.monotonic() - begun,
        network.plan.base.digest,
    )


def uniforms(seed: int, sample: Sample) -> Tensor:
    """Numbers in [0, 1), one for each target token, that decide the labels of a sequence: the same
    in every batch.
    """
    mixed = seed & 0xFFFFFFFF
    for token in sample.ids:
        mixed = (mixed * 1000003 ^ token) & 0x7FFFFFFFFFFFFFFF
    return torch.rand(
        sample.targets, generator=torch.Generator().manual_seed(mixed), dtype=torch.float64
    )


def _batches(samples: Sequence[Sample], tokens: int) -> Iterator[list[Sample]]:
    """Like with like, so that little is padded; each batch at most `tokens` with its padding, or
    one sequence.
    """
    part: list[Sample] = []
    for sample in sorted(samples, key=lambda s: -len(s.ids)):
        if part and (len(part) + 1) * len(part[0].ids) > tokens:
            yield part
            part = []
        part.append(sample)
    if part:
        yield part


_Seen = tuple[Tensor, Tensor]
"""A module's inputs x (N, T, n) and its output gradients g (N, T, m)."""


@dataclass
class _Listener:
    """What a pass gives its modules' inputs and gradients to, and of how many sequences it is."""

    sequences: int = 0
    take: Callable[[str, _Seen], None] = lambda *_: None


class _ListenerOfThread(threading.local, _Listener):
    """One for the pass of each lane.

    Not for a single one: on a GPU, torch computes checkpoints again in a thread of its own.
    """


def _add_passes(
    network: Network, parts: Sequence[list[Sample]], sums: dict[str, Any], seed: int
) -> list[tuple[int, int]]:
    """Passes side by side, added up in order; how many sequences and target tokens of each counted.

    A single lane adds at once and keeps nothing.
    """
    alone = network.lanes.count == 1
    found: list[dict[str, _Seen]] = [{} for _ in parts]

    def add(name: str, seen: _Seen) -> None:
        sums[name].add(*seen)

    with _frozen(network), _listening(network) as listener:
        counts = network.lanes.map(
            lambda n: _one_pass(
                network, parts[n], listener, add if alone else found[n].__setitem__, seed
            ),
            range(len(parts)),
        )
    for kept in found:
        network.lanes.map(lambda name: add(name, kept.pop(name)), list(kept))  # noqa: B023 -- over before the next
    return counts


def _one_pass(
    network: Network,
    samples: Sequence[Sample],
    listener: _Listener,
    take: Callable[[str, _Seen], None],
    seed: int,
) -> tuple[int, int]:
    """One forward and backward pass; returns how many sequences and target tokens counted."""
    batch = network.batch(samples)
    batch.hidden.requires_grad_()  # so that every activation has a gradient although no weight needs one
    listener.sequences, listener.take = len(samples), take
    rows = network.rows(batch)
    uniform = torch.cat([uniforms(seed, sample) for sample in samples])
    _, losses, gradients = head_pass(rows.detach(), network.head, uniform=uniform.to(rows.device))
    good = _finite_sequences(batch.owner, losses, len(samples))
    gradients = torch.where(good[batch.owner][:, None], gradients, 0.0)
    rows.backward(gradients)  # type: ignore[no-untyped-call]
    return int(good.sum()), int(good[batch.owner].sum())


@contextmanager
def _frozen(network: Network) -> Iterator[None]:
    """What is trained has no gradients meanwhile: nobody asks for them, and they would be left
    behind.
    """
    trained = [value for value in network.causal.parameters() if value.requires_grad]
    for value in trained:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in trained:
            value.requires_grad_(True)


@contextmanager
def _listening(network: Network) -> Iterator[_Listener]:
    """Hooks on every target module that tell what it sees to the pass that it is in.

    Raises TrainingError where a module sees anything but one row a sequence.
    """
    listener: _Listener = _Listener() if network.lanes.count == 1 else _ListenerOfThread()

    def listen(name: str) -> Callable[..., None]:
        def forward(_: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not output.requires_grad:
                return  # the first of the two passes of gradient checkpointing
            x, take = inputs[0].detach(), listener.take
            if x.dim() != 3 or len(x) != listener.sequences:
                raise _packed(listener.sequences, x.shape)
            output.register_hook(lambda g: take(name, (x.to(network.dtype), g.to(network.dtype))))  # type: ignore[no-untyped-call]

        return forward

    handles = [network.module(name).register_forward_hook(listen(name)) for name in network.names]
    try:
        yield listener
    finally:
        for handle in handles:
            handle.remove()


def _packed(sequences: int, shape: torch.Size) -> TrainingError:
    return TrainingError(
        f"The Fisher needs each of the {sequences} sequences of a batch in a row of its own, but a "
        f"module was given {tuple(shape)}: packed or flattened.",
        "Packed sequences (and padding-free batches, and experts of a mixture) share rows, and "
        "their gradients cannot be told apart; pad them instead.",
    )


@dataclass
class _KfacSums:
    S: FactorSum | None = None
    C: FactorSum | None = None
    positions: int = 0

    def add(self, x: Tensor, g: Tensor) -> None:
        if self.S is None or self.C is None:
            self.S, self.C = (
                FactorSum(g.shape[-1], g.device, g.dtype),
                FactorSum(x.shape[-1], x.device, x.dtype),
            )
        size = g.abs().sum(
            -1
        )  # 0 where all are, not finite where one is not: the cheapest look at all of them
        counts = (size > 0) & torch.isfinite(size) & torch.isfinite(x.abs().sum(-1))
        self.S.add(g[counts])
        self.C.add(x[counts])
        self.positions += int(counts.sum())

    def result(self, tokens: int) -> ModuleFisher:
        if self.S is None or self.C is None:
            raise ValueError("no gradient has reached this module")
        return ModuleFisher(self.S.factor(tokens), self.C.factor(max(self.positions, 1)))


@dataclass
class _DiagonalSums:
    """Row and column sums of sum over sequences of G_n^2 (elementwise), G_n = sum over t of g_t
    x_t^T, without forming G: with the Gram matrices x x^T and g g^T (T, T). Products in the
    vectors' own precision, sums in float32 or better.
    """

    row: Tensor | None = None
    column: Tensor | None = None

    def add(self, x: Tensor, g: Tensor) -> None:
        high = torch.promote_types(x.dtype, torch.float32)
        good = torch.isfinite(g.abs().sum(-1)) & torch.isfinite(x.abs().sum(-1))
        if not good.all():
            x, g = torch.where(good[..., None], x, 0), torch.where(good[..., None], g, 0)
        row = (g * (x @ x.mT @ g)).sum((0, 1), dtype=high)
        column = (x * (g @ g.mT @ x)).sum((0, 1), dtype=high)
        self.row = row if self.row is None else self.row + row
        self.column = column if self.column is None else self.column + column

    def result(self, tokens: int) -> ModuleFisher:
        if self.row is None or self.column is None:
            raise ValueError("no gradient has reached this module")
        total = self.row.sum().clamp(min=torch.finfo(self.row.dtype).tiny)
        return ModuleFisher(
            Factor(diagonal=(self.row / tokens).clamp(min=0).cpu()),
            Factor(diagonal=(self.column / total).clamp(min=0).cpu()),
        )


_SUMS: dict[str, type[_KfacSums] | type[_DiagonalSums]] = {
    "kfac": _KfacSums,
    "diagonal": _DiagonalSums,
}


def _finite_sequences(owner: Tensor, losses: Tensor, count: int) -> Tensor:
    """Which of the sequences (count,) have only finite losses."""
    bad = torch.zeros(count, device=owner.device).index_add_(
        0, owner, (~torch.isfinite(losses)).float()
    )
    return bad == 0


def _accumulated(old: ModuleFisher, new: ModuleFisher) -> ModuleFisher:
    cycles = old.cycles + new.cycles
    return ModuleFisher(
        old.S.combined(1.0, new.S, 1.0),
        old.C.combined(old.cycles / cycles, new.C, new.cycles / cycles),
        cycles,
    )


def _factor(tensors: dict[str, Tensor], name: str) -> Factor:
    """The factor whose parts begin with `name`, taken out of `tensors`, so that a large file is not
    in memory twice.
    """
    kept = {
        part: tensors.pop(f"{name}.{part}")
        for part in ("variance", "correlation", "triangle", "matrix", "diagonal")
        if f"{name}.{part}" in tensors
    }
    return Factor.of_parts(kept)
