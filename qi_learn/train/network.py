"""The model in training: a frozen base whose upper layers are run again and again, and whose lower
layers are run once for each sequence.

What lies below the first trained layer never changes, so its output (the hidden states entering
that layer) is computed once per sequence and kept: the *frozen prefix*. Batches are padded on the
right and attention is causal, so no real token ever sees a padded one and no mask is needed. The
vocabulary-sized logits are made for target positions only, a few hundred rows at a time, and their
gradient right with them (`head_pass`). Where the plan checkpoints gradients, a trained layer keeps
nothing but its input, and is computed once more when its gradient's turn comes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from qi_learn.errors import ModelError
from qi_learn.plan.schedule import Sample
from qi_learn.records import Plan
from qi_learn.train.adapter import WeightChange
from qi_learn.train.lanes import lanes_for
from qi_learn.train.nf4 import quantise

HEAD_ELEMENTS = {"cpu": 2**22, "cuda": 2**26}
"""Logits in memory at a time.

On a CPU 16 MB of float32: larger blocks are fresh pages from the system every time, which costs
more than the arithmetic.
"""
ADAPTER = "default"
States = dict[tuple[str, int], Tensor]
"""Outputs of a frozen prefix by a sequence's id and length."""


class Network:
    """A causal language model cut in two at the plan's first trained layer. Module names are the
    uncut model's.

    `states`: the frozen prefix's outputs that networks on the same base, cut at the same layer,
    share (see `Network.states`).
    """

    def __init__(self, causal: Any, plan: Plan, *, states: States | None = None) -> None:
        self.plan = plan
        self.first = plan.lora.first_layer
        self.lanes = lanes_for(plan)
        self.device = torch.device(
            "cpu" if plan.hardware.four_bit else plan.hardware.device
        )  # in 16 bits it may not fit elsewhere: `lower_precision` moves it
        self.dtype = {
            "float32": torch.float32,
            "bfloat16": torch.bfloat16,
            "float64": torch.float64,
        }[plan.hardware.dtype]
        causal.requires_grad_(False)
        causal.eval()
        causal.to(self.device)
        self.lower = _part(causal.model, 0, plan.lora.first_layer, nn.Identity())
        causal.model = _part(
            causal.model,
            plan.lora.first_layer,
            plan.lora.first_layer + plan.lora.layer_count,
            causal.model.norm,
        )
        self.causal = causal
        self._states: States = {} if states is None else states
        self.names = tuple(self._targets())
        if plan.hardware.gradient_checkpointing:
            for layer in causal.model.layers:
                layer.forward = partial(_recomputed, layer.forward)

    def module(self, name: str) -> nn.Module:
        """A target module by its name in the uncut model; with a LoRA on it once there is one."""
        prefix, index, rest = _split(name)
        return self.causal.get_submodule(f"{prefix}.{index - self.first}.{rest}")  # type: ignore[no-any-return]

    def merge(self, changes: Mapping[str, WeightChange]) -> None:
        """Adds B @ A to the weights of each module named, exactly; for the adapter that is served
        already.
        """
        for name, change in changes.items():
            weight = self._weight(name)
            if weight.shape != (change.B.shape[0], change.A.shape[1]):
                raise ModelError(
                    f"The adapter's `{name}` has another shape than the base's "
                    f"{tuple(weight.shape)}.",
                    "It belongs to another base; start from the base again.",
                )
            high = torch.promote_types(weight.dtype, torch.float32)
            weight.data = (
                weight.data.to(high)
                + change.B.to(weight.device, high) @ change.A.to(weight.device, high)
            ).to(weight.dtype)
        if any(_split(name)[1] < self.first for name in changes):
            self._states = {}  # those of another lower part, which networks may share, stay as they are

    def lower_precision(self) -> None:
        """Keeps the frozen linear weights in the plan's precision (the layers' in 4 bits where it
        says so); norms, embeddings and the residual stream stay as they were loaded.

        What is served is merged before: into what is left in 4 bits nothing can be.
        """
        if self.plan.hardware.four_bit:
            self.device = torch.device(self.plan.hardware.device)
            for layers in (self.lower, self.causal.model):
                quantise(layers, self.device, self.dtype)
            self.causal.is_loaded_in_4bit = (
                True  # PEFT asks for it before it puts a LoRA on such modules
            )
            self.causal.to(self.device)
            self.lower.to(self.device)
            return
        for part in (self.lower, self.causal):
            for module in part.modules():
                if isinstance(module, nn.Linear) and not module.weight.requires_grad:
                    module.weight = nn.Parameter(module.weight.to(self.dtype), requires_grad=False)

    def attach(self) -> None:
        """Puts a fresh LoRA (B = 0, so nothing changes yet) on every target module; draws A from
        torch's global generator.
        """
        config = LoraConfig(
            r=self.plan.lora.rank,
            lora_alpha=self.plan.lora.alpha,
            lora_dropout=self.plan.lora.dropout,
            target_modules=list(self.plan.lora.target_modules),
            bias="none",
        )
        inject_adapter_in_model(config, self.causal, adapter_name=ADAPTER)
        self.causal.to(self.device)
        for pair in self.factors().values():
            for value in pair:  # PEFT gives them the frozen weight's type, in which small steps would be rounded away
                value.data = value.data.to(torch.promote_types(value.dtype, torch.float32))

    @property
    def scale(self) -> float:
        """s = alpha / r."""
        return self.plan.lora.alpha / self.plan.lora.rank

    def factors(self) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
        """A (r, in) and B (out, r) of each target module, as they are trained: the scale is not in
        them.
        """
        modules: dict[str, Any] = {name: self.module(name) for name in self.names}
        return {
            name: (m.lora_A[ADAPTER].weight, m.lora_B[ADAPTER].weight)
            for name, m in modules.items()
        }

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All factors, A and B of each module in turn."""
        return [value for pair in self.factors().values() for value in pair]

    def load(self, changes: Mapping[str, WeightChange]) -> None:
        """Puts changes that were learned before into the LoRA: the reverse of `delta`."""
        for name, (A, B) in self.factors().items():
            A.data.copy_(changes[name].A)
            B.data.copy_(changes[name].B / self.scale)

    def delta(self) -> dict[str, WeightChange]:
        """What was learned, with the scale in B."""
        return {
            name: WeightChange(A.detach().clone(), self.scale * B.detach())
            for name, (A, B) in self.factors().items()
        }

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            yield

    @torch.no_grad()
    def states(self, sample: Sample) -> Tensor:
        """Hidden states (T, d) entering the first trained layer.

        Computed one sequence at a time, so that they do not depend on what else is in a batch, and
        kept where they cost more than a table look-up.
        """
        key = sample.id, len(sample.ids)  # the same sequence may be cut elsewhere by another plan
        kept = self._states.get(key)
        if kept is not None:
            return kept
        ids = torch.tensor([sample.ids], device=self.device)
        with self.autocast():
            found: Tensor = self.lower(input_ids=ids, use_cache=False).last_hidden_state[0]
        if self.first > 0:
            found = found.to(self.dtype)
            self._states[key] = found
        return found

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """The sequences' states, padded on the right, and where their targets are predicted."""
        states = [self.states(sample) for sample in samples]
        hidden = torch.zeros(
            len(samples),
            max(map(len, states)),
            states[0].shape[-1],
            device=self.device,
            dtype=self.causal.model.norm.weight.dtype,
        )
        for row, state in enumerate(states):
            hidden[row, : len(state)] = state
        owner = [row for row, sample in enumerate(samples) for _ in range(sample.targets)]
        column = [at - 1 for sample in samples for at in range(sample.start, len(sample.ids))]
        labels = [token for sample in samples for token in sample.ids[sample.start :]]
        weights = [sample.weight for sample in samples for _ in range(sample.targets)]
        numbers = (
            torch.tensor(values, device=self.device) for values in (owner, column, labels, weights)
        )
        return Batch(hidden, *numbers)

    def rows(self, batch: Batch) -> Tensor:
        """Final hidden states (K, d) at the positions that predict a target."""
        if self.plan.hardware.gradient_checkpointing and torch.is_grad_enabled():
            batch.hidden.requires_grad_()  # what is computed twice passes gradients on only where its input has one
        with self.autocast():
            final: Tensor = self.causal.model(
                inputs_embeds=batch.hidden, use_cache=False
            ).last_hidden_state
        return final[batch.owner, batch.column]

    def nll(self, batch: Batch) -> Tensor:
        """Negative log-likelihood (K,) of each target token, nats; differentiable."""
        found: Tensor = _TokenNll.apply(self.rows(batch), self.head, batch.labels)  # type: ignore[no-untyped-call]
        return found

    def weighted_nll(self, samples: Sequence[Sample]) -> Tensor:
        """The NLL of the sequences' targets, each times its sequence's weight, summed;
        differentiable.
        """
        batch = self.batch(samples)
        return (self.nll(batch) * batch.weights).sum()

    @torch.no_grad()
    def hits(self, batch: Batch) -> int:
        """How many target tokens of the batch the model itself would have written there, greedy."""
        rows = self.rows(batch).to(self.head.dtype)
        size = max(1, HEAD_ELEMENTS[rows.device.type] // len(self.head))
        chosen = [
            (rows[at : at + size] @ self.head.T).argmax(-1) for at in range(0, len(rows), size)
        ]
        return int((torch.cat(chosen) == batch.labels).sum())

    @property
    def head(self) -> Tensor:
        """The output head's weight (V, d); these architectures have no bias there."""
        weight: Tensor = self.causal.lm_head.weight
        return weight

    def _targets(self) -> Iterator[str]:
        for index, layer in enumerate(self.causal.model.layers):
            for name, module in layer.named_modules():
                if (
                    isinstance(module, nn.Linear)
                    and name.rpartition(".")[2] in self.plan.lora.target_modules
                ):
                    yield f"model.layers.{index + self.first}.{name}"

    def _weight(self, name: str) -> nn.Parameter:
        _, index, rest = _split(name)
        part = (
            self.lower.get_submodule(f"layers.{index}.{rest}")
            if index < self.first
            else self.module(name)
        )
        weight: nn.Parameter = part.weight  # type: ignore[assignment]
        return weight


@dataclass(frozen=True, slots=True)
class Batch:
    """`hidden` (N, T, d) enters the first trained layer; target k is `labels[k]`, predicted at
    `hidden[owner[k], column[k]]`, with `weights[k]`.
    """

    hidden: Tensor
    owner: Tensor
    column: Tensor
    labels: Tensor
    weights: Tensor


def head_pass(
    rows: Tensor,
    head: Tensor,
    labels: Tensor | None = None,
    uniform: Tensor | None = None,
    *,
    gradient: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels (K,), their NLL (K,) and its gradient in the rows (K, d), without ever holding K x V
    logits.

    With no labels they are drawn from the model's own distribution by inversion: `uniform` (K,) in
    [0, 1) decides.
    """
    chosen, losses, gradients = [], [], []
    size = max(1, HEAD_ELEMENTS[rows.device.type] // len(head))
    for at in range(0, len(rows), size):
        part = slice(at, at + size)
        inputs = rows[part].to(head.dtype)
        logits = inputs @ head.T
        high = torch.promote_types(logits.dtype, torch.float32)
        peak = logits.amax(-1, keepdim=True).to(high)
        probabilities = torch.softmax(logits, -1, dtype=high)
        log_total = (
            peak - probabilities.amax(-1, keepdim=True).log()
        )  # log of the sum of exp(logits): the largest probability is exp(peak - log_total)
        label = (
            labels[part] if labels is not None else _draw(probabilities, _present(uniform)[part])
        )
        losses.append((log_total - logits.gather(1, label[:, None]).to(high))[:, 0])
        chosen.append(label)
        if gradient:
            probabilities[torch.arange(len(label), device=rows.device), label] -= 1
            gradients.append((probabilities.to(head.dtype) @ head).to(rows.dtype))
    empty = rows.new_zeros(0)
    return torch.cat(chosen), torch.cat(losses), torch.cat(gradients) if gradient else empty


class _TokenNll(torch.autograd.Function):
    """NLL of given labels under a frozen head; each row's own gradient is made in the forward pass
    and scaled in the backward one.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, head: Tensor, labels: Tensor) -> Tensor:
        _, losses, gradients = head_pass(rows.detach(), head, labels, gradient=rows.requires_grad)
        ctx.save_for_backward(gradients)
        return losses

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * upstream[0][:, None].to(gradients.dtype), None, None


def _recomputed(forward: Callable[..., Tensor], hidden: Tensor, **others: Any) -> Tensor:
    """A layer's pass that keeps only `hidden`.

    Its hooks see the second pass, in which every activation has a gradient (what the Fisher listens
    to).
    """
    if not (torch.is_grad_enabled() and hidden.requires_grad):
        return forward(hidden, **others)
    found: Tensor = checkpoint(partial(forward, **others), hidden, use_reentrant=True)
    return found


def _draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One label a row by inversion, in two steps (which block, which in the block), so that no
    running sum over the vocabulary is made.
    """
    rows, vocabulary = probabilities.shape
    width = next(w for w in range(min(512, vocabulary), 0, -1) if vocabulary % w == 0)
    blocks = probabilities.view(rows, -1, width)
    upto = blocks.sum(-1).cumsum(-1)
    wanted = uniform.to(upto.dtype)[:, None] * upto[:, -1:]
    block = torch.searchsorted(upto, wanted, right=True).clamp(max=upto.shape[-1] - 1)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, width))[:, 0]
    left = wanted - upto.gather(1, block) + inside.sum(-1, keepdim=True)
    return (
        block * width + torch.searchsorted(inside.cumsum(-1), left, right=True).clamp(max=width - 1)
    )[:, 0]


def _present(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("either labels or uniform numbers are needed")
    return value


def _part(decoder: Any, first: int, last: int, norm: nn.Module) -> Any:
    """The decoder with only the layers first..last-1 and another final norm; modules are shared,
    not copied.
    """
    part = copy.copy(decoder)
    part._modules = dict(decoder._modules)
    part.config = copy.deepcopy(decoder.config)
    part.config.num_hidden_layers = last - first
    if getattr(part.config, "layer_types", None):
        part.config.layer_types = decoder.config.layer_types[first:last]
    part.layers = decoder.layers[first:last]
    part.norm = norm
    return part


def _split(name: str) -> tuple[str, int, str]:
    """`model.layers.20.mlp.up_proj` -> (`model.layers`, 20, `mlp.up_proj`)."""
    head, layers, rest = name.partition(".layers.")
    index, _, module = rest.partition(".")
    if not layers or not index.isdigit():
        raise ModelError(
            f"`{name}` is not the name of a module in a layer.",
            "The adapter file is damaged or from another program.",
        )
    return f"{head}.layers", int(index), module
