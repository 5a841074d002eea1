"""The choice of the next token: options as Ollama names them, its defaults, llama.cpp's samplers.

At temperature 0 the most likely token is taken, always the same one. Otherwise the samplers follow
in llama.cpp's order: penalties, top_k, typical_p, top_p, min_p, temperature, then a draw from a
generator with the given seed. A form (format) has the last word: if it does not allow the token,
another is drawn among those that it allows.
"""

from __future__ import annotations

import ctypes
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from qi_learn.errors import ServerError
from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.outside.llama_cpp_library import load_library
from qi_learn.outside.llguidance import Form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_LARGEST_INT = 2**31 - 1
_LARGEST_FLOAT = 1e6
"""Beyond it an option says nothing more, and llama.cpp would count with infinities."""
_COLD = 1e-3
"""A temperature below it is greedy; logits divided by less are infinite."""
_LONGEST_LOOK_BACK = 1 << 20
"""Tokens that penalties look at, at most: llama.cpp makes room for each."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Ollama's options that matter here, with its defaults (api/types.go, 0.33)."""

    num_ctx: int = 0
    """0: the engine's own default."""
    num_predict: int = -1
    """Tokens of the answer at most; below 0: until the model ends or the context is full."""
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = -1
    stop: tuple[str, ...] = ()


def sampling_from(options: Mapping[str, Any]) -> Sampling:
    """The options of a request and its model; unknown ones are ignored.

    Raises ServerError (500, as Ollama does) if one has the wrong type.
    """
    kinds = {field.name: field.type for field in fields(Sampling)}
    checked = {
        name: _option(name, kinds[name], value)
        for name, value in options.items()
        if name in kinds and value is not None
    }
    return Sampling(**checked)


def _option(name: str, kind: Any, value: Any) -> Any:
    """The value of an option in its type."""
    number = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    )
    if kind == "int":
        if number:
            return int(max(-_LARGEST_INT, min(_LARGEST_INT, value)))
        raise ServerError(f'option "{name}" must be of type integer', status=500)
    if kind == "float":
        if number:
            return max(-_LARGEST_FLOAT, min(_LARGEST_FLOAT, float(value)))
        raise ServerError(f'option "{name}" must be of type float32', status=500)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ServerError(f'option "{name}" must be of type array', status=500)


class Chooser:
    """Chooses tokens for one answer. Close it after use."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        sampling: Sampling,
        prompt: Sequence[int],
        form: Form | None = None,
    ) -> None:
        """Make the samplers."""
        import numpy as np

        self._api = api = load_library().api
        row = [("id", np.int32), ("logit", np.float32), ("p", np.float32)]  # llama_token_data
        self._candidates = np.zeros(vocabulary.size, dtype=row)
        self._ids = np.arange(vocabulary.size, dtype=np.int32)
        self._form = form
        self._chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
        for sampler in _samplers(api, vocabulary.size, sampling):
            api.llama_sampler_chain_add(self._chain, sampler)
        for token in prompt:
            api.llama_sampler_accept(self._chain, token)

    def choose(self, logits: NDArray[np.float32]) -> int:
        """Choose the next token, and let the samplers know of it."""
        import numpy as np

        token = self._draw(logits)
        if self._form is not None and not (allowed := self._form.allowed())[token]:
            token = self._draw(np.where(allowed, logits, np.float32(-np.inf)))
        self._api.llama_sampler_accept(self._chain, token)
        return token

    def keep(self, token: int) -> None:
        """Tell the form that a token became part of the text (an end token does not)."""
        if self._form is not None:
            self._form.keep(token)

    def _draw(self, logits: NDArray[np.float32]) -> int:
        """A token drawn by the samplers."""
        rows = self._candidates
        rows["id"], rows["logit"], rows["p"] = self._ids, logits, 0.0
        array = self._array(rows)
        self._api.llama_sampler_apply(self._chain, ctypes.byref(array))
        if not 0 <= array.selected < array.size:
            raise ServerError("these options leave no token to choose from", status=400)
        return int(array.data[array.selected].id)

    def _array(self, rows: Any) -> Any:
        api = self._api
        return api.llama_token_data_array(
            data=rows.ctypes.data_as(api.llama_token_data_p),
            size=len(rows),
            selected=-1,
            sorted=False,
        )

    def close(self) -> None:
        """Free the samplers. Closing twice is fine."""
        if self._chain is not None:
            self._api.llama_sampler_free(self._chain)
        self._chain = None


def _samplers(api: Any, size: int, s: Sampling) -> list[Any]:
    """llama.cpp's samplers in order, without neutral ones."""
    chain = []
    repeat = max(_COLD, s.repeat_penalty)
    penalties = (repeat, s.frequency_penalty, s.presence_penalty)
    if s.repeat_last_n != 0 and penalties != (1.0, 0.0, 0.0):
        last = min(_LONGEST_LOOK_BACK, s.repeat_last_n)
        chain.append(api.llama_sampler_init_penalties(size, last, *penalties))
    if s.temperature < _COLD:
        return [*chain, api.llama_sampler_init_greedy()]
    if s.top_k > 0:
        chain.append(api.llama_sampler_init_top_k(s.top_k))
    if s.typical_p < 1:
        chain.append(api.llama_sampler_init_typical(s.typical_p, 1))
    if s.top_p < 1:
        chain.append(api.llama_sampler_init_top_p(s.top_p, 1))
    if s.min_p > 0:
        chain.append(api.llama_sampler_init_min_p(s.min_p, 1))
    seed = secrets.randbits(32) if s.seed < 0 else s.seed & 0xFFFFFFFF
    return [*chain, api.llama_sampler_init_temp(s.temperature), api.llama_sampler_init_dist(seed)]
