"""Settings: defaults < `config.toml` < environment (`QI_LEARN__SECTION__KEY`) < what the command
line passes.

Every key has a default and a line in `docs/settings.md`. An unknown key is an error that names the
closest one; all problems are reported at once.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from qi_learn.errors import SettingsError

PREFIX = "QI_LEARN__"
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
    """`auto` (Ollama where `base` is set, else the embedded engine), `ollama` or `embedded`."""
    base_gguf: str = ""
    """The base's GGUF file, where neither Ollama's own store nor the embedded package has it within
    reach.
    """
    context: int = 2048
    """Context length of the embedded engine, tokens."""
    keep: int = 3
    """How many versions of the live chain stay."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The proxy that coding tools talk to."""

    host: str = "127.0.0.1"
    """Address to listen on; loopback only."""
    port: int = 11435
    """Port to listen on; 0 takes a free one."""
    answer_for: tuple[str, ...] = ()
    """Model names that the live version answers for; empty: the base's own name."""
    record: bool = True
    """False: traffic passes, nothing is recorded."""
    allowed_hosts: tuple[str, ...] = ()
    """Further values of the Host header to accept; loopback names always are."""
    allowed_origins: tuple[str, ...] = ()
    """Further values of the Origin header to accept; local pages and editors' webviews always are.
    """


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What counts as the fate of a suggestion."""

    window: float = 1800.0
    """Seconds after a turn within which its suggestion may be placed."""
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


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """When to learn, with what, and how far the model may move."""

    min_interactions: int = 100
    """Distinct examples over the quality threshold that no live version has learned."""
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
    where all that it needs is there.
    """
    base_weights: str = ""
    """Directory with the base's full-precision safetensors weights, where you have them."""
    seed: int = 0
    """Seed of everything random in a cycle."""
    device: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    max_steps: int = 0
    """Optimiser steps of 8 sequences; 0: derived from the amount of data, at least 48."""
    weights: str = "quality"
    """What makes an example count for more: `quality` (its target score), `feedback` (2 where you
    liked the text, 0.5 where you did not) or `uniform`.
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
    """Fewer held-out examples than this: refused."""
    answer_tokens: int = 256
    """Longest greedy answer."""
    max_tokens: int = 20000
    """NLL tokens per suite."""
    execute: int = 48
    """Tasks of the suite whose answers are run in the sandbox, at most; 0: no generated code is
    ever run.
    """


@dataclass(frozen=True, slots=True)
class IdleSettings:
    """When learning may use the machine, so that nobody is disturbed.

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
    """Minutes of pauses in one training, all together, and as many in one gate; then it goes on all
    the same. They do not count as `train.max_hours`.
    """
    longest_hold: float = 60.0
    """Seconds that a request waits where the only GPU cannot answer and train at once; then it is
    told so.
    """


