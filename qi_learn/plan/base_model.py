"""What a plan must know of the base model, from the head of its GGUF.

Architecture, shape, and the type and bytes of every tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from qi_learn.errors import ModelError, UnsupportedArchitecture
from qi_learn.outside.architectures import GGUF_NAMES, SUPPORTED
from qi_learn.outside.gguf import read_head

TARGETS = {
    "all-linear": tuple(GGUF_NAMES),
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}
"""What `train.targets` means."""


@dataclass(frozen=True, slots=True)
class BaseTensor:
    name: str
    type: str
    """ggml type: `Q4_K`, `F16`."""
    shape: tuple[int, ...]
    """(rows, columns), as torch has it."""
    bytes: int

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The shape of a base model."""

    path: Path
    architecture: str
    layers: int
    hidden: int
    feed_forward: int
    context: int
    tensors: tuple[BaseTensor, ...]

    @property
    def parameters(self) -> int:
        return sum(t.elements for t in self.tensors)

    @property
    def vocabulary(self) -> int:
        return next(t.shape[0] for t in self.tensors if t.name == "token_embd.weight")

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights read to make one token.

        That is everything but an embedding table that is not the output head too.
        """
        tied = all(t.name != "output.weight" for t in self.tensors)
        return sum(t.bytes for t in self.tensors if tied or t.name != "token_embd.weight")


def read_base(path: Path) -> BaseModel:
    """The base model in a GGUF file.

    Raises NotFound if there is no file, ModelError if it is no usable GGUF, UnsupportedArchitecture
    if it cannot be trained.
    """
    head = read_head(path)
    architecture = head.architecture
    check_architecture(architecture)
    if "token_embd.weight" not in head.tensors:
        raise ModelError(
            f"{path} has no embedding table (`token_embd.weight`): it is not a whole language "
            "model.",
            "Use the base model's own GGUF file.",
        )
    return BaseModel(
        path=path,
        architecture=architecture,
        layers=head.number(f"{architecture}.block_count"),
        hidden=head.number(f"{architecture}.embedding_length"),
        feed_forward=head.number(f"{architecture}.feed_forward_length"),
        context=head.number(f"{architecture}.context_length"),
        tensors=tuple(
            BaseTensor(t.name, t.type, tuple(reversed(t.shape)), t.size)
            for t in head.tensors.values()
        ),
    )


def check_architecture(architecture: str) -> None:
    """Raises UnsupportedArchitecture if models of this kind cannot be trained and packed."""
    if architecture not in SUPPORTED:
        raise UnsupportedArchitecture(
            f"The base model's architecture is `{architecture}`; only {', '.join(SUPPORTED)} can "
            "be trained and packed.",
            "Choose a base of one of these (Llama, Mistral, SmolLM2, Qwen2.5, Qwen3) with "
            "`serve.base`; this one goes on being served unchanged.",
        )
