"""Every number of a training run, derived once from the data, the base and the device, and written
down. No torch.

What cannot be trained is refused here, in words, before anything is loaded. `reasons` says of a
finished plan why it is as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.errors import Refused, SettingsError
from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.outside.ggml_types import row_bytes
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.paths import Paths
from qi_learn.plan.backend import choose_backend, told_backend
from qi_learn.plan.base_model import TARGETS, BaseModel, BaseTensor, check_architecture
from qi_learn.plan.memory import DeviceChoice, MemoryFit, choose_device, fit_memory
from qi_learn.plan.strength import PARTS, Part, before, strength
from qi_learn.records import (
    Example,
    PenaltyStrength,
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
from qi_learn.settings import HIGHEST_RANK, Settings, TrainSettings

SEQUENCES = 8
"""Sequences of one optimiser step: batch times accumulation."""
LEAST_STEPS = 48
EPOCHS = 2
"""Times that all new examples are seen at least."""
RATE_SMALL, RATE_LARGE = (135e6, 1.6e-3), (7e9, 2e-4)
"""Learning rates for LoRA, by parameters of the base; between them a line in the logarithms. The
first was measured (docs/decisions/0005): with 1e-3 a run ends before it has learned what the
penalties let it learn. The second is what others report for models of that size.
"""
BYTES_LIMIT = 1.4
"""Bytes read per token of the packed model, at most so many times the base's."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What depends on whether text of earlier work may be replayed; measured with the K-FAC form
    (docs/decisions/0005).
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

