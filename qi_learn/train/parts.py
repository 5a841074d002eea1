"""A run in three parts, each in processes of its own.

The general Fisher, the training, and what follows from it. It is for a training that is split over
GPUs (its ranks are needed for that part alone), and for Unsloth, whose kernels bypass every hook:
both Fishers are those of the plain model, and the plain model must agree with the dev loss that
Unsloth reports. What one part leaves to the next is in files.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from qi_learn import codec
from qi_learn.errors import StoreError, TrainingError
from qi_learn.paths import replace_file
from qi_learn.records import Plan, Snapshot, TrainResult
from qi_learn.train.adapter import load_adapter, save_adapter
from qi_learn.train.fisher import load_fisher
from qi_learn.train.load import load_trainable
from qi_learn.train.loop import Trained, evaluate
from qi_learn.train.network import Network
from qi_learn.train.protection import Prior
from qi_learn.train.run import (
    conclude,
    past_fisher,
    peak_memory,
    read_data,
    served_change,
    stage,
)
from qi_learn.train.run_fishers import general_fisher, general_fisher_path
from qi_learn.train.training_run import TrainingRun

AGREEMENT = 0.02
"""Nats per target token, and share, by which two backends' dev loss of the same weights may differ:
their bfloat16 kernels round differently.
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """Result of the second part (`trained.json` in the run directory)."""

    trained: Trained
    seconds: float
    peak_memory_mb: float


def prepare(run: TrainingRun, plan: Plan, snapshot: Snapshot) -> None:
    """Do the first part, in one process: the general Fisher into its cache."""
    if plan.penalties.lambda_general > 0:
        general_fisher(run, plan, _plain(plan), read_data(plan, snapshot).generic)
    replace_file(run.directory / "prepared", "")


def fit(run: TrainingRun, plan: Plan, snapshot: Snapshot) -> None:
    """Do the second part, in every rank: the training.

    The first rank leaves the delta and, last, `trained.json`.
    """
    begun = time.monotonic()
    if run.ranks.size > 1 and plan.hardware.device.startswith("cuda"):
        plan = codec.changed(plan, device="cuda:0")  # a rank sees its own GPU alone
    data = read_data(plan, snapshot)
    network = load_trainable(plan)
    general = (
        load_fisher(general_fisher_path(run.directory, plan), plan.base.digest)
        if plan.penalties.lambda_general > 0
        else None
    )
    prior = Prior(served_change(plan), general, past_fisher(plan))
    trained = stage(network, plan, data, run, prior)
    if run.ranks.first:
        save_adapter(_delta(run), network.delta(), plan.base.digest)
        fitted = Fitted(trained, time.monotonic() - begun, peak_memory(network.device))
        replace_file(run.directory / "trained.json", codec.dumps(fitted) + "\n")


def follow_up(run: TrainingRun, plan: Plan, snapshot: Snapshot) -> TrainResult:
    """Do the third part, in one process: check the delta, then write what follows from it.

    The plain model with the delta must have the dev loss that the training reported.
    """
    begun = time.monotonic()
    data = read_data(plan, snapshot)
    fitted = _fitted(run.directory)
    network = _plain(plan)
    network.merge(served_change(plan))
    network.lower_precision()
    network.attach()
    network.load(load_adapter(_delta(run), plan.base.digest))
    # else the dev set was cut meanwhile, for want of memory
    same_dev = fitted.trained.state.dev_tokens == sum(sample.targets for sample in data.dev)
    if plan.hardware.backend != "plain" and same_dev:
        plain = evaluate(network, data.dev, plan.batches.batch_size)
        check_agreement(plan, fitted.trained.state.best, plain)
    return conclude(
        run,
        network,
        data,
        fitted.trained,
        past_fisher(plan),
        begun=begun - fitted.seconds,
        peak=fitted.peak_memory_mb,
    )


def check_agreement(plan: Plan, fused: float | None, plain: float | None) -> None:
    """Raises TrainingError if another backend's dev loss is not the plain model's."""
    if fused is None or plain is None:
        return  # no dev set: the gate alone decides
    logger.info(
        "dev loss of the same weights: %.4f by %s, %.4f by the plain model",
        fused,
        plan.hardware.backend,
        plain,
    )
    if not abs(fused - plain) <= AGREEMENT * max(1.0, plain):
        raise TrainingError(
            f"{plan.hardware.backend} and the plain model disagree about the same weights: a dev "
            f"loss of {fused:.4f} and {plain:.4f} nats a token.",
            'Set `train.backend = "plain"`, and report the versions of both.',
        )


def _plain(plan: Plan) -> Network:
    return load_trainable(codec.changed(plan, backend="plain"))


def _delta(run: TrainingRun) -> Path:
    return run.directory / "adapter" / "delta.safetensors"


def _fitted(run: Path) -> Fitted:
    try:
        return codec.loads(Fitted, (run / "trained.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{run / 'trained.json'} cannot be read: {error}",
            "Delete it: the training then goes on from its newest checkpoint.",
        ) from error
