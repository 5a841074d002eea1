"""The suites' NLL under the models' files, and what reading them took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qi_learn.gate.budget import Readable, allot
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.reading import FileReader, tokens_of
from qi_learn.records import Example, SuiteNll

ORDINARY = "python_stdlib"
"""The general suite of ordinary code, which is there on every machine."""
ORDINARY_TEXTS = 8
"""Of its texts beside dev where a temperature is fitted: a dev set of answers that the model gave
itself would have none that it finds likeliest.
"""


@dataclass(frozen=True, slots=True)
class FileMeasurements:
    """The suites' NLL under a model's file."""

    gate: SuiteNll
    old: SuiteNll
    general: Mapping[str, SuiteNll]


@dataclass(frozen=True, slots=True)
class FilesRead:
    """What was read of each model's file, and what it took."""

    models: Mapping[str, FileMeasurements]
    suites: Readable
    tokens: int
    """Tokens evaluated."""
    seconds: float


@dataclass(frozen=True, slots=True)
class ReadingDevice:
    """Where and when files are read."""

    gpu_layers: int = 0
    threads: int | None = None
    pause: Callable[[], None] = field(default=lambda: None)
    """Called before each text."""


def measure_files(
    files: Mapping[str, Path], suites: Suites, limits: Sizes, device: ReadingDevice | None = None
) -> FilesRead:
    """The suites' NLL under each model's file. Raises ModelError."""
    device = device or ReadingDevice()
    everything = (
        *(suites.gate + suites.old + suites.dev),
        *(example for suite in suites.general.values() for example in suite),
    )
    context = max((len(e.prompt_ids) + len(e.target_ids) for e in everything), default=1)
    readers = {
        model: FileReader(
            path,
            context=context,
            threads=device.threads,
            cache=limits.cache,
            gpu_layers=device.gpu_layers,
            pause=device.pause,
        )
        for model, path in files.items()
    }
    readable = allot(
        limits.read,
        gate=suites.gate,
        old=suites.old,
        general=suites.general,
        dev=suites.dev,
        cost=lambda examples: sum(reader.to_read(examples) for reader in readers.values()),
        # at a temperature that is not known yet nothing was measured before
        afresh=lambda examples: len(readers) * tokens_of(examples),
    )
    fitted_on = fitting_texts(readable.dev, suites.general)
    models: dict[str, FileMeasurements] = {}
    for model, reader in readers.items():
        with reader:
            temperature = reader.temperature(fitted_on)
            models[model] = FileMeasurements(
                reader.nll("gate", readable.gate, temperature),
                reader.nll("old", readable.old),
                {name: reader.nll(name, suite) for name, suite in readable.general.items()},
            )
    tokens = sum(reader.evaluated for reader in readers.values())
    return FilesRead(models, readable, tokens, sum(reader.seconds for reader in readers.values()))


def fitting_texts(
    dev: Sequence[Example], general: Mapping[str, Sequence[Example]]
) -> tuple[Example, ...]:
    """What a model's temperature is fitted on: dev and a little ordinary code."""
    return (*dev, *general.get(ORDINARY, ())[:ORDINARY_TEXTS])
