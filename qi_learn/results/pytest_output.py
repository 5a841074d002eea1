"""What pytest prints."""

from __future__ import annotations

import re

from qi_learn.results.tool_report import ToolReport, kept, without_colours

_END = re.compile(
    r"^=*\s*(?P<counts>(?:\d+ [a-z]+(?:, )?)+|no tests ran) in [\d.]+m?s\b[^\n]*$", re.MULTILINE
)
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|xpassed)")
_BAD = re.compile(r"^(?:FAILED|ERROR) (?P<name>\S+?\.py(?:::.*?)?)(?: - .*)?$", re.MULTILINE)
_RAN = re.compile(
    r"^(?P<file>\S+?\.py)(?:::\S.* [A-Z]+\s*(?:\[ *\d+%\])?$| [.FEsxXR]+\s)", re.MULTILINE
)
_INTERRUPTED = re.compile(r"^!+ (?:KeyboardInterrupt|[^!\n]*Ctrl-C[^!\n]*) !+$", re.MULTILINE)


def pytest_report(text: str) -> ToolReport | None:
    """The report in pytest's output; None if it has no end of a run."""
    plain = without_colours(text)
    ends = list(_END.finditer(plain))
    if not ends:
        return None
    counts = {name: int(number) for number, name in _COUNT.findall(ends[-1]["counts"])}
    failed = sum(counts.get(name, 0) for name in ("failed", "error", "errors"))
    passed = counts.get("passed", 0) + counts.get("xpassed", 0)
    failing = kept(match["name"] for match in _BAD.finditer(plain))
    whole = failing is not None and len(failing) == failed  # `-r` may have left some out
    files = kept(match["file"] for match in _RAN.finditer(plain))
    return ToolReport(
        failed,
        passed,
        failing if whole else None,
        files or None,
        _INTERRUPTED.search(plain) is not None,
    )
