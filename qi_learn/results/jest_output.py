"""What jest prints, and the JSON of jest and vitest, which is the same."""

from __future__ import annotations

import json
import re
from typing import Any

from qi_learn.results.tool_report import ToolReport, kept, without_colours

_TESTS = re.compile(r"^Tests: +(?P<counts>.*\d+ total)", re.MULTILINE)
_COUNT = re.compile(r"(\d+) (failed|passed)")
_FILE = re.compile(r"^(?P<end>PASS|FAIL) (?:\S+ )??(?P<file>\S+\.[cm]?[jt]sx?)\b")
_BAD = re.compile(r"^  ● (?P<name>.+)$")
_BROKEN = "Test suite failed to run"


def jest_report(text: str) -> ToolReport | None:
    """The report in jest's output; None if it has no end of a run."""
    plain = without_colours(text)
    if (counts := _TESTS.search(plain)) is None:
        return None
    tests = {name: int(number) for number, name in _COUNT.findall(counts["counts"])}
    files: list[str] = []
    names: list[str] = []
    broken: set[str] = set()  # files that could not be loaded: none of their tests is counted
    for line in plain.split("\n"):
        if file := _FILE.match(line):
            files.append(file["file"].removeprefix("./"))
        elif files and (bad := _BAD.match(line)) and bad["name"] != "Console":
            if bad["name"] == _BROKEN:
                broken.add(files[-1])
            names.append(files[-1] + ("" if bad["name"] == _BROKEN else f": {bad['name']}"))
    failed = tests.get("failed", 0) + len(broken)
    failing = kept(names)
    whole = failing is not None and len(failing) == failed
    return ToolReport(failed, tests.get("passed", 0), failing if whole else None, kept(files))


def jest_json_report(text: str) -> ToolReport | None:
    """The report in the JSON of jest or vitest; None if it is none."""
    at = text.find("{")
    try:
        said = json.loads(text[at:]) if at >= 0 else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("testResults"), list):
        return None
    failing: list[str] = []
    files: list[str] = []
    passed = 0
    for file in said["testResults"]:
        if not isinstance(file, dict):
            continue
        name = str(file.get("name") or file.get("testFilePath") or "")
        files.append(name)
        results = _results(file)
        passed += sum(each.get("status") == "passed" for each in results)
        bad = [each for each in results if each.get("status") == "failed"]
        failing += [f"{name}: {each.get('fullName') or each.get('title')}" for each in bad]
        if file.get("status") == "failed" and not bad:  # it could not be loaded
            failing.append(name)
    return ToolReport(
        len(failing), passed, kept(failing), kept(files), bool(said.get("wasInterrupted"))
    )


def _results(file: dict[str, Any]) -> list[dict[str, Any]]:
    results = file.get("assertionResults") or file.get("testResults") or []
    return [each for each in results if isinstance(each, dict)]
