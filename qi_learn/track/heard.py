"""What a client says in its next request of the edits that an answer suggested.

Invariant: a suggestion gets a word only from a result that is its own: by the id of its call, else
by the file and the text that the client repeats, else from one that is about all that the answer's
text asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from qi_learn.edits.results import Result, results_of
from qi_learn.records import Message, Said, Suggestion


def words_for(
    suggestions: Sequence[Suggestion], answer: Message, messages: Sequence[Message]
) -> Mapping[int, Said]:
    """What the messages of a later request say of an answer's suggestions, by their ordinal.

    `answer`: with its tool calls in `extra`. Empty if the request does not go on from it.
    """
    edits = [s for s in suggestions if s.path is not None]
    if not edits:
        return {}
    results = results_of(messages, answer=answer.content, extra=answer.extra)
    found: dict[int, Said] = {}
    for result in sorted(results, key=_width):
        for suggestion in edits:
            if result.said is not None and _is_of(result, suggestion):
                found.setdefault(suggestion.ordinal, result.said)
    return found


def _width(result: Result) -> int:
    """What is about less comes first."""
    return sum(value is None for value in (result.call, result.path, result.new))


def _is_of(result: Result, suggestion: Suggestion) -> bool:
    if result.call is not None or suggestion.call is not None:
        return result.call == suggestion.call
    if result.new is not None and result.new.strip() != suggestion.text.strip():
        return False
    return result.path is None or _same_file(result.path, suggestion.path or "")


def _same_file(one: str, other: str) -> bool:
    """Whether two names may be of one file: one is the end of the other."""
    a, b = (os.path.normpath(path.strip()) for path in (one, other))
    return a == b or a.endswith(f"/{b}") or b.endswith(f"/{a}")
