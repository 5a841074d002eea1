"""The adapter file (`adapter.safetensors`, `delta.safetensors`): low-rank weight changes by module.

For each touched module (`model.layers.20.self_attn.q_proj`) two float32 tensors, `<module>.A`
(rank, in) and `<module>.B` (out, rank), with the LoRA scale alpha / r already in B, so the weight
change is exactly B @ A. Metadata: `{"format": "qi-learn adapter 1", "base": <sha256 of the base
GGUF>}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from qi_learn.errors import DiskFull, ModelError, NotFound
from qi_learn.paths import sync_directory

FORMAT = "qi-learn adapter 1"
"""Value of `format` in the metadata."""
AGAIN = "Train again, or take the adapter of another version."


@dataclass(frozen=True, slots=True)
class Factors:
    """One module's change, dW = up @ down."""

    up: NDArray[np.float32]
    """B (out, rank)."""
    down: NDArray[np.float32]
    """A (rank, in)."""

    @property
    def rank(self) -> int:
        """The number of rows of A."""
        return len(self.down)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Everything learned on top of one base."""

    base: str
    """sha256 (hex) of the base's GGUF file."""
    modules: Mapping[str, Factors]
    """By module: `model.layers.20.self_attn.q_proj`."""


def read_adapter(path: Path) -> Adapter:
    """The adapter in a file, or in `adapter.safetensors` of a directory.

    Raises NotFound if there is none, ModelError if it is not one of ours or holds numbers that are
    not finite.
    """
    path = path / "adapter.safetensors" if path.is_dir() else path
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError as error:
        raise NotFound(f"there is no adapter {path}", AGAIN) from error
    except (OSError, SafetensorError, TypeError) as error:
        raise ModelError(f"the adapter {path} cannot be read: {error}", AGAIN) from error
    if metadata.get("format") != FORMAT or not metadata.get("base"):
        raise ModelError(f"{path} is no adapter of qi-learn ({FORMAT})", AGAIN)
    modules = {
        name.removesuffix(".A"): _factors(path, tensors, name.removesuffix(".A"))
        for name in sorted(tensors)
        if name.endswith(".A")
    }
    if len(tensors) != 2 * len(modules):
        raise ModelError(f"the adapter {path} has tensors that are no pair of A and B", AGAIN)
    return Adapter(metadata["base"], modules)


def write_adapter(adapter: Adapter, path: Path) -> None:
    """Write an adapter file (0600) by rename, so that it is there whole or not at all.

    Raises OSError or DiskFull if the disk does not take it.
    """
    tensors: dict[str, NDArray[np.float32]] = {}
    for module, factors in adapter.modules.items():
        tensors[f"{module}.A"] = np.ascontiguousarray(factors.down, dtype=np.float32)
        tensors[f"{module}.B"] = np.ascontiguousarray(factors.up, dtype=np.float32)
    temp = path.with_name(f".{path.name}.tmp")
    try:
        save_file(tensors, temp, metadata={"format": FORMAT, "base": adapter.base})
        os.chmod(temp, 0o600)
        with temp.open("rb") as file:
            os.fsync(file.fileno())
        temp.replace(path)
    except SafetensorError as error:  # it writes by itself: a full disk is no OSError there
        raise DiskFull(f"{path} cannot be written: {error}", "Make room on the disk.") from error
    finally:
        temp.unlink(missing_ok=True)
    sync_directory(path.parent)


def _factors(path: Path, tensors: Mapping[str, NDArray[np.float32]], module: str) -> Factors:
    down, up = tensors[f"{module}.A"], tensors.get(f"{module}.B")
    if up is None or not _match(up, down):
        raise ModelError(f"the adapter {path} has no matching float32 factors for {module}", AGAIN)
    if not (np.isfinite(up).all() and np.isfinite(down).all()):
        raise ModelError(
            f"the adapter {path} holds numbers that are not finite in {module}",
            "Train again with a lower learning rate.",
        )
    return Factors(up, down)


def _match(up: NDArray[np.float32], down: NDArray[np.float32]) -> bool:
    """Whether the two are float32 matrices with one inner dimension."""
    matrices = up.ndim == down.ndim == 2 and up.dtype == down.dtype == np.float32
    return matrices and up.shape[1] == down.shape[0]
