"""What answers of one served model were worth, so that a question is put to it once.

The live version comes back in every look, and so do the questions that are about no project. A line
is two numbers by the hash of everything that they depend on: the question, what was kept, whether
it must also look as usual, the limits, the server's build and device, and our version, which rates.
The answer itself is not kept. One file a
model, named by the digest of its manifest, which covers the template and parameters besides the
weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.gate.cache import append_cache, cache_key, read_cache
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Example


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """What one answer is worth."""

    similarity: float
    coherent: bool
    text: str = ""
    """Empty if it was rated before."""
    tokens_per_second: float = 0.0
    """0 if it was rated before: another moment of the machine says nothing of this one."""


class AnswerCache:
    """The ratings of one served model under the same conditions. Without a file nothing is kept."""

    def __init__(self, file: Path | None, *conditions: Any, new: bool = False) -> None:
        """`new`: nothing that is known is taken, since the answers themselves are wanted."""
        self._file, self._conditions = file, conditions
        self._cached = read_cache(file) if file and not new else {}

    def get(self, example: Example, *, usual: bool) -> RatedAnswer | None:
        """What the answer was worth before; None if it is not known.

        `usual`: rated as an answer that must also look as usual (`measure.measure_behaviour`).
        """
        return _rating(self._cached.get(self._key(example, usual), ()))

    def knows(self, examples: Sequence[Example], *, usual: bool) -> bool:
        """Whether any of these questions was answered before."""
        return any(self.get(example, usual=usual) for example in examples)

    def put(self, example: Example, rated: RatedAnswer, *, usual: bool) -> None:
        """Keep what an answer was worth."""
        if self._file:
            line = {self._key(example, usual): [rated.similarity, rated.coherent]}
            append_cache(self._file, line)

    def _key(self, example: Example, usual: bool) -> str:
        mask = example.code_mask, len(example.target_ids)  # where the kept answer has its code
        kept = example.target, example.kept_code, mask
        return cache_key(example.ask, kept, usual, self._conditions)


def served_cache(server: Ollama, model: str, directory: Path | None, kind: str) -> Path | None:
    """The file of a served model in the cache; None without one, or if its digest is not known."""
    listed = server.find(model)
    digest = listed.digest.removeprefix("sha256:") if listed else ""
    if directory is None or not re.fullmatch(r"[0-9a-f]{8,64}", digest):
        return None
    return directory / f"{digest}.{kind}.jsonl"


def _rating(values: Sequence[Any]) -> RatedAnswer | None:
    try:
        similarity, coherent = values
        return RatedAnswer(float(similarity), bool(coherent))
    except (ValueError, TypeError):
        return None
