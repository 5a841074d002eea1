"""The Fishers of a run: the general one, and that of its own work for the next cycle.

The general one is computed once per base.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

from qi_learn.errors import ModelError
from qi_learn.plan.schedule import Sample
from qi_learn.records import Plan
from qi_learn.rundir.progress import Phase, Progress, write_progress
from qi_learn.train.fisher import Fisher, load_fisher
from qi_learn.train.fisher_estimate import ENOUGH, estimate
from qi_learn.train.load import load_trainable
from qi_learn.train.network import Network
from qi_learn.train.training_run import Interrupted, TrainingRun

FISHER_TOKENS = 1024
"""At most so many tokens in one batch of a Fisher estimate."""

logger = logging.getLogger(__name__)


def general_fisher(
    run: TrainingRun, plan: Plan, network: Network, anchors: tuple[Sample, ...]
) -> tuple[Fisher | None, Network]:
    """The Fisher of general ability at the base, from its cache or computed into it.

    With it comes a network with the base's weights as they were loaded. No Fisher if the plan does
    not penalise the change since the base.
    """
    if plan.penalties.lambda_general == 0:
        return None, network
    cache = general_fisher_path(run.directory, plan)
    if cached := _cached(cache, plan, network):
        return cached, network
    network.lower_precision()
    fisher = _estimate(run, "general fisher", network, anchors, least=ENOUGH)
    fisher.save(cache)
    # rounded as every later run reads it, so that a resumed run computes with the same numbers
    fisher = load_fisher(cache, plan.base.digest)
    # what is served is merged into weights as they were loaded
    return fisher, load_trainable(plan) if plan.base.previous_adapter else network


def general_fisher_path(directory: Path, plan: Plan) -> Path:
    """The file of the general Fisher.

    That of a base in 4 bits lies beside that of the same base in 16: a run that is out of memory
    may begin with one and end with the other.
    """
    planned = plan.penalties.general_fisher
    path = Path(planned) if planned else directory / "general_fisher.safetensors"
    return path.with_stem(f"{path.stem}-nf4") if plan.hardware.four_bit else path


def next_past_fisher(
    run: TrainingRun, network: Network, sequences: tuple[Sample, ...], past: Fisher | None
) -> Fisher:
    """The Fisher of past work for the next cycle.

    That of `sequences` under the trained network, on top of what `past` holds.
    """
    fresh = _estimate(run, "past fisher", network, sequences)
    return past.accumulated(fresh) if past else fresh


def _cached(cache: Path, plan: Plan, network: Network) -> Fisher | None:
    """The general Fisher in the cache; None if there is none that this plan can use."""
    if not cache.exists():
        return None
    try:
        fisher = load_fisher(cache, plan.base.digest)
    except ModelError as error:
        logger.warning("the general Fisher is computed anew: %s", error.what)
        return None
    if fisher.form == plan.penalties.fisher and set(network.names) <= set(fisher.modules):
        cache.touch()  # the last used ones are kept
        return fisher
    logger.warning(
        "the general Fisher is computed anew: the one in %s is for other modules or of another "
        "form",
        cache,
    )
    return None


def _estimate(
    run: TrainingRun,
    phase: Phase,
    network: Network,
    sequences: tuple[Sample, ...],
    *,
    least: int = 1,
) -> Fisher:
    begun = time.monotonic()

    def report_progress(done: int) -> None:
        nonlocal begun
        left = (len(sequences) - done) * (time.monotonic() - begun) / done
        write_progress(run.directory, Progress(phase, done, len(sequences), time.time(), eta=left))
        asked = time.monotonic()
        stop = run.stopping()
        begun += time.monotonic() - asked  # it may have paused
        if stop:
            raise Interrupted(f"stopped in the {phase}, which is computed anew")

    plan = network.plan
    fisher = estimate(
        network,
        sequences,
        form=plan.penalties.fisher,
        seed=plan.seed,
        batch_tokens=_fisher_tokens(plan, network.lanes.count),
        least=least,
        on_batch=report_progress,
    )
    logger.info(
        "%s: %d sequences, %d target tokens, %.1f s",
        phase,
        fisher.sequences,
        fisher.tokens,
        fisher.seconds,
    )
    return fisher


def _fisher_tokens(plan: Plan, lanes: int) -> int:
    """Tokens of a Fisher batch.

    On a GPU as much as a training batch, which is known to fit. On a CPU a whole step: its batches
    are small for want of equal lengths, not of memory.
    """
    batches = plan.batches
    on_gpu = plan.hardware.device.startswith("cuda")
    sequences = batches.batch_size if on_gpu else batches.batch_size * batches.accumulation
    return min(FISHER_TOKENS, sequences * batches.max_length) // lanes