@dataclass(frozen=True, slots=True)
class Settings:
    serve: ServeSettings = field(default_factory=ServeSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    score: ScoreSettings = field(default_factory=ScoreSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    idle: IdleSettings = field(default_factory=IdleSettings)


def load_settings(path: Path | None, env: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the file (may be absent) and the environment.

    Raises SettingsError with every problem found: unreadable file, unknown section or key, wrong
    type, value out of range.
    """
    problems: list[str] = []
    table = _read(path, problems) if path is not None and path.exists() else {}
    for name, value in env.items():
        if name.startswith(PREFIX):
            section, _, key = name[len(PREFIX) :].lower().partition("__")
            if isinstance(
                given := table.setdefault(section, {}), dict
            ):  # else the file is wrong there, which is said below
                given[key] = value
    known = {f.name: get_type_hints(Settings)[f.name] for f in fields(Settings)}
    built: dict[str, Any] = {}
    for section, values in table.items():
        if section not in known:
            problems.append(f"unknown section [{section}]{_closest(section, known)}")
        elif not isinstance(values, dict):
            problems.append(f"[{section}] must be a table, not {type(values).__name__}")
        else:
            built[section] = known[section](**_section(section, known[section], values, problems))
    settings = Settings(**built)
    problems += list(_out_of_range(settings))
    if problems:
        where = f" in {path}" if path else ""
        raise SettingsError(
            f"The settings{where} cannot be used:\n" + "\n".join(f"  - {p}" for p in problems),
            "Mend the lines named; `qi-learn config` lists every key with its default.",
        )
    return settings


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"the file cannot be read as TOML: {error}")
        return {}


def _section(
    section: str, kind: type, values: Mapping[str, Any], problems: list[str]
) -> dict[str, Any]:
    hints = get_type_hints(kind)
    out: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            problems.append(f"unknown key {section}.{key}{_closest(key, hints)}")
            continue
        try:
            out[key] = _cast(hints[key], value)
        except (TypeError, ValueError):
            problems.append(f"{section}.{key} = {value!r} is not a {_type_name(hints[key])}")
    return out


def _cast(kind: Any, value: Any) -> Any:
    if kind is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false", "1", "0", "yes", "no"):
            return value.lower() in ("true", "1", "yes")
        raise TypeError
    if kind in (int, float):
        if isinstance(value, bool):
            raise TypeError
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError
        return kind(value)
    if kind is str:
        if not isinstance(value, str):
            raise TypeError
        return value
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise TypeError
    return tuple(value)


def _type_name(kind: Any) -> str:
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(
        kind, "list of texts"
    )


def _closest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean `{close[0]}`?)" if close else f" (known: {', '.join(sorted(known))})"


def _out_of_range(s: Settings) -> list[str]:
    rules = [
        (
            s.serve.backend in ("auto", "ollama", "embedded"),
            "serve.backend must be auto, ollama or embedded",
        ),
        (s.serve.keep >= 1, "serve.keep must be at least 1"),
        (s.serve.context >= 256, "serve.context must be at least 256"),
        (
            s.serve.backend != "ollama" or bool(s.serve.base or s.serve.base_gguf),
            'serve.backend = "ollama" needs serve.base, the model that learns, or serve.base_gguf, '
            "its file",
        ),
        (0 <= s.gateway.port <= 65535, "gateway.port must be between 0 and 65535"),
        (
            s.gateway.host in ("127.0.0.1", "localhost", "::1"),
            "gateway.host must be a loopback address: recorded prompts must not leave this machine",
        ),
        (
            s.capture.window > 0 and s.capture.settle > 0,
            "capture.window and capture.settle must be above 0",
        ),
        (0 < s.capture.placed_similarity <= 1, "capture.placed_similarity must be in (0, 1]"),
        (s.train.min_interactions >= 1, "train.min_interactions must be at least 1"),
        (0 <= s.train.quality_threshold <= 1, "train.quality_threshold must be in [0, 1]"),
        (s.train.max_hours > 0, "train.max_hours must be above 0"),
        (s.train.device in ("auto", "cpu", "cuda"), "train.device must be auto, cpu or cuda"),
        (0 <= s.train.preference <= 1, "train.preference must be in [0, 1] (0: none)"),
        (s.train.replay >= 0, "train.replay must not be negative (0: nothing is replayed)"),
        (
            s.train.weights in ("quality", "feedback", "uniform"),
            "train.weights must be quality, feedback or uniform",
        ),
        (
            s.train.backend in ("auto", "plain", "unsloth"),
            "train.backend must be auto, plain or unsloth",
        ),
        (s.train.fisher in ("kfac", "diagonal"), "train.fisher must be kfac or diagonal"),
        (s.train.max_steps >= 0, "train.max_steps must not be negative (0: derived)"),
        (
            0 <= s.train.rank <= HIGHEST_RANK,
            f"train.rank must be between 0 (derived) and {HIGHEST_RANK}",
        ),
        (
            s.train.targets in ("auto", "all-linear", "attention", "mlp"),
            "train.targets must be auto, all-linear, attention or mlp",
        ),
        (s.train.kl_budget > 0, "train.kl_budget must be above 0"),
        (
            min(
                s.idle.minutes,
                s.idle.longest_wait,
                s.idle.quiet,
                s.idle.longest_pause,
                s.idle.longest_hold,
            )
            >= 0,
            "idle.minutes, idle.longest_wait, idle.quiet, idle.longest_pause and idle.longest_hold "
            "must not be negative",
        ),
        (s.idle.load > 0, "idle.load must be above 0"),
        (s.gate.min_examples >= 2, "gate.min_examples must be at least 2"),
        (s.gate.execute >= 0, "gate.execute must not be negative (0: no generated code is run)"),
    ]
    return [message for holds, message in rules if not holds]


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
