"""What `go test`, `go build` and `go vet` print, and the events of `go test -json`.

Without `-v` go does not count what passed: a package that is `ok` counts as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from qi_learn.results.tool_report import ToolReport, kept, numbered, without_colours

_BAD = re.compile(r"^ *--- FAIL: (?P<name>\S+)")
_GOOD = re.compile(r"^--- PASS: (?P<name>\S+)")
_PACKAGE = re.compile(r"^(?P<end>ok  |FAIL|---|\?   )\t(?P<name>\S+)\s*(?P<more>.*)$")
_ERROR = re.compile(r"^(?:vet: )?(?P<file>\S+\.go):\d+(?::\d+)?: ")
_INTERRUPTED = re.compile(r"^signal: interrupt|\bFAIL\s+\S+\s.*signal: interrupt", re.MULTILINE)


def go_report(text: str) -> ToolReport | None:
    """The report in go's output; None if it has none."""
    plain = without_colours(text)
    if plain.lstrip().startswith("{"):
        return _of_events(plain)
    lines = plain.split("\n")
    if any(_PACKAGE.match(line) for line in lines):
        return _of_packages(lines, _INTERRUPTED.search(plain) is not None)
    errors = [match["file"] for line in lines if (match := _ERROR.match(line))]
    if not errors and not any(line.startswith("# ") for line in lines):
        return None
    return ToolReport(max(1, len(errors)), None, numbered(errors))


def _of_packages(lines: list[str], interrupted: bool) -> ToolReport:
    failing: list[str] = []
    bad: list[str] = []
    failed = passed = counted = 0
    for line in lines:
        if match := _BAD.match(line):
            bad.append(match["name"])
        elif _GOOD.match(line):
            counted += 1
        elif package := _PACKAGE.match(line):
            name = package["name"]
            own = [f"{name}.{test}" for test in bad]
            if package["end"] == "FAIL":
                failed += max(1, sum("/" not in test for test in bad))
                failing += own or [f"{name} {package['more']}".strip()]
            elif package["end"] == "ok  " and "[no tests to run]" not in package["more"]:
                passed += 1
            passed += max(0, counted - (package["end"] == "ok  "))
            bad, counted = [], 0
    return ToolReport(failed, passed, kept(_without_time(failing)), None, interrupted)


def _without_time(names: list[str]) -> Iterator[str]:
    """Names of packages that failed as a whole, without how long that took."""
    yield from (re.sub(r"\s+[\d.]+s$", "", name) for name in names)


def _of_events(text: str) -> ToolReport | None:
    failing: list[str] = []
    passed = seen = top = 0
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(event, dict) or "Action" not in event:
            continue
        seen += 1
        package = str(event.get("Package") or event.get("ImportPath") or "").partition(" ")[0]
        test = event.get("Test")
        if event["Action"] == "pass" and test and "/" not in test:
            passed += 1
        elif event["Action"] == "fail" and test:
            failing.append(f"{package}.{test}")
            top += "/" not in test
        elif event["Action"] == "build-fail":
            failing.append(f"{package} [build failed]")
            top += 1
        elif event["Action"] == "fail" and not any(each.startswith(package) for each in failing):
            failing.append(package)
            top += 1
    return ToolReport(top, passed, kept(failing)) if seen else None
