"""What a turn suggested.

The code blocks of its answer, the completion itself, the texts that its tool calls would write.

A completion continues the person's line. `frame_of` tells what the line begins and ends with, so
that a completion can be found in whole lines of a file and cut out of them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qi_learn.code_text import code_blocks
from qi_learn.fim import Gap, find_gap, is_chat
from qi_learn.records import Suggestion, Tracked, Turn

WRITTEN_FIELDS = (
    *("new_string", "newString", "new_str", "new_text", "newText", "file_text", "insert_text"),
    *("content", "contents", "code", "replacement", "replace"),
)
"""Arguments of editing tools that hold the text to be written, as coding agents name them."""
FILE_FIELDS = (
    *("path", "file_path", "filePath", "filepath", "file", "filename", "target_file"),
    "relative_workspace_path",
)
"""Arguments of editing tools that name the file: a tool without one of them edits none."""


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

    Of tool edits `start` and `end` are -1: they are not in the answer's text.
    """
    suggestions: list[Suggestion] = []
    prompt = turn.messages[-1].content if turn.messages else ""
    if is_completion(turn.endpoint, turn.request, turn.answer) and not is_chat(prompt):
        if turn.answer.strip():
            suggestions.append(Suggestion(turn.id, 0, turn.answer, 0, len(turn.answer)))
    else:
        suggestions += [
            Suggestion(turn.id, i, b.text, b.start, b.end, b.language)
            for i, b in enumerate(code_blocks(turn.answer))
        ]
    suggestions += [
        Suggestion(turn.id, len(suggestions) + i, text, -1, -1)
        for i, text in enumerate(_tool_edits(turn.answer_extra))
    ]
    return tuple(suggestions)


def is_completion(endpoint: str, request: Mapping[str, Any], answer: str) -> bool:
    """Whether the answer itself is code.

    It is if the prompt was continued or filled in, and the answer shows no fence.
    """
    continued = endpoint == "/v1/completions" or (
        endpoint == "/api/generate" and bool(request.get("raw") or request.get("suffix"))
    )
    return continued and "```" not in answer and "~~~" not in answer


def frame_of(tracked: Tracked) -> Frame:
    """The frame of a completion; empty for every other suggestion."""
    gap = place_of(tracked)
    if gap is None or not gap.certain:  # nothing is claimed of the line
        return Frame()
    trail = "" if tracked.suggestion.text.endswith("\n") else gap.suffix.split("\n", 1)[0]
    return Frame(gap.prefix.rsplit("\n", 1)[-1], trail)


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


def _tool_edits(extra: Mapping[str, Any]) -> Iterator[str]:
    calls = extra.get("tool_calls")
    for call in calls if isinstance(calls, (list, tuple)) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        arguments = _arguments(function.get("arguments")) if isinstance(function, Mapping) else {}
        if not any(isinstance(arguments.get(name), str) for name in FILE_FIELDS):
            continue
        edits = arguments.get("edits")
        for part in (arguments, *(edits if isinstance(edits, (list, tuple)) else ())):
            text = (
                next((part[n] for n in WRITTEN_FIELDS if isinstance(part.get(n), str)), "")
                if isinstance(part, Mapping)
                else ""
            )
            if text.strip():
                yield text


def _arguments(value: Any) -> Mapping[str, Any]:
    """Ollama gives an object, OpenAI its JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}
