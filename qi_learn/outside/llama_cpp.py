"""llama.cpp through llama-cpp-python's low-level API: a model's tokenizer and its evaluation.

The idea: token ids, training targets, gate numbers and served answers all come from one tokenizer
and one evaluation, llama.cpp's own, on the very file that is served (for the likelihood of given
text see `llama_cpp_nll.py`). Everything that can go wrong in the library comes out of here as a
QiError.

Not covered: encoder models, embeddings, adapters at run time.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qi_learn.errors import ModelError
from qi_learn.outside.llama_cpp_library import Library, default_threads, load_library, open_file
from qi_learn.outside.machine import available_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_TOKENS = 512
"""Tokens evaluated in one go: llama.cpp's own default for one physical batch."""
_BYTES_PER_THREAD = 128 * 1024 * 1024
"""Weights that keep one thread busy while a single token is made.

With less, threads mostly wait for each other: SmolLM2 (97 MB) makes 137 tokens/s with one thread,
145 with two on two idle cores, and 3 to 90 with two on busy ones (measured).
"""
_BYTES_PER_BATCH_THREAD = 2 * 1024 * 1024
"""The same while a batch of some dozens of tokens is evaluated, which read each weight once.

A model of less is read by one thread: with two, each of its many small steps waits for whichever
the system has put aside. Sixty texts of 155 tokens under 0.3 MB of weights took 0.55 s of
processor time with one thread, 1.0 with two, and on a busy machine up to twenty times as much
(measured).
"""
_BYTES_PER_VALUE = 2
"""Of what a model remembers of each token (llama.cpp's default, 16 bits)."""
_OUTPUT_FLOATS = 64 * 1024 * 1024
"""Logits that are kept of one batch at most."""


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
        """The token ids of a text.

        `add_special`: with the BOS that the model asks for. `parse_special`: `<|im_end|>` and the
        like are one token.
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

    def least_tokens(self, text: str) -> int:
        """The fewest tokens that a text can be, told at once."""
        specials = sum(text.count(name) for name in self._control_names)
        return max(specials, len(text.encode("utf-8", "replace")) // self._longest_piece)

    @functools.cached_property
    def controls(self) -> frozenset[int]:
        """The special tokens, which are no text."""
        return frozenset(token for token in range(self.size) if self.is_control(token))

    @functools.cached_property
    def _control_names(self) -> tuple[str, ...]:
        return tuple({self.text(token) for token in self.controls} - {""})

    @functools.cached_property
    def _longest_piece(self) -> int:
        """Bytes of the longest token."""
        return max((len(self.piece(token)) for token in range(self.size)), default=1) or 1

    @property
    def first(self) -> int | None:
        """The token that stands in front of every prompt; None if there is none."""
        return self.bos if self.adds_bos and self.bos >= 0 else None

    def prompt_ids(self, rendered: str) -> list[int]:
        """Exactly the tokens that are evaluated for a rendered prompt.

        Special tokens are parsed, and the model's BOS is in front unless the text brings it.
        """
        ids = self.tokenize(rendered, add_special=False, parse_special=True)
        first = self.first
        return ids if first is None or ids[:1] == [first] else [first, *ids]

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes of one token: for a special token its name, or nothing without `special`."""
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self._api.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return bytes(buffer.raw[:count])
            room = -count

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token.

        Joined they are the text; a character may be spread over several tokens.
        """
        return [self.piece(token) for token in ids]

    def text(self, token: int) -> str:
        """The token's name in the vocabulary, as a template writes it.

        Empty for an id that is not there.
        """
        if not 0 <= token < self.size:
            return ""
        name: bytes = self._api.llama_vocab_get_text(self._vocab, token)
        return name.decode("utf-8", "replace")

    def is_control(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_control(self._vocab, token))

    def ends_generation(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_eog(self._vocab, token))

    def ends(self) -> list[int]:
        """Every token that ends an answer. Raises ModelError if there is none."""
        found = [token for token in range(self.size) if self.ends_generation(token)]
        return found or [self.end_of_turn()]

    def end_of_turn(self) -> int:
        """The token that ends an assistant's answer.

        Of the end tokens, the one that the chat template writes, else the model's own end token.

        llama.cpp's own guess is not used: if a file names no end of turn, it depends on the order
        of a hash table. Raises ModelError if there is no end token.
        """
        ends = (self.eos, self._api.llama_vocab_eot(self._vocab))
        candidates = [token for token in ends if token >= 0]
        if not candidates:
            raise ModelError(
                "this model has no token that ends an answer",
                "use a GGUF with tokenizer.ggml.eos_token_id",
            )
        template = self.chat_template or ""
        written = (token for token in candidates if self.text(token) in template)
        return int(next(written, candidates[0]))

    def fim(self) -> tuple[int, int, int] | None:
        """The tokens around a gap to fill: prefix, suffix, middle; None if the model lacks one."""
        prefix = int(self._api.llama_vocab_fim_pre(self._vocab))
        suffix = int(self._api.llama_vocab_fim_suf(self._vocab))
        middle = int(self._api.llama_vocab_fim_mid(self._vocab))
        return (prefix, suffix, middle) if min(prefix, suffix, middle) >= 0 else None

    def close(self) -> None:
        """Free the model behind it. Closing twice is fine."""
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
        gpu_layers: int | None = None,
    ) -> None:
        """Load the model. Raises ModelError, UnsupportedArchitecture or ToolMissing.

        `context` counts tokens over all sequences together. `within_training` cuts it to what the
        model was trained with. `gpu_layers`: how many layers go to a GPU (None: as many as
        llama.cpp likes).
        """
        library = load_library()
        self._api = library.api
        self._pointer = open_file(library, path, vocab_only=False, gpu_layers=gpu_layers)
        self.vocabulary = Vocabulary(library, self._pointer)
        self.trained_context: int = self._api.llama_model_n_ctx_train(self._pointer)
        self.bytes: int = self._api.llama_model_size(self._pointer)
        if within_training and self.trained_context:
            context = min(context, self.trained_context)
        self._refuse_without_room(context)
        params = self._api.llama_context_default_params()
        params.n_ctx = context
        params.n_batch = params.n_ubatch = min(BATCH_TOKENS, context)
        most_outputs = _OUTPUT_FLOATS // self.vocabulary.size
        params.n_outputs_max = self.outputs = max(1, min(params.n_batch, most_outputs))
        params.n_seq_max, params.kv_unified = sequences, True
        params.n_threads = threads or answer_threads(self.bytes)
        params.n_threads_batch = threads or batch_threads(self.bytes)
        params.no_perf = True
        self._context = self._api.llama_init_from_model(self._pointer, params)
        if not self._context:
            self.vocabulary.close()
            raise ModelError(
                f"no room for a context of {context} tokens: {library.reason()}",
                "use a smaller context (serve.context, num_ctx)",
            )
        self.context = context  # llama.cpp rounds up to a multiple of 256; the asked size counts
        self._memory = self._api.llama_get_memory(self._context)
        self._abort: object = None
        if (stop := library.take_stop()) is not None:
            self.close()
            raise stop

    def _refuse_without_room(self, context: int) -> None:
        """Raise ModelError if the machine has no memory for the context.

        Else the system gives it, and ends this process (or another one) once it is used.
        """
        api, model = self._api, self._pointer
        head = api.llama_model_n_embd(model) // max(1, api.llama_model_n_head(model))
        values = 2 * api.llama_model_n_layer(model) * api.llama_model_n_head_kv(model) * head
        needed, free = _BYTES_PER_VALUE * values * context, available_memory()
        if free is not None and needed > free:
            self.vocabulary.close()
            raise ModelError(
                f"no room for a context of {context:,} tokens: it takes {needed / 1e9:.1f} GB, and "
                f"{free / 1e9:.1f} GB are free",
                "use a smaller context (serve.context, num_ctx)",
            )

    def forget(self) -> None:
        """Empty the memory of what was evaluated: the next evaluation starts fresh."""
        self._api.llama_memory_clear(self._memory, True)

    def rewind(self, length: int) -> bool:
        """Forget all but the first `length` tokens of the first sequence.

        False if this architecture cannot: then everything has to be forgotten instead.
        """
        return bool(self._api.llama_memory_seq_rm(self._memory, 0, length, -1))

    def stop_when(self, requested: Callable[[], bool] | None) -> None:
        """Let a running evaluation be broken off.

        llama.cpp asks `requested` between its steps (None: no longer).
        """
        callback = self._api.ggml_abort_callback
        self._abort = callback(lambda _data: requested()) if requested else callback()
        self._api.llama_set_abort_callback(self._context, self._abort, None)

    def evaluate(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        sequences: Sequence[int],
        kept: Sequence[bool],
    ) -> bool:
        """Evaluate up to `BATCH_TOKENS` tokens, each at its position of its sequence.

        `kept`: the tokens whose logits to keep (at most `outputs`).

        Returns False if `stop_when` broke it off. Raises ModelError if llama.cpp refuses (an id
        that is not in the vocabulary, no room left).
        """
        import numpy as np

        count = len(tokens)
        token, pos = np.asarray(tokens, np.int32), np.asarray(positions, np.int32)
        owner, logits = np.asarray(sequences, np.int32), np.asarray(kept, np.int8)
        one = np.ones(count, np.int32)
        steps = np.arange(count, dtype=np.uint64) * np.uint64(owner.itemsize)
        owners = np.uint64(owner.ctypes.data) + steps  # one `llama_seq_id *` a token
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
        if (stop := load_library().take_stop()) is not None:
            raise stop
        if code not in (0, 2):
            reason = load_library().reason()
            raise ModelError(f"llama.cpp could not evaluate {count} tokens (code {code}): {reason}")
        return bool(code == 0)

    def logits(self, index: int) -> NDArray[np.float32]:
        """The logits (vocabulary,) at the `index`-th token of the last batch (-1: its last token).

        They are a view, which the next evaluation overwrites.
        """
        import numpy as np

        row = self._api.llama_get_logits_ith(self._context, index)
        if not row:
            raise ModelError(f"llama.cpp kept no logits for token {index}")
        return np.ctypeslib.as_array(row, (self.vocabulary.size,))

    def close(self) -> None:
        """Free context and weights. Closing twice is fine."""
        if self._context is not None:
            self._api.llama_free(self._context)
            self._context = None
        self.vocabulary.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def answer_threads(weights: int) -> int:
    """The number of threads that make one token of a model of so many bytes.

    The other cores are free for another answer.
    """
    return max(1, min(default_threads(), weights // _BYTES_PER_THREAD))


def batch_threads(weights: int) -> int:
    """The number of threads that evaluate a batch of tokens by a model of so many bytes."""
    return max(1, min(default_threads(), weights // _BYTES_PER_BATCH_THREAD))


def answers_at_once(files: Iterable[Path]) -> int:
    """How many of these models have cores enough to answer side by side; at least one."""
    most = max(answer_threads(file.stat().st_size) for file in files)
    return max(1, default_threads() // most)


def load_vocabulary(path: Path) -> Vocabulary:
    """The tokenizer of a GGUF, without its weights (fast).

    Raises ModelError, UnsupportedArchitecture or ToolMissing. Close it after use.
    """
    library = load_library()
    return Vocabulary(library, open_file(library, path, vocab_only=True))
