"""Random adapters for tests: small changes of a GGUF model, as factors with the scale in B, and the
same changes as plain matrices to compare with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qi_learn.outside.gguf import read_head
from qi_learn.pack.tensor_map import find_slot
from qi_learn.rundir.adapter_file import Adapter, Factors

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
FEED_FORWARD = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
ALL_LINEAR = ATTENTION + FEED_FORWARD


def random_adapter(
    base: Path,
    layers: Iterable[int],
    modules: Iterable[str] = ALL_LINEAR,
    *,
    size: float = 0.002,
    rank: int = 4,
    seed: int = 0,
) -> Adapter:
    """An adapter of `base`; each element of a change has the standard deviation `size`."""
    head, rng, modules = read_head(base), np.random.default_rng(seed), tuple(modules)
    made: dict[str, Factors] = {}
    for layer in layers:
        for module in modules:
            tensor = find_slot(head, name := f"model.layers.{layer}.{module}").tensor
            up = rng.standard_normal((tensor.rows, rank), dtype=np.float32) * np.float32(
                size / rank**0.5
            )
            made[name] = Factors(up, rng.standard_normal((rank, tensor.columns), dtype=np.float32))
    return Adapter(hashlib.sha256(base.read_bytes()).hexdigest(), made)


def dense(factors: Factors) -> NDArray[np.float64]:
    """dW as a matrix."""
    return factors.up.astype(np.float64) @ factors.down.astype(np.float64)
