"""A model to train from a GGUF file alone: its quantised weights as numbers in transformers.

It serves the architectures of `outside/architectures.py`, whose tensors map one to one.
transformers has a loader of its own (`gguf_file=`). This one gives the same model (tests compare
the two, tensor by tensor) in a fifth of the time, since it does not read the vocabulary, and leaves
no mark of a quantised model that forbids training it. What it would get wrong it refuses: rotary
frequencies scaled in a way that the file tells only in part.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from qi_learn.errors import ModelError, UnsupportedArchitecture
from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.outside.gguf import Array, GgufFile, read_head
from qi_learn.plan.base_model import check_architecture

_LAYER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
} | {
    gguf: f"{'self_attn' if gguf.startswith('attn') else 'mlp'}.{name}"
    for name, gguf in GGUF_NAMES.items()
}
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def load_dequantized(path: Path, dtype: torch.dtype, *, attention: str = "sdpa") -> Any:
    """The causal language model in a GGUF file, every weight as `dtype`, on the CPU.

    `attention` is transformers' name of the implementation. Raises NotFound, ModelError,
    UnsupportedArchitecture.
    """
    head = read_head(path)
    check_architecture(head.architecture)
    _check_rope(head)
    config = AutoConfig.for_model(head.architecture, **_settings(head))
    with torch.device("meta"):
        causal = AutoModelForCausalLM.from_config(
            config, attn_implementation=attention, dtype=dtype
        )
    weights = {name: value.to(dtype) for name, value in _weights(head)}
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    try:
        causal.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"The tensors of {path} are not those of a {head.architecture} model: {error}",
            "Use a GGUF made by llama.cpp's converter.",
        ) from error
    # its frequencies are no weights, and were made on no device
    causal.model.rotary_emb = type(causal.model.rotary_emb)(config=config)
    return causal


def _settings(head: GgufFile) -> dict[str, Any]:
    """The file's keys by transformers' names."""

    def key(name: str, default: Any = None) -> Any:
        value = head.keys.get(f"{head.architecture}.{name}", default)
        if value is None or isinstance(value, Array):
            raise ModelError(
                f"{head.path} has no usable `{head.architecture}.{name}`.",
                "Use a GGUF made by llama.cpp's converter.",
            )
        return value

    heads, hidden = key("attention.head_count"), key("embedding_length")
    return {
        "vocab_size": head.tensors["token_embd.weight"].rows,
        "hidden_size": hidden,
        "intermediate_size": key("feed_forward_length"),
        "num_hidden_layers": key("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": key("attention.head_count_kv", heads),
        "head_dim": key("attention.key_length", hidden // heads),
        "max_position_embeddings": key("context_length"),
        "rms_norm_eps": key("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": key("rope.freq_base", 10000.0)},
        "tie_word_embeddings": "output.weight" not in head.tensors,
        "attention_bias": head.architecture != "qwen2" and "blk.0.attn_q.bias" in head.tensors,
        "pad_token_id": None,
    }


def _weights(head: GgufFile) -> Iterator[tuple[str, Tensor]]:
    data = np.memmap(head.path, dtype=np.uint8, mode="r")
    for tensor in head.tensors.values():
        raw = data[tensor.start : tensor.start + tensor.size].reshape(tensor.rows, -1)
        numbers = dequantize(raw, GGMLQuantizationType[tensor.type])
        shape = tuple(reversed(tensor.shape))
        values = np.asarray(numbers, dtype=np.float32).reshape(shape)
        ordered = _row_order(head, tensor.name, values)
        yield _name(head, tensor.name), torch.from_numpy(ordered.copy())


def _name(head: GgufFile, name: str) -> str:
    """`blk.20.attn_q.weight` -> `model.layers.20.self_attn.q_proj.weight`."""
    stem, _, kind = name.rpartition(".")
    if stem in _WHOLE:
        return f"{_WHOLE[stem]}.{kind}"
    block, _, rest = stem.removeprefix("blk.").partition(".")
    if not stem.startswith("blk.") or rest not in _LAYER:
        raise ModelError(
            f"{head.path} has a tensor `{name}` that no plain {head.architecture} model has.",
            "Give the full-precision weights with `train.base_weights`, or take another base.",
        )
    return f"model.layers.{block}.{_LAYER[rest]}.{kind}"


def _row_order(head: GgufFile, name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The rows of a tensor in transformers' order.

    Those of `llama`'s q and k come back from llama.cpp's: within a head, pairs (j, t) to halves
    (t, j).
    """
    part = name.split(".")[-2]
    if head.architecture != "llama" or part not in ("attn_q", "attn_k"):
        return values
    keys = (
        ("attention.head_count",)
        if part == "attn_q"
        else ("attention.head_count_kv", "attention.head_count")
    )
    heads = next(
        int(value) for key in keys if isinstance(value := head.keys.get(f"llama.{key}"), int)
    )
    return (
        values.reshape(heads, len(values) // heads // 2, 2, *values.shape[1:])
        .swapaxes(1, 2)
        .reshape(values.shape)
    )


def _check_rope(head: GgufFile) -> None:
    kind = head.keys.get(f"{head.architecture}.rope.scaling.type", "none")
    if kind != "none" or "rope_freqs.weight" in head.tensors:
        raise UnsupportedArchitecture(
            f"{head.path} scales its rotary frequencies "
            f"({kind if kind != 'none' else 'rope_freqs'}), which cannot be trained from a GGUF "
            "file alone.",
            "Set `train.base_weights` to the directory with this model's safetensors weights.",
        )
