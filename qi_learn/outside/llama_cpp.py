"""llama.cpp through llama-cpp-python's low-level API: open a model, tokenise, evaluate, and the
log-likelihood of given text.

The idea: token ids, training targets, gate numbers and served answers all come from one tokenizer
and one evaluation, llama.cpp's own, on the very file that is served. Everything that can go wrong
in the library comes out of here as a QiError.

Not covered: encoder models, embeddings, adapters at run time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qi_learn.errors import ModelError
from qi_learn.outside.llama_cpp_library import Library, default_threads, load_library, open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_TOKENS = 512
"""Tokens evaluated in one go; llama.cpp's own default for one physical batch."""
_BYTES_PER_THREAD = 128 * 1024 * 1024
"""Weights that keep one thread busy while a single token is made. With less, threads mostly wait
for each other: SmolLM2 (97 MB) makes 137 tokens/s with one thread, 145 with two on two idle cores,
and 3 to 90 with two on busy ones (measured).
"""
_OUTPUT_FLOATS = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SequenceNll:
    """Teacher-forced negative log-likelihood of one target, in nats, summed over its tokens; NaN
    where the model's output is not a number.
    """

    nll: float
    tokens: int
    code_nll: float
    code_tokens: int
    hits: int = 0
    """Tokens that the model itself would have written there, greedy."""


