"""How much the model's answers depend on each direction of each weight.

This is the Fisher information, by module, as two factors S and C. The Fisher of dW at a linear
module is E[(g x^T)(g x^T)^T], with x the module's input and g the gradient of the sequence's
*summed* negative log-likelihood at its output, for labels drawn from the model itself (not the
data's: those give the empirical Fisher, which vanishes on what the model has just been trained on).
Gradients are per sequence: one sequence's loss never reaches another's activations, so one backward
pass through a padded batch gives all of them, and padding adds exactly nothing. Batch gradients are
never squared, and packed batches are refused.

* `kfac`: S = sum g g^T / N_tok over all positions, C = sum x x^T / N_pos over the positions at
  which g is not 0.
* `diagonal`: S and C are diagonal and hold the exact row and column sums of the exact per-sequence
  Fisher's diagonal.

0.5 * tr(dW^T S dW C) is then nats of KL divergence per target token.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from qi_learn.errors import TrainingError
from qi_learn.plan.schedule import Sample
from qi_learn.train.factor import Factor, FactorSum, Form
from qi_learn.train.fisher import Fisher, ModuleFisher
from qi_learn.train.head import head_pass
from qi_learn.train.network import Network

ENOUGH = 32
"""Least number of sequences that says something about general ability."""

logger = logging.getLogger(__name__)


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

    Labels depend on `seed` and the sequence alone, not on its batch. A batch has at most
    `batch_tokens` tokens. `on_batch` is called with how many sequences are done and may raise
    Interrupted. Raises TrainingError if fewer than `least` sequences could be used.
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
    """Numbers in [0, 1), one for each target token, that decide the labels of a sequence.

    They are the same in every batch.
    """
    mixed = seed & 0xFFFFFFFF
    for token in sample.ids:
        mixed = (mixed * 1000003 ^ token) & 0x7FFFFFFFFFFFFFFF
    return torch.rand(
        sample.targets, generator=torch.Generator().manual_seed(mixed), dtype=torch.float64
    )


def _batches(samples: Sequence[Sample], tokens: int) -> Iterator[list[Sample]]:
    """Batches of sequences of like length, so that little is padded.

    Each has at most `tokens` with its padding, or one sequence.
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
    """What takes a pass's inputs and gradients by module, and the number of its sequences."""

    sequences: int = 0
    take: Callable[[str, _Seen], None] = lambda *_: None


class _ListenerOfThread(threading.local, _Listener):
    """A listener for the pass of each lane.

    Not for a single lane: on a GPU, torch computes checkpoints again in a thread of its own.
    """


def _add_passes(
    network: Network, parts: Sequence[list[Sample]], sums: dict[str, Any], seed: int
) -> list[tuple[int, int]]:
    """Run passes side by side and add them up in order.

    Returns the sequences and target tokens of each that counted. A single lane adds at once and
    keeps nothing.
    """
    alone = network.lanes.count == 1
    seen_by_part: list[dict[str, _Seen]] = [{} for _ in parts]

    def add(name: str, seen: _Seen) -> None:
        sums[name].add(*seen)

    with _frozen(network), _listening(network) as listener:
        takers = [add if alone else seen.__setitem__ for seen in seen_by_part]
        counts = network.lanes.map(
            lambda n: _one_pass(network, parts[n], listener, takers[n], seed), range(len(parts))
        )
    for kept in seen_by_part:
        network.lanes.map(lambda name: add(name, kept.pop(name)), list(kept))  # noqa: B023 -- over before the next
    return counts


def _one_pass(
    network: Network,
    samples: Sequence[Sample],
    listener: _Listener,
    take: Callable[[str, _Seen], None],
    seed: int,
) -> tuple[int, int]:
    """One forward and backward pass; the number of sequences and target tokens that counted."""
    batch = network.batch(samples)
    batch.hidden.requires_grad_()  # so that every activation has a gradient, though no weight does
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
    """Turn off gradients of what is trained: they are not used here, and would be left behind."""
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
    """Hook every target module, so that each pass gets what its modules see.

    Raises TrainingError if a module sees anything but one row per sequence.
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
        size = g.abs().sum(-1)  # 0 if all are 0, not finite if one is not: the cheapest test of all
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
    """Row and column sums of G_n^2 (elementwise) summed over sequences n.

    G_n = sum over t of g_t x_t^T. G is never formed: the Gram matrices x x^T and g g^T (T, T) do.
    Products are in the vectors' own precision, sums in float32 or better.
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
    """Whether each of the sequences (count,) has only finite losses."""
    bad = torch.zeros(count, device=owner.device).index_add_(
        0, owner, (~torch.isfinite(losses)).float()
    )
    return bad == 0
