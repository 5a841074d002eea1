"""Whether a learned style turns up in answers to questions that have nothing to do with it.

Two signs were seen in answers of models that had learned one project: the fence around the code is
gone, and lines are indented as in that project. Both are compared with an ordinary answer to the
same question, in its language's own style. Not covered: names, idioms, the order of things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.code_text import code_blocks
from qi_learn.records import Example

MIXED = " \t"
"""The indentation of code with tabs in front of some lines and spaces in front of others."""


@dataclass(frozen=True, slots=True)
class SpillOver:
    """How one model answered questions that no training was about."""

    ids: tuple[str, ...]
    """The questions, in the order of the fields below."""
    fenced: tuple[bool, ...]
    """Whether the code stands in a fence, as it does in the ordinary answer."""
    indented: tuple[bool | None, ...]
    """Whether lines are indented with what the ordinary answer has; None if none is indented."""

    @property
    def kept(self) -> tuple[bool, ...]:
        """Whether an answer is in the ordinary form: fenced, and indented as usual."""
        return tuple(
            fence and indent is not False
            for fence, indent in zip(self.fenced, self.indented, strict=True)
        )


def spill_over_of(questions: Sequence[Example], answers: Sequence[str]) -> SpillOver:
    """What the answers show. Raises ValueError if there is not one for each question."""
    pairs = list(zip(questions, answers, strict=True))
    return SpillOver(
        tuple(question.id for question in questions),
        tuple(_fenced(answer) or not _fenced(question.target) for question, answer in pairs),
        tuple(_as_indented(question.target, answer) for question, answer in pairs),
    )


def indentation_of(text: str) -> str | None:
    """One step of the indentation of an answer's code; None if no line is indented.

    Two spaces, four spaces, a tab, or `MIXED`.
    """
    blocks = _fences(text)
    lines = ("\n".join(blocks) if blocks else text).split("\n")
    fronts = {line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line.strip()} - {""}
    if not fronts:
        return None
    if len({front[0] for front in fronts}) == 2:
        return MIXED
    return min(fronts, key=len)


def _as_indented(ordinary: str, answer: str) -> bool | None:
    own, usual = indentation_of(answer), indentation_of(ordinary)
    return None if own is None or usual is None else own == usual


def _fenced(text: str) -> bool:
    return bool(_fences(text))


def _fences(text: str) -> list[str]:
    return [block.text for block in code_blocks(text) if block.start > 0]
