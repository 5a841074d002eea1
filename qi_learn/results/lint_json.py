"""The JSON of eslint and of ruff: a list of what was found."""

from __future__ import annotations

import json
from typing import Any

from qi_learn.results.tool_report import ToolReport, numbered


def eslint_report(text: str) -> ToolReport | None:
    """The errors (not the warnings) in the output of `eslint --format json`; None if it is none."""
    found = _list(text)
    if found is None or not all("filePath" in each for each in found):
        return None
    errors = [
        f"{file['filePath']}: {message.get('ruleId') or 'fatal'}"
        for file in found
        for message in file.get("messages", ())
        if isinstance(message, dict) and message.get("severity") == 2
    ]
    return ToolReport(len(errors), None, numbered(errors))


def ruff_report(text: str) -> ToolReport | None:
    """The findings in the output of `ruff check --output-format json`; None if it is none."""
    found = _list(text)
    if found is None or not all({"filename", "code"} <= each.keys() for each in found):
        return None
    errors = [f"{each['filename']}: {each['code'] or 'syntax'}" for each in found]
    return ToolReport(len(errors), None, numbered(errors))


def _list(text: str) -> list[dict[str, Any]] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        return None
    return found
