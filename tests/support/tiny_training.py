"""Tiny random models and sequences for the training tests: exact arithmetic (float64), seconds
instead of minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from qi_learn import codec
from qi_learn.plan.schedule import Sample
from qi_learn.records import Example, Plan
from qi_learn.train.network import Network

EXACT = "exact"
"""The name under which transformers knows the attention of the tiny float64 models."""
VOCABULARY = 37
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: arithmetic this small is slower with two, and reproducible with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_plan(**changes: Any) -> Plan:
    """A plan for a model of 3 layers whose upper 2 are trained."""
    plan = codec.build(
        Plan,
        {
            "run_id": "01TEST",
            "seed": 7,
            "base_gguf": "",
            "base_digest": "d" * 64,
            "base_weights": None,
            "architecture": "llama",
            "device": "cpu",
            "dtype": "float64",
            "first_layer": 1,
            "layer_count": 2,
            "target_modules": MODULES,
            "rank": 4,
            "alpha": 8.0,
            "dropout": 0.0,
            "learning_rate": 1e-2,
            "weight_decay": 0.01,
            "warmup_steps": 1,
            "max_steps": 8,
            "batch_size": 4,
            "accumulation": 2,
            "max_length": 64,
            "replay_share": 0.25,
            "generic_share": 0.125,
            "lambda_general": 1.0,
            "lambda_past": 1.0,
            "eval_every": 2,
            "patience": 3,
            "max_seconds": 3600.0,
        },
    )
    return codec.changed(plan, **changes)


def tiny_causal(
    architecture: str = "llama",
    *,
    tied: bool = False,
    seed: int = 0,
    layers: int = 3,
    width: int = 16,
    dtype: torch.dtype = torch.float64,
) -> Any:
    """A random causal language model of transformers, with weights large enough for clear choices.

    In float64 all of it computes in float64. transformers' norms and its eager softmax would go
    through float32, where a difference of 4e-16 (a BLAS that adds up a product in another order,
    seen on an AMD EPYC with two threads) may become one of 1e-7.
    """
    config = AutoConfig.for_model(
        architecture,
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=width * 3 // 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=width // 4,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=1.2 / width**0.5,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(seed)
    attention = "eager"
    if dtype == torch.float64:
        attention = EXACT
        AttentionInterface.register(EXACT, _exact_attention)
        AttentionMaskInterface.register(EXACT, eager_mask)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=dtype)
    if dtype == torch.float64:
        _norm_in_float64(model)
    return model.eval()


def _exact_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: object,
) -> tuple[Tensor, Tensor]:
    """Attention over (batch, heads, positions, width), whose softmax stays in its own precision."""
    groups = module.num_key_value_groups
    keys, values = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ keys.transpose(2, 3) * scaling
    weights = (scores if attention_mask is None else scores + attention_mask).softmax(-1)
    return (weights @ values).transpose(1, 2).contiguous(), weights


def _norm_in_float64(model: torch.nn.Module) -> None:
    """Put torch's own RMS norm, the same formula, in the place of each norm that casts."""
    for module in list(model.modules()):
        for name, norm in list(module.named_children()):
            if type(norm).__name__.endswith("RMSNorm"):
                weight, eps = norm.get_parameter("weight"), float(vars(norm)["variance_epsilon"])
                exact = torch.nn.RMSNorm(weight.shape, eps=eps, dtype=torch.float64)
                exact.weight = weight
                setattr(module, name, exact)


def tiny_network(
    architecture: str = "llama", *, tied: bool = False, seed: int = 0, **changes: Any
) -> Network:
    plan = tiny_plan(architecture=architecture, **changes)
    return Network(
        tiny_causal(architecture, tied=tied, seed=seed, dtype=getattr(torch, plan.hardware.dtype)),
        plan,
    )


def tiny_samples(count: int, *, seed: int = 0, tag: str = "s") -> tuple[Sample, ...]:
    """Sequences of different lengths (6 to 16 tokens)."""
    rng = random.Random(seed)
    lengths = [(rng.randint(2, 6), rng.randint(4, 10)) for _ in range(count)]
    return tuple(
        Sample(f"{tag}{n}", tuple(rng.randrange(VOCABULARY) for _ in range(p + t)), p)
        for n, (p, t) in enumerate(lengths)
    )


def tiny_examples(
    count: int, *, seed: int = 0, tag: str = "t", split: Any = "train"
) -> tuple[Example, ...]:
    """Examples whose targets count up from a small number: something that can be learned."""
    rng = random.Random(seed)
    made = []
    for n in range(count):
        prompt = tuple(rng.randrange(VOCABULARY) for _ in range(rng.randint(2, 6)))
        start = rng.randrange(3)
        target = tuple(range(start, start + rng.randint(8, 12)))
        made.append(
            Example(
                f"{tag}{n}", f"{tag}{n}", "", "", prompt, target, (True,) * len(target), split=split
            )
        )
    return tuple(made)


def randomised(network: Network, *, seed: int = 3, size: float = 0.05) -> Network:
    """A network whose LoRA is attached and not zero."""
    torch.manual_seed(seed)
    network.attach()
    for A, B in network.factors().values():
        A.data = torch.randn_like(A) * size * 4
        B.data = torch.randn_like(B) * size
    return network
