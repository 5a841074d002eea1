"""What the readers of other programs' logs have in common: lines of JSON, times, paths.

The invariant: a line is told once it has its end, never before. So what a program is writing in
this moment waits for the next import.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard
from urllib.parse import unquote, urlsplit

from qi_learn.errors import NotFound
from qi_learn.record_class import dataclass

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of a line that is read: a longer one is no message, and would not fit into memory."""
LOCAL_PROVIDERS = frozenset(
    ("ollama", "lmstudio", "lm-studio", "lm_studio", "llama.cpp", "llamacpp", "llamafile", "oss")
)
"""Providers, as clients name them, whose models run on this machine."""
HOSTED_PROVIDERS = frozenset(
    (
        *("anthropic", "openai", "azure", "google", "gemini", "vertexai", "bedrock", "mistral"),
        *("openrouter", "groq", "deepseek", "together", "fireworks", "github-copilot", "opencode"),
        *("xai", "cohere", "continue-proxy", "amazon-bedrock", "google-vertex"),
    )
)


@dataclass(frozen=True, slots=True)
class JsonLine:
    """One line of a file: an object, or why it is none."""

    end: int
    """The byte behind it."""
    number: int
    value: Mapping[str, Any] | None
    problem: str = ""


def json_lines(file: Path) -> Iterator[JsonLine]:
    """The whole lines of a file, empty ones left out. Raises NotFound if it cannot be read."""
    for number, (end, raw) in enumerate(raw_lines(file), 1):
        if raw is None:
            yield JsonLine(end, number, None, f"longer than {LONGEST_LINE >> 20} MiB")
        elif raw.strip():
            yield _line(end, number, raw)


def written_at(file: Path) -> float:
    """When a file was written last. Raises NotFound if it cannot be read."""
    try:
        return file.stat().st_mtime
    except OSError as error:
        raise unreadable(file, error) from error


def raw_lines(file: Path) -> Iterator[tuple[int, bytes | None]]:
    """The whole lines of a file, as they are, each with the byte behind it.

    None for one that is longer than `LONGEST_LINE`. Raises NotFound if the file cannot be read.
    """
    end = 0
    try:
        with file.open("rb") as lines:
            while raw := lines.readline(LONGEST_LINE):
                end += len(raw)
                if raw.endswith(b"\n"):
                    yield end, raw
                elif rest := _rest_of_line(lines):
                    end += rest
                    yield end, None
                else:
                    return  # it is being written
    except OSError as error:
        raise unreadable(file, error) from error


def _rest_of_line(lines: BinaryIO) -> int:
    """How many bytes a line goes on for, which are read past; 0 if it has no end."""
    length = 0
    while raw := lines.readline(LONGEST_LINE):
        length += len(raw)
        if raw.endswith(b"\n"):
            return length
    return 0


def _line(end: int, number: int, raw: bytes) -> JsonLine:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return JsonLine(end, number, None, f"not JSON: {error}")
    if not isinstance(value, Mapping):
        return JsonLine(end, number, None, "not a JSON object")
    return JsonLine(end, number, value)


def json_file(file: Path) -> Mapping[str, Any]:
    """The object in a file; empty if there is none, or it is being written."""
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def unreadable(file: Path, error: OSError) -> NotFound:
    """The error for a file that cannot be read."""
    return NotFound(f"{file} cannot be read: {error.strerror or error}.", "Check the path.")


def seconds(value: Any) -> float | None:
    """A time in a log as Unix seconds: ISO 8601, or milliseconds since 1970; else None."""
    if isinstance(value, (int, float)):
        return value / 1000.0 if is_number(value) else None
    try:
        when = datetime.fromisoformat(value)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether a value is a number with which can be reckoned: no NaN, and none without an end."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def text_of(value: Any) -> str:
    """The value if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; empty if it is no list."""
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def inner(value: Any, key: str) -> Mapping[str, Any]:
    """The object at a key; empty if there is none."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def local_path(value: Any) -> str | None:
    """A path, or the path in a `file://` address.

    None if it is neither, on another machine, or no name that a file can have here.
    """
    text = text_of(value)
    if text.startswith("file://"):
        try:
            parts = urlsplit(text)
        except ValueError:
            return None
        text = unquote(parts.path) if parts.netloc in ("", "localhost") else ""
    return text if text.startswith("/") and _is_name(text) else None


def _is_name(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def regular_files(found: Iterable[Path]) -> list[Path]:
    """The files among what was found: no directory, pipe or device, and no link to nothing."""
    return [path for path in found if os.path.isfile(path)]


def is_local(provider: Any) -> bool | None:
    """Whether a provider's models run on this machine; None if its name does not say."""
    name = text_of(provider).lower()
    return True if name in LOCAL_PROVIDERS else False if name in HOSTED_PROVIDERS else None


def behind(cursor: str) -> int:
    """A cursor that is a number of bytes, or of a row; 0 for none."""
    return int(cursor) if cursor.isdecimal() else 0
