"""Adapters: their files, joining two into one, and the tensors of the base that an adapter changes.

An adapter is, for each touched module, two factors A (rank, in) and B (out, rank) with the scale already in B, so the weight change is dW = B A and
nothing else has to be known. A version is the base plus one adapter: `join` puts a cycle's delta on top of the served adapter by laying the factors side
by side, which is exact, and cuts the rank by SVD only past a cap. dW itself is never formed here.

The file (`adapter.safetensors`): float32 tensors `<module>.A` and `<module>.B`, metadata `{"format": "qi-learn adapter 1", "base": <sha256 of the base GGUF>}`.
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
from qi_learn.outside.gguf import GgufFile
from qi_learn.pack.tensor_map import Home, find_home, permute
from qi_learn.paths import sync_directory

FORMAT = "qi-learn adapter 1"
AGAIN = "Train again, or take the adapter of another version."


LEAST_CAP = 64
"""A joined adapter is never cut below this rank."""
ROOM = 256 * 2**20
"""Bytes that a joined adapter may take."""


@dataclass(frozen=True, slots=True)
class Factors:
    """One module's change, dW = up @ down. `up` is B (out, rank), `down` is A (rank, in), float32."""

    up: NDArray[np.float32]
    down: NDArray[np.float32]

    @property
    def rank(self) -> int:
        return len(self.down)


@dataclass(frozen=True, slots=True)
class Adapter:
    """Everything learned on top of one base. `base` is the sha256 (hex) of the base's GGUF file."""

    base: str
    modules: Mapping[str, Factors]


