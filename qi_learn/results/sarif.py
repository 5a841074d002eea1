"""SARIF: the exchange format of analysers (OASIS, version 2.1.0)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from qi_learn.results.tool_report import ToolReport, numbered

_COUNTS = ("error", "warning")
"""Levels of a result that is a finding; one without a level is a warning (3.27.10)."""


def sarif_report(text: str) -> ToolReport | None:
    """The findings in a SARIF log; None if it is none."""
    try:
        log = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(log, dict) or not isinstance(log.get("runs"), list) or "version" not in log:
        return None
    found = [name for run in log["runs"] if isinstance(run, dict) for name in _findings(run)]
    return ToolReport(len(found), None, numbered(found))


def _findings(run: dict[str, Any]) -> Iterator[str]:
    for result in run.get("results") or ():
        if not isinstance(result, dict) or result.get("suppressions"):
            continue
        kind, level = result.get("kind", "fail"), result.get("level", "warning")
        if kind == "fail" and level in _COUNTS and result.get("baselineState") != "absent":
            yield f"{_file(result)}: {result.get('ruleId') or 'finding'}"


def _file(result: dict[str, Any]) -> str:
    for location in result.get("locations") or ():
        place = location.get("physicalLocation", {}) if isinstance(location, dict) else {}
        uri = place.get("artifactLocation", {}).get("uri") if isinstance(place, dict) else None
        if uri:
            return str(uri).removeprefix("file://")
    return "?"
