"""How surprised a GGUF is by given text: NLL of suites, by llama.cpp, on the very file.

The invariant that makes pairing possible: an example's number depends on the file and the example
alone (`outside/llama_cpp_nll.py`), never on the suite around it, and what was measured before is
not read again. The token that ends an answer counts nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from qi_learn.errors import ModelError
from qi_learn.gate.cache import NllCache, digest_of
from qi_learn.gate.temperature import TemperatureFit
from qi_learn.outside.llama_cpp_library import build_of_library
from qi_learn.outside.llama_cpp_nll import (
    Scorer,
    SequenceNll,
    Text,
    TokenVisitor,
    tokens_to_read,
)
from qi_learn.records import Example, SuiteNll
from qi_learn.stats import choose_units


class NotLoaded(ModelError):
    """A file that could not be loaded on the GPU, where it was to be read."""


class FileReader:
    """One GGUF on which suites are measured. It is loaded when the first number is missing.

    Also a context manager.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int = 0,
        cache: Path | None = None,
        gpu_layers: int = 0,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """`context`: the longest example, in tokens; it may be set later, until something is read.

        `cache`: directory of what was measured before. `gpu_layers`: how many layers go to a GPU.
        `pause` is called before each text that is read.
        """
        self._path, self.context = path, context
        self._gpu_layers, self._pause = gpu_layers, pause
        self._cache = NllCache(cache, digest_of(path), build_of(gpu_layers)) if cache else None
        self._scorer: Scorer | None = None
        self._numbers: dict[tuple[object, float | None], SequenceNll] = {}

    @property
    def evaluated(self) -> int:
        """Tokens evaluated so far."""
        return self._scorer.evaluated if self._scorer else 0

    @property
    def seconds(self) -> float:
        """What that took, pauses aside."""
        return self._scorer.seconds if self._scorer else 0.0

    def to_read(self, examples: Sequence[Example], temperature: float | None = None) -> int:
        """The tokens that have to be evaluated for these examples."""
        return tokens_to_read([_text(e) for e in self._unread(examples, temperature)])

    def nll(
        self, suite: str, examples: Sequence[Example], temperature: float | None = None
    ) -> SuiteNll:
        """NLL of each example's target, teacher-forced, in nats.

        With a `temperature` also of the person's tokens at it. NaN if the model's output is not a
        number: the gate refuses it. Raises ModelError if the file cannot be used, or if an example
        is longer than the context.
        """
        self._read(self._unread(examples, temperature), temperature)
        scored = [n for e in examples if (n := self._known(e, temperature)) is not None]
        return suite_of(suite, examples, scored, temperature)

    def numbers(self, examples: Sequence[Example]) -> list[SequenceNll]:
        """All that is measured of each example, its end included. Raises ModelError."""
        self._read(self._unread(examples, None), None)
        return [number for e in examples if (number := self._known(e, None)) is not None]

    def temperature(self, examples: Sequence[Example]) -> float:
        """The temperature at which the file finds the person's tokens of the examples likeliest.

        1 if there is none. Raises ModelError.
        """
        if (known := self.known_temperature(examples)) is not None:
            return known
        fit = TemperatureFit.of(examples)
        self._read(examples, None, each=fit.take)
        fitted = fit.temperature()
        if self._cache is not None:
            self._cache.put_temperature(examples, fitted)
        return fitted

    def known_temperature(self, examples: Sequence[Example]) -> float | None:
        """The same if it was fitted before; else None."""
        return self._cache.temperature(examples) if self._cache is not None else None

    def _unread(self, examples: Sequence[Example], temperature: float | None) -> list[Example]:
        """The examples that have to be read, each once."""
        unread = {_key(e): e for e in examples if self._known(e, temperature) is None}
        return list(unread.values())

    def _known(self, example: Example, temperature: float | None) -> SequenceNll | None:
        if (number := self._numbers.get((_key(example), temperature))) is not None:
            return number
        return self._cache.text(example, temperature) if self._cache is not None else None

    def _read(
        self,
        examples: Sequence[Example],
        temperature: float | None,
        each: TokenVisitor | None = None,
    ) -> None:
        if not examples:
            return
        scored = self._load().score_each(
            [_text(e) for e in examples],
            temperature=1.0 if temperature is None else temperature,
            each=each,
            pause=self._pause,
        )
        for index, number in scored:  # kept one by one: a reading that is broken off goes on
            self._numbers[_key(examples[index]), temperature] = number
            if self._cache is not None:
                self._cache.put_text(examples[index], number, temperature)

    def _load(self) -> Scorer:
        if self._scorer is None:
            try:
                self._scorer = Scorer(
                    self._path,
                    context=self.context,
                    gpu_layers=self._gpu_layers,
                )
            except ModelError as error:
                if not self._gpu_layers:
                    raise
                raise NotLoaded(error.what, error.hint) from error
        return self._scorer

    def close(self) -> None:
        """Free the model. Closing twice is fine."""
        if self._scorer is not None:
            self._scorer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def build_of(gpu_layers: int) -> str:
    """What a number depends on besides file and text: llama.cpp's build, and the device."""
    return f"{build_of_library()} {'gpu' if gpu_layers else 'cpu'}"


def tokens_of(examples: Sequence[Example]) -> int:
    """The tokens that have to be evaluated for examples of which nothing was measured before."""
    return tokens_to_read([_text(e) for e in {_key(e): e for e in examples}.values()])


def measure_nll(
    path: Path,
    suite: str,
    examples: Sequence[Example],
    *,
    context: int,
    cache: Path | None = None,
    temperature: float | None = None,
) -> SuiteNll:
    """NLL of one suite under one file (`FileReader.nll`)."""
    if not examples:
        return suite_of(suite, (), (), temperature)
    with FileReader(path, context=context, cache=cache) as reader:
        return reader.nll(suite, examples, temperature)


def suite_of(
    suite: str,
    examples: Sequence[Example],
    scored: Sequence[SequenceNll],
    temperature: float | None = None,
) -> SuiteNll:
    """Scores as the gate compares them, one an example."""
    asked = temperature is not None
    return SuiteNll(
        suite=suite,
        ids=tuple(e.id for e in examples),
        units=choose_units([e.id for e in examples], [e.session for e in examples]),
        nll=tuple(s.nll for s in scored),
        tokens=tuple(s.tokens for s in scored),
        code_nll=tuple(s.code_nll for s in scored),
        code_tokens=tuple(s.code_tokens for s in scored),
        person_nll=tuple(s.person_nll for s in scored) if asked else (),
        person_tokens=tuple(s.person_tokens for s in scored) if asked else (),
        temperature=1.0 if temperature is None else temperature,
    )


def _text(example: Example) -> Text:
    return Text(example.prompt_ids, example.target_ids, example.code_mask, example.person_mask)


def _key(example: Example) -> tuple[object, ...]:
    return example.prompt_ids, example.target_ids, example.code_mask, example.person_mask
