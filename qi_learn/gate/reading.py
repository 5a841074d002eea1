"""How surprised a GGUF is by given text: NLL of suites, by llama.cpp, on the very file.

The invariant that makes pairing possible: an example's number depends on the file and the example
alone (`outside/llama_cpp_nll.py`), never on the suite around it, and what was measured before is
not read again. The token that ends an answer counts nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qi_learn.errors import ModelError
from qi_learn.gate.cache import NllCache, digest_of
from qi_learn.gate.likelihood_curve import NO_TOKENS, Curve, CurveSums
from qi_learn.gate.temperature import TemperatureFit, temperature_of, temperatures_of
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
        self._numbers: dict[tuple[object, ...], SequenceNll] = {}
        self._curves: dict[tuple[object, ...], Curve] = {}

    @property
    def evaluated(self) -> int:
        """Tokens evaluated so far."""
        return self._scorer.evaluated if self._scorer else 0

    @property
    def seconds(self) -> float:
        """What that took, pauses aside."""
        return self._scorer.seconds if self._scorer else 0.0

    def to_read(self, examples: Sequence[Example]) -> int:
        """The tokens that have to be evaluated for these examples."""
        return tokens_to_read([_text(e) for e in self._unread(examples)])

    def nll(
        self, suite: str, examples: Sequence[Example], temperature: float | None = None
    ) -> SuiteNll:
        """NLL of each example's target, teacher-forced, in nats.

        With a `temperature` also of the person's tokens at it. NaN if the model's output is not a
        number: the gate refuses it. Raises ModelError if the file cannot be used, or if an example
        is longer than the context.
        """
        numbers = self.numbers(examples)
        if temperature is None:
            return suite_of(suite, examples, numbers)
        curves = [self._curve_of(e) for e in examples]
        numbers = _with_persons(numbers, curves, [temperature] * len(curves))
        return suite_of(suite, examples, numbers, temperature)

    def nll_of_other_sessions(
        self, suite: str, examples: Sequence[Example], beside: Sequence[Example]
    ) -> SuiteNll:
        """The same; the person's tokens at temperatures fitted on all sessions but their own.

        At the one fitted on all sessions too. `beside`: ordinary texts that are fitted on as well,
        all of their tokens. Raises ModelError.
        """
        whole = [marked_whole(e) for e in beside]
        numbers = self.numbers([*examples, *whole])[: len(examples)]
        curves = [self._curve_of(e) for e in examples]
        others = sum((self._curve_of(e) for e in whole), NO_TOKENS)
        units = choose_units([e.id for e in examples], [e.session for e in examples])
        one = temperature_of(sum(curves, NO_TOKENS), others)
        numbers = _with_persons(numbers, curves, temperatures_of(curves, units, others))
        found = suite_of(suite, examples, numbers, one)
        return replace(found, person_nll_at_one=tuple(curve.at(one) for curve in curves))

    def numbers(self, examples: Sequence[Example]) -> list[SequenceNll]:
        """All that is measured of each example, its end included. Raises ModelError."""
        self._read(self._unread(examples))
        return [number for e in examples if (number := self._number_of(e)) is not None]

    def temperature(self, examples: Sequence[Example]) -> float:
        """The temperature at which the file finds the person's tokens of the examples likeliest.

        1 if there is none. Raises ModelError.
        """
        if (known := self.known_temperature(examples)) is not None:
            return known
        fit = TemperatureFit()
        for _ in self._score(examples, fit.take):
            pass
        fitted = fit.temperature()
        if self._cache is not None:
            self._cache.put_temperature(examples, fitted)
        return fitted

    def known_temperature(self, examples: Sequence[Example]) -> float | None:
        """The same if it was fitted before; else None."""
        return self._cache.temperature(examples) if self._cache is not None else None

    def _unread(self, examples: Sequence[Example]) -> list[Example]:
        """The examples that have to be read, each once."""
        unread = {
            _curve_key(e): e
            for e in examples
            if self._number_of(e) is None or self._known_curve(e) is None
        }
        return list(unread.values())

    def _number_of(self, example: Example) -> SequenceNll | None:
        if (number := self._numbers.get(_key(example))) is None and self._cache is not None:
            return self._cache.text(example)
        return number

    def _known_curve(self, example: Example) -> Curve | None:
        if not any(example.person_mask):
            return NO_TOKENS
        if (curve := self._curves.get(_curve_key(example))) is None and self._cache is not None:
            return self._cache.curve(example)
        return curve

    def _curve_of(self, example: Example) -> Curve:
        """Of an example that was read."""
        curve = self._known_curve(example)
        assert curve is not None, "it was read"
        return curve

    def _read(self, examples: Sequence[Example]) -> None:
        """Read the examples, what a person wrote of them at every temperature."""
        sums = CurveSums()

        def take(logits: NDArray[np.float32], token: int, is_persons: bool) -> None:
            if is_persons:
                sums.take(logits, token)

        for example in self._score(examples, take):
            if any(example.person_mask):
                curve = self._curves[_curve_key(example)] = sums.curve()
                if self._cache is not None:
                    self._cache.put_curve(example, curve)
            sums = CurveSums()

    def _score(self, examples: Sequence[Example], each: TokenVisitor) -> Iterator[Example]:
        """Each example when it has been read.

        What was measured is kept one by one: a reading that is broken off goes on.
        """
        if not examples:
            return
        scored = self._load().score_each([_text(e) for e in examples], each=each, pause=self._pause)
        for index, number in scored:
            example = examples[index]
            self._numbers[_key(example)] = number
            if self._cache is not None:
                self._cache.put_text(example, number)
            yield example

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
    return tokens_to_read([_text(e) for e in {_curve_key(e): e for e in examples}.values()])


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


def marked_whole(example: Example) -> Example:
    """An example all of whose tokens are taken as a person's is, for its curve."""
    return replace(example, person_mask=(True,) * len(example.target_ids))


def _with_persons(
    numbers: Sequence[SequenceNll], curves: Sequence[Curve], temperatures: Sequence[float]
) -> list[SequenceNll]:
    return [
        replace(number, person_nll=curve.at(temperature), person_tokens=curve.tokens)
        for number, curve, temperature in zip(numbers, curves, temperatures, strict=True)
    ]


def _key(example: Example) -> tuple[object, ...]:
    return example.prompt_ids, example.target_ids, example.code_mask


def _curve_key(example: Example) -> tuple[object, ...]:
    return (*_key(example), example.person_mask)
