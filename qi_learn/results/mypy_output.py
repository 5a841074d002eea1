"""What mypy prints, as text or with `--output json`."""

from __future__ import annotations

import json
import re

from qi_learn.results.tool_report import ToolReport, numbered, without_colours

_ERROR = re.compile(
    r"^(?P<file>[^\s:][^:\n]*\.pyi?):(?:\d+:)*\s*error: .*?(?:  \[(?P<code>[\w-]+)\])?$",
    re.MULTILINE,
)
_END = re.compile(
    r"^(?:Found \d+ errors? in \d+ files? \(|Success: no issues found|Success: no errors found)",
    re.MULTILINE,
)


def mypy_report(text: str) -> ToolReport | None:
    """The report in mypy's output; None if it is none."""
    plain = without_colours(text)
    errors = [f"{m['file']}: {m['code'] or 'error'}" for m in _ERROR.finditer(plain)]
    errors = errors or _of_lines(plain)
    if not errors and _END.search(plain) is None:
        return None
    return ToolReport(len(errors), None, numbered(errors))


def _of_lines(text: str) -> list[str]:
    found: list[str] = []
    for line in text.split("\n"):
        if not line.startswith('{"file":'):
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and said.get("severity") == "error":
            found.append(f"{said['file']}: {said.get('code') or 'error'}")
    return found
