"""What Python's `unittest` prints at its end: how many tests ran, and how many of them failed."""

from __future__ import annotations

import re

from qi_learn.results.tool_report import ToolReport, kept, without_colours

_RAN = re.compile(r"^Ran (?P<count>\d+) tests? in [\d.]+s$", re.MULTILINE)
_END = re.compile(r"^(?P<end>OK|FAILED|NO TESTS RAN)(?: \((?P<counts>[^)\n]*)\))?$", re.MULTILINE)
_BAD = re.compile(r"^(?:FAIL|ERROR): (?P<test>\S+) \((?P<where>[\w.]+)\)", re.MULTILINE)
_INTERRUPTED = re.compile(r"^KeyboardInterrupt$", re.MULTILINE)


def unittest_report(text: str) -> ToolReport | None:
    """The report in unittest's output; None if it has none. What was skipped has not passed."""
    plain = without_colours(text)
    ran = list(_RAN.finditer(plain))
    end = _END.search(plain, ran[-1].end()) if ran else None
    if end is None:
        return None
    counts = dict(re.findall(r"([a-z][a-z ]*)=(\d+)", end["counts"] or ""))
    bad = sum(int(counts.get(n, 0)) for n in ("failures", "errors", "unexpected successes"))
    count = int(ran[-1]["count"])
    passed = max(0, count - bad - int(counts.get("skipped", 0)))
    names = (_name(each["test"], each["where"]) for each in _BAD.finditer(plain))
    return ToolReport(bad, passed, kept(names), None, bool(_INTERRUPTED.search(plain)))


def _name(test: str, where: str) -> str:
    """The dotted name of a test; from Python 3.11 on all of it stands in the brackets."""
    return where if where.endswith(f".{test}") else f"{where}.{test}"
