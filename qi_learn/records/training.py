"""What a training run is given (the plan, the hardware to use), and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from qi_learn.record_class import dataclass

FLAT = {"flat": True}
"""Metadata of a part whose keys stand beside the whole's in JSON (`codec.py`)."""


@dataclass(frozen=True, slots=True)
class PenaltyStrength:
    """The lambda of a penalty as the product of three numbers (`plan/strength.py`)."""

    price: float
    """Nats of loss that a nat of measured divergence costs."""
    kappa: float
    """Measured over predicted divergence."""
    tightened: float
    """1, or more after runs that went over the budget."""
    reason: str
    """Why these numbers, in words."""

    @property
    def value(self) -> float:
        """The lambda itself."""
        return self.price * self.kappa * self.tightened


@dataclass(frozen=True, slots=True)
class PlannedBase:
    """What a run starts from."""

    gguf: str = field(metadata={"key": "base_gguf"})
    """Path of the base's GGUF."""
    digest: str = field(metadata={"key": "base_digest"})
    """sha256 (hex) of that file."""
    weights: str | None = field(metadata={"key": "base_weights"})
    """Directory of full-precision safetensors weights; None: train on the dequantised GGUF."""
    architecture: str
    """As the GGUF names it: `llama`, `qwen2`, ..."""
    previous_adapter: str | None = None
    """Adapter file of the version trained on top of; None for the base."""


@dataclass(frozen=True, slots=True)
class PlannedLora:
    """What changes: modules, layers, rank, and the types in the packed file."""

    first_layer: int
    """The lowest layer that changes."""
    layer_count: int
    """The number of layers from there on that change."""
    target_modules: tuple[str, ...]
    """Names of the linear modules in each of them: `q_proj`, ..."""
    rank: int
    """LoRA's r."""
    alpha: float
    """LoRA's alpha: the change is alpha / r times B @ A."""
    dropout: float
    """Share of a module's inputs that the adapter does not see in a step."""
    touched_type: str = "Q8_0"
    """The ggml type of touched tensors in the packed file; `base`: the base's own (full-precision
    weights).
    """
    bytes_per_token_ratio: float = 1.0
    """Bytes read per token of the packed model over the base's."""


@dataclass(frozen=True, slots=True)
class PlannedSteps:
    """The optimiser's schedule, and when training ends."""

    learning_rate: float
    """After the warm-up."""
    weight_decay: float
    warmup_steps: int
    """Steps until the learning rate is reached."""
    max_steps: int
    eval_every: int
    """Steps between two looks at dev."""
    patience: int
    """Looks at dev without a better one, after which training ends."""
    max_seconds: float


@dataclass(frozen=True, slots=True)
class PlannedBatches:
    """What a step reads: sizes in sequences and tokens, and the shares of what is not new."""

    batch_size: int
    """Sequences that are computed at once."""
    accumulation: int
    """Batches a step."""
    max_length: int
    """Tokens of a sequence, prompt and target together."""
    replay_share: float
    """Share of a step's sequences that are replayed."""
    generic_share: float
    """Share of a step's sequences that are generic code."""
    preference_weight: float = 0.0
    """Of a preference beside the loss per target token; 0 if the data set has no pairs."""


@dataclass(frozen=True, slots=True)
class PlannedPenalties:
    """What holds the weights back: a penalty each for general knowledge and for past work."""

    lambda_general: float
    """Strength of the penalty on what was known before any learning, in nats of KL per token."""
    lambda_past: float
    """Strength of the penalty on what earlier cycles learned."""
    past_fisher: str | None = None
    """File of the Fisher of past work; None if nothing was learned yet."""
    general_fisher: str | None = None
    """Cache file of the anchors' Fisher; computed and written there if absent."""
    fisher: Literal["kfac", "diagonal"] = "kfac"
    """Form of both penalties' Fisher."""
    kl_budget: float = 0.02
    """How far the answers may move, nats of KL per target token: from the base on general code,
    from the live version on past work.
    """
    general_strength: PenaltyStrength | None = None
    """What `lambda_general` is made of; None if it was set by hand."""
    past_strength: PenaltyStrength | None = None
    """What `lambda_past` is made of."""


