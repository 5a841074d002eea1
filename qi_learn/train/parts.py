"""A run in three parts, each in processes of its own: the general Fisher, the training, and what
follows from it.

For a training that is split over GPUs (its ranks are needed for that part alone), and for Unsloth,
whose kernels pass by every hook: both Fishers are those of the plain model, and the plain model
must agree with what Unsloth says it learned. What one part leaves to the next is in files.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qi_learn import codec
from qi_learn.errors import StoreError, TrainingError
from qi_learn.paths import replace_file
from qi_learn.records import Plan, Snapshot, TrainResult
from qi_learn.train.adapter import WeightChange, load_adapter, save_adapter
from qi_learn.train.fisher import Fisher, load_fisher
from qi_learn.train.load import load_trainable
from qi_learn.train.loop import Trained, evaluate
from qi_learn.train.network import Network
from qi_learn.train.ranks import Ranks
from qi_learn.train.run import conclude, fisher_cache, general_fisher, peak_memory, read_data, stage

AGREEMENT = 0.02
"""Nats per target token, and share, by which two backends' dev loss of the same weights may differ:
bfloat16 kernels round differently.
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the training left (`trained.json` in the run directory)."""

    trained: Trained
    seconds: float
    peak_memory_mb: float


def prepare(run: Path, plan: Plan, snapshot: Snapshot, stopping: Callable[[], bool]) -> None:
    """The first part, in one process: the general Fisher into its cache."""
    if plan.penalties.lambda_general > 0:
        general_fisher(run, plan, _plain(plan), read_data(plan, snapshot).generic, stopping)
    replace_file(run / "prepared", "")


def fit(
    run: Path, plan: Plan, snapshot: Snapshot, ranks: Ranks, stopping: Callable[[], bool]
) -> None:
    """The second part, in every rank: the training.

    The first rank leaves the delta and, last, `trained.json`.
    """
    begun = time.monotonic()
    if ranks.size > 1 and plan.hardware.device.startswith("cuda"):
        plan = codec.changed(plan, device="cuda:0")  # a rank sees its own GPU alone
    data = read_data(plan, snapshot)
    network = load_trainable(plan)
    general = (
        load_fisher(fisher_cache(run, plan), plan.base.digest)
        if plan.penalties.lambda_general > 0
        else None
    )
    trained = stage(
        network,
        plan,
        data,
        run=run,
        served=_served(plan),
        general=general,
        past=_past(plan),
        stopping=stopping,
        ranks=ranks,
    )
    if ranks.first:
        save_adapter(run / "adapter" / "delta.safetensors", network.delta(), plan.base.digest)
        fitted = Fitted(trained, time.monotonic() - begun, peak_memory(network.device))
        replace_file(run / "trained.json", codec.dumps(fitted) + "\n")


def follow_up(
    run: Path, plan: Plan, snapshot: Snapshot, stopping: Callable[[], bool]
) -> TrainResult:
    """The third part, in one process: the plain model with what was learned must say of dev what
    the training said; then the Fisher for the next cycle.
    """
    begun = time.monotonic()
    data = read_data(plan, snapshot)
    fitted = _fitted(run)
    network = _plain(plan)
    network.merge(_served(plan))
    network.lower_precision()
    network.attach()
    network.load(load_adapter(run / "adapter" / "delta.safetensors", plan.base.digest))
    same_dev = fitted.trained.state.dev_tokens == sum(
        sample.targets for sample in data.dev
    )  # else it was cut meanwhile, for want of memory
    if plan.hardware.backend != "plain" and same_dev:
        check_agreement(
            plan, fitted.trained.state.best, evaluate(network, data.dev, plan.batches.batch_size)
        )
    peak, begun = fitted.peak_memory_mb, begun - fitted.seconds
    return conclude(
        run, network, data, fitted.trained, _past(plan), begun=begun, peak=peak, stopping=stopping
    )


def check_agreement(plan: Plan, said: float | None, found: float | None) -> None:
    """Raises TrainingError where another backend's dev loss is not the plain model's."""
    if said is None or found is None:
        return  # no dev set: the gate alone decides
    logger.info(
        "dev loss of the same weights: %.4f by %s, %.4f by the plain model",
        said,
        plan.hardware.backend,
        found,
    )
    if not abs(said - found) <= AGREEMENT * max(1.0, found):
        raise TrainingError(
            f"{plan.hardware.backend} and the plain model disagree about the same weights: a dev "
            f"loss of {said:.4f} and {found:.4f} nats a token.",
            'Set `train.backend = "plain"`, and report the versions of both.',
        )


def _plain(plan: Plan) -> Network:
    return load_trainable(codec.changed(plan, backend="plain"))


def _served(plan: Plan) -> dict[str, WeightChange]:
    return (
        load_adapter(Path(plan.base.previous_adapter), plan.base.digest)
        if plan.base.previous_adapter
        else {}
    )


def _past(plan: Plan) -> Fisher | None:
    return (
        load_fisher(Path(plan.penalties.past_fisher), plan.base.digest)
        if plan.penalties.past_fisher
        else None
    )


def _fitted(run: Path) -> Fitted:
    try:
        return codec.loads(Fitted, (run / "trained.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{run / 'trained.json'} cannot be read: {error}",
            "Delete it: the training then goes on from its newest checkpoint.",
        ) from error
