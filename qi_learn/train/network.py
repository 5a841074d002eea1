"""The model in training: a frozen base, cut in two at the first trained layer.

Its upper layers are run again and again, its lower layers once for each sequence. What lies below
the first trained layer never changes, so its output (the hidden states entering that layer) is
computed once per sequence and kept: the *frozen prefix*. Batches are padded on the right and
attention is causal, so no real token ever sees a padded one and no mask is needed. The
vocabulary-sized logits are made for target positions only, a few hundred rows at a time (head.py).
If the plan checkpoints gradients, a trained layer keeps nothing but its input, and is computed once
more when its gradient's turn comes.
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
from qi_learn.train.head import HEAD_ELEMENTS, TokenNll
from qi_learn.train.lanes import lanes_for
from qi_learn.train.nf4 import quantise

ADAPTER = "default"
States = dict[tuple[str, int], Tensor]
"""Outputs of a frozen prefix by a sequence's id and length."""


class Network:
    """A causal language model cut in two at the plan's first trained layer.

    Module names are the uncut model's. `states`: the frozen prefix's outputs that networks on the
    same base, cut at the same layer, share (see `Network.states`).
    """

    def __init__(self, causal: Any, plan: Plan, *, states: States | None = None) -> None:
        self.plan = plan
        self.first = plan.lora.first_layer
        self.lanes = lanes_for(plan)
        # in 16 bits it may not fit elsewhere: `lower_precision` moves it
        self.device = torch.device("cpu" if plan.hardware.four_bit else plan.hardware.device)
        self.dtype = {
            "float32": torch.float32,
            "bfloat16": torch.bfloat16,
            "float64": torch.float64,
        }[plan.hardware.dtype]
        causal.requires_grad_(False)
        causal.eval()
        causal.to(self.device)
        last = self.first + plan.lora.layer_count
        self.lower = _part(causal.model, 0, self.first, nn.Identity())
        causal.model = _part(causal.model, self.first, last, causal.model.norm)
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
        """Add B @ A to the weights of each module named, exactly.

        This is for the adapter that is served already.
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
            # a new mapping: networks with the unchanged lower part may share the old one
            self._states = {}

    def lower_precision(self) -> None:
        """Keep the frozen linear weights in the plan's precision.

        The layers' are held in 4 bits if the plan says so. Norms, embeddings and the residual
        stream stay as they were loaded. What is served is merged before: nothing can be merged into
        weights in 4 bits.
        """
        if self.plan.hardware.four_bit:
            self.device = torch.device(self.plan.hardware.device)
            for layers in (self.lower, self.causal.model):
                quantise(layers, self.device, self.dtype)
            # PEFT asks for it before it puts a LoRA on such modules
            self.causal.is_loaded_in_4bit = True
            self.causal.to(self.device)
            self.lower.to(self.device)
            return
        for part in (self.lower, self.causal):
            for module in part.modules():
                if isinstance(module, nn.Linear) and not module.weight.requires_grad:
                    module.weight = nn.Parameter(module.weight.to(self.dtype), requires_grad=False)

    def attach(self) -> None:
        """Put a fresh LoRA (B = 0, so nothing changes yet) on every target module.

        A is drawn from torch's global generator.
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
        # PEFT gives them the frozen weight's type, in which small steps would be rounded away
        for value in self.parameters:
            value.data = value.data.to(torch.promote_types(value.dtype, torch.float32))

    @property
    def scale(self) -> float:
        """s = alpha / r."""
        return self.plan.lora.alpha / self.plan.lora.rank

    def factors(self) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
        """A (r, in) and B (out, r) of each target module as they are trained, without the scale."""
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
        """Put changes that were learned before into the LoRA: the reverse of `delta`."""
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

        They are computed one sequence at a time, so that they do not depend on the rest of a batch,
        and kept if they cost more than a table look-up.
        """
        key = sample.id, len(sample.ids)  # the same sequence may be cut elsewhere by another plan
        kept = self._states.get(key)
        if kept is not None:
            return kept
        ids = torch.tensor([sample.ids], device=self.device)
        with self.autocast():
            states: Tensor = self.lower(input_ids=ids, use_cache=False).last_hidden_state[0]
        if self.first > 0:
            states = states.to(self.dtype)
            self._states[key] = states
        return states

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """The sequences' states, padded on the right, and the positions that predict targets."""
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
            # what is computed twice passes gradients on only if its input has one
            batch.hidden.requires_grad_()
        with self.autocast():
            final: Tensor = self.causal.model(
                inputs_embeds=batch.hidden, use_cache=False
            ).last_hidden_state
        return final[batch.owner, batch.column]

    def nll(self, batch: Batch) -> Tensor:
        """Negative log-likelihood (K,) of each target token, nats; differentiable."""
        nll: Tensor = TokenNll.apply(self.rows(batch), self.head, batch.labels)  # type: ignore[no-untyped-call]
        return nll

    def weighted_nll(self, samples: Sequence[Sample]) -> Tensor:
        """The NLL of the sequences' targets, weighted by sequence and summed; differentiable."""
        batch = self.batch(samples)
        return (self.nll(batch) * batch.weights).sum()

    @torch.no_grad()
    def right(self, batch: Batch) -> Tensor:
        """Whether the model itself would have written each target token (K,), greedily."""
        rows = self.rows(batch).to(self.head.dtype)
        size = max(1, HEAD_ELEMENTS[rows.device.type] // len(self.head))
        chosen = [
            (rows[at : at + size] @ self.head.T).argmax(-1) for at in range(0, len(rows), size)
        ]
        return torch.cat(chosen) == batch.labels

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
    """Sequences as they enter the first trained layer, with their targets.

    `hidden` (N, T, d) enters that layer. Target k is `labels[k]`, predicted at `hidden[owner[k],
    column[k]]`, with `weights[k]`.
    """

    hidden: Tensor
    owner: Tensor
    column: Tensor
    labels: Tensor
    weights: Tensor


def _recomputed(forward: Callable[..., Tensor], hidden: Tensor, **others: Any) -> Tensor:
    """A layer's pass that keeps only `hidden`.

    Its hooks see the second pass, in which every activation has the gradient that the Fisher needs.
    """
    if not (torch.is_grad_enabled() and hidden.requires_grad):
        return forward(hidden, **others)
    output: Tensor = checkpoint(partial(forward, **others), hidden, use_reentrant=True)
    return output


def _part(decoder: Any, first: int, last: int, norm: nn.Module) -> Any:
    """The decoder with only the layers first..last-1 and another final norm.

    Modules are shared, not copied.
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
