"""What was measured of a model, which holds for good.

The same bytes, the same question and the same llama.cpp give the same number.

The base and the live version come back in every cycle, and a gate set becomes the old suite of the
next: each is measured once. One file a model, named by its digest; one line an example. A line that
cannot be read counts as missing, and a full disk only means that the number is measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qi_learn.gate.likelihood_curve import GRID, Curve, curve_of
from qi_learn.gate.temperature import OTHERS
from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp_nll import SequenceNll
from qi_learn.records import Example

logger = logging.getLogger(__name__)
FORMAT = 2
_BUILD = "build "
"""Before the name of a build, as the key of a line without values."""


class NllCache:
    """The numbers of one GGUF file, kept in `directory`.

    `build`: what else they depend on (`reading.build_of`). Numbers of another build are not paired
    with these, and count as missing; the file says of which builds it has any.
    """

    def __init__(self, directory: Path, digest: str, build: str) -> None:
        self._file = directory / f"{digest}.jsonl"
        self._build = build
        self._cached = read_cache(self._file)

    @property
    def builds(self) -> tuple[str, ...]:
        """The builds under which something was measured, the newest last."""
        return tuple(key.removeprefix(_BUILD) for key in self._cached if key.startswith(_BUILD))

    def text(self, example: Example, build: str | None = None) -> SequenceNll | None:
        """What was measured of an example's target; None if it has to be read (again).

        `build`: another one than this, to compare within it.
        """
        return _number(self._cached.get(_text_key(build or self._build, example), ()))

    def put_text(self, example: Example, number: SequenceNll) -> None:
        """Keep what was measured."""
        self._put({_text_key(self._build, example): _values(number)})

    def curve(self, example: Example) -> Curve | None:
        """NLL of the person's tokens at every temperature; None if they have to be read (again)."""
        return curve_of(self._cached.get(self._curve_key(example), ()))

    def put_curve(self, example: Example, curve: Curve) -> None:
        """Keep what was measured."""
        self._put({self._curve_key(example): curve.values()})

    def temperature(self, examples: Sequence[Example]) -> float | None:
        """The temperature that was fitted on these examples; None if none was."""
        value = next(iter(self._cached.get(self._fit_key(examples), ())), None)
        return value if isinstance(value, float) and value > 0 else None

    def put_temperature(self, examples: Sequence[Example], temperature: float) -> None:
        """Keep a fitted temperature."""
        self._put({self._fit_key(examples): [temperature]})

    def _put(self, fresh: Mapping[str, list[Any]]) -> None:
        named = _BUILD + self._build
        fresh = fresh if named in self._cached else {named: [], **fresh}
        append_cache(self._file, fresh)
        self._cached |= fresh

    def _curve_key(self, example: Example) -> str:
        ids = example.prompt_ids, example.target_ids
        return cache_key("curve", self._build, GRID, *ids, example.person_mask)

    def _fit_key(self, examples: Sequence[Example]) -> str:
        texts = [(e.prompt_ids, e.target_ids, e.person_mask) for e in examples]
        return cache_key("temperature", self._build, GRID, OTHERS, texts)


def _text_key(build: str, example: Example) -> str:
    return cache_key(build, example.prompt_ids, example.target_ids, example.code_mask)


def digest_of(gguf: Path) -> str:
    """The sha256 of a file, which a blob has in its name."""
    blob = gguf.name.startswith("sha256-")
    return gguf.name.removeprefix("sha256-") if blob else sha256_of(gguf)


def cache_key(*parts: Any) -> str:
    """The hash of everything that a number depends on besides the model."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def read_cache(file: Path) -> dict[str, list[Any]]:
    """The values in a cache file, by key; empty if there is none."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    return dict(parsed for line in lines if (parsed := _parse(line)) is not None)


def append_cache(file: Path, fresh: Mapping[str, Sequence[Any]]) -> None:
    """Append values, a line each. A file that cannot be written is logged."""
    text = "".join(json.dumps([FORMAT, key, *values]) + "\n" for key, values in fresh.items())
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        logger.warning("%s cannot be written (%s): it will be measured again", file, error)


def _parse(line: str) -> tuple[str, list[Any]] | None:
    try:
        form, key, *values = json.loads(line)
        return (str(key), values) if form == FORMAT else None
    except (ValueError, TypeError):
        return None


def _values(number: SequenceNll) -> list[Any]:
    code = number.code_nll, number.code_tokens
    return [number.nll, number.tokens, *code, number.hits, number.end_nll]


def _number(values: Sequence[Any]) -> SequenceNll | None:
    try:
        nll, tokens, code_nll, code_tokens, hits, end_nll = values
        code = float(code_nll), int(code_tokens)
        return SequenceNll(float(nll), int(tokens), *code, int(hits), float(end_nll))
    except (ValueError, TypeError):
        return None
