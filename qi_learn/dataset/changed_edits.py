"""Edits that do not stand in the answer as they are, and became another text.

Of a diff in a fence the new lines are not there as such: its hunks are written anew, so that they
lead to the text that was kept. Of a patch in a tool's argument, a bare diff and the like the place
is not known, and nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qi_learn.code_text import Block, similarity
from qi_learn.edits.edit import Edit
from qi_learn.edits.rewritten_diff import rewritten
from qi_learn.edits.unified_diff import edits_in
from qi_learn.fates import KEPT_SIMILARITY
from qi_learn.records import Suggestion

_DIFFS = ("diff", "udiff", "patch")


def is_lost(suggestion: Suggestion) -> bool:
    """Whether it became another text, and its place in the answer is not known."""
    return suggestion.start < 0 and (was_rejected(suggestion) or _was_changed(suggestion))


def was_rejected(suggestion: Suggestion) -> bool:
    """Whether nothing of it was left, or the person did not want it."""
    return suggestion.fate == "rejected" or is_gone(suggestion)


def is_gone(suggestion: Suggestion) -> bool:
    """Whether it was taken back, or nothing stands in its place that should."""
    if suggestion.reverted:
        return True
    final = suggestion.final_text
    if not suggestion.text.strip():  # a text is to go: nothing in its place is what was wanted
        return suggestion.state == "settled" and final is None
    return suggestion.state == "settled" and not (final or "").strip()


def _was_changed(suggestion: Suggestion) -> bool:
    final = suggestion.final_text
    return final is not None and similarity(suggestion.text, final) < KEPT_SIMILARITY


def with_final_texts(
    blocks: Sequence[Block], suggestions: Iterable[Suggestion]
) -> dict[int, str] | None:
    """By number of block: the diffs with the texts that took the place of what they put there.

    None if one of those that are lost is not in a diff, or its diff cannot be written anew.
    """
    lost = [s for s in suggestions if is_lost(s)]
    if any(was_rejected(s) or s.call is not None for s in lost):
        return None
    texts = {Edit(s.path, s.old, s.text): s.final_text or "" for s in lost}
    made: dict[int, str] = {}
    for number, block in enumerate(blocks):
        body = block.text.removesuffix("\n").split("\n")
        if (block.language or "").lower() not in _DIFFS:
            continue
        own = {edit: texts.pop(edit) for edit in edits_in(body) if edit in texts}
        if own and (lines := rewritten(body, own)) is not None:
            made[number] = "".join(f"{line}\n" for line in lines)
        elif own:
            return None
    return None if texts else made
