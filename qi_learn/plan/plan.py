"""Every number of a training run, derived once from data, base and device, and written down.

What cannot be trained is refused here, in words, before anything is loaded. `reasons.py` says of a
finished plan why it is as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qi_learn.errors import Refused
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.paths import Paths
from qi_learn.plan.backend import choose_backend
from qi_learn.plan.base_model import TARGETS, BaseModel, check_architecture
from qi_learn.plan.full_precision import full_precision_weights
from qi_learn.plan.memory import DeviceChoice, MemoryFit, choose_device, fit_memory
from qi_learn.plan.penalties import check_form, fisher_cache, plan_penalties
from qi_learn.plan.trained_layers import RAISED_TYPE, TouchedLayers, choose_layers, served_tensors
from qi_learn.records import (
    Example,
    Plan,
    PlannedBase,
    PlannedBatches,
    PlannedHardware,
    PlannedLora,
    PlannedPenalties,
    PlannedSteps,
    Snapshot,
    TrainResult,
)
from qi_learn.settings import Settings

SEQUENCES = 8
"""Sequences of one optimiser step: batch times accumulation."""
LEAST_STEPS = 48
EPOCHS = 2
"""Times that all new examples are seen at least."""
RATE_SMALL, RATE_LARGE = (135e6, 1.6e-3), (7e9, 2e-4)
"""Learning rates for LoRA, by parameters of the base; between them a line in the logarithms. The
first was measured (docs/internals/decisions/0005): with 1e-3 a run ends before it has learned what
the penalties let it learn. The second is what others report for models of that size.
"""
LONGEST = {"cpu": 1024, "cuda": 4096}
"""Tokens of the longest sequence that is trained on."""
TARGETS_DEFAULT = "all-linear"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What depends on whether text of earlier work may be replayed.

    Measured with the K-FAC form (docs/internals/decisions/0005).
    """

    replay: float
    """Share of old work in a step."""
    generic: float
    """Share of generic code."""
    past: float
    """Of the price of a change of past work."""


WITH_REPLAY = Recipe(replay=0.375, generic=0.125, past=1.0)
WITHOUT_TEXT = Recipe(replay=0.0, generic=0.25, past=150.0)
"""With `train.replay = 0` the penalty alone holds what was learned.

That costs learning: a few hundredths, more with every cycle (docs/internals/decisions/0005).
"""


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """All that a plan is derived from."""

    run_id: str
    snapshot: Snapshot
    base: BaseModel
    settings: Settings
    paths: Paths
    devices: Sequence[Device]
    packages: Packages = field(default_factory=Packages)
    """What the training's interpreter has beyond the necessary, by name
    (`outside/python_env.py`).
    """
    previous_adapter: Path | None = None
    """The live version's adapter; None at the base."""
    past_fisher: Path | None = None
    """The live version's Fisher of past work; None at the base."""
    last: tuple[Plan, TrainResult] | None = None
    """The last run on this base, shipped or not: what it measured decides how strong the penalties
    are.
    """


def build_plan(inputs: PlanInputs) -> Plan:
    """The plan for one cycle.

    Raises UnsupportedArchitecture, SettingsError for unusable `train.base_weights` or
    `train.fisher`, Refused if no device has the memory or there is nothing to train on.
    """
    choices = _choose(inputs)
    return Plan(
        run_id=inputs.run_id,
        seed=inputs.settings.train.seed,
        base=_base(inputs, choices),
        lora=_lora(inputs, choices),
        steps=_steps(inputs, choices),
        batches=_batches(inputs, choices),
        penalties=_penalties(inputs, choices),
        hardware=_hardware(inputs, choices),
    )


# --- what several parts depend on -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Choices:
    """What is decided before the parts, and used by several of them."""

    new: int
    """Examples to train on."""
    weights: Path | None
    """Directory of full-precision weights."""
    chosen: DeviceChoice
    layers: TouchedLayers
    longest: int
    """Tokens of the longest sequence."""
    fit: MemoryFit
    recipe: Recipe


def _choose(inputs: PlanInputs) -> _Choices:
    base, snapshot, train = inputs.base, inputs.snapshot, inputs.settings.train
    check_architecture(base.architecture)
    new = len(snapshot.split("train"))
    if new == 0:
        raise Refused(
            "There is no training example in the snapshot.",
            "Go on working; `qi-learn status` says how many examples are missing.",
        )
    weights = full_precision_weights(train.base_weights, base)
    check_form(train.fisher, inputs.past_fisher)
    chosen = choose_device(
        train.device, inputs.devices, base, four_bit=inputs.packages.usable("bitsandbytes")
    )
    layers = choose_layers(
        base,
        chosen.device,
        TARGETS[TARGETS_DEFAULT if train.targets == "auto" else train.targets],
        served=served_tensors(inputs.previous_adapter),
        raised=weights is None,
    )
    examples = (*snapshot.examples, *snapshot.replay, *snapshot.anchors)
    longest = min(LONGEST[chosen.device.kind], base.context, max(map(_length, examples)))
    fit = fit_memory(base, chosen, layers.first, longest)
    recipe = WITH_REPLAY if train.replay else WITHOUT_TEXT
    return _Choices(new, weights, chosen, layers, longest, fit, recipe)


