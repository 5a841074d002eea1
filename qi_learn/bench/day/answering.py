"""What files answer themselves, greedily, and how far that is from what was written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qi_learn.bench.answers import greedy_answers
from qi_learn.bench.day.play import Planned, piece_in
from qi_learn.bench.rendering import ByTemplate
from qi_learn.code_text import indentation, loops, similarity
from qi_learn.outside.llama_cpp import Vocabulary

ANSWER_TOKENS, QUICK_TOKENS = 160, 32
"""The longest answer: most definitions are shorter."""


def distance(planned: Planned, text: str) -> float:
    """Edits from an answer to the true text over the longer one's length, in code tokens: 0..1.

    An answer without code is as far as can be.
    """
    return 1.0 - similarity(piece_in(planned, text), planned.truth)


def own_answers(
    file: Path, planned: Sequence[Planned], vocabulary: Vocabulary, *, limit: int
) -> list[str]:
    """What a file answers to each question as it is asked. Raises ModelError, ServerError."""
    renderer = ByTemplate(vocabulary)
    prompts = [
        vocabulary.prompt_ids(renderer.render(one.question.endpoint, one.question.body))
        for one in planned
    ]
    return answers_to(file, planned, prompts, limit=limit)


def answers_to(
    file: Path, planned: Sequence[Planned], prompts: Sequence[Sequence[int]], *, limit: int
) -> list[str]:
    """The same to prompts that are rendered already: those that end alike are asked together."""
    found = [""] * len(planned)
    kinds = sorted({_kind(one) for one in planned})
    for kind in kinds:
        places = [n for n, one in enumerate(planned) if _kind(one) == kind]
        answers = greedy_answers(
            file, [prompts[n] for n in places], limit=limit, finished=_finished(*kind)
        )
        for n, answer in zip(places, answers, strict=True):
            found[n] = answer
    return found


def _kind(planned: Planned) -> tuple[str, int]:
    form = planned.question.form
    return form, len(indentation(planned.code.text)) if form == "fim" else 0


def _finished(form: str, margin: int) -> Callable[[str], bool]:
    """Whether an answer says no more that is wanted."""

    def finished(text: str) -> bool:
        if loops(text):
            return True
        if form == "chat":
            return text.count("```") >= 2
        if form == "agent":
            return "> REPLACE" in text
        *ended, _ = text.split("\n")
        return any(line.strip() and len(line) - len(line.lstrip()) <= margin for line in ended)

    return finished
