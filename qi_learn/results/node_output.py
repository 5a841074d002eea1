"""What Node's own test runner (`node --test`) prints at its end, as TAP or for a terminal."""

from __future__ import annotations

import re

from qi_learn.results.tool_report import ToolReport, without_colours

_END = re.compile(
    r"^(?:#|ℹ) tests \d+$.*?^(?:#|ℹ) pass (?P<passed>\d+)$.*?^(?:#|ℹ) fail (?P<failed>\d+)$"
    r"(?:.*?^(?:#|ℹ) cancelled (?P<cancelled>\d+)$)?",
    re.MULTILINE | re.DOTALL,
)


def node_report(text: str) -> ToolReport | None:
    """The report in its output; None if it has no end of a run. What was cancelled has failed."""
    ends = list(_END.finditer(without_colours(text)))
    if not ends:
        return None
    counts = {name: int(count or 0) for name, count in ends[-1].groupdict().items()}
    return ToolReport(counts["failed"] + counts["cancelled"], counts["passed"])
