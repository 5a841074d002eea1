"""Adapter files: what was learned, as low-rank weight changes by module.

For each touched module (`model.layers.20.self_attn.q_proj`) two float32 tensors, `<module>.A` (r, in) and `<module>.B` (out, r), with the LoRA
scale alpha/r already in B: the weight change is exactly B @ A. The metadata names the base they belong to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qi_learn.errors import DiskFull, ModelError
from qi_learn.paths import sync_directory

FORMAT = "qi-learn adapter 1"


@dataclass(frozen=True, slots=True)
class Change:
    """The weight change of one module: dW = B @ A, with A (r, in) and B (out, r), float32."""

    A: Tensor
    B: Tensor


def save_adapter(path: Path, changes: Mapping[str, Change], base_digest: str) -> None:
    """Writes the adapter so that a reader sees all of it or nothing."""
    tensors = {f"{name}.{part}": getattr(change, part).detach().to("cpu", torch.float32) for name, change in changes.items() for part in ("A", "B")}
    save_tensors(path, tensors, {"format": FORMAT, "base": base_digest})


def load_adapter(path: Path, base_digest: str) -> dict[str, Change]:
    """The adapter in a file. Raises ModelError where it is missing, damaged, or belongs to another base."""
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path} is not an adapter of this program (format {metadata.get('format')!r}).", "Roll back to a version whose adapter is there.")
    if metadata.get("base") != base_digest:
        raise ModelError(f"{path} was trained on another base model.", "Changes of one base mean nothing on another; the next cycle must start from the base.")
    names = sorted({name.rpartition(".")[0] for name in tensors})
    return {name: Change(tensors[f"{name}.A"], tensors[f"{name}.B"]) for name in names}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file renamed into place, durable when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temp, metadata=dict(metadata))
        with temp.open("rb") as written:
            os.fsync(written.fileno())
        temp.replace(path)
    except (OSError, SafetensorError) as error:
        temp.unlink(missing_ok=True)
        if isinstance(error, SafetensorError):  # it writes by itself: what it raises for a full disk is no OSError
            raise DiskFull(f"{path} cannot be written: {error}.", "Make room on the disk.") from error
        raise
    sync_directory(path.parent)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises ModelError where it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118 - no mapping: keys() is its only way
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}", "If it was part of a version, roll back; if of a run, start the next cycle.") from error
