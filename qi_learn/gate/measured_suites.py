"""What every model of a comparison is measured on, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn.gate.execution import NO_EXERCISE, Exercise
from qi_learn.gate.prompt_cut import NO_MARKS, PromptMarks
from qi_learn.gate.purse import UNLIMITED
from qi_learn.records import Example


@dataclass(frozen=True, slots=True)
class Suites:
    """What every model is measured on."""

    gate: tuple[Example, ...]
    old: tuple[Example, ...]
    general: Mapping[str, tuple[Example, ...]]
    """By the suite's name."""
    questions: tuple[Example, ...]
    """What is put to the served models, in the order in which it is: questions of the gate set."""
    helped: tuple[Example, ...]
    """A part of them, each with training examples before it: what a person might put into the
    prompt instead of training.
    """
    exercise: Exercise = NO_EXERCISE
    """Tasks whose answers are run."""
    aside: tuple[Example, ...] = ()
    """Questions that no training was about."""
    fixed: tuple[Example, ...] = ()
    """What every version is measured on, only to be reported."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes, in tokens, and the directory of what was measured before."""

    read: int
    """What all models together may read."""
    answer: int
    """Longest answer."""
    context: int
    """Of the server."""
    longest: int
    """Longest text that the models were made for."""
    leaks: int = UNLIMITED
    """What may be read to weigh texts that look like secrets."""
    marks: PromptMarks = NO_MARKS
    """By which prompts are cut inside their parts."""
    served: str = ""
    """The server's build and device, on which answers depend (`outside/ollama_build.py`)."""
    cache: Path | None = None
