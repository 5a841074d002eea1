"""The training loop: the one there is, top to bottom.

Loss = cross-entropy per target token of the step's sequences + what the EWC penalties say of the
weight change + in some steps a preference. The plan's seed fixes the order of data and the
checkpoint everything else, so a run that was stopped anywhere ends with the same weights, to the
last bit, as one that was not. Several processes (`ranks.py`) take the steps that one would take;
the first of them writes. `stopping` may take its time (pause.py): how long it takes to answer is no
training time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from qi_learn.plan.schedule import Sample, balanced, schedule
from qi_learn.records import Divergence, Plan
from qi_learn.rundir.progress import Progress, write_progress
from qi_learn.train.checkpoint import LoopState, newest_checkpoint, restore, save_checkpoint
from qi_learn.train.ewc import Penalty
from qi_learn.train.network import Network
from qi_learn.train.preference import Comparison, add_gradients, schedule_comparisons
from qi_learn.train.protection import Protection
from qi_learn.train.ranks import ALONE, Ranks
from qi_learn.train.training_run import Interrupted, TrainingRun

CLIP = 1.0
FLOOR = 0.1
"""The learning rate falls to this share of its peak."""
SAVE_SECONDS = 120.0
REPORT_STEPS = 2

logger = logging.getLogger(__name__)

Weights = dict[str, nn.Parameter]
"""The trained parameters by module and factor, in the optimiser's order."""
Best = dict[str, Tensor]
"""The weights with the lowest dev loss so far; empty before the first evaluation."""


