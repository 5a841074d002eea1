"""Checkpoints from which a run goes on as if it had never stopped.

Weights, optimiser moments, random state and counters, as safetensors and JSON, no pickle.

`checkpoints/step-000024/state.safetensors` is written first, `state.json` with its sha256 last:
without the second the checkpoint does not exist. The two newest stay.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qi_learn import codec
from qi_learn.errors import ModelError
from qi_learn.paths import replace_file
from qi_learn.train.adapter import load_tensors, save_tensors

KEPT = 2
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoopState:
    """The loop after `step` optimiser steps."""

    step: int
    elapsed: float
    """Seconds of training so far, over all processes that took part."""
    tokens: int
    """Sequence tokens trained on so far."""
    loss: float
    """Loss of the last step, nats per target token, without penalties."""
    general: float
    past: float
    """The two penalties of the last step."""
    before: float | None
    """Dev loss before the first step; None without a dev set."""
    best: float | None
    best_step: int
    worse: int
    """Evaluations in a row that were not better than the best."""
    preference: float = 0.0
    """Loss of the last comparison, without its weight."""
    dev_tokens: int = 0
    """Target tokens of the dev set that `before` and `best` are of."""


@dataclass(frozen=True, slots=True)
class _Marker:
    state: LoopState
    sha256: str


def save_checkpoint(
    directory: Path,
    state: LoopState,
    weights: Mapping[str, Tensor],
    best: Mapping[str, Tensor],
    optimizer: torch.optim.AdamW,
) -> None:
    """Write one checkpoint and drop all but the newest two.

    `weights` are the trained parameters in the optimiser's order.
    """
    checkpoint = directory / f"step-{state.step:06d}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    tensors = {f"weight/{name}": value.detach() for name, value in weights.items()} | {
        f"best/{name}": value for name, value in best.items()
    }
    for name, value in weights.items():
        tensors |= {
            f"adam/{name}/{key}": torch.as_tensor(moment).detach()
            for key, moment in optimizer.state[value].items()
        }
    tensors["random/cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random/cuda"] = torch.cuda.get_rng_state()
    copies = {name: value.cpu().clone() for name, value in tensors.items()}
    save_tensors(checkpoint / "state.safetensors", copies, {"step": str(state.step)})
    marker = _Marker(state, _sha256(checkpoint / "state.safetensors"))
    replace_file(checkpoint / "state.json", codec.dumps(marker))
    for old in sorted(directory.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)


def newest_checkpoint(directory: Path) -> tuple[LoopState, dict[str, Tensor]] | None:
    """The newest complete checkpoint, or None.

    One that is torn or damaged is passed over for the one before.
    """
    for checkpoint in sorted(directory.glob("step-*"), reverse=True):
        tensors = checkpoint / "state.safetensors"
        try:
            marker = codec.loads(_Marker, (checkpoint / "state.json").read_text(encoding="utf-8"))
            if _sha256(tensors) == marker.sha256:
                return marker.state, load_tensors(tensors)[0]
            reason = "its checksum does not match"
        except FileNotFoundError:
            continue  # never finished: a process was killed while it wrote
        except (OSError, ValueError, ModelError) as error:
            reason = str(error)
        logger.warning("checkpoint %s is passed over: %s", checkpoint.name, reason)
    return None


def restore(
    tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor], optimizer: torch.optim.AdamW
) -> dict[str, Tensor]:
    """Put a checkpoint's weights, moments and random state back; the best weights so far."""
    for name, value in weights.items():
        value.data.copy_(tensors[f"weight/{name}"])
        prefix = f"adam/{name}/"
        moments: dict[str, Any] = {
            key.removeprefix(prefix): kept
            for key, kept in tensors.items()
            if key.startswith(prefix)
        }
        optimizer.state[value] = {
            key: kept if key == "step" else kept.to(value.device) for key, kept in moments.items()
        }
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random/cuda"])
    return {
        name.removeprefix("best/"): value
        for name, value in tensors.items()
        if name.startswith("best/")
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
