"""The training loop: the one there is, top to bottom.

Loss = cross-entropy per target token of the step's sequences + what the EWC penalties say of the
weight change + in some steps a preference. The order of data is fixed by the plan's seed and
everything else by the checkpoint, so a run that was stopped anywhere ends with the same weights, to
the last bit, as one that was not. Several processes (`ranks.py`) take the steps that one would
take; the first of them writes. `stopping` may take its time (pause.py): how long it takes to answer
is no training time.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from qi_learn.plan.schedule import Sample, balanced, schedule
from qi_learn.records import Divergence, Plan
from qi_learn.rundir.progress import Progress, write_progress
from qi_learn.train.checkpoint import LoopState, newest_checkpoint, restore, save_checkpoint
from qi_learn.train.ewc import Penalty
from qi_learn.train.fisher import Interrupted
from qi_learn.train.network import Network
from qi_learn.train.preference import Comparison, add_gradients, placed
from qi_learn.train.ranks import ALONE, Ranks

CLIP = 1.0
FLOOR = 0.1
"""The learning rate falls to this share of its peak."""
SAVE_SECONDS = 120.0
REPORT_STEPS = 2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Data:
    """The sequences of a run."""

    new: tuple[Sample, ...]
    dev: tuple[Sample, ...] = ()
    replay: tuple[Sample, ...] = ()
    generic: tuple[Sample, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    yardsticks: tuple[Sample, ...] = ()
    """On these it is measured how far general answers move; never trained on."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How the loop ended; the network holds the best weights."""

    state: LoopState
    stopped: Literal["steps", "early", "time"]
    divergence_general: Divergence | None = None
    divergence_past: Divergence | None = None
    warnings: tuple[str, ...] = ()


