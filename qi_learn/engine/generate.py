"""One answer: the prompt's tokens in, pieces of text out, always from a fresh evaluation.

The model's memory is emptied first, so an answer depends on its request alone: the same request at
temperature 0 gives the same text, whatever was asked before. Text leaves only in whole characters,
and what may be the beginning of a stop text is held back until it is known not to be one.
"""

from __future__ import annotations

import codecs
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qi_learn.engine.sampling import Chooser, Sampling
from qi_learn.errors import ModelError, ServerError
from qi_learn.outside.llama_cpp import BATCH_TOKENS, Model, Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """ln p of a token under the model itself, before options; `top`: the likeliest ones."""

    text: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that can be sent now, with the log-probabilities of its tokens where they were asked
    for.
    """

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """How the answer ended: `stop` (end token or stop text) or `length` (num_predict, or the
    context is full).
    """

    reason: str
    prompt_tokens: int
    answer_tokens: int
    prompt_seconds: float
    answer_seconds: float
    ids: tuple[int, ...]
    """Prompt and answer, without the end token."""


def generate(
    model: Model,
    prompt: Sequence[int],
    sampling: Sampling,
    cancelled: threading.Event,
    *,
    logprobs: int | None = None,
) -> Iterator[Piece | AnswerEnd]:
    """Answers a prompt: pieces, then `AnswerEnd`; stops without one once `cancelled` is set.
    `logprobs`: how many alternatives to tell (None: nothing).

    Raises ServerError (400) where the prompt does not fit into the context: it is never cut
    silently, because what is not read cannot be learned from.
    """
    import numpy as np

    if len(prompt) >= model.context:
        fit = f"the prompt has {len(prompt)} tokens and the context holds {model.context}"
        raise ServerError(fit, "shorten it, or raise num_ctx (serve.context)", status=400)
    if not prompt:
        raise ServerError("the prompt is empty: there is nothing to go on from", status=400)
    began = time.perf_counter()
    if not _read_prompt(model, prompt, cancelled):
        logger.info("an answer was broken off in its prompt")
        return
    read = time.perf_counter()
    writer = _Writer(model.vocabulary, sampling.stop)
    chooser = Chooser(model.vocabulary, sampling, prompt)
    try:
        limit = sampling.num_predict if sampling.num_predict >= 0 else model.context
        while writer.reason is None and writer.count < limit and not cancelled.is_set():
            logits = model.logits(-1)
            if not np.isfinite(logits.max()):
                raise ModelError(
                    "the model's output is not a number",
                    "its weights are damaged; use another version",
                )
            token = chooser.choose(logits)
            piece = writer.add(
                token,
                None if logprobs is None else _logprob(model.vocabulary, logits, token, logprobs),
            )
            if piece is not None:
                yield piece
            if writer.reason is None:
                chooser.keep(token)
                position = len(prompt) + writer.count - 1
                if position >= model.context:
                    break
                if writer.count < limit:
                    model.evaluate([token], [position], [0], [True])
    finally:
        chooser.close()
    if cancelled.is_set():
        logger.info("an answer was broken off after %d tokens", writer.count)
        return
    if rest := writer.rest():
        yield rest
    ended = time.perf_counter()
    yield AnswerEnd(
        writer.reason or "length",
        len(prompt),
        writer.count,
        read - began,
        ended - read,
        (*prompt, *writer.ids),
    )


def _read_prompt(model: Model, prompt: Sequence[int], cancelled: threading.Event) -> bool:
    """Evaluates the prompt; False where it was broken off."""
    model.forget()
    model.stop_when(cancelled.is_set)
    try:
        for start in range(0, len(prompt), BATCH_TOKENS):
            part = prompt[start : start + BATCH_TOKENS]
            wanted = [start + index == len(prompt) - 1 for index in range(len(part))]
            if cancelled.is_set() or not model.evaluate(
                part, range(start, start + len(part)), [0] * len(part), wanted
            ):
                return False
        return True
    finally:
        model.stop_when(
            None
        )  # it costs a call into Python for every step of the graph: only worth it here


@dataclass(slots=True)
class _Writer:
    """Tokens to text: whole characters only, nothing of a stop text."""

    vocabulary: Vocabulary
    stops: tuple[str, ...]
    reason: str | None = None
    count: int = 0
    ids: list[int] = field(default_factory=list)
    held: str = ""
    waiting: list[TokenLogprob] = field(default_factory=list)
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    stop_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.stops = tuple(stop for stop in self.stops if stop)
        ids = [
            self.vocabulary.tokenize(stop, add_special=False, parse_special=True)
            for stop in self.stops
        ]
        self.stop_ids = frozenset(
            found[0] for found in ids if len(found) == 1 and self.vocabulary.is_control(found[0])
        )

    def add(self, token: int, logprob: TokenLogprob | None) -> Piece | None:
        """Takes the next token; what of the text is safe to send now."""
        self.count += 1
        if self.vocabulary.ends_generation(token) or token in self.stop_ids:
            self.reason = "stop"
            return None
        self.ids.append(token)
        if logprob is not None:
            self.waiting.append(logprob)
        self.held += self.decoder.decode(self.vocabulary.piece(token, special=False))
        if (
            found := min(
                (at for stop in self.stops if (at := self.held.find(stop)) >= 0), default=None
            )
        ) is not None:
            self.reason = "stop"
            self.held = self.held[:found]
            self.decoder.reset()
            return self._send(len(self.held))
        return self._send(
            len(self.held) - max((_overlap(self.held, stop) for stop in self.stops), default=0)
        )

    def rest(self) -> Piece | None:
        """What was held back, once it is known that nothing follows."""
        self.held += self.decoder.decode(b"", final=True)
        return self._send(len(self.held))

    def _send(self, end: int) -> Piece | None:
        if end == 0:
            return None
        piece = Piece(self.held[:end], tuple(self.waiting))
        self.held = self.held[end:]
        self.waiting = []
        return piece


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next(
        (
            size
            for size in range(min(len(text), len(stop) - 1), 0, -1)
            if text.endswith(stop[:size])
        ),
        0,
    )


def _logprob(
    vocabulary: Vocabulary, logits: NDArray[np.float32], token: int, alternatives: int
) -> TokenLogprob:
    import numpy as np

    highest = logits.max()
    total = highest + np.log(np.exp(logits - highest).sum(dtype=np.float64))
    best = np.argsort(-logits, kind="stable")[:alternatives]
    top = tuple(TokenLogprob(vocabulary.piece(int(i)), float(logits[i] - total)) for i in best)
    return TokenLogprob(vocabulary.piece(token), float(logits[token] - total), top)
