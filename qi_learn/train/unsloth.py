"""Unsloth's patched model behind `Network`'s methods.

bfloat16 on one GPU, all layers trained, its own gradient checkpointing. Written against the source
of the 2026.10.9 wheel and run with it on one H200 (docs/internals/log). The loss is ours, made from
the decoder's hidden states (its fused cross-entropy, which leaves no logits, is not used), the
penalties act on the LoRA's factors once per step, and the Fisher is made elsewhere with the plain
model. The model is not cut: with full-precision weights on a GPU every layer changes. `unsloth`
must have been imported before (`plan.backend.import_unsloth`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from qi_learn.errors import ModelError
from qi_learn.plan.schedule import Sample
from qi_learn.records import Plan
from qi_learn.train.lanes import Lanes
from qi_learn.train.network import Batch, Network


class Fast(Protocol):
    """The used part of `unsloth.FastLanguageModel`."""

    def from_pretrained(self, model_name: str, **options: Any) -> tuple[Any, Any]: ...
    def get_peft_model(self, model: Any, **options: Any) -> Any: ...
    def for_training(self, model: Any) -> Any: ...


def load_fused(plan: Plan) -> Network:
    """The base of a plan as Unsloth loads it. Raises ModelError if it cannot."""
    fast: Fast = importlib.import_module("unsloth").FastLanguageModel
    try:
        causal, _ = fast.from_pretrained(
            str(plan.base.weights),
            max_seq_length=plan.batches.max_length,  # it would cut longer ones silently
            dtype=torch.bfloat16,
            load_in_4bit=False,
            load_in_16bit=True,
            use_exact_model_name=True,  # else it may replace a name that it knows
            use_gradient_checkpointing=_checkpointing(plan),
            offload_embedding=False,
            random_state=plan.seed,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ModelError(
            f"Unsloth cannot load {plan.base.weights}: {error}", 'Set `train.backend = "plain"`.'
        ) from error
    return FusedNetwork(causal, plan, fast)


def _checkpointing(plan: Plan) -> str | bool:
    return "unsloth" if plan.hardware.gradient_checkpointing else False


class FusedNetwork(Network):
    """A whole causal model whose layers and LoRA another library has patched.

    Its forward hooks never fire: no Fisher from here.
    """

    def __init__(self, causal: Any, plan: Plan, fast: Fast) -> None:
        if plan.lora.first_layer != 0:
            raise ModelError(
                "Unsloth trains all layers, and the plan leaves some out.",
                'Set `train.backend = "plain"`.',
            )
        causal.requires_grad_(False)
        self.plan, self.first, self.causal = plan, 0, causal
        self.device = torch.device(plan.hardware.device)
        self.dtype = torch.bfloat16 if plan.hardware.dtype == "bfloat16" else torch.float32
        self.lanes = Lanes()
        self._fast = fast
        self.names = tuple(self._targets())

    def lower_precision(self) -> None:
        """Do nothing: it was loaded in the plan's precision."""

    def attach(self) -> None:
        """Put a fresh LoRA on the model by Unsloth's own function, which adds its kernels."""
        peft_model = self._fast.get_peft_model(
            self.causal,
            r=self.plan.lora.rank,
            lora_alpha=self.plan.lora.alpha,
            lora_dropout=0,
            bias="none",
            target_modules=list(self.plan.lora.target_modules),
            use_gradient_checkpointing=_checkpointing(self.plan),
            random_state=self.plan.seed,
        )
        # else it checkpoints nothing; there is no dropout that would be switched on
        self._fast.for_training(peft_model)
        for value in self.parameters:
            value.data = value.data.to(torch.float32)

    @torch.no_grad()
    def states(self, sample: Sample) -> Tensor:
        """The token embeddings (T, d): nothing lies below the first trained layer."""
        ids = torch.tensor(sample.ids, device=self.device)
        states: Tensor = self.causal.model.embed_tokens(ids)
        return states

    def rows(self, batch: Batch) -> Tensor:
        """Final hidden states (K, d) at the positions that predict a target."""
        if torch.is_grad_enabled():
            # its checkpointing is of the kind that needs an input with a gradient
            batch.hidden.requires_grad_()
        with self.autocast():
            final: Tensor = self.causal.model(
                inputs_embeds=batch.hidden, use_cache=False
            ).last_hidden_state
        return final[batch.owner, batch.column]

    def module(self, name: str) -> nn.Module:
        return self.causal.get_submodule(name)  # type: ignore[no-any-return]

    def _targets(self) -> Iterator[str]:
        for name, module in self.causal.named_modules():
            if (
                name.startswith("model.layers.")
                and isinstance(module, nn.Linear)
                and name.rpartition(".")[2] in self.plan.lora.target_modules
            ):
                yield name