@dataclass(frozen=True, slots=True)
class Change:
    """A tensor of the base and its change: `up` (rows, rank) in the order of the GGUF file, `down` (rank, columns)."""

    module: str
    home: Home
    up: NDArray[np.float32]
    down: NDArray[np.float32]

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) of dW."""
        product: NDArray[np.float32] = self.up[start:stop] @ self.down
        return product


def read_adapter(path: Path) -> Adapter:
    """Reads an adapter file, or `adapter.safetensors` in a directory. Raises NotFound, or ModelError where it is not one of ours or holds no finite numbers."""
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
    modules = {name.removesuffix(".A"): _factors(path, tensors, name.removesuffix(".A")) for name in sorted(tensors) if name.endswith(".A")}
    if len(tensors) != 2 * len(modules):
        raise ModelError(f"the adapter {path} has tensors that are no pair of A and B", AGAIN)
    return Adapter(metadata["base"], modules)


def write_adapter(adapter: Adapter, path: Path) -> None:
    """Writes an adapter file (0600) by rename, so it is there whole or not at all. Raises OSError or DiskFull where the disk does not take it."""
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
    except SafetensorError as error:
        raise DiskFull(f"{path} cannot be written: {error}", "Make room on the disk.") from error  # it writes by itself: a full disk is no OSError there
    finally:
        temp.unlink(missing_ok=True)
    sync_directory(path.parent)


def rank_cap(adapter: Adapter, base_bytes: int) -> int:
    """Past this rank an adapter of the same modules is cut: it would take more than `ROOM` bytes, or more than the base's own file. Never below `LEAST_CAP`.

    A cut loses something at every update from there on, and every version's adapter is kept: SmolLM2-135M is cut after some 29 updates of rank 8, a 7B
    after 4 of rank 16.
    """
    rank_bytes: int = 4 * sum(len(factors.up) + factors.down.shape[1] for factors in adapter.modules.values())
    return max(LEAST_CAP, min(base_bytes, ROOM) // max(1, rank_bytes))


def join(previous: Adapter | None, delta: Adapter, scale: float, *, rank_cap: int) -> tuple[Adapter, float]:
    """`previous` + `scale` x `delta` as one adapter, and what cutting the rank cost: |dW - dW'| / |dW| over all modules (Frobenius).

    0.0 where no module is past `rank_cap`: then the factors are only laid side by side. Raises ModelError where the two are not of the same base or shapes.
    """
    if previous is not None and previous.base != delta.base:
        raise ModelError("the two adapters were trained on different bases", "Train the delta on the base of the served version.")
    before: Mapping[str, Factors] = {} if previous is None else previous.modules
    joined: dict[str, Factors] = {}
    lost = total = 0.0
    for module in sorted(before.keys() | delta.modules.keys()):
        factors = _side_by_side(module, before.get(module), delta.modules.get(module), scale)
        total += _square(factors)
        if factors.rank > rank_cap:
            factors, cost = _cut(factors, rank_cap)
            lost += cost
        joined[module] = factors
    return Adapter(delta.base, joined), (lost / total) ** 0.5 if total else 0.0


def changed_tensors(adapter: Adapter, base: GgufFile, scale: float = 1.0) -> tuple[Change, ...]:
    """The tensors that `scale` x the adapter changes, in the order of the base's file; modules with dW = 0 change nothing and are left out.

    Raises ModelError where a module has no tensor of its own or another shape.
    """
    changes = [_change(base, module, factors, scale) for module, factors in adapter.modules.items() if scale and factors.up.any() and factors.down.any()]
    if len({c.home.tensor.name for c in changes}) < len(changes):
        raise ModelError("two modules of the adapter are the same tensor of the base", AGAIN)
    return tuple(sorted(changes, key=lambda c: c.home.tensor.start))


def _change(base: GgufFile, module: str, factors: Factors, scale: float) -> Change:
    home = find_home(base, module)
    shape = (factors.up.shape[0], factors.down.shape[1])
    if shape != (home.tensor.rows, home.tensor.columns):
        raise ModelError(f"the adapter's {module} is {shape}, {home.tensor.name} is {home.tensor.shape[::-1]}", "Use the base that it was trained on.")
    return Change(module, home, permute(np.float32(scale) * factors.up, home.head_rows), factors.down)


def _factors(path: Path, tensors: Mapping[str, NDArray[np.float32]], module: str) -> Factors:
    down, up = tensors[f"{module}.A"], tensors.get(f"{module}.B")
    if up is None or down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0] or down.dtype != np.float32 or up.dtype != np.float32:
        raise ModelError(f"the adapter {path} has no matching float32 factors for {module}", AGAIN)
    if not (np.isfinite(up).all() and np.isfinite(down).all()):
        raise ModelError(f"the adapter {path} holds numbers that are not finite in {module}", "Train again with a lower learning rate.")
    return Factors(up, down)


def _side_by_side(module: str, before: Factors | None, delta: Factors | None, scale: float) -> Factors:
    """B A + s B' A' = [B, s B'] [A; A']."""
    if delta is None:
        assert before is not None
        return before
    scaled = Factors(np.float32(scale) * delta.up, delta.down)
    if before is None:
        return scaled
    if before.up.shape[0] != delta.up.shape[0] or before.down.shape[1] != delta.down.shape[1]:
        raise ModelError(f"the two adapters disagree about the shape of {module}", "Train the delta on the base of the served version.")
    return Factors(np.hstack([before.up, scaled.up]), np.vstack([before.down, delta.down]))


def _square(factors: Factors) -> float:
    """|B A|^2 = <B^T B, A A^T>."""
    up, down = factors.up.astype(np.float64), factors.down.astype(np.float64)
    return float(np.vdot(up.T @ up, down @ down.T))


def _cut(factors: Factors, rank: int) -> tuple[Factors, float]:
    """The best approximation of this rank, its size shared between the factors, and the square of what is lost.

    B = Qb Rb, A^T = Qa Ra, and the SVD of the small Rb Ra^T: O((out + in) rank^2).
    """
    left, small_left = np.linalg.qr(factors.up.astype(np.float64))
    right, small_right = np.linalg.qr(factors.down.astype(np.float64).T)
    u, values, vt = np.linalg.svd(small_left @ small_right.T, full_matrices=False)
    root = np.sqrt(values[:rank])
    up = (left @ u)[:, :rank] * root
    down = root[:, None] * (vt @ right.T)[:rank]
    return Factors(up.astype(np.float32), down.astype(np.float32)), float(np.sum(values[rank:] ** 2))
