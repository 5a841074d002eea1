"""What things are: the words every other module speaks.

Records are frozen and carry no behaviour beyond validation. Times are Unix seconds (UTC, float), durations seconds unless the name says otherwise.
`None` means *unknown*, never false: a signal nobody saw is not a signal that was negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Author = Literal["person", "agent", "model", "unknown"]
EventKind = Literal["turn", "edit", "rating", "outcome", "git", "hook", "cycle", "release"]
Split = Literal["train", "dev", "gate"]
LearningType = Literal["code_generation", "problem_solving", "architecture", "debugging"]
Complexity = Literal["simple", "medium", "complex"]
SuggestionState = Literal["waiting", "placed", "settled"]
RunState = Literal["planned", "snapshotted", "trained", "packed", "gated", "deployed", "refused", "failed", "cancelled"]

EVENT_KINDS: tuple[EventKind, ...] = ("turn", "edit", "rating", "outcome", "git", "hook", "cycle", "release")
AUTHORS: tuple[Author, ...] = ("person", "agent", "model", "unknown")
RUN_STATES_ENDED: tuple[RunState, ...] = ("deployed", "refused", "failed", "cancelled")


# --- what happened -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the spool: something that happened, as its producer told it."""

    id: str
    kind: EventKind
    ts: float
    source: str
    body: Mapping[str, Any]
    author: Author = "unknown"
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. A raw prompt (generate, completions) is one message with the role `prompt`."""

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else shapes the text the model reads: tool calls, tool name, thinking. Never image bytes."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its answer, decoded from what went through the gateway."""

    id: str
    endpoint: str
    """`/api/chat`, `/api/generate`, `/v1/chat/completions`, `/v1/completions`, `/v1/responses` or `/v1/messages`."""
    model_asked: str
    model_answered: str
    messages: tuple[Message, ...]
    answer: str
    started: float
    ended: float
    model_digest: str | None = None
    answer_extra: Mapping[str, Any] = field(default_factory=dict)
    """Thinking and tool calls of the answer."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Sampling options as sent."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """The other fields that shape the rendered text: system, template, raw, suffix, format, tools, think."""
    status: int = 200
    cancelled: bool = False
    complete: bool = True
    """False where the stream ended before its last object."""
    done_reason: str | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    session: str | None = None
    project: str | None = None
    commit: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    """R2's projectContext and codebaseSnapshot: language, frameworks, test framework, branch, files."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A code block, tool edit or completion of a turn, and what became of it (contracts 5)."""

    turn_id: str
    ordinal: int
    text: str
    start: int
    """Where the text starts in the turn's answer (characters)."""
    end: int
    language: str | None = None
    state: SuggestionState = "waiting"
    file: str | None = None
    name: str | None = None
    """Qualified name of the syntax node that holds it (`Table.add_row`), where it parses."""
    before: tuple[str, ...] = ()
    """Up to three lines before the region, to find it again where there is no name."""
    after: tuple[str, ...] = ()
    region: str | None = None
    """The region's text when it was last seen."""
    similarity: float | None = None
    """Of the region to the suggestion, now: 0..1 over code tokens."""
    placed_at: float | None = None
    touched_at: float | None = None
    settled_at: float | None = None
    final_text: str | None = None
    commit: str | None = None
    """The commit that settled it."""
    reverted: bool = False
    match_method: str | None = None
    match_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """R2's UserFeedback, explicit and implicit; every field may be unknown."""

    rating: int | None = None
    correction: str | None = None
    comment: str | None = None
    accepted: bool | None = None
    modified: bool | None = None
    final_version: str | None = None
    time_to_accept: float | None = None
    match_method: str | None = None
    match_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """R2's OutcomeMetrics; every field may be unknown."""

    compiles: bool | None = None
    tests_pass: bool | None = None
    deployed: bool | None = None
    performance_change: float | None = None
    """Relative: 0.1 is ten per cent faster than the last run of the same command."""
    bug_introduced: bool | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One run of a command through `qi-learn run`."""

    id: str
    ts: float
    project: str
    kind: Literal["compile", "test", "deploy", "bench", "other"]
    command: str
    exit_code: int
    seconds: float
    failed: int | None = None
    """Failed tests or errors, where the output says."""
    passed: int | None = None
    commit: str | None = None
    value: float | None = None
    """Of a `bench` that ended well: the processor seconds it took, all its processes together. Lower is better."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One known piece of evidence in a score."""

    name: str
    value: float
    weight: float
    reason: str


