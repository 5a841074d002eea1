"""What was measured of a model, which holds for good.

The same bytes and the same question give the same number.

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

from qi_learn.outside.gguf import sha256_of
from qi_learn.outside.llama_cpp_nll import SequenceNll, score_sequences
from qi_learn.records import Example

logger = logging.getLogger(__name__)
FORMAT = 2


class NllCache:
    """The numbers of one GGUF file, kept in `directory`."""

    def __init__(self, directory: Path, gguf: Path) -> None:
        blob = gguf.name.startswith("sha256-")
        digest = gguf.name.removeprefix("sha256-") if blob else sha256_of(gguf)
        self._gguf = gguf
        self._file = directory / f"{digest}.jsonl"

    def score(
        self, examples: Sequence[Example], *, context: int, threads: int | None = None
    ) -> list[SequenceNll]:
        """One number an example, in order; what the cache lacks is measured and added.

        Raises ModelError if the file cannot be used.
        """
        keys = [cache_key(e.prompt_ids, e.target_ids, e.code_mask, context) for e in examples]
        cached = {
            key: number
            for key, values in read_cache(self._file).items()
            if (number := _number(values)) is not None
        }
        missing = {key: e for key, e in zip(keys, examples, strict=True) if key not in cached}
        if missing:
            scored = score_sequences(
                self._gguf,
                [(e.prompt_ids, e.target_ids, e.code_mask) for e in missing.values()],
                context=context,
                threads=threads,
            )
            fresh = dict(zip(missing, scored, strict=True))
            append_cache(self._file, {key: _values(number) for key, number in fresh.items()})
            cached |= fresh
        return [cached[key] for key in keys]


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


def _values(number: SequenceNll) -> list[float]:
    return [number.nll, number.tokens, number.code_nll, number.code_tokens, number.hits]


def _number(values: Sequence[Any]) -> SequenceNll | None:
    try:
        nll, tokens, code_nll, code_tokens, hits = values
        return SequenceNll(float(nll), int(tokens), float(code_nll), int(code_tokens), int(hits))
    except (ValueError, TypeError):
        return None