class Vocabulary:
    """The tokenizer of one GGUF. Also a context manager."""

    def __init__(self, library: Library, model: Any) -> None:
        self._api = library.api
        self._model = model
        self._vocab = library.api.llama_model_get_vocab(model)
        self.size: int = self._api.llama_vocab_n_tokens(self._vocab)
        self.adds_bos: bool = bool(self._api.llama_vocab_get_add_bos(self._vocab))
        self.bos: int = self._api.llama_vocab_bos(self._vocab)
        self.eos: int = self._api.llama_vocab_eos(self._vocab)
        """The model's own end token (-1: none)."""
        template = self._api.llama_model_chat_template(model, None)
        self.chat_template: str | None = template.decode("utf-8", "replace") if template else None

    @property
    def pointer(self) -> Any:
        """llama.cpp's `llama_vocab *`."""
        return self._vocab

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text.

        `add_special`: the BOS that the model asks for; `parse_special`: `<|im_end|>` and the like
        are one token.
        """
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 8
        while True:
            ids = (ctypes.c_int32 * room)()
            count = self._api.llama_tokenize(
                self._vocab, raw, len(raw), ids, room, add_special, parse_special
            )
            if count >= 0:
                return list(ids[:count])
            room = -count

    def prompt_ids(self, rendered: str) -> list[int]:
        """Exactly the tokens that are evaluated for a rendered prompt: special tokens parsed, the
        model's BOS in front unless the text brings it.
        """
        ids = self.tokenize(rendered, add_special=False, parse_special=True)
        return (
            [self.bos, *ids] if self.adds_bos and self.bos >= 0 and ids[:1] != [self.bos] else ids
        )

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes of one token; a special token is its name, or nothing without `special`."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self._api.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return bytes(buffer.raw[:count])
            room = -count

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token; joined they are the text (a character may be spread over several
        tokens).
        """
        return [self.piece(token) for token in ids]

    def text(self, token: int) -> str:
        """The token's name in the vocabulary, as a template writes it; empty for an id that is not
        there.
        """
        return (
            self._api.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace")
            if 0 <= token < self.size
            else ""
        )

    def is_control(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_control(self._vocab, token))

    def ends_generation(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_eog(self._vocab, token))

    def end_of_turn(self) -> int:
        """The token that ends an assistant's answer: of the end tokens, the one that the chat
        template writes, else the model's own end token.

        (llama.cpp's own guess of an end of turn depends on the order of a hash table where a file
        names none.) Raises ModelError where there is none.
        """
        candidates = [
            token for token in (self.eos, self._api.llama_vocab_eot(self._vocab)) if token >= 0
        ]
        if not candidates:
            raise ModelError(
                "this model has no token that ends an answer",
                "use a GGUF with tokenizer.ggml.eos_token_id",
            )
        return int(
            next(
                (token for token in candidates if self.text(token) in (self.chat_template or "")),
                candidates[0],
            )
        )

    def fim(self) -> tuple[int, int, int] | None:
        """Tokens around a gap to fill: prefix, suffix, middle; None where the model has none."""
        found = tuple(
            int(f(self._vocab))
            for f in (
                self._api.llama_vocab_fim_pre,
                self._api.llama_vocab_fim_suf,
                self._api.llama_vocab_fim_mid,
            )
        )
        return (found[0], found[1], found[2]) if min(found) >= 0 else None

    def close(self) -> None:
        """Frees the model behind it. Closing twice is fine."""
        if self._model is not None:
            self._api.llama_model_free(self._model)
            self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class Model:
    """A loaded model with one context: evaluates tokens and gives logits.

    Not for two threads at a time.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int,
        sequences: int = 1,
        threads: int | None = None,
        within_training: bool = False,
    ) -> None:
        """Raises ModelError, UnsupportedArchitecture or ToolMissing.

        `context` counts tokens over all sequences together; `within_training` cuts it to what the
        model was trained with.
        """
        library = load_library()
        self._api = library.api
        self._pointer = open_file(library, path, vocab_only=False)
        self.vocabulary = Vocabulary(library, self._pointer)
        self.trained_context: int = self._api.llama_model_n_ctx_train(self._pointer)
        self.bytes: int = self._api.llama_model_size(self._pointer)
        if within_training and self.trained_context:
            context = min(context, self.trained_context)
        params = self._api.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = min(BATCH_TOKENS, context)
        params.n_outputs_max = self.outputs = max(
            1, min(params.n_batch, _OUTPUT_FLOATS // self.vocabulary.size)
        )
        params.n_seq_max, params.kv_unified = sequences, True
        cores = default_threads()
        params.n_threads = threads or answer_threads(self.bytes)
        params.n_threads_batch = threads or cores
        params.no_perf = True
        self._context = self._api.llama_init_from_model(self._pointer, params)
        if not self._context:
            self.vocabulary.close()
            raise ModelError(
                f"no room for a context of {context} tokens: {library.reason()}",
                "use a smaller context (serve.context, num_ctx)",
            )
        self.context = (
            context  # llama.cpp rounds up to a multiple of 256; what was asked for counts
        )
        self._memory = self._api.llama_get_memory(self._context)
        self._abort: object = None

    def forget(self) -> None:
        """Empties the memory of what was evaluated: the next evaluation starts fresh."""
        self._api.llama_memory_clear(self._memory, True)

    def stop_when(self, wanted: Callable[[], bool] | None) -> None:
        """Lets a running evaluation be broken off: llama.cpp asks `wanted` between its steps (None:
        no longer).
        """
        self._abort = (
            self._api.ggml_abort_callback(lambda _data: wanted())
            if wanted
            else self._api.ggml_abort_callback()
        )
        self._api.llama_set_abort_callback(self._context, self._abort, None)

    def evaluate(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        wanted: Sequence[bool],
    ) -> bool:
        """Evaluates up to `BATCH_TOKENS` tokens, each at its position of its sequence; `wanted`:
        whose logits to keep (at most `outputs`).

        False where `stop_when` broke it off. Raises ModelError where llama.cpp refuses (an id that
        is not in the vocabulary, no room left).
        """
        import numpy as np

        count = len(tokens)
        token, pos = np.asarray(tokens, np.int32), np.asarray(positions, np.int32)
        owner, logits, one = (
            np.asarray(sequences, np.int32),
            np.asarray(wanted, np.int8),
            np.ones(count, np.int32),
        )
        owners = np.uint64(owner.ctypes.data) + np.arange(count, dtype=np.uint64) * np.uint64(
            4
        )  # one `llama_seq_id *` a token
        as_ints = ctypes.POINTER(ctypes.c_int32)
        batch = self._api.llama_batch(
            n_tokens=count,
            token=token.ctypes.data_as(as_ints),
            pos=pos.ctypes.data_as(as_ints),
            n_seq_id=one.ctypes.data_as(as_ints),
            seq_id=owners.ctypes.data_as(ctypes.POINTER(as_ints)),
            logits=logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )
        code = self._api.llama_decode(self._context, batch)
        if code not in (0, 2):
            raise ModelError(
                f"llama.cpp could not evaluate {count} tokens (code {code}): "
                f"{load_library().reason()}"
            )
        return bool(code == 0)

    def logits(self, index: int) -> NDArray[np.float32]:
        """Logits (vocabulary,) at the `index`-th token of the last batch (-1: its last).

        A view that the next evaluation overwrites.
        """
        import numpy as np

        row = self._api.llama_get_logits_ith(self._context, index)
        if not row:
            raise ModelError(f"llama.cpp kept no logits for token {index}")
        return np.ctypeslib.as_array(row, (self.vocabulary.size,))

    def close(self) -> None:
        """Frees context and weights. Closing twice is fine."""
        if self._context is not None:
            self._api.llama_free(self._context)
            self._context = None
        self.vocabulary.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def answer_threads(weights: int) -> int:
    """Threads that make one token of a model of so many bytes; what is left of the cores is free
    for another answer.
    """
    return max(1, min(default_threads(), weights // _BYTES_PER_THREAD))


def answers_at_once(files: Iterable[Path]) -> int:
    """How many of these models have cores enough to answer side by side; at least one."""
    return max(1, default_threads() // max(answer_threads(file.stat().st_size) for file in files))


def load_vocabulary(path: Path) -> Vocabulary:
    """The tokenizer of a GGUF, without its weights (fast).

    Raises ModelError, UnsupportedArchitecture or ToolMissing. Close it after use.
    """
    library = load_library()
    return Vocabulary(library, open_file(library, path, vocab_only=True))


def score_sequences(
    path: Path,
    sequences: Sequence[tuple[Sequence[int], Sequence[int], Sequence[bool]]],
    *,
    context: int,
    threads: int | None = None,
) -> list[SequenceNll]:
    """NLL of each `(prompt_ids, target_ids, code_mask)` under the file at `path`: sum of -ln
    p(target[i] | prompt, target[:i]).

    The ids are evaluated as they are (no BOS is added). With an empty prompt the first target token
    has nothing before it and is not counted. A sequence longer than `context` tokens raises
    ModelError. Several short sequences share one evaluation, each with its own memory.
    """
    if longest := max((len(p) + len(t) for p, t, _ in sequences), default=0):
        if longest > context:
            raise ModelError(
                f"a sequence has {longest} tokens and the context is {context}",
                "measure it with a larger context",
            )
        room = max(longest, min(context, BATCH_TOKENS))
        with Model(path, context=room, sequences=min(64, len(sequences)), threads=threads) as model:
            rows = [_Row(p, t, code) for p, t, code in sequences]
            for group in _groups(rows, room, 64):
                _score_group(model, group)
            return [row.result() for row in rows]
    return [SequenceNll(0.0, 0, 0.0, 0) for _ in sequences]


class _Row:
    """One sequence on its way through `score_sequences`."""

    def __init__(self, prompt: Sequence[int], target: Sequence[int], code: Sequence[bool]) -> None:
        if len(target) != len(code):
            raise ValueError(f"{len(target)} target tokens but a code mask of {len(code)}")
        self.ids = [*prompt, *target][: len(prompt) + len(target)]
        self.first = max(len(prompt), 1)
        """Index of the first token that is predicted from one before it."""
        self.code = [*([False] * len(prompt)), *code]
        self.nll: list[float] = []
        self.hits = 0

    def result(self) -> SequenceNll:
        code = [n for n, is_code in zip(self.nll, self.code[self.first :], strict=True) if is_code]
        return SequenceNll(
            float(sum(self.nll)), len(self.nll), float(sum(code)), len(code), self.hits
        )


def _groups(rows: Sequence[_Row], room: int, limit: int) -> Iterator[list[_Row]]:
    """Rows in order, as many at a time as fit into one memory; a row with nothing to predict is
    left out.
    """
    group: list[_Row] = []
    used = 0
    for row in rows:
        if len(row.ids) <= row.first:
            continue
        if group and (used + len(row.ids) > room or len(group) == limit):
            yield group
            group, used = [], 0
        group.append(row)
        used += len(row.ids)
    if group:
        yield group


def _score_group(model: Model, group: Sequence[_Row]) -> None:
    """Evaluates rows side by side, each a sequence of its own, and adds the NLL of each predicted
    token to its row.
    """
    model.forget()
    steps = [
        (row, at, number) for number, row in enumerate(group) for at in range(len(row.ids) - 1)
    ]  # the last token predicts nothing
    start = 0
    while start < len(steps):
        part = _next_part(steps, start, model.outputs)
        wanted = [at + 1 >= row.first for row, at, _ in part]
        model.evaluate(
            [row.ids[at] for row, at, _ in part],
            [at for _, at, _ in part],
            [n for _, _, n in part],
            wanted,
        )
        for index, (row, at, _) in enumerate(part):
            if wanted[index]:
                logits = model.logits(index)
                row.nll.append(_nll(logits, row.ids[at + 1]))
                row.hits += int(logits.argmax()) == row.ids[at + 1]
        start += len(part)


def _next_part(
    steps: Sequence[tuple[_Row, int, int]], start: int, outputs: int
) -> Sequence[tuple[_Row, int, int]]:
    """The next steps that one batch holds: `BATCH_TOKENS` tokens, `outputs` of them with logits."""
    kept = 0
    for end in range(start, min(start + BATCH_TOKENS, len(steps))):
        row, at, _ = steps[end]
        kept += at + 1 >= row.first
        if kept > outputs:
            return steps[start:end]
    return steps[start : min(start + BATCH_TOKENS, len(steps))]


def _nll(logits: NDArray[np.float32], token: int) -> float:
    """-ln softmax(logits)[token], the sum in float64."""
    import numpy as np

    top = logits.max()
    return float(np.log(np.exp(logits - top).sum(dtype=np.float64)) + top - logits[token])