@dataclass(frozen=True, slots=True)
class PlannedHardware:
    """What computes, in which precision, and what is given up for lack of memory."""

    device: str
    """As torch names it: `cpu`, `cuda:0`."""
    dtype: str
    """Of weights and arithmetic: `float32`, `bfloat16`, ..."""
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass and compute the layer again: a third more
    arithmetic, far less memory.
    """
    four_bit: bool = False
    """Hold the frozen linear weights in 4 bits (NF4, bitsandbytes) while training; a GPU only."""
    may_be_four_bit: bool = False
    """Whether that can be done if memory runs out: the device is a GPU and its interpreter has
    bitsandbytes.
    """
    backend: Literal["plain", "unsloth"] = "plain"
    """What runs the passes: transformers and PEFT, or Unsloth's fused kernels."""
    backend_reason: str = ""
    """Why that backend, in words."""
    devices: tuple[str, ...] = ()
    """If the training is split over several devices, their torch names; empty: `device` alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every number of a training run.

    Written to `plan.json`, all keys side by side, and shown by `explain`.
    """

    run_id: str
    seed: int
    """Decides every draw of the run."""
    base: PlannedBase = field(metadata=FLAT)
    lora: PlannedLora = field(metadata=FLAT)
    steps: PlannedSteps = field(metadata=FLAT)
    batches: PlannedBatches = field(metadata=FLAT)
    penalties: PlannedPenalties = field(metadata=FLAT)
    hardware: PlannedHardware = field(metadata=FLAT)


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far answers moved on sequences kept for measuring.

    KL(before || after), nats per target token, over the whole vocabulary.
    """

    measured: float
    predicted: float | None
    """The Fisher's estimate; None without a Fisher."""
    sequences: int
    """The number of sequences measured on."""
    tokens: int
    """Their target tokens."""

    @property
    def kappa(self) -> float | None:
        """Measured over predicted; None if nothing was predicted."""
        return self.measured / self.predicted if self.predicted else None


@dataclass(frozen=True, slots=True)
class Placement:
    """The device on which a cycle trains, and what it owes to others meanwhile.

    Chosen anew whenever the training starts (`placement.json` in the run directory).
    """

    device: str
    """Torch's name for it in the worker, which sees only `gpus`: `cpu` or `cuda:0`."""
    name: str
    """Its name for people."""
    free: int
    """Bytes that are free for the training once `unload` is done."""
    bf16: bool
    """Whether it computes in bfloat16."""
    reason: str
    """Why this device, in words."""
    gpus: tuple[str, ...] = ()
    """Value of CUDA_VISIBLE_DEVICES, as UUIDs; more than one if several GPUs of a kind are free."""
    serves: str = ""
    """The GPU that the server keeps; empty if it has none."""
    unload: tuple[str, ...] = ()
    """Models that the server must unload first."""
    holds_requests: bool = field(default=False, metadata={"key": "hold"})
    """Whether requests wait until the training is done: the only GPU cannot do both."""
    activity: str | None = None
    """File whose time says when requests were last answered (rundir/activity.py), for which the
    training pauses; None if it is in nothing's way.
    """
    quiet_seconds: float = field(default=0.0, metadata={"key": "quiet"})
    """Seconds without a request after which the training goes on."""
    longest_pause: float = 0.0
    """Most seconds of pauses, all together."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What the training worker left behind (`result.json` in the run directory)."""

    steps: int
    """The number of steps done."""
    stopped: Literal["steps", "early", "time"]
    """Why training ended: all steps, no better dev loss, or no time left."""
    train_loss: float
    """Nats per target token of the last step, without penalties."""
    dev_loss: float | None
    """Nats per target token on dev under the kept weights; None without dev examples."""
    dev_loss_before: float | None
    """The same before the first step."""
    penalty_general: float
    """The penalty's value at the end, in nats."""
    penalty_past: float
    seconds: float
    """How long the training took."""
    tokens_per_second: float
    adapter: str
    """Directory, relative to the run directory: `delta.safetensors` (this cycle) and
    `past_fisher.safetensors`.
    """
    peak_memory_mb: float = 0.0
    preferred_before: float | None = None
    """Share of the pairs trained on in which the kept text was the likelier one before; None
    without pairs.
    """
    preferred: float | None = None
    """The same share after."""
    divergence_general: Divergence | None = field(default=None, metadata={"key": "drift_general"})
    """From the base, on general code that neither Fisher nor training saw."""
    divergence_past: Divergence | None = field(default=None, metadata={"key": "drift_past"})
    """From the version trained on, on replayed work."""
    warnings: tuple[str, ...] = ()
    """Protection that was missing although it was planned, in words."""


@dataclass(frozen=True, slots=True)
class RecallLog:
    """What a training run found out about the examples it saw, for replay in later cycles.

    It is `memory.json` in the run directory; keys are example ids.
    """

    known: Mapping[str, float]
    """Nats per target token of the replayed examples under the served model, before the first step.
    """
    learned: Mapping[str, float]
    """Nats per target token of the new examples under the trained model."""
    replayed: Mapping[str, int]
    """The number of sequences in which each replayed example was trained on."""
