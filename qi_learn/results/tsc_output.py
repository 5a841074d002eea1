"""What the TypeScript compiler prints, plain or `--pretty`."""

from __future__ import annotations

import re

from qi_learn.results.tool_report import ToolReport, numbered, without_colours

_ERROR = re.compile(
    r"^(?P<file>[^\s(][^(\n:]*?)(?:\(\d+,\d+\):|:\d+:\d+ -) error (?P<code>TS\d+): ", re.MULTILINE
)
_BARE = re.compile(r"^error (?P<code>TS\d+): ", re.MULTILINE)


def tsc_report(text: str) -> ToolReport | None:
    """The report in tsc's output; None if it has no error: then it prints nothing of its own."""
    plain = without_colours(text)
    errors = [f"{m['file']}: {m['code']}" for m in _ERROR.finditer(plain)]
    errors += [m["code"] for m in _BARE.finditer(plain)]
    return ToolReport(len(errors), None, numbered(errors)) if errors else None
