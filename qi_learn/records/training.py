"""What a training run is told (the plan, its place), and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RunState = Literal[
    "planned",
    "snapshotted",
    "trained",
    "packed",
    "gated",
    "deployed",
    "refused",
    "failed",
    "cancelled",
]
FLAT = {"flat": True}
"""A part whose keys stand beside the whole's in JSON (`codec.py`)."""
RUN_STATES_ENDED: tuple[RunState, ...] = ("deployed", "refused", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class PenaltyStrength:
    """How the lambda of a penalty came about (`plan/strength.py`): the product of its three
    numbers.
    """

    price: float
    """Nats of loss that a nat of measured divergence costs."""
    kappa: float
    """Measured over predicted divergence."""
    tightened: float
    """1, or more after runs that went over the budget."""
    reason: str

    @property
    def value(self) -> float:
        return self.price * self.kappa * self.tightened


@dataclass(frozen=True, slots=True)
class PlannedBase:
    """What a run starts from."""

    gguf: str = field(metadata={"key": "base_gguf"})
    digest: str = field(metadata={"key": "base_digest"})
    weights: str | None = field(metadata={"key": "base_weights"})
    """Directory of full-precision safetensors weights, or None: train on the dequantised GGUF."""
    architecture: str
    previous_adapter: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedLora:
    """What changes: which modules of which layers, with what rank, and how the packed file holds
    it.
    """

    first_layer: int
    layer_count: int
    target_modules: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float
    touched_type: str = "Q8_0"
    """What touched tensors are written as; `base`: as the base has them (full-precision weights).
    """
    bytes_per_token_ratio: float = 1.0
    """Bytes read per token of the packed model over the base's."""


@dataclass(frozen=True, slots=True)
class PlannedSteps:
    """How the optimiser goes, and when it ends."""

    learning_rate: float
    weight_decay: float
    warmup_steps: int
    max_steps: int
    eval_every: int
    patience: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class PlannedBatches:
    """What a step reads: sizes in sequences and tokens, and the shares of what is not new."""

    batch_size: int
    accumulation: int
    max_length: int
    replay_share: float
    generic_share: float
    preference_weight: float = 0.0
    """Of a preference beside the loss per target token; 0 if the data set has no pairs."""


@dataclass(frozen=True, slots=True)
class PlannedPenalties:
    """What holds the weights back."""

    lambda_general: float
    lambda_past: float
    past_fisher: str | None = None
    general_fisher: str | None = None
    """Cache file of the anchors' Fisher; computed and written there when absent."""
    fisher: Literal["kfac", "diagonal"] = "kfac"
    """Form of both penalties' Fisher."""
    kl_budget: float = 0.02
    """How far the answers may move, nats of KL per target token: from the base on general code,
    from the live version on past work.
    """
    general_strength: PenaltyStrength | None = None
    """How `lambda_general` came about; None: set by hand."""
    past_strength: PenaltyStrength | None = None


@dataclass(frozen=True, slots=True)
class PlannedHardware:
    """What computes, in which precision, and what is given up for want of memory."""

    device: str
    dtype: str
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass and compute the layer again: a third more
    arithmetic, far less memory.
    """
    four_bit: bool = False
    """Hold the frozen linear weights in 4 bits (NF4, bitsandbytes) while training; a GPU only."""
    may_be_four_bit: bool = False
    """It could be done if memory runs out: the device is a GPU and its interpreter has
    bitsandbytes.
    """
    backend: Literal["plain", "unsloth"] = "plain"
    """What runs the passes: transformers and PEFT, or Unsloth's fused kernels."""
    backend_reason: str = ""
    devices: tuple[str, ...] = ()
    """If the training is split over several devices, their torch names; empty: `device` alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every number of a training run; written to `plan.json`, all keys side by side, and shown by
    `explain`.
    """

    run_id: str
    seed: int
    base: PlannedBase = field(metadata=FLAT)
    lora: PlannedLora = field(metadata=FLAT)
    steps: PlannedSteps = field(metadata=FLAT)
    batches: PlannedBatches = field(metadata=FLAT)
    penalties: PlannedPenalties = field(metadata=FLAT)
    hardware: PlannedHardware = field(metadata=FLAT)


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far answers moved on sequences kept for measuring: KL(before || after), nats per target
    token, over the whole vocabulary.
    """

    measured: float
    predicted: float | None
    """What the Fisher said; None where there was none."""
    sequences: int
    tokens: int

    @property
    def kappa(self) -> float | None:
        """Measured over predicted; None where nothing was predicted."""
        return self.measured / self.predicted if self.predicted else None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a cycle trains, and what it owes to others meanwhile; looked at anew whenever its
    training starts (`placement.json` in the run directory).
    """

    device: str
    """What torch calls it in the worker, which sees only `gpus`: `cpu` or `cuda:0`."""
    name: str
    free: int
    """Bytes that are there for the training once `unload` is done."""
    bf16: bool
    reason: str
    """Why there, in words."""
    gpus: tuple[str, ...] = ()
    """What CUDA_VISIBLE_DEVICES names: UUIDs; more than one where as many GPUs of a kind are free.
    """
    serves: str = ""
    """The GPU that the server keeps; empty where it has none."""
    unload: tuple[str, ...] = ()
    """Models that the server must let go of first."""
    holds_requests: bool = field(default=False, metadata={"key": "hold"})
    """Requests wait until the training is done: the only GPU cannot do both."""
    activity: str | None = None
    """The mark of requests being answered (rundir/activity.py) for which it pauses; None: it
    disturbs nobody.
    """
    quiet_seconds: float = field(default=0.0, metadata={"key": "quiet"})
    """Seconds without a request after which it goes on."""
    longest_pause: float = 0.0
    """Seconds of pauses, all together."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What the training worker left behind (`result.json` in the run directory)."""

    steps: int
    stopped: Literal["steps", "early", "time"]
    train_loss: float
    dev_loss: float | None
    dev_loss_before: float | None
    penalty_general: float
    penalty_past: float
    seconds: float
    tokens_per_second: float
    adapter: str
    """Directory, relative to the run directory: `delta.safetensors` (this cycle) and
    `past_fisher.safetensors`.
    """
    peak_memory_mb: float = 0.0
    preferred_before: float | None = None
    """Share of the pairs trained on in which the kept text was the likelier before; None without
    pairs.
    """
    preferred: float | None = None
    """And after."""
    divergence_general: Divergence | None = field(default=None, metadata={"key": "drift_general"})
    """From the base, on general code that neither Fisher nor training saw."""
    divergence_past: Divergence | None = field(default=None, metadata={"key": "drift_past"})
    """From the version trained on, on replayed work."""
    warnings: tuple[str, ...] = ()
    """What did not protect although it should have."""


@dataclass(frozen=True, slots=True)
class RecallLog:
    """What a training run found out about the examples it saw (`memory.json` in the run directory),
    by example id; for replay in the cycles after it.
    """

    known: Mapping[str, float]
    """Nats per target token of the replayed examples under the served model, before the first step.
    """
    learned: Mapping[str, float]
    """Of the new examples under the trained model."""
    replayed: Mapping[str, int]
    """How many sequences of the run each replayed example was."""
