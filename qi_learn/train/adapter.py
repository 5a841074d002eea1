"""What was learned, as low-rank weight changes by module.

torch's side of the adapter file (`rundir/adapter_file.py`), and of every other safetensors file
that the training writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qi_learn.errors import DiskFull, ModelError
from qi_learn.paths import sync_directory
from qi_learn.rundir.adapter_file import Adapter, Factors, read_adapter, write_adapter


@dataclass(frozen=True, slots=True)
class WeightChange:
    """The weight change of one module: dW = B @ A, with A (r, in) and B (out, r), float32."""

    A: Tensor
    B: Tensor


def save_adapter(path: Path, changes: Mapping[str, WeightChange], base_digest: str) -> None:
    """Write the adapter so that a reader sees all of it or nothing. Raises OSError or DiskFull."""
    path.parent.mkdir(parents=True, exist_ok=True)
    factors = {
        name: Factors(_numbers(change.B), _numbers(change.A)) for name, change in changes.items()
    }
    write_adapter(Adapter(base_digest, factors), path)


def load_adapter(path: Path, base_digest: str) -> dict[str, WeightChange]:
    """The adapter in a file.

    Raises NotFound if it is missing, ModelError if it is damaged or belongs to another base.
    """
    adapter = read_adapter(path)
    if adapter.base != base_digest:
        raise ModelError(
            f"{path} was trained on another base model.",
            "Changes of one base mean nothing on another; the next cycle must start from the base.",
        )
    return {
        name: WeightChange(torch.from_numpy(factors.down), torch.from_numpy(factors.up))
        for name, factors in adapter.modules.items()
    }


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file and rename it into place; it is durable when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, temp, metadata=dict(metadata))
        with temp.open("rb") as written:
            os.fsync(written.fileno())
        temp.replace(path)
    except (OSError, SafetensorError) as error:
        temp.unlink(missing_ok=True)
        # safetensors writes by itself: what it raises for a full disk is no OSError
        if isinstance(error, SafetensorError):
            raise DiskFull(
                f"{path} cannot be written: {error}.", "Make room on the disk."
            ) from error
        raise
    sync_directory(path.parent)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises ModelError if it is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            names = opened.keys()  # it is no mapping
            return {name: opened.get_tensor(name) for name in names}, dict(opened.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} cannot be read: {error}",
            "If it was part of a version, roll back; if of a run, start the next cycle.",
        ) from error
