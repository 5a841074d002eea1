"""What should have been answered: the served answer with the kept texts in place of its code.

Its rules are those of contracts 7.

The invariant: every character of the target was either served to the client or kept by the person,
so the model goes on answering in the form its clients expect. A kept text is moved to the
indentation that its block had in the answer. Blocks without a decision stay as they were served.
What was rejected is never learned, nor is a sentence that a limit cut: if they follow the last kept
block, the answer ends with that block, otherwise the turn is not used.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from qi_learn.code_text import Block, code_blocks, indentation, reindent, similarity, with_code
from qi_learn.dataset.changed_edits import is_gone, is_lost, with_final_texts
from qi_learn.dataset.grammars import named_by
from qi_learn.dataset.tool_calls import Call, Span, calls_of, suggested, with_arguments
from qi_learn.records import LearningInteraction, Suggestion

LOST = "an edit became another text, and its place in the answer is not known"
_FENCE_LINE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*")


@dataclass(frozen=True, slots=True)
class Target:
    """A complete answer, with the positions of its code."""

    text: str
    """The text of the answer; the server writes tool calls beside it (`dataset/tool_calls.py`)."""
    spans: tuple[Span, ...]
    """The code in the text, in order."""
    calls: tuple[Call, ...] = ()
    """The tool calls."""
    arguments: tuple[str, ...] = ()
    """The texts in the calls that are code."""
    languages: tuple[str | None, ...] = field(default=(), compare=False)
    """Of the code in the text, then of the arguments, as a fence or the end of a file's name says
    it; None, or less than there is code, where nothing does.
    """
    served: Target | None = field(default=None, compare=False)
    """The same answer with the code as it was suggested; None if the answer was cut, so that the
    two cannot be compared.
    """

    @property
    def code(self) -> str:
        """The code alone, block after block."""
        return "\n".join(
            piece.rstrip("\n")
            for piece in (*(self.text[start:end] for start, end in self.spans), *self.arguments)
        )


@dataclass(frozen=True, slots=True)
class Skipped:
    """Why a turn gives no example.

    The same cause has the same words, because they are counted.
    """

    reason: str


def target_of(interaction: LearningInteraction) -> Target | Skipped:
    """The answer to learn from a turn with a target score over the threshold."""
    if interaction.turn.answer_extra.get("tool_calls"):
        return _target_with_calls(interaction)
    return _target_of_text(interaction)


def served_of(interaction: LearningInteraction) -> Target | None:
    """The whole answer as it was served; None if it was cut or a tool call cannot be read."""
    turn = interaction.turn
    if _cut(interaction):
        return None
    try:
        calls = calls_of(turn.answer_extra)
    except ValueError:
        return None
    if calls:
        arguments = tuple(s.text for s in suggested(interaction, calls))
        return Target(turn.answer, (), tuple(calls), arguments)
    blocks = _blocks(interaction)
    languages = tuple(_language(interaction, block) for block in blocks)
    return Target(turn.answer, tuple((b.start, b.end) for b in blocks), languages=languages)


def taken_early(interaction: LearningInteraction) -> bool:
    """Whether a completion was taken that its client read only as far as it wanted it.

    Some clients stop reading behind a line, which ends the request: it counts as cancelled.
    """
    turn = interaction.turn
    return (
        turn.cancelled
        and turn.endpoint in ("/api/generate", "/v1/completions")
        and any(
            s.start == 0 and (s.placed_at is not None or s.said == "accepted")
            for s in interaction.suggestions
        )
    )


def kept_nothing(interaction: LearningInteraction) -> bool:
    """Whether no text of the answer stayed and no correction says what should have stood there."""
    return not interaction.feedback.correction and not any(
        s.final_text is not None and (s.final_text.strip() or not s.text.strip()) and not s.reverted
        for s in interaction.suggestions
    )


def passed_over(interaction: LearningInteraction) -> bool:
    """Whether nothing of the answer stayed, and none of it is still open or was lost sight of."""
    return kept_nothing(interaction) and all(
        s.fate in ("rejected", "superseded") or (s.fate == "unknown" and _was_nowhere(s))
        for s in interaction.suggestions
    )


def _was_nowhere(suggestion: Suggestion) -> bool:
    """Whether it was found in no file, and its client did not say that it was put in one."""
    return suggestion.placed_at is None and suggestion.said not in ("applied", "accepted")


def _target_with_calls(interaction: LearningInteraction) -> Target | Skipped:
    if _cut(interaction):
        return Skipped("the answer was cut off")
    try:
        calls = calls_of(interaction.turn.answer_extra)
    except ValueError:
        return Skipped("a tool call that cannot be read")
    suggestions = suggested(interaction, calls)
    if any(is_lost(s) for s in interaction.suggestions if s not in suggestions):
        return Skipped(LOST)
    correction = _correction(interaction)
    if any(map(is_gone, suggestions)) and not correction:
        return Skipped("a part of the answer was rejected")
    if correction and len(suggestions) != 1:
        return Skipped("a correction whose place in the tool calls is not known")
    kept = {
        s.text: reindent(correction or s.final_text or s.text, indentation(s.text))
        for s in suggestions
    }
    return Target(
        interaction.turn.answer,
        (),
        calls=tuple(with_arguments(calls, kept)),
        arguments=tuple(kept[s.text] for s in suggestions),
        languages=tuple(named_by(s.file or s.path) or s.language for s in suggestions),
        served=served_of(interaction),
    )


def _target_of_text(interaction: LearningInteraction) -> Target | Skipped:
    blocks = _blocks(interaction)
    diffs: Mapping[int, str] = {}
    if any(map(is_lost, interaction.suggestions)) and not _correction(interaction):
        if (anew := with_final_texts(blocks, interaction.suggestions)) is None:
            return Skipped(LOST)
        diffs = anew
    kept = {**_kept(interaction, blocks), **diffs}
    correction = interaction.feedback.correction
    if correction and not kept:
        if "```" in correction or "~~~" in correction or not blocks:
            return _whole_correction(interaction, correction)
        alike = max(range(len(blocks)), key=lambda i: similarity(blocks[i].text, correction))
        kept = {alike: correction}
    last = max(kept, default=-1)
    rejected = {i for i, b in enumerate(blocks) if i not in kept and _is_rejected(interaction, b)}
    if any(i < last for i in rejected) or (rejected and last < 0):
        return Skipped("a part of the answer was rejected")
    if _cut(interaction) and last < 0:
        return Skipped("the answer was cut off")
    answer = interaction.turn.answer
    if rejected or _cut(interaction):
        blocks = blocks[: last + 1]
        ends = taken_early(interaction) or _is_fenced(interaction.turn.answer, blocks[-1])
        if not ends:
            why = "a part of the answer was rejected" if rejected else "the answer was cut off"
            return Skipped(why)
        answer = answer[: _after_fence(answer, blocks[-1].end)]
    made = _with_kept(answer, blocks, kept, diffs)
    if isinstance(made, Skipped):
        return made
    return replace(made, languages=tuple(_language(interaction, block) for block in blocks))


def _whole_correction(interaction: LearningInteraction, correction: str) -> Target:
    """A correction that is an answer of its own, fences included."""
    blocks = code_blocks(correction)
    return Target(
        correction,
        tuple((block.start, block.end) for block in blocks),
        languages=tuple(block.language for block in blocks),
        served=served_of(interaction),
    )


def _with_kept(
    answer: str, blocks: list[Block], kept: Mapping[int, str], diffs: Collection[int]
) -> Target | Skipped:
    """The answer with kept texts (by number of block) in the place of its code.

    `diffs`: those that are lines of a diff, which stand where they stand.
    """
    codes = [
        reindent(kept[i], indentation(block.text) if i not in diffs else indentation(kept[i]))
        if i in kept
        else block.text
        for i, block in enumerate(blocks)
    ]
    text, spans = with_code(answer, blocks, codes)
    # what was served is cut as the target is, so that only the code differs
    served = Target(*with_code(answer, blocks, [block.text for block in blocks]))
    return Target(text, spans, served=served) if text.strip() else Skipped("the answer is empty")


def _blocks(interaction: LearningInteraction) -> list[Block]:
    """The code of the answer: its blocks, and what was recorded as a suggestion.

    A completion is a suggestion, whether it parses or not; of an edit in a block only what it puts
    there.
    """
    answer = interaction.turn.answer
    fenced = {(b.start, b.end): b for b in code_blocks(answer)}
    blocks = {
        (s.start, s.end): fenced.get((s.start, s.end)) or Block(s.start, s.end, s.text, s.language)
        for s in interaction.suggestions
        if s.start >= 0 and s.text.strip() and answer[s.start : s.end] == s.text
    }
    own = sorted(blocks)
    for span, block in fenced.items():
        at = bisect_right(own, span[0], key=lambda each: each[1])
        if at == len(own) or own[at][0] >= span[1]:
            blocks[span] = block
    return [blocks[span] for span in sorted(blocks)]


def _is_fenced(answer: str, block: Block) -> bool:
    """Whether an answer can end behind a block: behind its fence, or with it."""
    return (
        block.end == len(answer) or _after_fence(answer, block.end) > block.end or not block.closed
    )


def _suggestion(interaction: LearningInteraction, block: Block) -> Suggestion | None:
    return next(
        (s for s in interaction.suggestions if (s.start, s.end) == (block.start, block.end)), None
    )


def _language(interaction: LearningInteraction, block: Block) -> str | None:
    """What the file says that it is in, or what its fence calls it."""
    suggestion = _suggestion(interaction, block)
    named = named_by(suggestion.file or suggestion.path) if suggestion else None
    return named or block.language


def _kept(interaction: LearningInteraction, blocks: list[Block]) -> Mapping[int, str]:
    """Final texts by number of block; nothing if the person's correction is what counts."""
    if _correction(interaction):
        return {}
    suggestions = ((i, _suggestion(interaction, block)) for i, block in enumerate(blocks))
    return {
        i: s.final_text
        for i, s in suggestions
        if s and s.final_text and s.final_text.strip() and not s.reverted
    }


def _correction(interaction: LearningInteraction) -> str | None:
    """The person's correction, if it is the text that was scored.

    None if it is what stands in a block's place anyway.
    """
    score, correction = interaction.score, interaction.feedback.correction
    if not correction or score is None or score.target_text != correction:
        return None
    placed = any(s.final_text == correction for s in interaction.suggestions)
    return None if placed else correction


def _is_rejected(interaction: LearningInteraction, block: Block) -> bool:
    suggestion = _suggestion(interaction, block)
    return suggestion is not None and is_gone(suggestion)


def _cut(interaction: LearningInteraction) -> bool:
    """Whether the answer ended because of a limit or its client, not because it was done."""
    return interaction.turn.done_reason == "length" or interaction.turn.cancelled


def _after_fence(answer: str, end: int) -> int:
    """The position at which the fence that closes a block ends."""
    fence = _FENCE_LINE.match(answer, end)
    return fence.end() if fence else end
