"""The settings by section: every key with its default, and under it what it means.

The docstrings are what the user reads: the commented `config.toml` and `docs/reference/settings.md`
are made of them. What the command line passes wins over file and environment (settings_file.py).
"""

from __future__ import annotations

from dataclasses import field, fields, is_dataclass
from typing import Any, Literal

from qi_learn.record_class import dataclass

Record = bool | Literal["metadata"]
HIGHEST_RANK = 256
"""Past this an adapter is no longer small, and what is joined is cut back to 64 anyway."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The server behind the gateway, and the name of the model that learns."""

    alias: str = "qi-agent:latest"
    """The name that always means the live version."""
    base: str = ""
    """The Ollama model that learns, for example `qwen2.5-coder:7b`; empty: the embedded SmolLM2."""
    ollama: str = "http://127.0.0.1:11434"
    """Where Ollama listens; not used by the embedded engine."""
    backend: str = "auto"
    """`auto` (Ollama if `base` is set, else the embedded engine), `ollama` or `embedded`."""
    base_gguf: str = ""
    """The base's GGUF file, if neither Ollama's own store nor the embedded package has it within
    reach.
    """
    context: int = 2048
    """Context length of the embedded engine, tokens; at least 256."""
    keep: int = 3
    """How many versions of the live chain stay; at least 1."""

    @property
    def embedded(self) -> bool:
        """Whether the embedded engine serves: it is asked for, or no Ollama model is named."""
        return self.backend == "embedded" or (self.backend == "auto" and not self.base)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The proxy that coding tools talk to."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback only."""
    port: int = 11435
    """Port to listen on; 0 takes a free one."""
    answer_for: tuple[str, ...] = ()
    """Model names that the live version answers for; empty: the base's own name."""
    record: Record = True
    """False: traffic passes, nothing is recorded. "metadata": times, models, counts and the project
    are recorded, and no texts, so that nothing is learned from it. It counts at once.
    """
    allowed_hosts: tuple[str, ...] = ()
    """Further values of the Host header to accept; loopback names always are."""
    allowed_origins: tuple[str, ...] = ()
    """Further values of the Origin header to accept; local pages and editors' webviews always are.
    """

    @property
    def url(self) -> str:
        """Where it listens; empty if it takes any free port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}" if self.port else ""


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What is recorded from where, and what counts as having become of a suggestion."""

    unregistered: bool = False
    """True: requests from directories that lie in no registered project are recorded too. It counts
    at once.
    """

    window: float = 1800.0
    """Seconds of work after a turn within which its suggestion may be placed.

    Of a time without a request or a save five minutes count.
    """
    settle: float = 600.0
    """Seconds without a touch after which a placed suggestion is settled."""
    min_tokens: int = 8
    """Shortest piece of a suggestion that counts as placed, in code tokens."""
    placed_similarity: float = 0.8
    """Token similarity at which added lines count as the suggestion."""
    accepted_similarity: float = 0.5
    """Final text at least this similar to the suggestion: accepted."""
    modified_similarity: float = 0.98
    """Final text less similar than this: modified."""


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """Weights of the suggestion score: the weighted mean over the signals that are known."""

    rating: float = 3.0
    """Rating / 5."""
    accepted: float = 2.0
    """Kept or not."""
    unmodified: float = 1.0
    """Kept as it was, or edited."""
    correctness: float = 3.0
    """Compiles, tests, deployment."""
    quality: float = 1.0
    """Parses; linter findings."""
    efficiency: float = 0.5
    """Change of performance."""
    relevance: float = 0.5
    """Names the project already uses."""
    domain: float = 0.5
    """The project's turns in this domain."""
    next_message: float = 0.25
    """What you wrote next, in English: that it worked or did not, thanks, or a pasted error that
    names its file or function; 0: it is not looked at.
    """


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """When to learn, with what, and how far the model may move."""

    min_interactions: int = 100
    """Distinct examples over the quality threshold that no live version has learned, and of which
    you wrote or changed something, at least; what you kept as it was trains too, uncounted.
    """
    quality_threshold: float = 0.7
    """Target score that an example must reach."""
    training_interval: float = 86400.0
    """Seconds at least between two cycles."""
    schedule: str = ""
    """Cron line; empty: off.

    With it, cycles start only at its times (the thresholds hold all the same).
    """
    auto: bool = True
    """False: only `qi-learn train --now` starts a cycle."""
    max_hours: float = 4.0
    """Longest training run."""
    python: str = ""
    """Interpreter of the training worker; empty: this one."""
    backend: str = "auto"
    """`plain` (transformers and PEFT), `unsloth` (fused kernels: less memory) or `auto`: `unsloth`
    if all that it needs is there.
    """
    base_weights: str = ""
    """Directory with the base's full-precision safetensors weights, if you have them."""
    seed: int = 0
    """Seed of everything random in a cycle."""
    device: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    max_steps: int = 0
    """Optimiser steps of 8 sequences; 0: derived from the amount of data, at least 48."""
    weights: str = "quality"
    """What makes an example count for more: `quality` (its target score), `feedback` (2 if you
    liked the text, 0.5 if you did not) or `uniform`.
    """
    preference: float = 0.1
    """Weight of preferences (what was kept rather than what was suggested) beside the loss on what
    was kept; 0: none are collected.
    """
    replay: int = 200
    """Most examples of earlier cycles that one cycle replays, the most due first. 0: none; the
    penalty on past work is then 150 times as strong, and a quarter of the sequences generic code.
    """
    rank: int = 0
    """LoRA rank; 0: derived from the amount of data."""
    kl_budget: float = 0.02
    """How far the model's answers may move, nats of KL per token: from the base on general code,
    and in one cycle on past work. 0.005 is careful, 0.08 bold. The strengths of the penalties
    follow from it, and from what the last run measured.
    """
    lambda_general: float = -1.0
    """Strength of the penalty on the whole drift since the base (nats of KL per token), whatever
    the budget; 0: off; negative: derived from `kl_budget`.
    """
    lambda_past: float = -1.0
    """Strength of the penalty on this cycle's change, for past work; 0: off; negative: derived from
    `kl_budget`.
    """
    targets: str = "auto"
    """What of each layer changes: `all-linear` (`auto` means that), `attention` or `mlp`.

    With fewer modules more layers fit into the same speed.
    """
    fisher: str = "kfac"
    """Form of the penalties' Fisher: `kfac`, or `diagonal`: a few MB instead of hundreds, and
    weaker.
    """


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Sizes of what the gate measures; its limits are not settings."""

    min_examples: int = 25
    """Fewer held-out examples than this of which you wrote or changed something: refused. At least
    2; with few examples hardly anything is sure enough to ship.
    """
    answer_tokens: int = 96
    """Longest greedy answer, in tokens; at least 8. The longer, the fewer questions does
    `max_generated` pay for.
    """
    max_read: int = 120000
    """Tokens that one gate reads at most, all models and suites together, prompts included. What
    was measured before costs nothing. At least 60000: with less too little of a suite would be read
    to judge by.
    """
    max_generated: int = 6000
    """Tokens that one gate has the models generate at most, all together. At least 2000: with less
    too few questions could be asked to judge by.
    """
    execute: int = 48
    """Tasks of the suite whose answers are run in the sandbox, at most; 0: none is. By default
    `max_generated` pays for 20 of them. Your projects' tests run answers too, if `project_tests` is
    true.
    """
    night_tokens: int = 40000
    """Tokens that are read in a night at most, to compare the live version with the one before it
    on what you wrote since it is live; 0: they are not compared, else at least 5000.
    """
    project_tests: bool = False
    """True: the tests of your projects judge answers too. They run in a sandbox, on a copy of your
    commit with the answer in the place of what you kept, by the command with which they passed.
    """


@dataclass(frozen=True, slots=True)
class IdleSettings:
    """When learning may use the machine, so that it does not disturb you.

    `qi-learn train --now` does not wait for it.
    """

    minutes: float = 10.0
    """Minutes without a request through the gateway or a change in a watched project before a cycle
    starts; 0: it starts however busy you are.
    """
    load: float = 0.7
    """Highest load average (5 minutes) per core at which a cycle starts."""
    battery: bool = False
    """True: a cycle starts on battery too."""
    longest_wait: float = 24.0
    """Hours after which a cycle starts although you are not idle (never on battery, unless
    `battery` is true).
    """
    quiet: float = 10.0
    """Seconds without a request after which a training or a gate that paused for requests goes on;
    0: it never pauses.
    """
    longest_pause: float = 60.0
    """Minutes of pauses in one training, all together, and as many in one packing and in one gate;
    then it goes on all the same. They do not count as `train.max_hours`.
    """
    longest_hold: float = 60.0
    """Longest time that a request waits, seconds, if the only GPU cannot answer and train at once;
    then its answer is an error that says so.
    """


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """How long what was recorded is kept; the daemon takes away what is older, bit by bit."""

    raw_days: int = 90
    """Days after which the texts of a turn go (question, answer, what became of it), and commands;
    0: never. What it was worth stays, as numbers. What a version learned stays in its data set
    until that version's model is deleted.
    """
    scores_days: int = 365
    """Days after which the numbers go too; 0: never. Those of turns that were in a data set stay.
    """
    size_gb: float = 0.0
    """Most that the database may hold, GB (10^9 bytes); past it the oldest texts go before their
    time. 0: no limit.
    """


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections."""

    serve: ServeSettings = field(default_factory=ServeSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    score: ScoreSettings = field(default_factory=ScoreSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    idle: IdleSettings = field(default_factory=IdleSettings)
    keep: KeepSettings = field(default_factory=KeepSettings)


def settings_table(settings: Settings) -> dict[str, dict[str, Any]]:
    """The settings as nested plain values, for showing and for `--json`."""
    return {
        f.name: {
            g.name: getattr(getattr(settings, f.name), g.name)
            for g in fields(getattr(settings, f.name))
        }
        for f in fields(settings)
        if is_dataclass(getattr(settings, f.name))
    }
