"""What a file's NLL on an example was is known for good: the same bytes and the same tokens give the same number.

The base and the live version come back in every cycle, and a gate set becomes the old suite of the next: each is measured once. One file a model,
named by its digest; a line an example. A line that cannot be read is as good as none, and a full disk only means that it is measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from qi_learn.outside.gguf_file import sha256_of
from qi_learn.outside.llama_cpp import SequenceNll, score_sequences
from qi_learn.records import Example

logger = logging.getLogger(__name__)
FORMAT = 2


class KnownNll:
    """The numbers of one GGUF file, kept in `directory`."""

    def __init__(self, directory: Path, gguf: Path) -> None:
        digest = gguf.name.removeprefix("sha256-") if gguf.name.startswith("sha256-") else sha256_of(gguf)
        self._gguf = gguf
        self._file = directory / f"{digest}.jsonl"

    def score(self, examples: Sequence[Example], *, context: int, threads: int | None = None) -> list[SequenceNll]:
        """One number an example, in order; what is not known yet is measured. Raises ModelError where the file cannot be used."""
        keys = [_key(e, context) for e in examples]
        known = self._read()
        missing = {key: e for key, e in zip(keys, examples, strict=True) if key not in known}
        if missing:
            found = score_sequences(self._gguf, [(e.prompt_ids, e.target_ids, e.code_mask) for e in missing.values()], context=context, threads=threads)
            known |= (fresh := dict(zip(missing, found, strict=True)))
            self._write(fresh)
        return [known[key] for key in keys]

    def _read(self) -> dict[str, SequenceNll]:
        try:
            lines = self._file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        return dict(parsed for line in lines if (parsed := _parse(line)) is not None)

    def _write(self, fresh: dict[str, SequenceNll]) -> None:
        text = "".join(json.dumps([FORMAT, key, s.nll, s.tokens, s.code_nll, s.code_tokens, s.hits]) + "\n" for key, s in fresh.items())
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            logger.warning("%s cannot be written (%s): it will be measured again", self._file, error)


def _key(example: Example, context: int) -> str:
    """Everything the number depends on besides the file."""
    said = json.dumps([example.prompt_ids, example.target_ids, example.code_mask, context])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _parse(line: str) -> tuple[str, SequenceNll] | None:
    try:
        form, key, nll, tokens, code_nll, code_tokens, hits = json.loads(line)
        return (str(key), SequenceNll(float(nll), int(tokens), float(code_nll), int(code_tokens), int(hits))) if form == FORMAT else None
    except (ValueError, TypeError):
        return None
