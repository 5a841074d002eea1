"""The suites' NLL under the models' files, and what reading them took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.gate.budget import Readable, allot
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.reading import FileReader, NotLoaded, tokens_of
from qi_learn.records import Example, SuiteNll
from qi_learn.records.suites import FEW, ORDINARY
from qi_learn.stats import evenly

logger = logging.getLogger(__name__)
ORDINARY_TEXTS = FEW
"""Of the texts of ordinary code beside dev where a temperature is fitted: a dev set of answers that
the model gave itself would have none that it finds likeliest. They are those that a gate reads in
any case (`budget`).
"""


@dataclass(frozen=True, slots=True)
class FileMeasurements:
    """The suites' NLL under a model's file."""

    gate: SuiteNll
    old: SuiteNll
    general: Mapping[str, SuiteNll]
    fixed: SuiteNll


@dataclass(frozen=True, slots=True)
class FilesRead:
    """What was read of each model's file, and what it took."""

    models: Mapping[str, FileMeasurements]
    suites: Readable
    tokens: int
    """Tokens evaluated."""
    seconds: float
    gpu_layers: int
    """Of the device that they were read on."""


@dataclass(frozen=True, slots=True)
class ReadingDevice:
    """Where and when files are read."""

    gpu_layers: int = 0
    pause: Callable[[], None] = field(default=lambda: None)
    """Called before each text."""


def measure_files(
    files: Mapping[str, Path], suites: Suites, limits: Sizes, device: ReadingDevice | None = None
) -> FilesRead:
    """The suites' NLL under each model's file, all on one device.

    If one cannot be loaded on a GPU after all, they are read on the CPU, with what is left of the
    tokens. Raises ModelError.
    """
    device = device or ReadingDevice()
    readers = _readers(files, limits, device)
    try:
        return _measure(readers, suites, limits, device)
    except NotLoaded as error:
        logger.warning("the gate reads on the CPU: %s", error.what)
    tokens, seconds = _spent(readers)
    device, limits = replace(device, gpu_layers=0), replace(limits, read=limits.read - tokens)
    read = _measure(_readers(files, limits, device), suites, limits, device)
    return replace(read, tokens=read.tokens + tokens, seconds=read.seconds + seconds)


def _readers(
    files: Mapping[str, Path], limits: Sizes, device: ReadingDevice
) -> dict[str, FileReader]:
    return {
        model: FileReader(
            path,
            cache=limits.cache,
            gpu_layers=device.gpu_layers,
            pause=device.pause,
        )
        for model, path in files.items()
    }


def _measure(
    readers: Mapping[str, FileReader], suites: Suites, limits: Sizes, device: ReadingDevice
) -> FilesRead:
    def fitting(dev: Sequence[Example]) -> int:
        """A fit reads all texts, known or not; one that was made before reads none.

        What it reads of ordinary code for the first time is read for that suite.
        """
        texts, ordinary = fitting_texts(dev, suites.general), fitting_texts((), suites.general)
        new = [r for r in readers.values() if r.known_temperature(texts) is None]
        return sum(tokens_of(texts) - reader.to_read(ordinary) for reader in new)

    readable = allot(
        limits.read,
        gate=suites.gate,
        old=suites.old,
        general=suites.general,
        dev=suites.dev,
        fixed=suites.fixed,
        cost=lambda examples: sum(reader.to_read(examples) for reader in readers.values()),
        # at a temperature that is not known yet nothing was measured before
        afresh=lambda examples: len(readers) * tokens_of(examples),
        fitting=fitting,
        marks=limits.marks,
    )
    fitted_on = fitting_texts(readable.dev, suites.general)
    texts = (*readable.everything, *fitted_on)
    context = max((len(e.prompt_ids) + len(e.target_ids) for e in texts), default=1)
    models: dict[str, FileMeasurements] = {}
    for model, reader in readers.items():
        with reader:
            reader.context = context
            temperature = reader.temperature(fitted_on)
            models[model] = FileMeasurements(
                reader.nll("gate", readable.gate, temperature),
                reader.nll("old", readable.old),
                {name: reader.nll(name, suite) for name, suite in readable.general.items()},
                reader.nll("fixed", readable.fixed),
            )
    return FilesRead(models, readable, *_spent(readers), device.gpu_layers)


def _spent(readers: Mapping[str, FileReader]) -> tuple[int, float]:
    """The tokens that were evaluated so far, and the seconds that took."""
    read = readers.values()
    return sum(reader.evaluated for reader in read), sum(reader.seconds for reader in read)


def fitting_texts(
    dev: Sequence[Example], general: Mapping[str, Sequence[Example]]
) -> tuple[Example, ...]:
    """What a model's temperature is fitted on: dev and a little ordinary code."""
    return (*dev, *evenly(general.get(ORDINARY, ()), ORDINARY_TEXTS))
