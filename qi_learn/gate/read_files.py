"""The suites' NLL under the models' files, and what reading them took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.gate.budget import Readable, allot
from qi_learn.gate.compared_tokens import as_compared
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.reading import FileReader, NotLoaded, marked_whole
from qi_learn.records import Example, SuiteNll
from qi_learn.records.suites import FEW, ORDINARY
from qi_learn.stats import evenly

logger = logging.getLogger(__name__)
ORDINARY_TEXTS = FEW
"""Of the texts of ordinary code beside which a temperature is fitted: a few short edits, of which a
model finds each token likeliest, would have none. A gate reads them in any case (`budget`).
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
    beside = ordinary_texts(suites.general)
    readable = allot(
        limits.read,
        gate=as_compared(suites.gate),
        old=_unmarked(suites.old),
        general={name: _unmarked(suite) for name, suite in suites.general.items()},
        fixed=_unmarked(suites.fixed),
        cost=lambda examples: sum(reader.to_read(examples) for reader in readers.values()),
        reserved=_again(readers.values(), beside),
        marks=limits.marks,
    )
    beside = _chosen(beside, readable.general.get(ORDINARY, ()))
    context = max((len(e.prompt_ids) + len(e.target_ids) for e in readable.everything), default=1)
    models: dict[str, FileMeasurements] = {}
    for model, reader in readers.items():
        with reader:
            reader.context = context
            models[model] = FileMeasurements(
                reader.nll_of_other_sessions("gate", readable.gate, beside),
                reader.nll("old", readable.old),
                {name: reader.nll(name, suite) for name, suite in readable.general.items()},
                reader.nll("fixed", readable.fixed),
            )
    return FilesRead(models, readable, *_spent(readers), device.gpu_layers)


def _spent(readers: Mapping[str, FileReader]) -> tuple[int, float]:
    """The tokens that were evaluated so far, and the seconds that took."""
    read = readers.values()
    return sum(reader.evaluated for reader in read), sum(reader.seconds for reader in read)


def ordinary_texts(general: Mapping[str, Sequence[Example]]) -> tuple[Example, ...]:
    """The little ordinary code that temperatures are fitted on beside what a person wrote."""
    return evenly(general.get(ORDINARY, ()), ORDINARY_TEXTS)


def _chosen(beside: Sequence[Example], read: Sequence[Example]) -> tuple[Example, ...]:
    """Those of the texts that are read in any case; if not all of them are, as many others."""
    names = {e.id for e in read}
    whole = all(e.id in names for e in beside)
    return tuple(beside) if whole else evenly(read, ORDINARY_TEXTS)


def _again(readers: Collection[FileReader], beside: Sequence[Example]) -> int:
    """The tokens to read of ordinary texts whose NLL is known, but at one temperature only."""
    whole = [marked_whole(e) for e in beside]
    return sum(
        max(0, reader.to_read(whole) - reader.to_read(_unmarked(beside))) for reader in readers
    )


def _unmarked(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The examples without what a person wrote of them, which is compared of fresh work alone."""
    return tuple(replace(e, person_mask=()) if e.person_mask else e for e in examples)
