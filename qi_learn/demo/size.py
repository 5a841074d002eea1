"""How much a demonstration does: the whole one, and a quick look at the same story.

The overrides are settings that a user could set in `config.toml`; the gate's limits are the same in
both (qi_learn/gate/limits.py). A quick look learns from too little to show how well learning works:
it shows that every step works, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DemoSize:
    """The settings that a demonstration overrides, and the amounts that it plays and measures."""

    overrides: Mapping[str, Mapping[str, object]]
    """Sections and keys of `config.toml`."""
    answer_tokens: int
    """Longest answer to the developer who is played."""
    asked: int
    """Most functions of a module that are asked for."""
    aside: int
    """Most functions of a module that are kept aside to measure with."""
    min_sessions: int
    min_functions: int
    """What one cycle of the demonstration needs, at least."""
    held_out: int
    """Functions of a cycle's modules that are measured with, taken evenly: scoring one takes a
    second a version.
    """
    answered: int
    """How many of them are also asked for: an answer takes a second."""
    cycles: int
    """Learning cycles, unless the command line gives another number."""
    remark: str = ""
    """What the figures are worth, said at the start and at the end; empty: nothing to say."""

    def overrides_text(self) -> str:
        """The overrides in words, for the start of the demonstration."""
        return ", ".join(
            f"{section}.{key} = {value}"
            for section, values in self.overrides.items()
            for key, value in values.items()
        )


_COMMON: Mapping[str, Mapping[str, object]] = {
    "gateway": {"port": 0},
    "capture": {"settle": 2.0},
    "idle": {"minutes": 0.0, "quiet": 0.0, "battery": True},
}
FULL = DemoSize(
    overrides={
        **_COMMON,
        "train": {"min_interactions": 60, "training_interval": 0.0},
        "gate": {"min_examples": 25, "answer_tokens": 64, "execute": 8},
    },
    answer_tokens=64,
    asked=16,
    aside=8,
    min_sessions=8,
    min_functions=60,
    held_out=24,
    answered=12,
    cycles=2,
)
QUICK = DemoSize(
    overrides={
        **_COMMON,
        "train": {
            "min_interactions": 12,
            "training_interval": 0.0,
            "max_steps": 4,
            "lambda_general": 0.0,
        },
        "gate": {"min_examples": 4, "answer_tokens": 16, "max_read": 60000, "execute": 1},
    },
    answer_tokens=32,
    asked=3,
    aside=2,
    min_sessions=4,
    min_functions=12,
    held_out=4,
    answered=2,
    cycles=1,
    remark="This is a quick look at one cycle: fewer functions, fewer steps, shorter answers, a "
    "smaller gate, and no penalty on general ability, whose Fisher takes a minute. Its figures "
    "mean little; `qi-learn demo` without --quick takes the time.",
)
