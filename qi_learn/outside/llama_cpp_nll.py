"""The log-likelihood of given text under a GGUF, by llama.cpp.

Teacher-forced: the ids are evaluated as they are, on the very file that is served.

The invariant: a text's number depends on the file and the text alone, to the last bit, whatever
else is measured beside it. llama.cpp's sums depend on how tokens are put together into batches and
on where they lie in its memory, and 8-bit activations turn a last bit into as much as 0.014 nat a
token. So one text is read at a time, from the first cell on, in blocks of `BLOCK` tokens. What a
text shares with the one before it is not read again, but only in whole blocks in front of
everything that is predicted, which are the same computation in both.

The token that ends an answer is apart (`end_nll`): models learn it first, and it says nothing about
what they write.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qi_learn.errors import ModelError
from qi_learn.outside.llama_cpp import Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


BLOCK = 64
"""Tokens evaluated in one go."""

TokenVisitor = Callable[["NDArray[np.float32]", int], None]
"""Takes the logits in front of a counted target token, a view, and the token."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is read, and what is asked of it."""

    prompt: Sequence[int]
    target: Sequence[int]
    code: Sequence[bool]
    """For each target token, whether it is code."""
    person: Sequence[bool] = ()
    """For each target token, whether the person wrote it; empty if that is not known."""

    def __post_init__(self) -> None:
        if len(self.target) != len(self.code):
            raise ValueError(
                f"{len(self.target)} target tokens but a code mask of {len(self.code)}"
            )
        if self.person and len(self.target) != len(self.person):
            raise ValueError(f"{len(self.target)} target tokens, a mask of {len(self.person)}")

    @property
    def ids(self) -> tuple[int, ...]:
        """Everything that is read."""
        return (*self.prompt, *self.target)

    @property
    def first(self) -> int:
        """The index of the first token that is predicted from one before it."""
        return max(len(self.prompt), 1)


@dataclass(frozen=True, slots=True)
class SequenceNll:
    """The teacher-forced negative log-likelihood of one target, in nats, summed over its tokens.

    The token that ends the answer is in `end_nll` alone. NaN if the model's output is not a number.
    """

    nll: float
    tokens: int
    code_nll: float
    """The part of `nll` that falls on the tokens of the code mask."""
    code_tokens: int
    hits: int = 0
    """Tokens that the model itself would have written in their place (greedy)."""
    end_nll: float = 0.0
    """Of the token that ends the answer; 0 if the target has none."""
    person_nll: float = 0.0
    """Over the person's tokens, at the temperature that was asked for."""
    person_tokens: int = 0


class Scorer:
    """One GGUF, loaded to score texts one after another. Also a context manager."""

    def __init__(
        self, path: Path, *, context: int, threads: int | None = None, gpu_layers: int = 0
    ) -> None:
        """Load the file. Raises ModelError, UnsupportedArchitecture or ToolMissing.

        `context`: the longest text. `gpu_layers`: how many layers go to a GPU.
        """
        self._model = Model(path, context=context, threads=threads, gpu_layers=gpu_layers)
        self._block = min(BLOCK, self._model.outputs)
        self._held: Sequence[int] = ()
        self.context = context
        self.evaluated = 0
        """Tokens evaluated so far: what was shared counts once."""
        self.seconds = 0.0
        """What that took."""

    def score(self, texts: Sequence[Text], *, temperature: float = 1.0) -> list[SequenceNll]:
        """The NLL of each target, in the order of `texts` (see `score_each`)."""
        found = dict(self.score_each(texts, temperature=temperature))
        return [found[index] for index in range(len(texts))]

    def score_each(
        self,
        texts: Sequence[Text],
        *,
        temperature: float = 1.0,
        each: TokenVisitor | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, SequenceNll]]:
        """The index of each text and the NLL of its target, in the order in which they are read.

        It is the sum of -ln p(target[i] | prompt, target[:i]). No BOS is added. With an empty
        prompt the first target token has nothing before it and is not counted.

        `temperature` is what logits are divided by for the person's tokens. `each` is shown every
        token that counts for `nll`, text after text in reading order. `pause` is called before each
        text. Raises ModelError if a text is longer than the context or has an unknown id.
        """
        if (longest := max((len(t.ids) for t in texts), default=0)) > self.context:
            raise ModelError(
                f"a sequence has {longest} tokens and the context is {self.context}",
                "measure it with a larger context",
            )
        for index in _reading_order(texts):
            pause()
            began = time.monotonic()
            row = _Row(texts[index], temperature, each, self._ends_answer)
            self._read(row)
            self.seconds += time.monotonic() - began
            yield index, row.result()

    def _ends_answer(self, token: int) -> bool:
        return self._model.vocabulary.ends_generation(token)

    def _read(self, row: _Row) -> None:
        ids, first = row.ids, row.first
        if len(ids) <= first:
            return
        start = _shared(self._held, ids, first, self._block)
        self._held = ()
        if not start or not self._model.rewind(start):
            self._model.forget()
            start = 0
        last = len(ids) - 1  # the last token predicts nothing
        while start < last:
            end = min(start + self._block, last)
            positions = range(start, end)
            predicts = [at + 1 >= first for at in positions]
            self._model.evaluate(ids[start:end], positions, [0] * (end - start), predicts)
            self.evaluated += end - start
            for index, at in enumerate(positions):
                if predicts[index]:
                    row.take(self._model.logits(index), at + 1)
            start = end
        self._held = ids[:last]

    def close(self) -> None:
        """Free the model. Closing twice is fine."""
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def score_sequences(
    path: Path,
    sequences: Sequence[tuple[Sequence[int], Sequence[int], Sequence[bool]]],
    *,
    context: int,
    threads: int | None = None,
) -> list[SequenceNll]:
    """The NLL of each `(prompt_ids, target_ids, code_mask)` under the file at `path`.

    See `Scorer.score`. Nothing to read opens no file.
    """
    texts = [Text(*sequence) for sequence in sequences]
    longest = max((len(text.ids) for text in texts), default=0)
    if not longest:
        return [SequenceNll(0.0, 0, 0.0, 0) for _ in texts]
    if longest > context:
        raise ModelError(
            f"a sequence has {longest} tokens and the context is {context}",
            "measure it with a larger context",
        )
    with Scorer(path, context=longest, threads=threads) as scorer:
        return scorer.score(texts)