# --- the parts ------------------------------------------------------------------------------------


def _base(inputs: PlanInputs, choices: _Choices) -> PlannedBase:
    adapter = inputs.previous_adapter
    return PlannedBase(
        gguf=str(inputs.base.path),
        digest=inputs.snapshot.base_digest,
        weights=str(choices.weights) if choices.weights else None,
        architecture=inputs.base.architecture,
        previous_adapter=str(adapter) if adapter else None,
    )


def _lora(inputs: PlanInputs, choices: _Choices) -> PlannedLora:
    """What changes. The rank is the setting's, else by the number of examples."""
    layers = choices.layers
    rank = min(inputs.settings.train.rank or _rank(choices.new), layers.highest_rank)
    return PlannedLora(
        first_layer=layers.first,
        layer_count=layers.count,
        target_modules=layers.targets,
        rank=rank,
        alpha=2.0 * rank,
        dropout=0.0,
        touched_type=RAISED_TYPE if layers.raised else "base",
        bytes_per_token_ratio=layers.bytes_ratio,
    )


def _steps(inputs: PlanInputs, choices: _Choices) -> PlannedSteps:
    """How many steps, and how large.

    The setting, else enough to see the new examples `EPOCHS` times, and never fewer than
    `LEAST_STEPS`.
    """
    train, recipe = inputs.settings.train, choices.recipe
    new_in_step = SEQUENCES * (1 - recipe.replay - recipe.generic)
    steps = train.max_steps or max(LEAST_STEPS, math.ceil(EPOCHS * choices.new / new_in_step))
    return PlannedSteps(
        learning_rate=_learning_rate(inputs.base.parameters),
        weight_decay=0.01,
        warmup_steps=max(1, steps // 16),
        max_steps=steps,
        eval_every=max(4, steps // 8),
        patience=3,
        max_seconds=train.max_hours * 3600,
    )


def _batches(inputs: PlanInputs, choices: _Choices) -> PlannedBatches:
    return PlannedBatches(
        batch_size=choices.fit.batch_size,
        accumulation=SEQUENCES // choices.fit.batch_size,
        max_length=choices.longest,
        replay_share=choices.recipe.replay,
        generic_share=choices.recipe.generic,
        preference_weight=inputs.settings.train.preference if inputs.snapshot.pairs else 0.0,
    )


def _penalties(inputs: PlanInputs, choices: _Choices) -> PlannedPenalties:
    train = inputs.settings.train
    cache = fisher_cache(
        inputs.paths.fisher, inputs.snapshot, choices.layers, train.fisher, choices.weights
    )
    return plan_penalties(
        train,
        inputs.last,
        past_price=choices.recipe.past,
        past_fisher=inputs.past_fisher,
        general_fisher=cache,
    )


def _hardware(inputs: PlanInputs, choices: _Choices) -> PlannedHardware:
    """What computes, and what it does without."""
    train, packages = inputs.settings.train, inputs.packages
    chosen, device = choices.chosen, choices.chosen.device
    several = () if train.backend == "unsloth" else chosen.devices[:SEQUENCES]
    backend, why = choose_backend(
        train.backend,
        architecture=inputs.base.architecture,
        device=device,
        weights=choices.weights,
        packages=packages,
        four_bit=chosen.four_bit,
        gpus=max(1, len(several)),
    )
    return PlannedHardware(
        device=device.torch_name,
        dtype="bfloat16" if device.bf16 else "float32",
        gradient_checkpointing=choices.fit.gradient_checkpointing,
        four_bit=chosen.four_bit,
        may_be_four_bit=packages.usable("bitsandbytes") and device.kind == "cuda" and device.bf16,
        backend=backend,
        backend_reason=why,
        devices=several,
    )


def _learning_rate(parameters: int) -> float:
    (small, high), (large, low) = RATE_SMALL, RATE_LARGE
    share = (math.log(max(parameters, 1)) - math.log(small)) / (math.log(large) - math.log(small))
    return float(high * (low / high) ** min(1.0, max(0.0, share)))


def _rank(new: int) -> int:
    """8 below 200 examples, 16 below 1,000, then 32.

    Less data has less to say, and a rank that it does not need only leaves room for noise.
    """
    return 8 if new < 200 else 16 if new < 1000 else 32


def _length(example: Example) -> int:
    return len(example.prompt_ids) + len(example.target_ids)