def train(
    network: Network,
    plan: Plan,
    data: Data,
    *,
    general: Penalty | None,
    past: Penalty | None,
    run: Path,
    reference: Mapping[str, float] | None = None,
    stopping: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    ranks: Ranks = ALONE,
) -> Trained:
    """Trains the network's LoRA as planned, going on from the run's newest checkpoint. `reference`
    is what the comparisons are relative to.

    Raises Interrupted (after a checkpoint) once `stopping()` says so.
    """
    weights = {
        f"{name}.{part}": value
        for name, pair in network.factors().items()
        for part, value in zip("AB", pair, strict=True)
    }
    optimizer = torch.optim.AdamW(
        weights.values(), lr=plan.steps.learning_rate, weight_decay=plan.steps.weight_decay
    )
    steps, compared = (
        steps_of(plan, data),
        placed(data.comparisons, steps=plan.steps.max_steps, seed=plan.seed),
    )
    found = newest_checkpoint(run / "checkpoints")
    dev_tokens = sum(sample.targets for sample in data.dev)
    if found is None:
        ranks.same(weights)
        before = evaluate(network, data.dev, plan.batches.batch_size, ranks)
        state, best = (
            LoopState(0, 0.0, 0, float("nan"), 0.0, 0.0, before, None, 0, 0, dev_tokens=dev_tokens),
            {},
        )
    else:
        state, best = found[0], restore(found[1], weights, optimizer)
        logger.info("going on from step %d", state.step)
        if (
            state.dev_tokens != dev_tokens
        ):  # cut shorter meanwhile, for want of memory: losses of the two do not compare
            state, best = replace(state, before=None, best=None, worse=0, dev_tokens=dev_tokens), {}
    begun, saved = clock() - state.elapsed, clock()
    stopped: Literal["steps", "early", "time"] = "steps"

    while state.step < plan.steps.max_steps:
        if data.dev and state.worse >= plan.steps.patience:
            stopped = "early"
            break
        if ranks.any(state.elapsed > plan.steps.max_seconds):
            stopped = "time"
            break
        batch = steps[state.step]
        _set_rate(optimizer, rate(plan, state.step))
        loss = _add_gradients(network, batch, plan.batches.batch_size, ranks)
        preference = state.preference
        if comparison := compared.get(state.step):
            preference = add_gradients(
                network,
                comparison,
                reference or {},
                weight=plan.batches.preference_weight,
                size=plan.batches.batch_size,
            )
        penalties = _add_penalties(network, general, past)
        torch.nn.utils.clip_grad_norm_(weights.values(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens = state.tokens + sum(len(sample.ids) for sample in batch)
        state = replace(
            state,
            step=state.step + 1,
            tokens=tokens,
            loss=loss,
            general=penalties[0],
            past=penalties[1],
            elapsed=clock() - begun,
        )
        state = replace(state, preference=preference)
        if not torch.isfinite(torch.tensor([loss, preference, *penalties])).all():
            raise FloatingPointError(f"the loss is not finite at step {state.step}")

        if data.dev and (
            state.step % plan.steps.eval_every == 0 or state.step == plan.steps.max_steps
        ):
            ranks.same(weights)
            state, best = _judge(
                state, best, evaluate(network, data.dev, plan.batches.batch_size, ranks), weights
            )
        asked = clock()
        stop = ranks.any(stopping())
        begun += clock() - asked
        if ranks.first and (
            stop or state.step % plan.steps.eval_every == 0 or clock() - saved > SAVE_SECONDS
        ):
            save_checkpoint(
                run / "checkpoints",
                replace(state, elapsed=clock() - begun),
                weights,
                best,
                optimizer,
            )
            saved = clock()
        if stop:
            raise Interrupted(f"stopped at step {state.step}")
        if ranks.first and (state.step % REPORT_STEPS == 0 or state.step == plan.steps.max_steps):
            write_progress(run, _progress(state, plan))

    for name, value in best.items():
        weights[name].data.copy_(value)
    return Trained(replace(state, elapsed=clock() - begun), stopped)


def steps_of(plan: Plan, data: Data) -> list[tuple[Sample, ...]]:
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
    """The learning rate of a step (from 0): linear warm-up, then a line down to a tenth at the last
    step.
    """
    if step < plan.steps.warmup_steps:
        return plan.steps.learning_rate * (step + 1) / (plan.steps.warmup_steps + 1)
    done = (step - plan.steps.warmup_steps) / max(
        1, plan.steps.max_steps - 1 - plan.steps.warmup_steps
    )
    return plan.steps.learning_rate * (1 - (1 - FLOOR) * done)


@torch.no_grad()
def evaluate(
    network: Network, samples: Sequence[Sample], batch_size: int, ranks: Ranks = ALONE
) -> float | None:
    """Nats per target token over the samples; None where there are none."""
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


def _add_gradients(network: Network, batch: Sequence[Sample], size: int, ranks: Ranks) -> float:
    """Backward passes of a step, at most `size` sequences at a time, as if it were one: the divisor
    is the whole step's weight of target tokens.
    """
    whole = sum(sample.weight * sample.targets for sample in batch)

    def loss(group: Sequence[Sample]) -> Tensor:
        return network.weighted_nll(group) / whole

    groups = balanced(ranks.share(batch), size, network.lanes.count)
    losses = network.lanes.backward([partial(loss, group) for group in groups], network.parameters)
    ranks.sum_gradients(network.parameters)
    return ranks.sum([math.fsum(losses)])[0]


def _add_penalties(network: Network, *penalties: Penalty | None) -> list[float]:
    """Adds the gradients of those that there are; the value of each, 0 where it is not."""
    there = [n for n, penalty in enumerate(penalties) if penalty is not None]
    losses = [partial(penalty, network.factors()) for penalty in penalties if penalty is not None]
    values = dict(zip(there, network.lanes.backward(losses, network.parameters), strict=True))
    return [values.get(n, 0.0) for n in range(len(penalties))]


def _judge(
    state: LoopState,
    best: dict[str, Tensor],
    dev: float | None,
    weights: dict[str, torch.nn.Parameter],
) -> tuple[LoopState, dict[str, Tensor]]:
    """The state after an evaluation, and the best weights so far."""
    if dev is not None and (state.best is None or dev < state.best):
        return replace(state, best=dev, best_step=state.step, worse=0), {
            name: value.detach().cpu().clone() for name, value in weights.items()
        }
    return replace(state, worse=state.worse + 1), best


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