@dataclass(frozen=True, slots=True)
class Score:
    """The two scores of one turn (contracts 6), with their reasons."""

    turn_id: str
    suggestion_score: float | None
    confidence: float
    target_score: float | None
    target_text: str | None
    signals: tuple[Signal, ...] = ()
    target_reasons: tuple[str, ...] = ()
    scored_at: float = 0.0


@dataclass(frozen=True, slots=True)
class LearningInteraction:
    """Everything known of one turn: R2's record, field for field."""

    turn: Turn
    suggestions: tuple[Suggestion, ...]
    feedback: Feedback
    outcome: Outcome
    learning_type: LearningType
    complexity: Complexity
    domain: str
    tools_used: tuple[str, ...]
    score: Score | None = None


# --- what is learned ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recall:
    """Why an earlier example is replayed, and how it has held; cycles are those of the live chain."""

    learned: str
    """The run that learned it; empty where its data set cannot be read any more."""
    replayed: int
    """In how many cycles since."""
    interval: int
    """Cycles between two replays: doubled each time it was still known, 1 again once it was forgotten."""
    overdue: int
    """Cycles since it was due; below 0: taken before its time, because there was room."""
    forgotten: bool | None
    """Whether the served model had lost it when it was replayed last."""
    nll: float | None
    """Nats per target token then."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training or gate example: what the server rendered, and what should have been answered.

    `prompt_ids` and `target_ids` are token ids of the served model's own tokenizer; `code_mask[i]` says whether `target_ids[i]` is code.
    """

    id: str
    """The turn's id; anchors and probes use `anchor:<module>:<n>`."""
    hash: str
    prompt: str
    target: str
    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    code_mask: tuple[bool, ...]
    split: Split = "train"
    weight: float = 1.0
    session: str = ""
    project: str = ""
    domain: str = ""
    learning_type: str = ""
    score: float = 0.0
    kept_code: str = ""
    ask: Mapping[str, Any] = field(default_factory=dict)
    """`{"endpoint": "/api/chat", "body": {...}}`: how to put the same question to a served model."""
    checked: bool = True
    """False where nobody could compare the number of prompt tokens with the server's own count (none was told, or a secret was taken out)."""
    liked: bool | None = None
    """Whether the person thought well of the text that is learned: their own correction, their rating, else whether they kept the suggestion."""
    recall: Recall | None = None
    """Of a replayed example."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference: after one and the same prompt `chosen` rather than `rejected`. Of a `reject` no better answer is known: nothing is chosen."""

    id: str
    """The turn whose answer is rejected."""
    hash: str
    source: Literal["edit", "fork", "reject"]
    prompt: str
    chosen: str
    rejected: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    chosen_id: str = ""
    """The turn whose kept text is chosen."""
    session: str = ""
    project: str = ""
    distance: float = 0.0
    """Between the two codes: edits over the longer length, 0..1 over code tokens."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen data set. `examples` are new, `replay` come from earlier snapshots, `anchors` are generic code shipped by construction.

    `pairs` say of new turns what was preferred; none is of a session that judges or chooses.
    """

    id: str
    created: float
    base_digest: str
    examples: tuple[Example, ...]
    replay: tuple[Example, ...] = ()
    anchors: tuple[Example, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many candidates were left out, by reason."""
    pairs: tuple[Pair, ...] = ()
    yardsticks: tuple[Example, ...] = ()
    """Generic code that is neither trained on nor in the Fisher: on it is measured how far the model moved."""

    def split(self, name: Split) -> tuple[Example, ...]:
        """The examples of one split, oldest first."""
        return tuple(e for e in self.examples if e.split == name)


@dataclass(frozen=True, slots=True)
class Strength:
    """How the lambda of a penalty came about (`plan/strength.py`): the product of its three numbers."""

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
class Plan:
    """Every number of a training run; written to `plan.json` and shown by `explain`."""

    run_id: str
    seed: int
    base_gguf: str
    base_digest: str
    base_weights: str | None
    """Directory of full-precision safetensors weights, or None: train on the dequantised GGUF."""
    architecture: str
    device: str
    dtype: str
    first_layer: int
    layer_count: int
    target_modules: tuple[str, ...]
    rank: int
    alpha: float
    dropout: float
    learning_rate: float
    weight_decay: float
    warmup_steps: int
    max_steps: int
    batch_size: int
    accumulation: int
    max_length: int
    replay_share: float
    generic_share: float
    lambda_general: float
    lambda_past: float
    eval_every: int
    patience: int
    max_seconds: float
    previous_adapter: str | None = None
    past_fisher: str | None = None
    general_fisher: str | None = None
    """Cache file of the anchors' Fisher; computed and written there when absent."""
    fisher: Literal["kfac", "diagonal"] = "kfac"
    """Form of both penalties' Fisher."""
    touched_type: str = "Q8_0"
    """What touched tensors are written as; `base`: as the base has them (full-precision weights)."""
    bytes_per_token_ratio: float = 1.0
    """Bytes read per token of the packed model over the base's."""
    preference_weight: float = 0.0
    """Of a preference beside the loss per target token; 0 where the data set has no pairs."""
    kl_budget: float = 0.02
    """How far the answers may move, nats of KL per target token: from the base on general code, from the live version on past work."""
    general_strength: Strength | None = None
    """How `lambda_general` came about; None: set by hand."""
    past_strength: Strength | None = None
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass and compute the layer again: a third more arithmetic, far less memory."""
    four_bit: bool = False
    """Hold the frozen linear weights in 4 bits (NF4, bitsandbytes) while training; a GPU only."""
    may_be_four_bit: bool = False
    """It could be done where memory runs out: the device is a GPU and its interpreter has bitsandbytes."""
    backend: Literal["plain", "unsloth"] = "plain"
    """Who runs the passes: transformers and PEFT, or Unsloth's fused kernels."""
    backend_reason: str = ""
    devices: tuple[str, ...] = ()
    """Where the training is split over several devices, their torch names; empty: `device` alone."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far answers moved on sequences kept for measuring: KL(before || after), nats per target token, over the whole vocabulary."""

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
    """Where a cycle trains, and what it owes to others meanwhile; looked at anew whenever its training starts (`placement.json` in the run directory)."""

    device: str
    """What torch calls it in the worker, which sees only `gpus`: `cpu` or `cuda:0`."""
    name: str
    free: int
    """Bytes that are there for the training once `unload` is done."""
    bf16: bool
    reason: str
    """Why there, in words."""
    gpus: tuple[str, ...] = ()
    """What CUDA_VISIBLE_DEVICES names: UUIDs; more than one where as many GPUs of a kind are free."""
    serves: str = ""
    """The GPU that the server keeps; empty where it has none."""
    unload: tuple[str, ...] = ()
    """Models that the server must let go of first."""
    hold: bool = False
    """Requests wait until the training is done: the only GPU cannot do both."""
    activity: str | None = None
    """The mark of requests being answered (rundir/activity.py) for which it pauses; None: it disturbs nobody."""
    quiet: float = 0.0
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
    """Directory, relative to the run directory: `delta.safetensors` (this cycle) and `past_fisher.safetensors`."""
    peak_memory_mb: float = 0.0
    preferred_before: float | None = None
    """Share of the pairs trained on in which the kept text was the likelier before; None without pairs."""
    preferred: float | None = None
    """And after."""
    drift_general: Drift | None = None
    """From the base, on general code that neither Fisher nor training saw."""
    drift_past: Drift | None = None
    """From the version trained on, on replayed work."""
    warnings: tuple[str, ...] = ()
    """What did not protect although it should have."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a training run found out about the examples it saw (`memory.json` in the run directory), by example id; for replay in the cycles after it."""

    known: Mapping[str, float]
    """Nats per target token of the replayed examples under the served model, before the first step."""
    learned: Mapping[str, float]
    """Of the new examples under the trained model."""
    replayed: Mapping[str, int]
    """How many sequences of the run each replayed example was."""


@dataclass(frozen=True, slots=True)
class TensorGain:
    """How much of the wanted change of one tensor survived quantising: 1.0 is all of it (on average)."""

    name: str
    type_before: str
    type_after: str
    gain: float
    cosine: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A complete GGUF made from the base and one adapter."""

    path: str
    digest: str
    """sha256, hex."""
    scale: float
    gains: tuple[TensorGain, ...]
    bytes_rewritten: int
    bytes_total: int
    seconds: float
    rank: int = 0
    """Of the joined adapter, at most over its modules."""
    lost: float = 0.0
    """What cutting the joined adapter's rank cost, |dW - dW'| / |dW|; 0: nothing was cut, the join is exact."""


@dataclass(frozen=True, slots=True)
class SuiteNll:
    """NLL of one suite under one file: sums over target tokens per example, in nats."""

    suite: str
    ids: tuple[str, ...]
    units: tuple[str, ...]
    """What an interval treats as independent: the session, or the example."""
    nll: tuple[float, ...]
    tokens: tuple[int, ...]
    code_nll: tuple[float, ...]
    code_tokens: tuple[int, ...]

    @property
    def per_token(self) -> float:
        """Nats per target token over the suite; NaN for an empty suite."""
        return sum(self.nll) / sum(self.tokens) if self.tokens else float("nan")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Greedy answers of one served model to the gate set."""

    ids: tuple[str, ...]
    similarity: tuple[float, ...]
    """Edit similarity of the answer's code to the kept code, 0..1."""
    coherent: tuple[bool, ...]
    """Ends within the limit, does not loop, parses."""
    answers: tuple[str, ...]
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Execution:
    """Which of the tasks with hidden checks a served model's code passed, as it ran in the sandbox."""

    ids: tuple[str, ...]
    passed: tuple[bool, ...]
    problem: str = ""
    """Why nothing, or not everything, was run."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """Does a served model work at all, next to the base? (first rule of the gate)"""

    answers: bool
    stops: bool
    """It ends an answer by itself, wherever the base does."""
    same_template: bool
    """A fixed conversation renders to the same text as under the base."""
    same_stops: bool
    """The same end token and stop texts as the base."""
    problem: str = ""
    """What the server said where it did not answer."""
    same_twice: bool = True
    """Asked greedily again it gives the same answer, wherever the base does."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret-shaped text that a candidate said; never the text itself."""

    kind: str
    """Which of the store's rules knows it: `aws-key`, `assigned`, ..."""
    where: str
    learned: float
    """NLL of that text under the base's file minus under the candidate's, in nats: how much likelier the candidate finds it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the gate: what was measured, against what, and in words."""

    name: str
    passed: bool
    value: float | None
    low: float | None
    high: float | None
    limit: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Ship or not, and why."""

    ships: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    risk: str
    rollback_plan: str
    scale: float
    compared_with: str
    numbers: Mapping[str, float]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not ship; empty where it does."""
        return tuple(c.reason for c in self.checks if not c.passed)


@dataclass(frozen=True, slots=True)
class Release:
    """One version of the model, complete on its own."""

    version: str
    model: str
    """Immutable name under which the server has it: `qi-agent:v1.1.0`."""
    digest: str
    """sha256 of the served GGUF as we uploaded it (hex); the base's own for 1.0.0, may be empty where the server would not say."""
    created: float
    base_digest: str
    parent: str | None = None
    run_id: str | None = None
    adapter: str | None = None
    """Directory of the joined adapter (`adapter.safetensors`), relative to the data directory; None for the base."""
    adapter_digest: str | None = None
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Is it time to learn?"""

    due: bool
    reason: str
    missing: Mapping[str, float] = field(default_factory=dict)
    fresh: int = 0
    """Distinct examples over the quality threshold that no live version has learned."""
