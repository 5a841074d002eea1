"""What a turn suggested.

The edits that its answer asks for, whatever their form; its other blocks of code; the completion
itself.

A completion continues the person's line. `frame_of` tells what the line begins and ends with, so
that a completion can be found in whole lines of a file and cut out of them again.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qi_learn.code_text import code_blocks
from qi_learn.edits.dialects import passages_of, tool_edits
from qi_learn.edits.edit import Edit
from qi_learn.fim import Gap, find_gap, is_chat
from qi_learn.records import Suggestion, Tracked, Turn

_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands on a completion's first line before it, and on its last line after it."""

    lead: str = ""
    trail: str = ""

    def whole_lines(self, text: str) -> str:
        """The completion as it stands in the file."""
        return self.lead + text + self.trail

    def cut(self, lines: str) -> str:
        """What took the completion's place in whole lines of the file.

        The lines as they are if their ends were changed too.
        """
        if self.lead and lines.startswith(self.lead):
            lines = lines[len(self.lead) :]
        if self.trail and lines.endswith(self.trail):
            lines = lines[: -len(self.trail)]
        return lines


def suggestions_of(turn: Turn) -> tuple[Suggestion, ...]:
    """The suggestions of a turn, in the order of the answer; tool edits last.

    `start` and `end` are -1 for what is not in the answer's text as it is: edits of tools, the new
    lines of a diff, and edits that only take a text away (their own text is empty). Data is no
    suggestion: an answer that was asked for as JSON, or is JSON.
    """
    made: list[Suggestion] = []
    prompt = turn.messages[-1].content if turn.messages else ""
    if is_completion(turn.endpoint, turn.request, turn.answer) and not is_chat(prompt):
        if (read := _read(turn)).strip():
            made.append(Suggestion(turn.id, 0, read, 0, len(read)))
    elif not _is_data(turn):
        made += _in_text(turn)
    made += [_of_edit(turn, edit) for edit in tool_edits(turn) if _changes(edit)]
    return tuple(replace(suggestion, ordinal=n) for n, suggestion in enumerate(made))


def _read(turn: Turn) -> str:
    """A completion as far as it was wanted.

    Clients stop reading behind the line that they want, and some of the next has come by then.
    """
    if not turn.cancelled:
        return turn.answer
    wanted = turn.answer.rpartition("\n")[0].rstrip("\n")
    return wanted if wanted.strip() else turn.answer


def _in_text(turn: Turn) -> list[Suggestion]:
    """The edits that the answer's text asks for, and its blocks of code that are no part of one."""
    answer = turn.answer
    blocks = {(block.start, block.end): block for block in code_blocks(answer)}
    passages = passages_of(turn)
    found: list[tuple[int, Suggestion]] = []
    for passage in passages:
        for edit in passage.edits:
            if _changes(edit):
                block = blocks.get((edit.start, edit.end))
                made = _of_edit(turn, edit, None if block is None else block.language)
                found.append((passage.start, made))
    ends = [passage.end for passage in passages]
    for block in blocks.values():
        next_one = bisect_right(ends, block.start)
        inside = next_one < len(passages) and passages[next_one].start < block.end
        if not inside and (block.end - block.start < len(answer) or _is_code(answer)):
            made = Suggestion(turn.id, 0, block.text, block.start, block.end, block.language)
            found.append((block.start, made))
    return [made for _, made in sorted(found, key=lambda each: each[0])]


def _changes(edit: Edit) -> bool:
    """Whether an edit puts a text somewhere, or takes one out of a file that it names."""
    return bool(edit.new.strip() or (edit.path and edit.old and edit.old.strip()))


def _of_edit(turn: Turn, edit: Edit, language: str | None = None) -> Suggestion:
    stands = bool(edit.new.strip())  # what only takes away has no place in the answer
    return Suggestion(
        turn.id,
        0,
        edit.new if stands else "",
        edit.start if stands else -1,
        edit.end if stands else -1,
        language,
        path=edit.path,
        old=edit.old,
        call=edit.call,
    )


def _is_data(turn: Turn) -> bool:
    """Whether the answer is data: its request asked for that, or it is JSON as a whole."""
    if turn.request.get("format"):
        return True
    bare = turn.answer.strip()
    if not bare.startswith(("{", "[")) or not bare.endswith(("}", "]")):
        return False
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _is_code(answer: str) -> bool:
    """Whether a whole answer without a fence is code: a title or a short word may parse as such."""
    return "\n" in answer.strip() or any(sign in answer for sign in "=([{")


def is_completion(endpoint: str, request: Mapping[str, Any], answer: str) -> bool:
    """Whether the answer itself is code.

    It is if the prompt was continued or filled in, and the answer shows no fence: one within a
    comment of the code is none.
    """
    continued = endpoint == "/v1/completions" or (
        endpoint == "/api/generate" and bool(request.get("raw") or request.get("suffix"))
    )
    return continued and _FENCE.search(answer) is None


def frame_of(tracked: Tracked) -> Frame:
    """The frame of a completion, or of an edit of a part of a line; empty for all others."""
    suggestion = tracked.suggestion
    if suggestion.lead or suggestion.trail:
        return Frame(suggestion.lead, suggestion.trail)
    gap = place_of(tracked)
    if gap is None or not gap.certain:  # nothing is claimed of the line
        return Frame()
    trail = "" if suggestion.text.endswith("\n") else gap.suffix.split("\n", 1)[0]
    return Frame(gap.prefix.rsplit("\n", 1)[-1], trail)


def goes_on_behind(tracked: Tracked) -> bool:
    """Whether code of the person stands on the lines behind a completion: it is none of it."""
    gap = place_of(tracked)
    return gap is not None and gap.certain and bool(gap.suffix.partition("\n")[2].strip())


def place_of(tracked: Tracked) -> Gap | None:
    """What stands before and behind a completion; None for every other suggestion."""
    suggestion, request = tracked.suggestion, tracked.request
    if suggestion.start != 0 or not is_completion(
        tracked.turn.endpoint, request, suggestion.text
    ):  # only a whole answer starts at 0
        return None
    prompt, suffix = tracked.prompt, request.get("suffix")
    if is_chat(prompt):
        return None
    return find_gap(prompt) or Gap(prompt, suffix if isinstance(suffix, str) else "")