@dataclass(frozen=True, slots=True)
class Data:
    """The sequences of a run."""

    new: tuple[Sample, ...]
    dev: tuple[Sample, ...] = ()
    replay: tuple[Sample, ...] = ()
    generic: tuple[Sample, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    yardsticks: tuple[Sample, ...] = ()
    """Sequences on which it is measured how far general answers move; never trained on."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How the loop ended; the network holds the best weights."""

    state: LoopState
    stopped: Literal["steps", "early", "time"]
    divergence_general: Divergence | None = field(default=None, metadata={"key": "drift_general"})
    divergence_past: Divergence | None = field(default=None, metadata={"key": "drift_past"})
    warnings: tuple[str, ...] = ()


def train(
    network: Network,
    plan: Plan,
    data: Data,
    protection: Protection,
    run: TrainingRun,
    *,
    reference: Mapping[str, float] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Train the network's LoRA as planned, going on from the run's newest checkpoint.

    `reference` is what the comparisons are relative to. Raises Interrupted (after a checkpoint)
    once the run is to stop.
    """
    ranks, last = run.ranks, plan.steps.max_steps
    weights = _weights(network)
    optimizer = torch.optim.AdamW(
        weights.values(), lr=plan.steps.learning_rate, weight_decay=plan.steps.weight_decay
    )
    batches = batches_of(plan, data)
    compared = schedule_comparisons(data.comparisons, steps=last, seed=plan.seed)
    state, best = _begin(network, plan, data, run, weights, optimizer)
    begun, saved = clock() - state.elapsed, clock()
    stopped: Literal["steps", "early", "time"] = "steps"

    while state.step < last:
        if data.dev and state.worse >= plan.steps.patience:
            stopped = "early"
            break
        if ranks.any(state.elapsed > plan.steps.max_seconds):
            stopped = "time"
            break

        # 1. gradients of the sequences, of a comparison in some steps, and of the penalties
        batch = batches[state.step]
        _set_rate(optimizer, rate(plan, state.step))
        loss = _add_sequences(network, batch, plan.batches.batch_size, ranks)
        preference = state.preference
        if comparison := compared.get(state.step):
            preference = add_gradients(
                network,
                comparison,
                reference or {},
                weight=plan.batches.preference_weight,
                size=plan.batches.batch_size,
            )
        general, past = _add_penalties(network, protection.general, protection.past)

        # 2. the step
        nn.utils.clip_grad_norm_(weights.values(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state = replace(
            state,
            step=state.step + 1,
            tokens=state.tokens + sum(len(sample.ids) for sample in batch),
            loss=loss,
            general=general,
            past=past,
            preference=preference,
            elapsed=clock() - begun,
        )
        if not torch.isfinite(torch.tensor([loss, preference, general, past])).all():
            raise FloatingPointError(f"the loss is not finite at step {state.step}")

        # 3. dev, a checkpoint, the end if it is asked for
        due = state.step % plan.steps.eval_every == 0
        if data.dev and (due or state.step == last):
            ranks.synchronise(weights)
            dev = evaluate(network, data.dev, plan.batches.batch_size, ranks)
            state, best = _with_evaluation(state, best, dev, weights)
        asked = clock()
        stop = ranks.any(run.stopping())
        begun += clock() - asked
        if ranks.first and (stop or due or clock() - saved > SAVE_SECONDS):
            exact = replace(state, elapsed=clock() - begun)
            save_checkpoint(_checkpoints(run), exact, weights, best, optimizer)
            saved = clock()
        if stop:
            raise Interrupted(f"stopped at step {state.step}")
        if ranks.first and (state.step % REPORT_STEPS == 0 or state.step == last):
            write_progress(run.directory, _progress(state, plan))

    for name, value in best.items():
        weights[name].data.copy_(value)
    return Trained(replace(state, elapsed=clock() - begun), stopped)


def batches_of(plan: Plan, data: Data) -> list[tuple[Sample, ...]]:
    """The sequences of every step of a plan."""
    return schedule(
        data.new,
        data.replay,
        data.generic,
        steps=plan.steps.max_steps,
        size=plan.batches.batch_size * plan.batches.accumulation,
        replay_share=plan.batches.replay_share,
        generic_share=plan.batches.generic_share,
        seed=plan.seed,
    )


def rate(plan: Plan, step: int) -> float:
    """The learning rate of a step (from 0).

    Linear warm-up, then a line down to a tenth at the last step.
    """
    steps = plan.steps
    if step < steps.warmup_steps:
        return steps.learning_rate * (step + 1) / (steps.warmup_steps + 1)
    done = (step - steps.warmup_steps) / max(1, steps.max_steps - 1 - steps.warmup_steps)
    return steps.learning_rate * (1 - (1 - FLOOR) * done)


@torch.no_grad()
def evaluate(
    network: Network, samples: Sequence[Sample], batch_size: int, ranks: Ranks = ALONE
) -> float | None:
    """Nats per target token over the samples; None if there are none."""
    groups = balanced(
        ranks.share(sorted(samples, key=lambda s: -len(s.ids))), batch_size, network.lanes.count
    )
    losses = network.lanes.map(
        lambda group: float(network.nll(network.batch(group)).double().sum()), groups
    )
    total, tokens = ranks.sum(
        (math.fsum(losses), sum(sample.targets for group in groups for sample in group))
    )
    return total / tokens if tokens else None


def _weights(network: Network) -> Weights:
    return {
        f"{name}.{part}": value
        for name, pair in network.factors().items()
        for part, value in zip("AB", pair, strict=True)
    }


def _begin(
    network: Network,
    plan: Plan,
    data: Data,
    run: TrainingRun,
    weights: Weights,
    optimizer: torch.optim.AdamW,
) -> tuple[LoopState, Best]:
    """The state and best weights to start with.

    Those of the newest checkpoint, which is restored, or those before the first step.
    """
    dev_tokens = sum(sample.targets for sample in data.dev)
    checkpoint = newest_checkpoint(_checkpoints(run))
    if checkpoint is None:
        run.ranks.synchronise(weights)
        before = evaluate(network, data.dev, plan.batches.batch_size, run.ranks)
        return LoopState(
            0, 0.0, 0, float("nan"), 0.0, 0.0, before, None, 0, 0, dev_tokens=dev_tokens
        ), {}
    state, best = checkpoint[0], restore(checkpoint[1], weights, optimizer)
    logger.info("going on from step %d", state.step)
    if state.dev_tokens != dev_tokens:
        # sequences were cut shorter meanwhile, for want of memory: the two losses do not compare
        return replace(state, before=None, best=None, worse=0, dev_tokens=dev_tokens), {}
    return state, best


def _add_sequences(network: Network, batch: Sequence[Sample], size: int, ranks: Ranks) -> float:
    """Add the gradients of a step, at most `size` sequences at a time, as if it were one pass.

    The divisor is the whole step's weight of target tokens. Returns the loss.
    """
    whole = sum(sample.weight * sample.targets for sample in batch)

    def loss(group: Sequence[Sample]) -> Tensor:
        return network.weighted_nll(group) / whole

    groups = balanced(ranks.share(batch), size, network.lanes.count)
    losses = network.lanes.backward([partial(loss, group) for group in groups], network.parameters)
    ranks.sum_gradients(network.parameters)
    return ranks.sum([math.fsum(losses)])[0]


def _add_penalties(network: Network, *penalties: Penalty | None) -> list[float]:
    """Add the gradients of the penalties that there are.

    Returns the value of each, 0 for one that is not there.
    """
    there = [n for n, penalty in enumerate(penalties) if penalty is not None]
    losses = [partial(penalty, network.factors()) for penalty in penalties if penalty is not None]
    values = dict(zip(there, network.lanes.backward(losses, network.parameters), strict=True))
    return [values.get(n, 0.0) for n in range(len(penalties))]


def _with_evaluation(
    state: LoopState, best: Best, dev: float | None, weights: Weights
) -> tuple[LoopState, Best]:
    """The state after an evaluation, and the best weights so far."""
    if dev is not None and (state.best is None or dev < state.best):
        return replace(state, best=dev, best_step=state.step, worse=0), {
            name: value.detach().cpu().clone() for name, value in weights.items()
        }
    return replace(state, worse=state.worse + 1), best


def _checkpoints(run: TrainingRun) -> Path:
    return run.directory / "checkpoints"


def _set_rate(optimizer: torch.optim.AdamW, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


def _progress(state: LoopState, plan: Plan) -> Progress:
    left = (plan.steps.max_steps - state.step) * state.elapsed / max(1, state.step)
    speed = state.tokens / state.elapsed if state.elapsed > 0 else None
    return Progress(
        "training",
        state.step,
        plan.steps.max_steps,
        time.time(),
        state.loss,
        state.best,
        state.general + state.past,
        left,
        speed,
    )
