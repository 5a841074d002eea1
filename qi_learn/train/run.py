"""One training run from plan to result.

The general Fisher once per base, the training on top of what is served, this cycle's Fisher for the
next one. Nothing here knows of processes or signals; `__main__.py` does. Whatever is finished is in
a file, so running it again goes on with what is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from qi_learn import codec
from qi_learn.errors import TrainingError
from qi_learn.outside.process import peak_resident
from qi_learn.paths import replace_file
from qi_learn.plan.schedule import Sample, samples, share_count
from qi_learn.records import Example, Plan, Snapshot, TrainResult
from qi_learn.rundir.progress import Progress, write_progress
from qi_learn.train.adapter import WeightChange, load_adapter, save_adapter
from qi_learn.train.calibrate import Yardstick, measure_divergence, yardstick
from qi_learn.train.fisher import Fisher, load_fisher
from qi_learn.train.load import load_trainable
from qi_learn.train.loop import Data, Trained, train
from qi_learn.train.network import Network
from qi_learn.train.preference import comparisons
from qi_learn.train.protection import Prior, protect
from qi_learn.train.recall import measure_after, measure_before, preference_shares
from qi_learn.train.run_fishers import general_fisher, next_past_fisher
from qi_learn.train.training_run import TrainingRun


def learn(
    directory: Path, plan: Plan, snapshot: Snapshot, *, stopping: Callable[[], bool] = lambda: False
) -> TrainResult:
    """Train as planned and write the run's results, `result.json` last.

    Raises QiError, and Interrupted once `stopping()` says so.
    """
    begun = time.monotonic()
    run = TrainingRun(directory, stopping)
    data = read_data(plan, snapshot)
    write_progress(directory, Progress("loading", 0, 0, time.time()))
    network = load_trainable(plan)
    general, network = general_fisher(run, plan, network, data.generic)
    prior = Prior(served_change(plan), general, past_fisher(plan))
    trained = stage(network, plan, data, run, prior)
    past = prior.past
    del general, prior  # the general Fisher's penalty is over, and it is large
    save_adapter(directory / "adapter" / "delta.safetensors", network.delta(), plan.base.digest)
    return conclude(run, network, data, trained, past, begun=begun)


def conclude(
    run: TrainingRun,
    network: Network,
    data: Data,
    trained: Trained,
    past: Fisher | None,
    *,
    begun: float,
    peak: float = 0.0,
) -> TrainResult:
    """Write what follows from a training, with a network that holds the delta.

    That is how replayed work and preferences fare, the Fisher for the next cycle, and the run's
    result.

    `begun` is when it began (`time.monotonic`), `peak` the memory (MB) that another process needed
    for the training.
    """
    directory, plan, state = run.directory, network.plan, trained.state
    measure_after(directory, network, plan, data, state.step)
    preferred_before, preferred = preference_shares(directory, network, plan, data)
    fisher = next_past_fisher(run, network, data.new, past)
    fisher.save(directory / "adapter" / "past_fisher.safetensors")
    done = Progress("done", state.step, plan.steps.max_steps, time.time(), state.loss, state.best)
    write_progress(directory, done)
    result = replace(
        result_of(trained, network, time.monotonic() - begun, peak),
        preferred_before=preferred_before,
        preferred=preferred,
    )
    replace_file(directory / "result.json", codec.dumps(result) + "\n")
    return result


def stage(network: Network, plan: Plan, data: Data, run: TrainingRun, prior: Prior) -> Trained:
    """One cycle's training on a network with the base's weights as they were loaded.

    The served change is merged, a fresh LoRA put on top and trained, and it is measured how far the
    answers moved. Checkpoints and progress go to the run's directory. Afterwards the network holds
    the delta. Raises Interrupted once the run is to stop.
    """
    at_base = _at_base(network, plan, data.yardsticks, prior.served)
    network.merge(prior.served)
    network.lower_precision()
    before = measure_before(run.directory, network, plan, data)
    torch.manual_seed(plan.seed)
    network.attach()
    at_served = yardstick(network, data.replay)
    protection = protect(plan, network, prior)
    trained = train(network, plan, data, protection, run, reference=before.reference)
    return replace(
        trained,
        divergence_general=measure_divergence(network, at_base, protection.general),
        divergence_past=measure_divergence(network, at_served, protection.past),
        warnings=protection.idle(trained.state),
    )


def served_change(plan: Plan) -> dict[str, WeightChange]:
    """The change that is served and trained on top of; empty at the base."""
    path = plan.base.previous_adapter
    return load_adapter(Path(path), plan.base.digest) if path else {}


def past_fisher(plan: Plan) -> Fisher | None:
    """The Fisher of past work that the served version carries; None at the base."""
    path = plan.penalties.past_fisher
    return load_fisher(Path(path), plan.base.digest) if path else None


def read_data(plan: Plan, snapshot: Snapshot) -> Data:
    """The sequences of a snapshot, cut to the plan's length.

    Raises TrainingError if none is left to learn.
    """
    longest = plan.batches.max_length
    new = samples(snapshot.split("train"), longest)
    if not new:
        raise TrainingError(
            f"None of the {len(snapshot.split('train'))} training examples fits into "
            f"{longest} tokens.",
            "Use a device with more memory, or shorter conversations.",
        )
    return Data(
        new=new,
        dev=samples(snapshot.split("dev"), longest),
        replay=samples(_most_due(snapshot.replay, plan), longest),
        generic=samples(snapshot.anchors, longest),
        comparisons=comparisons(snapshot.pairs, new, max_length=longest, seed=plan.seed)
        if plan.batches.preference_weight
        else (),
        yardsticks=samples(snapshot.yardsticks, longest),
    )


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
    """MB at most in use: the GPU's if training ran there, else the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_resident() / 2**20


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


def _most_due(replay: Sequence[Example], plan: Plan) -> Sequence[Example]:
    """As many of the replayed examples as the plan's steps can hold.

    They come the most due first if the data set says how due they are; else all are kept.
    """
    batches = plan.batches
    per_step = share_count(batches.batch_size * batches.accumulation, batches.replay_share)
    capacity = plan.steps.max_steps * per_step
    return replay[:capacity] if all(e.recall for e in replay) else replay
