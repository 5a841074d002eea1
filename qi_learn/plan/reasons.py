"""A plan in sentences: why each number is as it is, for `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qi_learn.plan.backend import backend_sentence
from qi_learn.plan.base_model import TARGETS
from qi_learn.plan.plan import EPOCHS, LEAST_STEPS
from qi_learn.records import PenaltyStrength, Plan, PlannedPenalties


def reasons(plan: Plan) -> list[str]:
    """The plan in sentences."""
    return [
        _device(plan),
        *_lora(plan),
        *_steps(plan),
        *_penalties(plan.penalties),
        _end(plan),
        *_preferences(plan),
        backend_sentence(plan),
        *_memory(plan),
        _packed(plan),
    ]


def _device(plan: Plan) -> str:
    hardware = plan.hardware
    source = (
        "full-precision weights" if plan.base.weights else "the base's GGUF, read back as numbers"
    )
    split = f" Each step is split over {', '.join(hardware.devices)}." if hardware.devices else ""
    return f"Trains on {hardware.device} in {hardware.dtype}, from {source}.{split}"


def _lora(plan: Plan) -> Iterator[str]:
    lora = plan.lora
    last = lora.first_layer + lora.layer_count - 1
    below = (
        f"; what lies below is computed once per sequence ({lora.first_layer} layers)"
        if lora.first_layer
        else ""
    )
    yield (
        f"Layers {lora.first_layer} to {last} change, {_named(lora.target_modules)} of each{below}."
    )
    yield f"LoRA of rank {lora.rank}, alpha {lora.alpha:g} = 2 x rank."


def _steps(plan: Plan) -> Iterator[str]:
    steps, batches = plan.steps, plan.batches
    yield (
        f"{steps.max_steps} steps of {batches.batch_size * batches.accumulation} sequences "
        f"({batches.batch_size} at a time, up to {batches.max_length} tokens). If no setting says "
        f"how many: at least {LEAST_STEPS}, since fewer learn clearly less under the penalties, "
        f"and {EPOCHS} times through the new examples."
    )
    yield (
        f"Learning rate {steps.learning_rate:.2g} (by the size of the base) after "
        f"{steps.warmup_steps} warm-up steps, falling to a tenth."
    )
    alone = (
        " No text of earlier work is replayed (train.replay = 0): what protects it is the penalty "
        "alone."
    )
    yield (
        f"Of the sequences {batches.replay_share:.1%} are old work and "
        f"{batches.generic_share:.1%} generic code, if there is any."
        f"{'' if batches.replay_share else alone}"
    )


def _penalties(penalties: PlannedPenalties) -> Iterator[str]:
    none_yet = " (none yet)" if penalties.past_fisher is None else ""
    yield (
        f"Penalties ({penalties.fisher}): {penalties.lambda_general:g} x the whole change since "
        f"the base against general ability, {penalties.lambda_past:g} x this cycle's change "
        f"against past work{none_yet}."
    )
    strengths = {"general ability": penalties.general_strength}
    if penalties.past_fisher:
        strengths["past work"] = penalties.past_strength
    for what, strength in strengths.items():
        yield f"Strength for {what}: {_derived(penalties.kl_budget, strength)}"


def _derived(budget: float, strength: PenaltyStrength | None) -> str:
    if strength is None:
        return "set by hand."
    return (
        f"price {strength.price:.3g} of a nat at a budget of {budget:g} nat a token, x kappa "
        f"{strength.kappa:.3g} (measured over predicted divergence), "
        f"x {strength.tightened:g} for runs that went over; {strength.reason}."
    )


def _end(plan: Plan) -> str:
    steps = plan.steps
    return (
        f"Stops after {steps.patience} looks at the dev set without a better one (every "
        f"{steps.eval_every} steps), or after {steps.max_seconds / 3600:g} hours."
    )


def _preferences(plan: Plan) -> Iterator[str]:
    if plan.batches.preference_weight:
        yield (
            "Preferences (what was kept rather than what was suggested) weigh "
            f"{plan.batches.preference_weight:g} beside that, at most one a step."
        )


def _memory(plan: Plan) -> Iterator[str]:
    """What is done for want of memory."""
    if plan.hardware.gradient_checkpointing:
        yield "Memory is scarce: each layer keeps only its input and is computed twice."
    if plan.hardware.four_bit:
        yield (
            "Memory is scarce: the frozen base is held in 4 bits (NF4) while it is trained on, the "
            "Fisher is that of this model, and the delta is merged into the base's own weights all "
            "the same; how far it moves from the base is measured in the first cycle only. Tried "
            "with a toy model alone."
        )


def _packed(plan: Plan) -> str:
    lora = plan.lora
    if lora.touched_type == "base":
        return "Touched tensors keep the types of the base: it is merged from full precision."
    return (
        f"No full-precision weights: touched tensors are written as {lora.touched_type}; the model "
        f"then reads {lora.bytes_per_token_ratio:.2f} x the bytes per token, so it makes about "
        f"{1 / lora.bytes_per_token_ratio:.0%} of the base's tokens per second, and its file grows "
        "by as much."
    )


def _named(targets: Sequence[str]) -> str:
    kind = next((name for name, modules in TARGETS.items() if set(modules) == set(targets)), "")
    return {
        "all-linear": "all seven linear modules",
        "attention": "the four of attention",
        "mlp": "the three of the MLP",
    }.get(kind, ", ".join(targets))
