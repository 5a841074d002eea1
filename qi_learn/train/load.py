"""The network of a plan, loaded: transformers and PEFT, Unsloth's kernels, or 4-bit weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from qi_learn.errors import ModelError, TrainingError
from qi_learn.plan.base_model import check_architecture
from qi_learn.records import Plan
from qi_learn.train.dequantized import load_dequantized
from qi_learn.train.network import Network

EAGER_LENGTH = 512
"""Tokens up to which a CPU is three to four times faster with plain matrix products for attention
than with torch's fused kernel (measured, bfloat16, T = 96, 180).
"""


def load_trainable(plan: Plan) -> Network:
    """The base of a plan, ready to be trained on its device.

    With transformers and PEFT, or with Unsloth if the plan says so and it is imported already.
    Raises ModelError, UnsupportedArchitecture, TrainingError if the device is not there.
    """
    check_architecture(plan.base.architecture)
    if plan.hardware.device.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingError(
            f"The plan trains on {plan.hardware.device}, but this Python's torch sees no CUDA "
            "device.",
            "Install torch with CUDA for the interpreter in `train.python`, or set `train.device = "
            '"cpu"`.',
        )
    if plan.hardware.backend == "unsloth":
        from qi_learn.train.unsloth import load_fused

        return load_fused(plan)
    return Network(load_causal(plan), plan)


def load_causal(plan: Plan) -> Any:
    """The whole model as loaded; float32 on a CPU.

    Full-precision weights if the plan has them, else the dequantised GGUF.
    """
    dtype = torch.float32 if plan.hardware.device == "cpu" else getattr(torch, plan.hardware.dtype)
    short_on_cpu = plan.hardware.device == "cpu" and plan.batches.max_length <= EAGER_LENGTH
    attention = "eager" if short_on_cpu else "sdpa"
    if plan.base.weights is None:
        return load_dequantized(Path(plan.base.gguf), dtype, attention=attention)
    transformers_logging.disable_progress_bar()
    try:
        return AutoModelForCausalLM.from_pretrained(
            plan.base.weights,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"The weights in {plan.base.weights} cannot be loaded: {error}",
            "Point `train.base_weights` at a directory with config.json and safetensors, or empty "
            "it.",
        ) from error