def tokens_to_read(texts: Sequence[Text]) -> int:
    """The number of tokens that `Scorer.score` evaluates for these texts.

    Exact for models whose memory can be rewound (`Model.rewind`); others read everything.
    """
    read, held = 0, tuple[int, ...]()
    for index in _reading_order(texts):
        ids, first = texts[index].ids, texts[index].first
        if len(ids) > first:
            read += len(ids) - 1 - _shared(held, ids, first, BLOCK)
            held = ids[:-1]
    return read


def _reading_order(texts: Sequence[Text]) -> Iterator[int]:
    """The texts so that those with a long beginning in common stand side by side."""
    yield from sorted(range(len(texts)), key=lambda index: texts[index].ids)


def _shared(held: Sequence[int], ids: Sequence[int], first: int, block: int) -> int:
    """How many tokens of `ids` need not be read after `held`: whole blocks of nothing predicted."""
    most = min(len(held), first - 1)
    same = next((at for at in range(most) if held[at] != ids[at]), most)
    return same // block * block


class _Row:
    """One text on its way through `Scorer.score`."""

    def __init__(
        self,
        text: Text,
        temperature: float,
        each: TokenVisitor | None,
        ends_answer: Callable[[int], bool],
    ) -> None:
        self.ids, self.first = text.ids, text.first
        self._start = len(text.prompt)
        self._code, self._person = text.code, text.person
        ends = bool(text.target) and ends_answer(text.target[-1])
        self._end = len(self.ids) - 1 if ends else None
        self._temperature, self._each = temperature, each
        self._nll: list[float] = []
        self._code_nll: list[float] = []
        self._person_nll: list[float] = []
        self._hits, self._end_nll = 0, 0.0

    def take(self, logits: NDArray[np.float32], at: int) -> None:
        """Add the token at index `at`, in front of which the model gave these logits."""
        token, place = self.ids[at], at - self._start
        nll = _nll(logits, token, 1.0)
        if at == self._end:
            self._end_nll = nll
            return
        self._nll.append(nll)
        self._hits += int(logits.argmax()) == token
        if self._code[place]:
            self._code_nll.append(nll)
        if self._person and self._person[place]:
            at_one = self._temperature == 1.0
            self._person_nll.append(nll if at_one else _nll(logits, token, self._temperature))
        if self._each is not None:
            self._each(logits, token)

    def result(self) -> SequenceNll:
        return SequenceNll(
            math.fsum(self._nll),
            len(self._nll),
            math.fsum(self._code_nll),
            len(self._code_nll),
            self._hits,
            self._end_nll,
            math.fsum(self._person_nll),
            len(self._person_nll),
        )


def _nll(logits: NDArray[np.float32], token: int, temperature: float) -> float:
    """-ln softmax(logits / temperature)[token], the sum in float64."""
    import numpy as np

    top = logits.max()
    spread = np.exp((logits - top) / np.float32(temperature))
    return float(
        np.log(spread.sum(dtype=np.float64)) + (float(top) - float(logits[token])) / temperature
    )
