"""The log-likelihood of given text under a GGUF, by llama.cpp.

Teacher-forced: the ids are evaluated as they are, on the very file that is served. Several short
sequences share one evaluation, each with its own memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qi_learn.errors import ModelError
from qi_learn.outside.llama_cpp import BATCH_TOKENS, Model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SIDE_BY_SIDE = 64
"""Sequences in one evaluation at most."""


@dataclass(frozen=True, slots=True)
class SequenceNll:
    """The teacher-forced negative log-likelihood of one target, in nats, summed over its tokens.

    NaN if the model's output is not a number.
    """

    nll: float
    tokens: int
    code_nll: float
    """The part of `nll` that falls on the tokens of the code mask."""
    code_tokens: int
    hits: int = 0
    """Tokens that the model itself would have written in their place (greedy)."""


def score_sequences(
    path: Path,
    sequences: Sequence[tuple[Sequence[int], Sequence[int], Sequence[bool]]],
    *,
    context: int,
    threads: int | None = None,
) -> list[SequenceNll]:
    """The NLL of each `(prompt_ids, target_ids, code_mask)` under the file at `path`.

    It is the sum of -ln p(target[i] | prompt, target[:i]).

    No BOS is added. With an empty prompt the first target token has nothing before it and is not
    counted. Raises ModelError if a sequence is longer than `context` tokens.
    """
    longest = max((len(p) + len(t) for p, t, _ in sequences), default=0)
    if not longest:
        return [SequenceNll(0.0, 0, 0.0, 0) for _ in sequences]
    if longest > context:
        raise ModelError(
            f"a sequence has {longest} tokens and the context is {context}",
            "measure it with a larger context",
        )
    room = max(longest, min(context, BATCH_TOKENS))
    beside = min(SIDE_BY_SIDE, len(sequences))
    with Model(path, context=room, sequences=beside, threads=threads) as model:
        rows = [_Row(p, t, code) for p, t, code in sequences]
        for group in _groups(rows, room, SIDE_BY_SIDE):
            _score_group(model, group)
        return [row.result() for row in rows]


class _Row:
    """One sequence on its way through `score_sequences`."""

    def __init__(self, prompt: Sequence[int], target: Sequence[int], code: Sequence[bool]) -> None:
        if len(target) != len(code):
            raise ValueError(f"{len(target)} target tokens but a code mask of {len(code)}")
        self.ids = [*prompt, *target][: len(prompt) + len(target)]
        self.first = max(len(prompt), 1)
        """The index of the first token that is predicted from one before it."""
        self.code = [*([False] * len(prompt)), *code]
        self.nll: list[float] = []
        self.hits = 0

    def result(self) -> SequenceNll:
        code = [n for n, is_code in zip(self.nll, self.code[self.first :], strict=True) if is_code]
        return SequenceNll(
            float(sum(self.nll)), len(self.nll), float(sum(code)), len(code), self.hits
        )


def _groups(rows: Sequence[_Row], room: int, limit: int) -> Iterator[list[_Row]]:
    """Rows in order, as many at a time as fit into one memory.

    Those that have nothing to predict are left out.
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
    """Evaluate rows side by side, and add the NLL of each predicted token to its row.

    Each row is a sequence of its own.
    """
    model.forget()
    # The last token of a row predicts nothing.
    steps = [
        (row, at, number) for number, row in enumerate(group) for at in range(len(row.ids) - 1)
    ]
    start = 0
    while start < len(steps):
        part = _next_part(steps, start, model.outputs)
        predicts = [at + 1 >= row.first for row, at, _ in part]
        model.evaluate(
            [row.ids[at] for row, at, _ in part],
            [at for _, at, _ in part],
            [n for _, _, n in part],
            predicts,
        )
        for index, (row, at, _) in enumerate(part):
            if predicts[index]:
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
