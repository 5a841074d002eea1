"""One training run from plan to result: the general Fisher once per base, the training on top of
what is served, this cycle's Fisher for the next one.

Nothing here knows of processes or signals; `worker.py` does. Whatever is finished is in a file, so
running it again goes on with what is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from qi_learn import codec
from qi_learn.errors import ModelError, TrainingError
from qi_learn.outside.process import peak_resident
from qi_learn.paths import replace_file
from qi_learn.plan.schedule import Sample, share_count, samples
from qi_learn.records import Example, Plan, Snapshot, TrainResult
from qi_learn.rundir.progress import Phase, Progress, write_progress
from qi_learn.train.adapter import WeightChange, load_adapter, save_adapter
from qi_learn.train.calibrate import Yardstick, drift, yardstick
from qi_learn.train.fisher import ENOUGH, Fisher, Interrupted, estimate, load_fisher
from qi_learn.train.load import load_trainable
from qi_learn.train.loop import Data, Trained, train
from qi_learn.train.network import Network
from qi_learn.train.preference import comparisons
from qi_learn.train.protection import protect
from qi_learn.train.ranks import ALONE, Ranks
from qi_learn.train.recall import measure_after, measure_before, prefers

FISHER_TOKENS = 1024
"""At most so many tokens in one batch of a Fisher estimate."""

logger = logging.getLogger(__name__)


def learn(
    run: Path, plan: Plan, snapshot: Snapshot, *, stopping: Callable[[], bool] = lambda: False
) -> TrainResult:
    """Trains as planned and writes the run's results, `result.json` last.

    Raises QiError, and Interrupted where `stopping()` says so.
    """
    begun = time.monotonic()
    data = read_data(plan, snapshot)
    write_progress(run, Progress("loading", 0, 0, time.time()))
    network = load_trainable(plan)
    general, network = general_fisher(run, plan, network, data.generic, stopping)
    served = (
        load_adapter(Path(plan.base.previous_adapter), plan.base.digest)
        if plan.base.previous_adapter
        else {}
    )
    old = (
        load_fisher(Path(plan.penalties.past_fisher), plan.base.digest)
        if plan.penalties.past_fisher
        else None
    )

    trained = stage(
        network, plan, data, run=run, served=served, general=general, past=old, stopping=stopping
    )
    del general  # its penalty is over, and it is large
    save_adapter(run / "adapter" / "delta.safetensors", network.delta(), plan.base.digest)
    return conclude(run, network, data, trained, old, begun=begun, stopping=stopping)


def conclude(
    run: Path,
    network: Network,
    data: Data,
    trained: Trained,
    past: Fisher | None,
    *,
    begun: float,
    peak: float = 0.0,
    stopping: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """What replayed work and preferences have become, the Fisher for the next cycle, from a network
    that holds the delta, and the run's result.

    `begun` is when it began (`time.monotonic`), `peak` the memory (MB) that another process needed
    for the training.
    """
    measure_after(run, network, network.plan, data, trained.state.step)
    preferred = prefers(run, network, network.plan, data)
    remember(network, data.new, past, run=run, stopping=stopping).save(
        run / "adapter" / "past_fisher.safetensors"
    )
    write_progress(
        run,
        Progress(
            "done",
            trained.state.step,
            network.plan.steps.max_steps,
            time.time(),
            trained.state.loss,
            trained.state.best,
        ),
    )
    result = replace(
        result_of(trained, network, time.monotonic() - begun, peak),
        preferred_before=preferred[0],
        preferred=preferred[1],
    )
    replace_file(run / "result.json", codec.dumps(result) + "\n")
    return result


def stage(
    network: Network,
    plan: Plan,
    data: Data,
    *,
    run: Path,
    served: Mapping[str, WeightChange],
    general: Fisher | None,
    past: Fisher | None,
    stopping: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Trained:
    """One cycle's training on a network with the base's weights as they were loaded: what is served
    is merged, a fresh LoRA put on top and trained, and it is measured how far the answers moved.

    Checkpoints and progress go to `run`. Afterwards the network holds the delta. Raises Interrupted
    where `stopping()` says so.
    """
    at_base = _at_base(network, plan, data.yardsticks, served)
    network.merge(served)
    network.lower_precision()
    before = measure_before(run, network, plan, data)
    torch.manual_seed(plan.seed)
    network.attach()
    at_served = yardstick(network, data.replay)
    protection = protect(plan, network, general, past, served)
    trained = train(
        network,
        plan,
        data,
        general=protection.general,
        past=protection.past,
        run=run,
        reference=before.reference,
        stopping=stopping,
        ranks=ranks,
    )
    return replace(
        trained,
        divergence_general=drift(network, at_base, protection.general),
        divergence_past=drift(network, at_served, protection.past),
        warnings=protection.idle(trained.state),
    )


def _at_base(
    network: Network, plan: Plan, sequences: Sequence[Sample], served: Mapping[str, WeightChange]
) -> Yardstick | None:
    """The answers of the base as it is trained on.

    None in 4 bits on top of a version: base and version are rounded apart, which would look like a
    move.
    """
    if plan.hardware.four_bit:
        if served:
            return None
        network.lower_precision()
    return yardstick(network, sequences)


def remember(
    network: Network,
    sequences: tuple[Sample, ...],
    past: Fisher | None,
    *,
    run: Path,
    stopping: Callable[[], bool] = lambda: False,
) -> Fisher:
    """The Fisher of past work for the next cycle: that of `sequences` under the trained network, on
    top of what `past` holds.
    """
    fresh = _estimate(run, "past fisher", network, sequences, stopping)
    return past.accumulated(fresh) if past else fresh


def read_data(plan: Plan, snapshot: Snapshot) -> Data:
    """The sequences of a snapshot, cut to the plan's length.

    Raises TrainingError where none is left to learn.
    """
    new = samples(snapshot.split("train"), plan.batches.max_length)
    data = Data(
        new=new,
        dev=samples(snapshot.split("dev"), plan.batches.max_length),
        replay=samples(_most_due(snapshot.replay, plan), plan.batches.max_length),
        generic=samples(snapshot.anchors, plan.batches.max_length),
        comparisons=comparisons(
            snapshot.pairs, new, max_length=plan.batches.max_length, seed=plan.seed
        )
        if plan.batches.preference_weight
        else (),
        yardsticks=samples(snapshot.yardsticks, plan.batches.max_length),
    )
    if not data.new:
        raise TrainingError(
            f"None of the {len(snapshot.split('train'))} training examples fits into "
            f"{plan.batches.max_length} tokens.",
            "Use a device with more memory, or shorter conversations.",
        )
    return data


def _most_due(replay: Sequence[Example], plan: Plan) -> Sequence[Example]:
    """As many of the replayed examples as the plan has places for: they come the most due first
    (where anybody said how due they are).
    """
    places = plan.steps.max_steps * share_count(
        plan.batches.batch_size * plan.batches.accumulation, plan.batches.replay_share
    )
    return replay[:places] if all(e.recall for e in replay) else replay


def general_fisher(
    run: Path,
    plan: Plan,
    network: Network,
    anchors: tuple[Sample, ...],
    stopping: Callable[[], bool] = lambda: False,
) -> tuple[Fisher | None, Network]:
    """The Fisher of general ability at the base, from its cache or computed into it, and a network
    with the base's weights as they were loaded.
    """
    if plan.penalties.lambda_general == 0:
        return None, network
    cache = fisher_cache(run, plan)
    if cache.exists():
        try:
            found = load_fisher(cache, plan.base.digest)
        except ModelError as error:
            logger.warning("the general Fisher is computed anew: %s", error.what)
        else:
            if found.form == plan.penalties.fisher and set(network.names) <= set(found.modules):
                cache.touch()  # the last used ones are kept
                return found, network
            logger.warning(
                "the general Fisher is computed anew: the one in %s is for other modules or of "
                "another form",
                cache,
            )
    network.lower_precision()
    fisher = _estimate(run, "general fisher", network, anchors, stopping, least=ENOUGH)
    fisher.save(cache)
    fisher = load_fisher(
        cache, plan.base.digest
    )  # rounded as every later run reads it, so that one taken up again computes with the same numbers
    return (
        fisher,
        load_trainable(plan) if plan.base.previous_adapter else network,
    )  # what is served is merged into weights as they were loaded


def fisher_cache(run: Path, plan: Plan) -> Path:
    """Where the general Fisher is kept; that of a base in 4 bits beside that of the same in 16 (a
    run that is out of memory may begin with one and end with the other).
    """
    path = (
        Path(plan.penalties.general_fisher)
        if plan.penalties.general_fisher
        else run / "general_fisher.safetensors"
    )
    return path.with_stem(f"{path.stem}-nf4") if plan.hardware.four_bit else path


def _estimate(
    run: Path,
    phase: Phase,
    network: Network,
    sequences: tuple[Sample, ...],
    stopping: Callable[[], bool],
    *,
    least: int = 1,
) -> Fisher:
    begun = time.monotonic()

    def told(done: int) -> None:
        nonlocal begun
        left = (len(sequences) - done) * (time.monotonic() - begun) / done
        write_progress(run, Progress(phase, done, len(sequences), time.time(), eta=left))
        asked = time.monotonic()
        stop = stopping()
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
        on_batch=told,
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
    """On a GPU as much as a training batch, which is known to fit; on a CPU a whole step: its
    batches are small for want of equal lengths, not of memory.
    """
    sequences = (
        plan.batches.batch_size
        if plan.hardware.device.startswith("cuda")
        else plan.batches.batch_size * plan.batches.accumulation
    )
    return min(FISHER_TOKENS, sequences * plan.batches.max_length) // lanes


def result_of(trained: Trained, network: Network, seconds: float, peak: float = 0.0) -> TrainResult:
    """The numbers of a finished training.

    `peak`: the memory (MB) that another process needed for it.
    """
    state = trained.state
    return TrainResult(
        steps=state.step,
        stopped=trained.stopped,
        train_loss=state.loss,
        dev_loss=state.best,
        dev_loss_before=state.before,
        penalty_general=state.general,
        penalty_past=state.past,
        seconds=seconds,
        tokens_per_second=state.tokens / max(state.elapsed, 1e-9),
        adapter="adapter",
        peak_memory_mb=max(peak, peak_memory(network.device)),
        divergence_general=trained.divergence_general,
        divergence_past=trained.divergence_past,
        warnings=trained.warnings,
    )


def peak_memory(device: torch.device) -> float:
    """MB at most in use: the GPU's where training ran there, else the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_resident() / 2**20
