"""Which tensor of the base GGUF a module of the trained model is, and the order of its rows there.

Names come from gguf-py's own map. The supported architectures store their linear layers one to one:
`llama` (Llama, Mistral, SmolLM2), `qwen2` and `qwen3`. Only `llama` reorders: the converter
permutes the rows of q and k within each head, from the halves (t, j) of transformers' rotary
embedding to the pairs (j, t) of llama.cpp's. W and B have rows in that order, A has none, so
W + B A is permuted by permuting W and B. Everything else (fused projections, experts, embeddings)
is refused here with a sentence rather than packed wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qi_learn.errors import ModelError, UnsupportedArchitecture
from qi_learn.outside.architectures import LINEAR, SUPPORTED
from qi_learn.outside.gguf import GgufFile, Tensor

_FUSED = {
    "q_proj": "attn_qkv",
    "k_proj": "attn_qkv",
    "v_proj": "attn_qkv",
    "gate_proj": "ffn_gate_up",
    "up_proj": "ffn_gate_up",
}


@dataclass(frozen=True, slots=True)
class TensorSlot:
    """A module's tensor in the base."""

    tensor: Tensor
    head_rows: int = 1
    """The rows of one head if they are reordered; 1: they stay in order."""


def check_base(base: GgufFile) -> None:
    """Raise an error if packing cannot take the file as its base.

    Raises UnsupportedArchitecture, or ModelError for an adapter, a split file or a part of a model.
    """
    architecture = base.architecture
    if base.keys.get("general.type", "model") != "model":
        raise ModelError(
            f"{base.path} is not a model: {base.keys['general.type']}",
            "Use the base model's own GGUF file.",
        )
    if architecture not in SUPPORTED:
        raise UnsupportedArchitecture(
            f"the architecture {architecture} cannot be packed",
            f"Use a base of {', '.join(SUPPORTED)}.",
        )
    if base.keys.get("split.count", 0) not in (0, 1):
        raise ModelError(
            f"{base.path} is one part of a split model",
            "Join the parts first (llama-gguf-split --merge).",
        )


def find_slot(base: GgufFile, module: str) -> TensorSlot:
    """The tensor of a module such as `model.layers.20.self_attn.q_proj`.

    Raises ModelError if it has none of its own.
    """
    name = tensor_name(base, f"{module}.weight")
    leaf = module.rpartition(".")[2]
    if name is None or leaf not in LINEAR:
        raise ModelError(
            f"the adapter changes {module}, which cannot be packed",
            f"Train only {', '.join(LINEAR)}.",
        )
    tensor = base.tensors.get(name)
    if tensor is None:
        raise _missing(base, module, name)
    if len(tensor.shape) != 2:
        raise ModelError(
            f"{name} has {len(tensor.shape)} dimensions in {base.path}, a linear layer has 2",
            "Use a base without stacked experts.",
        )
    return TensorSlot(tensor, _head_rows(base, tensor, leaf))


def tensor_name(base: GgufFile, weight: str) -> str | None:
    """The GGUF file's name of a weight or bias that `transformers` calls `weight`.

    None if the architecture has no such tensor.
    """
    name: str | None = _name_map(base.architecture, _layers(base)).get_name(
        weight, try_suffixes=(".weight", ".bias")
    )
    return name


@cache
def _name_map(architecture: str, layers: int) -> Any:
    from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES
    from gguf.tensor_mapping import get_tensor_name_map

    return get_tensor_name_map(
        next(arch for arch in MODEL_ARCH if MODEL_ARCH_NAMES[arch] == architecture), layers
    )


def permute(rows: NDArray[np.float32], head_rows: int) -> NDArray[np.float32]:
    """Rows in transformers' order, put into the order of the GGUF file.

    Any whole number of heads at a time: (heads * head_rows, columns), same shape.
    """
    if head_rows == 1:
        return rows
    heads = rows.shape[0] // head_rows
    return np.ascontiguousarray(
        rows.reshape(heads, 2, head_rows // 2, rows.shape[1]).swapaxes(1, 2)
    ).reshape(rows.shape)


def _layers(base: GgufFile) -> int:
    layers = base.number(f"{base.architecture}.block_count")
    if not 0 < layers <= 4096:
        raise ModelError(f"{base.path} says it has {layers} layers", "Fetch the model file again.")
    return layers


def _missing(base: GgufFile, module: str, name: str) -> ModelError:
    leaf = module.rpartition(".")[2]
    fused = (
        name.rpartition(".weight")[0].rpartition(".")[0] + "." + _FUSED.get(leaf, "-") + ".weight"
    )
    if fused in base.tensors:
        return ModelError(
            f"{base.path} keeps {module} fused with others in {fused}",
            "Use a GGUF converted without fused projections.",
        )
    if leaf == "lm_head":
        return ModelError(
            f"{base.path} ties its output to the embeddings, so a changed lm_head has no place",
            "Train without lm_head.",
        )
    return ModelError(
        f"{base.path} has no tensor {name} for {module}",
        "Use the base model that the adapter was trained on.",
    )


def _head_rows(base: GgufFile, tensor: Tensor, leaf: str) -> int:
    if base.architecture != "llama" or leaf not in ("q_proj", "k_proj"):
        return 1
    heads = base.number("llama.attention.head_count")
    if leaf == "k_proj" and "llama.attention.head_count_kv" in base.keys:
        heads = base.number("llama.attention.head_count_kv")
    if heads < 1 or tensor.rows % (2 * heads):
        raise ModelError(
            f"{tensor.name} has {tensor.rows} rows for {heads} heads", "Fetch the model file again."
        )
    return tensor.rows // heads
