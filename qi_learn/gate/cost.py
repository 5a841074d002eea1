"""What a gate took: tokens read and generated, and the time of both; the same for another size.

How long another model would take is scaled from the rates measured here by the number of
parameters: reading and generating both pass every weight once a token. It leaves out what a larger
model's attention and cache misses cost more, and what another quantisation costs less.
"""

from __future__ import annotations

from collections.abc import Mapping

from qi_learn.record_class import dataclass

PARAMETERS_7B = 7.6e9
"""Of a model that is called 7B (Qwen2.5-Coder-7B: 7.6)."""
_NAMES = ("read", "asked", "generated", "read_seconds", "generate_seconds", "parameters")


@dataclass(frozen=True, slots=True)
class Cost:
    """Everything that one gate read and generated, all models together."""

    read: int
    """Tokens evaluated for NLL: prompts included, what was shared once."""
    asked: int
    """Tokens of the prompts that the served models were asked, as the server counts them."""
    generated: int
    read_seconds: float
    generate_seconds: float
    """Spent generating, as the server measures it."""
    parameters: int
    """Of the base."""

    @property
    def rate_read(self) -> float:
        """Tokens a second; 0 if nothing was read."""
        return self.read / self.read_seconds if self.read_seconds > 0 else 0.0

    @property
    def rate_generated(self) -> float:
        """Tokens a second; 0 if nothing was generated."""
        return self.generated / self.generate_seconds if self.generate_seconds > 0 else 0.0

    def seconds(self, parameters: float | None = None) -> float:
        """What it took, or would take with a model of so many parameters on this machine.

        The prompts of questions are taken to be read as fast as texts are.
        """
        factor = parameters / self.parameters if parameters and self.parameters else 1.0
        asked = self.asked / self.rate_read if self.rate_read else 0.0
        return factor * (self.read_seconds + asked + self.generate_seconds)

    def numbers(self) -> dict[str, float]:
        """As a verdict keeps it."""
        return {_key(name): float(getattr(self, name)) for name in _NAMES}


def cost_of(numbers: Mapping[str, float]) -> Cost | None:
    """The cost in a verdict's numbers; None if it has none (verdicts of before it was measured)."""
    if not all(_key(name) in numbers for name in _NAMES):
        return None
    read, asked, generated, read_seconds, generate_seconds, parameters = (
        numbers[_key(name)] for name in _NAMES
    )
    counts = int(read), int(asked), int(generated)
    return Cost(*counts, read_seconds, generate_seconds, int(parameters))


def cost_sentence(cost: Cost) -> str:
    """The cost in words, and what it would be at 7B."""
    here, there = cost.seconds(), cost.seconds(PARAMETERS_7B)
    return (
        f"read {cost.read:,} tokens ({cost.rate_read:.0f} a second) and generated "
        f"{cost.generated:,} ({cost.rate_generated:.0f} a second) in {_minutes(here)}; a 7B model "
        f"would take {_minutes(there)} here, by its number of parameters"
    )


def _key(name: str) -> str:
    return f"tokens_{name}" if name in ("read", "asked", "generated") else f"gate_{name}"


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