That costs learning: a few hundredths, more with every cycle (docs/decisions/0005).
"""
LONGEST = {"cpu": 1024, "cuda": 4096}
"""Tokens of the longest sequence that is trained on."""
TOUCHED = "Q8_0"
TARGETS_DEFAULT = "all-linear"


def build_plan(
    *,
    run_id: str,
    snapshot: Snapshot,
    base: BaseModel,
    settings: Settings,
    paths: Paths,
    previous_adapter: Path | None,
    past_fisher: Path | None,
    devices: Sequence[Device],
    last: tuple[Plan, TrainResult] | None = None,
    packages: Packages | None = None,
) -> Plan:
    """The plan for one cycle. `previous_adapter` and `past_fisher` are the live version's files;
    None at the base. `last` is the last run on this base, shipped or not: what it measured decides
    how strong the penalties are.

    `packages` are what the training's interpreter has beyond the necessary, by name
    (`outside/python_env.py`).

    Raises UnsupportedArchitecture, SettingsError for unusable `train.base_weights`, Refused where
    no device has the memory or there is nothing to train on.
    """
    check_architecture(base.architecture)
    train = settings.train
    new = len(snapshot.split("train"))
    if new == 0:
        raise Refused(
            "There is no training example in the snapshot.",
            "Go on working; `qi-learn status` says how many examples are missing.",
        )
    weights = _full_precision(train.base_weights, base)
    _check_form(train.fisher, past_fisher)
    packages = packages or Packages()
    four_bit = packages.usable("bitsandbytes")
    place = choose_device(train.device, devices, base, four_bit=four_bit)
    targets = TARGETS[TARGETS_DEFAULT if train.targets == "auto" else train.targets]
    served = _touched_before(previous_adapter)
    first = _first_layer(base, place.device, targets, served, full_precision=weights is not None)
    longest = min(
        LONGEST[place.device.kind],
        base.context,
        max(map(_length, (*snapshot.examples, *snapshot.replay, *snapshot.anchors))),
    )
    fit = fit_memory(base, place, first, longest)
    recipe = WITH_REPLAY if train.replay else WITHOUT_TEXT
    general, past = (_strength(part, train, last, recipe) for part in PARTS)
    return Plan(
        run_id=run_id,
        seed=train.seed,
        base=PlannedBase(
            gguf=str(base.path),
            digest=snapshot.base_digest,
            weights=str(weights) if weights else None,
            architecture=base.architecture,
            previous_adapter=str(previous_adapter) if previous_adapter else None,
        ),
        lora=_lora(
            base,
            first,
            targets,
            served,
            rank=train.rank or _rank(new),
            full_precision=weights is not None,
        ),
        steps=_steps(train, base, recipe, new),
        batches=PlannedBatches(
            batch_size=fit.batch_size,
            accumulation=SEQUENCES // fit.batch_size,
            max_length=longest,
            replay_share=recipe.replay,
            generic_share=recipe.generic,
            preference_weight=train.preference if snapshot.pairs else 0.0,
        ),
        penalties=PlannedPenalties(
            lambda_general=general.value if general else train.lambda_general,
            lambda_past=past.value if past else train.lambda_past,
            past_fisher=str(past_fisher) if past_fisher else None,
            general_fisher=str(
                _general_fisher(paths, snapshot, base, first, targets, train.fisher, weights)
            ),
            fisher="diagonal" if train.fisher == "diagonal" else "kfac",
            kl_budget=train.kl_budget,
            general_strength=general,
            past_strength=past,
        ),
        hardware=_hardware(train, base, place, fit, weights, packages),
    )


def _lora(
    base: BaseModel,
    first: int,
    targets: tuple[str, ...],
    served: frozenset[str],
    *,
    rank: int,
    full_precision: bool,
) -> PlannedLora:
    """What changes.

    Of a base without full-precision weights the touched tensors are raised in type, this cycle's
    and those of the cycles before.
    """
    rank = min(rank, _smallest_side(base, targets))
    return PlannedLora(
        first_layer=first,
        layer_count=base.layers - first,
        target_modules=targets,
        rank=rank,
        alpha=2.0 * rank,
        dropout=0.0,
        touched_type="base" if full_precision else TOUCHED,
        bytes_per_token_ratio=1.0
        if full_precision
        else _bytes_ratio(base, _touched(base, first, targets) | served),
    )


def _steps(train: TrainSettings, base: BaseModel, recipe: Recipe, new: int) -> PlannedSteps:
    """How many steps, and how large: the setting, else enough to see `new` examples `EPOCHS` times
    and never fewer than `LEAST_STEPS`.
    """
    steps = train.max_steps or max(
        LEAST_STEPS, math.ceil(EPOCHS * new / (SEQUENCES * (1 - recipe.replay - recipe.generic)))
    )
    return PlannedSteps(
        learning_rate=_learning_rate(base.parameters),
        weight_decay=0.01,
        warmup_steps=max(1, steps // 16),
        max_steps=steps,
        eval_every=max(4, steps // 8),
        patience=3,
        max_seconds=train.max_hours * 3600,
    )


def _hardware(
    train: TrainSettings,
    base: BaseModel,
    place: DeviceChoice,
    fit: MemoryFit,
    weights: Path | None,
    packages: Packages,
) -> PlannedHardware:
    """What computes, and with what it makes do."""
    device = place.device
    several = () if train.backend == "unsloth" else place.devices[:SEQUENCES]
    backend, why = choose_backend(
        train.backend,
        architecture=base.architecture,
        device=device,
        weights=weights,
        packages=packages,
        four_bit=place.four_bit,
        gpus=max(1, len(several)),
    )
    return PlannedHardware(
        device=device.torch_name,
        dtype="bfloat16" if device.bf16 else "float32",
        gradient_checkpointing=fit.gradient_checkpointing,
        four_bit=place.four_bit,
        may_be_four_bit=packages.usable("bitsandbytes") and device.kind == "cuda" and device.bf16,
        backend=backend,
        backend_reason=why,
        devices=several,
    )


def reasons(plan: Plan) -> list[str]:
    """The plan in sentences, for `explain`."""
    last = plan.lora.first_layer + plan.lora.layer_count - 1
    where = (
        "full-precision weights" if plan.base.weights else "the base's GGUF, read back as numbers"
    )
    told = [
        f"Trains on {plan.hardware.device} in {plan.hardware.dtype}, from {where}."
        + (
            f" Each step is split over {', '.join(plan.hardware.devices)}."
            if plan.hardware.devices
            else ""
        ),
        f"Layers {plan.lora.first_layer} to {last} change, {_named(plan.lora.target_modules)} of "
        "each"
        + (
            f"; what lies below is computed once per sequence ({plan.lora.first_layer} layers)."
            if plan.lora.first_layer
            else "."
        ),
        f"LoRA of rank {plan.lora.rank}, alpha {plan.lora.alpha:g} = 2 x rank.",
        f"{plan.steps.max_steps} steps of {plan.batches.batch_size * plan.batches.accumulation} "
        f"sequences ({plan.batches.batch_size} at a time, up to {plan.batches.max_length} tokens). "
        "Where no "
        f"setting says how many: at least {LEAST_STEPS}, since fewer learn clearly less under the "
        f"penalties, and {EPOCHS} times through the new examples.",
        f"Learning rate {plan.steps.learning_rate:.2g} (by the size of the base) after "
        f"{plan.steps.warmup_steps} warm-up steps, falling to a tenth.",
        f"Of the sequences {plan.batches.replay_share:.1%} are old work and "
        f"{plan.batches.generic_share:.1%} generic code, where there is any."
        + (
            ""
            if plan.batches.replay_share
            else " No text of earlier work is replayed (train.replay = 0): what protects it is the penalty alone."
        ),
        f"Penalties ({plan.penalties.fisher}): {plan.penalties.lambda_general:g} x the whole drift "
        "since the base against general ability, "
        f"{plan.penalties.lambda_past:g} x this cycle's change against past work"
        + (" (none yet)." if plan.penalties.past_fisher is None else "."),
        *(
            f"Strength for {what}: {_derived(plan.penalties.kl_budget, strength)}"
            for what, strength in _strengths(plan)
        ),
        f"Stops after {plan.steps.patience} looks at the dev set without a better one (every "
        f"{plan.steps.eval_every} steps), or after {plan.steps.max_seconds / 3600:g} hours.",
    ]
    if plan.batches.preference_weight:
        told.append(
            "Preferences (what was kept rather than what was suggested) weigh "
            f"{plan.batches.preference_weight:g} beside that, at most one a step."
        )
    told += [told_backend(plan), *_memory(plan)]
    if plan.lora.touched_type == "base":
        told.append("Touched tensors keep the types of the base: it is merged from full precision.")
    else:
        told.append(
            f"No full-precision weights: touched tensors are written as {plan.lora.touched_type}; "
            "the model then reads "
            f"{plan.lora.bytes_per_token_ratio:.2f} x the bytes per token, so it makes about "
            f"{1 / plan.lora.bytes_per_token_ratio:.0%} of the base's "
            "tokens per second, and its file grows by as much."
        )
    return told


def _strength(
    part: Part, train: TrainSettings, last: tuple[Plan, TrainResult] | None, recipe: Recipe
) -> PenaltyStrength | None:
    """How strong a penalty is by the budget; None where the settings say it themselves."""
    if (train.lambda_general if part == "general" else train.lambda_past) >= 0:
        return None
    return strength(
        part,
        train.kl_budget,
        train.fisher,
        before(part, *last) if last else None,
        dearer=recipe.past if part == "past" else 1.0,
    )


def _strengths(plan: Plan) -> list[tuple[str, PenaltyStrength | None]]:
    return [("general ability", plan.penalties.general_strength)] + (
        [("past work", plan.penalties.past_strength)] if plan.penalties.past_fisher else []
    )


def _derived(budget: float, found: PenaltyStrength | None) -> str:
    if found is None:
        return "set by hand."
    return (
        f"price {found.price:.3g} of a nat at a budget of {budget:g} nat a token, x kappa "
        f"{found.kappa:.3g} (measured over predicted divergence), "
        f"x {found.tightened:g} for runs that went over; {found.reason}."
    )


def _memory(plan: Plan) -> list[str]:
    """What is done for want of memory."""
    told = (
        ["Memory is scarce: each layer keeps only its input and is computed twice."]
        if plan.hardware.gradient_checkpointing
        else []
    )
    if plan.hardware.four_bit:
        told.append(
            "Memory is scarce: the frozen base is held in 4 bits (NF4) while it is trained on, the "
            "Fisher is that of this model, and the delta is merged "
            "into the base's own weights all the same; how far it moves from the base is measured "
            "in the first cycle only. Tried with a toy model alone."
        )
    return told


def _learning_rate(parameters: int) -> float:
    (small, high), (large, low) = RATE_SMALL, RATE_LARGE
    share = (math.log(max(parameters, 1)) - math.log(small)) / (math.log(large) - math.log(small))
    return float(high * (low / high) ** min(1.0, max(0.0, share)))


def _rank(new: int) -> int:
    """8 below 200 examples, 16 below 1,000, then 32: less data has less to say, and a rank it does
    not need only gives noise room.
    """
    return 8 if new < 200 else 16 if new < 1000 else 32


def _named(targets: Sequence[str]) -> str:
    kind = next((name for name, modules in TARGETS.items() if set(modules) == set(targets)), "")
    return {
        "all-linear": "all seven linear modules",
        "attention": "the four of attention",
        "mlp": "the three of the MLP",
    }.get(kind, ", ".join(targets))


def _smallest_side(base: BaseModel, targets: Collection[str]) -> int:
    """Rows or columns of the smallest matrix that changes: no change of it has a higher rank."""
    wanted = {f".{GGUF_NAMES[name]}.weight" for name in targets}
    sides = (min(t.shape) for t in base.tensors if any(t.name.endswith(end) for end in wanted))
    return min(sides, default=HIGHEST_RANK)


def _full_precision(directory: str, base: BaseModel) -> Path | None:
    """The directory of full-precision weights, looked at before it is used."""
    if not directory:
        return None
    place = Path(directory).expanduser()
    try:
        kind = json.loads((place / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"train.base_weights: {place} has no readable config.json ({error}).",
            "Point it at the directory with config.json and *.safetensors, or empty it.",
        ) from error
    if not any(place.glob("*.safetensors")):
        raise SettingsError(
            f"train.base_weights: {place} has no *.safetensors file.",
            "Other formats can carry code and are not loaded; convert them, or empty the setting.",
        )
    if kind not in (base.architecture, *(("mistral",) if base.architecture == "llama" else ())):
        raise SettingsError(
            f"train.base_weights: {place} holds a `{kind}` model, the base is "
            f"`{base.architecture}`.",
            "Give the weights that the GGUF was made from.",
        )
    return place.absolute()


def _first_layer(
    base: BaseModel,
    device: Device,
    targets: Collection[str],
    served: Collection[str],
    *,
    full_precision: bool,
) -> int:
    """The lowest layer that changes: the last third on a CPU, all on a GPU; fewer where raised
    types would make the packed model slow.
    """
    first = base.layers - math.ceil(base.layers / 3) if device.kind == "cpu" else 0
    while (
        not full_precision
        and first < base.layers - 1
        and _bytes_ratio(base, _touched(base, first, targets).union(served)) > BYTES_LIMIT
    ):
        first += 1
    return first


def _touched(base: BaseModel, first: int, targets: Collection[str]) -> frozenset[str]:
    """The tensors of the GGUF that change."""
    return frozenset(
        f"blk.{layer}.{GGUF_NAMES[name]}.weight"
        for layer in range(first, base.layers)
        for name in targets
    )


def _touched_before(adapter: Path | None) -> frozenset[str]:
    """The tensors that the served adapter changed: they keep their raised types, whatever this
    cycle trains. None where the file cannot be read here; the worker, which needs it, says so.
    """
    if adapter is None:
        return frozenset()
    from safetensors import (
        SafetensorError,
        safe_open,
    )  # comes with the extras; `explain` imports this module without them

    try:
        with safe_open(adapter, framework="numpy") as file:
            modules = [
                name.removesuffix(".A").split(".")
                for name in file.keys()  # noqa: SIM118 - not a mapping
                if name.endswith(".A")
            ]
    except (OSError, SafetensorError):
        return frozenset()
    return frozenset(
        f"blk.{m[2]}.{GGUF_NAMES[m[-1]]}.weight"
        for m in modules
        if m[:2] == ["model", "layers"] and m[-1] in GGUF_NAMES
    )


def _check_form(wanted: str, past_fisher: Path | None) -> None:
    """Raises SettingsError where past work is remembered in another form than the plan's: it would
    be found out after an hour. A file that cannot be read is for the worker to tell.
    """
    if past_fisher is None:
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(past_fisher, framework="numpy") as file:
            form = json.loads((file.metadata() or {})["about"])["form"]
    except (OSError, SafetensorError, KeyError, ValueError):
        return
    if form != wanted:
        raise SettingsError(
            f"train.fisher is `{wanted}`, and the live version remembers past work in the form "
            f"`{form}`; one cannot be made of the other.",
            f'Set `train.fisher = "{form}"`; another form can begin where nothing was learned yet '
            "(`qi-learn versions`).",
        )


def _bytes_ratio(base: BaseModel, touched: Collection[str]) -> float:
    """Bytes read per token with these tensors raised to Q8_0, over the base's."""
    grown = sum(max(0, _raised_bytes(t) - t.bytes) for t in base.tensors if t.name in touched)
    return (base.bytes_per_token + grown) / base.bytes_per_token


def _raised_bytes(tensor: BaseTensor) -> int:
    rows, columns = tensor.shape
    return rows * row_bytes(TOUCHED if columns % 32 == 0 else "F16", columns)


def _general_fisher(
    paths: Paths,
    snapshot: Snapshot,
    base: BaseModel,
    first: int,
    targets: Sequence[str],
    form: str,
    weights: Path | None,
) -> Path:
    """The cache's name holds what the anchors' Fisher depends on; that of a base in 4 bits has a
    name of its own beside it (`run.fisher_cache`).
    """
    anchors = hashlib.sha256(
        "".join(sorted(example.hash for example in snapshot.anchors)).encode()
    ).hexdigest()
    part = (
        ""
        if set(targets) == set(GGUF_NAMES)
        else f"-{hashlib.sha256(' '.join(sorted(targets)).encode()).hexdigest()[:4]}"
    )
    whole = f"-{hashlib.sha256(str(weights).encode()).hexdigest()[:4]}w" if weights else ""
    return (
        paths.fisher
        / f"{snapshot.base_digest[:16]}-{anchors[:8]}-{form}-{first}-{base.layers}{part}{whole}.safetensors"
    )


def _length(example: Example) -> int:
    return len(example.prompt_ids) + len(example.target_ids)
