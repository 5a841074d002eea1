"""What a GGUF itself answers, greedily, by llama.cpp on the very file: no server, no template.

One question is read and answered after another, so an answer depends on the file and its own
question alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qi_learn.outside.llama_cpp import BATCH_TOKENS, Model


def greedy_answers(
    gguf: Path,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    finished: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """The answer to each prompt (token ids): until it ends, is `finished`, or has `limit` tokens.

    Raises ModelError if the file cannot be used.
    """
    if not prompts:
        return []
    longest = max(map(len, prompts)) + limit
    with Model(gguf, context=longest) as model:
        return [_answer(model, prompt, limit, finished) for prompt in prompts]


def _answer(
    model: Model, prompt: Sequence[int], limit: int, finished: Callable[[str], bool]
) -> str:
    model.forget()
    _read(model, prompt, 0)
    written: list[int] = []
    text = ""
    while len(written) < limit:
        token = int(model.logits(-1).argmax())
        if model.vocabulary.ends_generation(token):
            break
        written.append(token)
        text = b"".join(model.vocabulary.pieces(written)).decode("utf-8", "replace")
        if finished(text) or len(written) == limit:
            break
        _read(model, [token], len(prompt) + len(written) - 1)
    return text


def _read(model: Model, ids: Sequence[int], position: int) -> None:
    """Evaluate tokens from `position` on, in batches; the last one's logits are kept."""
    for start in range(0, len(ids), BATCH_TOKENS):
        part = ids[start : start + BATCH_TOKENS]
        places = range(position + start, position + start + len(part))
        kept = [False] * (len(part) - 1) + [True]
        model.evaluate(part, places, [0] * len(part), kept)
