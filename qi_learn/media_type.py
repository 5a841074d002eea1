"""What kind of body a `Content-Type` names: without regard to case and parameters (RFC 9110)."""

from __future__ import annotations

EVENT_STREAM = "text/event-stream"
NDJSON = "application/x-ndjson"
LINES = (NDJSON, EVENT_STREAM)
"""Streams in which a line is whole before the body is."""


def media_type(content_type: str) -> str:
    """The type alone, in lower case: `text/event-stream`."""
    return content_type.partition(";")[0].strip().lower()
