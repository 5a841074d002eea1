"""One answer: the prompt's tokens in, pieces of text out, always from a fresh evaluation.

The model's memory is emptied first, so an answer depends on its request alone: the same request at
temperature 0 gives the same text, whatever was asked before. Text leaves only in whole characters,
and what may be the beginning of a stop text is held back until it is known not to be one.
"""

from __future__ import annotations

import codecs
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qi_learn.engine.sampling import Chooser, Sampling
from qi_learn.errors import ModelError, ServerError
from qi_learn.outside.llama_cpp import BATCH_TOKENS, Model, Vocabulary
from qi_learn.outside.llguidance import Form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The log-probability of a token under the model itself, before options."""

    text: bytes
    logprob: float
    """Natural logarithm."""
    top: tuple[TokenLogprob, ...] = ()
    """The likeliest tokens in its place."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants to be called."""

    name: str
    arguments: Mapping[str, Any]
    index: int
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(4)}")


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that can be sent now, and the log-probabilities of its tokens if they were asked for."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    thinking: str = ""
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """How an answer ended."""

    reason: str
    """`stop` (an end token or a stop text) or `length` (num_predict, or the context is full)."""
    prompt_tokens: int
    answer_tokens: int
    prompt_seconds: float
    answer_seconds: float
    ids: tuple[int, ...]
    """Prompt and answer, without the end token."""
    calls: bool = False
    """Whether the answer calls tools."""


def generate(
    model: Model,
    prompt: Sequence[int],
    sampling: Sampling,
    cancelled: threading.Event,
    *,
    form: Form | None = None,
    logprobs: int | None = None,
    shown: Sequence[str] = (),
) -> Iterator[Piece | AnswerEnd]:
    """Answer a prompt: pieces, then an `AnswerEnd`. Once `cancelled` is set, end without one.

    `form`: what the answer must look like. `logprobs`: how many alternatives to each token to give
    (None: no log-probabilities). `shown`: control tokens that are text of this answer. Raises
    ServerError (400) if the prompt does not fit into the context: it is never cut silently, because
    what is not read cannot be learned from.
    """
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
    writer = _Writer(model.vocabulary, sampling.stop, tuple(shown))
    chooser = Chooser(model.vocabulary, sampling, prompt, form)
    try:
        limit = sampling.num_predict if sampling.num_predict >= 0 else model.context
        while writer.reason is None and writer.count < limit and not cancelled.is_set():
            logits = _finite_logits(model)
            token = chooser.choose(logits)
            logprob = None
            if logprobs is not None:
                logprob = _logprob(model.vocabulary, logits, token, logprobs)
            if (piece := writer.add(token, logprob)) is not None:
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
    """Evaluate the prompt. Returns False if that was broken off."""
    model.forget()
    model.stop_when(cancelled.is_set)
    try:
        for start in range(0, len(prompt), BATCH_TOKENS):
            part = prompt[start : start + BATCH_TOKENS]
            positions = range(start, start + len(part))
            is_last = [position == len(prompt) - 1 for position in positions]
            if cancelled.is_set() or not model.evaluate(part, positions, [0] * len(part), is_last):
                return False
        return True
    finally:
        # It costs a call into Python for every step of the graph, which only a prompt is worth.
        model.stop_when(None)


def _finite_logits(model: Model) -> NDArray[np.float32]:
    """The logits of the next token. Raises ModelError if they are no numbers."""
    import numpy as np

    logits = model.logits(-1)
    if not np.isfinite(logits.max()):
        raise ModelError(
            "the model's output is not a number", "its weights are damaged; use another version"
        )
    return logits


@dataclass(slots=True)
class _Writer:
    """Tokens to text: whole characters only, and nothing of a stop text."""

    vocabulary: Vocabulary
    stops: tuple[str, ...]
    shown: tuple[str, ...] = ()
    """Control tokens that are text, by their names."""
    reason: str | None = None
    """`stop` once an end token or a stop text has come."""
    count: int = 0
    """Tokens so far, the end token included."""
    ids: list[int] = field(default_factory=list)
    held: str = ""
    """Text that may be the beginning of a stop text."""
    waiting: list[TokenLogprob] = field(default_factory=list)
    """The log-probabilities of tokens whose text is held."""
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    stop_ids: frozenset[int] = frozenset()
    """Stop texts that are one control token."""
    shown_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.stops = tuple(stop for stop in self.stops if stop and stop not in self.shown)
        self.stop_ids = self._controls(self.stops)
        self.shown_ids = self._controls(self.shown)

    def _controls(self, texts: Sequence[str]) -> frozenset[int]:
        """The texts that are one control token."""
        tokenized = [
            self.vocabulary.tokenize(text, add_special=False, parse_special=True) for text in texts
        ]
        return frozenset(
            ids[0] for ids in tokenized if len(ids) == 1 and self.vocabulary.is_control(ids[0])
        )

    def add(self, token: int, logprob: TokenLogprob | None) -> Piece | None:
        """What is safe to send of the text, once the next token is added."""
        self.count += 1
        if self.vocabulary.ends_generation(token) or token in self.stop_ids:
            self.reason = "stop"
            return None
        self.ids.append(token)
        if logprob is not None:
            self.waiting.append(logprob)
        piece = self.vocabulary.piece(token, special=token in self.shown_ids)
        self.held += self.decoder.decode(piece)
        stops_at = [at for stop in self.stops if (at := self.held.find(stop)) >= 0]
        if stops_at:
            self.reason = "stop"
            self.held = self.held[: min(stops_at)]
            self.decoder.reset()
            return self._send(len(self.held))
        doubtful = max((overlap(self.held, stop) for stop in self.stops), default=0)
        return self._send(len(self.held) - doubtful)

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


def overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)


def _logprob(
    vocabulary: Vocabulary, logits: NDArray[np.float32], token: int, alternatives: int
) -> TokenLogprob:
    import numpy as np

    highest = logits.max()
    total = highest + np.log(np.exp(logits - highest).sum(dtype=np.float64))
    best = np.argsort(-logits, kind="stable")[:alternatives]
    top = tuple(TokenLogprob(vocabulary.piece(int(i)), float(logits[i] - total)) for i in best)
    return TokenLogprob(vocabulary.piece(token), float(logits[token] - total), top)
