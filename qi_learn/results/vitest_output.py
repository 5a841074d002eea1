"""What vitest prints."""

from __future__ import annotations

import re

from qi_learn.results.tool_report import ToolReport, kept, without_colours

_FILES = re.compile(r"^ +Test Files  (?P<counts>.+)$", re.MULTILINE)
_TESTS = re.compile(r"^ +Tests  (?P<counts>.+)$", re.MULTILINE)
_COUNT = re.compile(r"(\d+) (failed|passed)")
_BAD = re.compile(r"^ FAIL  (?P<name>\S.*?)(?: \[ .* \])?$", re.MULTILINE)
_RAN = re.compile(r"^ [✓❯×↓] (?:\|?[\w-]+\|? +)?(?P<file>\S+\.[cm]?[jt]sx?) ", re.MULTILINE)
_NONE = re.compile(r"^No test files found", re.MULTILINE)


def vitest_report(text: str) -> ToolReport | None:
    """The report in vitest's output; None if it has no end of a run."""
    plain = without_colours(text)
    files, tests = _FILES.search(plain), _TESTS.search(plain)
    if files is None:
        return ToolReport(0, 0, ()) if _NONE.search(plain) else None
    counts = _counts(tests["counts"]) if tests else {}
    failing = kept(match["name"] for match in _BAD.finditer(plain))
    # a file that could not be loaded is among the failed files, and none of its tests is counted
    broken = [name for name in failing or () if " > " not in name]
    failed = counts.get("failed", 0) + len(broken)
    whole = failing is not None and len(failing) == failed
    ran = kept(match["file"] for match in _RAN.finditer(plain))
    return ToolReport(failed, counts.get("passed", 0), failing if whole else None, ran or None)


def _counts(text: str) -> dict[str, int]:
    return {name: int(number) for number, name in _COUNT.findall(text)}
