"""Line ends of a completion's file, put back for the server that renders.

The decoder reads prompt, suffix and answer of a file with CRLF with plain line ends, as every part
that compares texts needs them, and notes it (`request["line_ends"]`). What is rendered and learned
has the line ends that the model was served with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CRLF = "\r\n"
Spans = tuple[tuple[int, int], ...]


def as_served(text: str, request: Mapping[str, Any]) -> str:
    """A prompt or suffix with the line ends that the request had."""
    return text.replace("\n", CRLF) if request.get("line_ends") == CRLF else text


def like_the_prompt(
    text: str, spans: Sequence[tuple[int, int]], ask: Mapping[str, Any]
) -> tuple[str, Spans]:
    """An answer and the spans of code in it, with the line ends of the prompt it continues."""
    body = ask["body"]
    sides = f"{body.get('prompt', '')}{body.get('suffix', '')}"
    if CRLF not in sides or "\n" in sides.replace(CRLF, ""):
        return text, tuple(spans)
    plain = text.replace(CRLF, "\n")
    if plain != text:  # the spans are those of another text: as it came
        return text, tuple(spans)
    moved = tuple(
        (start + text.count("\n", 0, start), end + text.count("\n", 0, end)) for start, end in spans
    )
    return text.replace("\n", CRLF), moved
