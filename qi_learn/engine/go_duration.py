"""Durations as Go writes them ("1h30m", "1.5h", "-1m"), read as Go's `time.ParseDuration` does.

With Go's own words for what is none, as Ollama's clients get them.
"""

from __future__ import annotations

import re

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "\u03bcs": 10**3,  # a Greek mu in place of the micro sign
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")
_LONGEST = 2**63
"""Nanoseconds; Go's durations end before."""


def parse_duration(text: str) -> float:
    """The duration in seconds. Raises ValueError with Go's words if the text is none."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0.0
    total = 0 if rest else _LONGEST
    while rest and total < _LONGEST:
        part = _PART.match(rest)
        if part is None or not (part[1] or part[2]):
            total = _LONGEST
            break
        total += _nanoseconds(part, text)
        rest = rest[part.end() :]
    if total >= _LONGEST:
        raise ValueError(f"time: invalid duration {_quoted(text)}")
    return (-total if text.startswith("-") else total) / 1e9


def _nanoseconds(part: re.Match[str], text: str) -> int:
    unit = part[3]
    if not unit:
        raise ValueError(f"time: missing unit in duration {_quoted(text)}")
    if unit not in _NANOSECONDS:
        raise ValueError(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}")
    fraction = part[2] or ""
    whole = int(part[1] or 0) if len(part[1]) < 20 else _LONGEST
    beyond = int(fraction[:18] or 0) * _NANOSECONDS[unit] // 10 ** len(fraction[:18])
    nanoseconds: int = whole * _NANOSECONDS[unit] + beyond
    return nanoseconds


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
