"""Which values of settings can be used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from qi_learn.loopback import WITHOUT_CREDENTIALS, holds_credentials
from qi_learn.settings import HIGHEST_RANK, GateSettings, IdleSettings, Settings, TrainSettings

LEAST_READ = 60_000
"""What one gate needs: 8 texts of every suite, 96 tokens long behind prompts of 256, under three
models of which none was measured before (29,691 tokens for the general suites alone, as the
embedded base cuts them).
"""
LEAST_GENERATED = 2_000
"""Tokens of the answers that one gate has the models generate at least."""
LEAST_NIGHT = 5_000
"""Tokens of a night at least, if any are read at night."""
RETIRED: Mapping[str, str] = MappingProxyType(
    {"gate.max_tokens": "gate.max_read is what counts, and it counts everything that is read"}
)
"""Keys that older versions had, and what holds instead. They are allowed, and count for nothing."""

Rule = tuple[bool, str]
"""Whether it holds, and the problem if it does not."""


def out_of_range(s: Settings) -> list[str]:
    """The problems of values that are out of range, in words."""
    rules = (
        *_serve_rules(s),
        *_capture_rules(s),
        *_train_rules(s.train),
        *_idle_rules(s.idle),
        (
            min(s.keep.raw_days, s.keep.scores_days, s.keep.size_gb) >= 0,
            "keep.raw_days, keep.scores_days and keep.size_gb must not be negative (0: no limit)",
        ),
        *_gate_rules(s.gate),
    )
    return [problem for holds, problem in rules if not holds]


def _serve_rules(s: Settings) -> tuple[Rule, ...]:
    return (
        (
            s.serve.backend in ("auto", "ollama", "embedded"),
            "serve.backend must be auto, ollama or embedded",
        ),
        (not holds_credentials(s.serve.ollama), f"serve.ollama: {WITHOUT_CREDENTIALS}"),
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
    )


def _capture_rules(s: Settings) -> tuple[Rule, ...]:
    return (
        (
            s.capture.window > 0 and s.capture.settle > 0,
            "capture.window and capture.settle must be above 0",
        ),
        (0 < s.capture.placed_similarity <= 1, "capture.placed_similarity must be in (0, 1]"),
    )


def _gate_rules(g: GateSettings) -> tuple[Rule, ...]:
    return (
        (
            g.min_examples >= 2,
            f"gate.min_examples must be at least 2, and is {g.min_examples}",
        ),
        (
            g.max_read >= LEAST_READ,
            f"gate.max_read must be at least {LEAST_READ}, and is {g.max_read}: with less too "
            "little of a suite would be read to judge by",
        ),
        (
            g.answer_tokens >= 8,
            f"gate.answer_tokens must be at least 8, and is {g.answer_tokens}",
        ),
        (
            g.max_generated >= LEAST_GENERATED,
            f"gate.max_generated must be at least {LEAST_GENERATED}, and is {g.max_generated}: "
            "with less too few questions could be asked to judge by",
        ),
        (
            g.night_tokens == 0 or g.night_tokens >= LEAST_NIGHT,
            f"gate.night_tokens must be 0 (versions are not compared at night) or at least "
            f"{LEAST_NIGHT}, and is {g.night_tokens}",
        ),
        (g.execute >= 0, "gate.execute must not be negative (0: no task is run)"),
    )


def _train_rules(t: TrainSettings) -> tuple[Rule, ...]:
    return (
        (t.min_interactions >= 1, "train.min_interactions must be at least 1"),
        (0 <= t.quality_threshold <= 1, "train.quality_threshold must be in [0, 1]"),
        (t.max_hours > 0, "train.max_hours must be above 0"),
        (t.device in ("auto", "cpu", "cuda"), "train.device must be auto, cpu or cuda"),
        (0 <= t.preference <= 1, "train.preference must be in [0, 1] (0: none)"),
        (t.replay >= 0, "train.replay must not be negative (0: nothing is replayed)"),
        (
            t.weights in ("quality", "feedback", "uniform"),
            "train.weights must be quality, feedback or uniform",
        ),
        (t.backend in ("auto", "plain", "unsloth"), "train.backend must be auto, plain or unsloth"),
        (t.fisher in ("kfac", "diagonal"), "train.fisher must be kfac or diagonal"),
        (t.max_steps >= 0, "train.max_steps must not be negative (0: derived)"),
        (
            0 <= t.rank <= HIGHEST_RANK,
            f"train.rank must be between 0 (derived) and {HIGHEST_RANK}",
        ),
        (
            t.targets in ("auto", "all-linear", "attention", "mlp"),
            "train.targets must be auto, all-linear, attention or mlp",
        ),
        (t.kl_budget > 0, "train.kl_budget must be above 0"),
    )


def _idle_rules(i: IdleSettings) -> tuple[Rule, ...]:
    return (
        (
            min(i.minutes, i.longest_wait, i.quiet, i.longest_pause, i.longest_hold) >= 0,
            "idle.minutes, idle.longest_wait, idle.quiet, idle.longest_pause and idle.longest_hold "
            "must not be negative",
        ),
        (i.load > 0, "idle.load must be above 0"),
    )
