"""What cargo prints, with the test harness of Rust or nextest, and its messages as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from qi_learn.results.tool_report import ToolReport, kept, numbered, without_colours

_RUNNING = re.compile(r"^ +(?:Running (?:unittests )?(?P<file>\S+\.rs)|Doc-tests (?P<doc>\S+))")
_TEST = re.compile(r"^test (?P<name>.+?)(?: - should panic)? \.\.\. (?P<end>ok|FAILED|ignored)")
_RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed;")
_NEXTEST = re.compile(
    r"^ +Summary .* \d+ tests? run: (?:(?P<passed>\d+) passed[^,]*)?(?:,? ?(?P<failed>\d+) failed)?"
)
_NEXTEST_BAD = re.compile(
    r"^ +(?:FAIL|TIMEOUT|SIG\w+) \[[^\]]*\](?: \([^)]*\))? +(?P<name>\S+ .+)$"
)
_ERROR = re.compile(
    r"^error(?:\[(?P<code>E\d+)\])?: (?!could not compile|\d+ targets? failed|test )"
)
_AT = re.compile(r"^ +--> (?P<file>[^:\n]+):\d+:\d+")
_STOPPED = re.compile(r"^error: could not compile ", re.MULTILINE)


def cargo_report(text: str) -> ToolReport | None:
    """The report in cargo's output; None if it has no result."""
    plain = without_colours(text)
    if plain.lstrip().startswith('{"reason":'):
        return _of_messages(plain)
    lines = plain.split("\n")
    if _STOPPED.search(plain):
        errors = numbered(_errors(lines))
        return ToolReport(len(errors) if errors else 1, None, errors)
    finished = re.search(r"^ +Finished ", plain, re.MULTILINE) is not None
    return _nextest(lines) or _tests(lines) or (ToolReport(0, None, ()) if finished else None)


def _tests(lines: list[str]) -> ToolReport | None:
    program, failing = "", []
    passed = failed = 0
    ended = False
    for line in lines:
        if running := _RUNNING.match(line):
            program = running["file"] or f"doc {running['doc']}"
        elif (test := _TEST.match(line)) and test["end"] == "FAILED":
            failing.append(f"{program}::{test['name']}")
        elif result := _RESULT.match(line):
            ended = True
            passed, failed = passed + int(result[1]), failed + int(result[2])
    if not ended:
        return None
    return ToolReport(failed, passed, kept(failing) if len(failing) == failed else None)


def _nextest(lines: list[str]) -> ToolReport | None:
    for line in lines:
        if summary := _NEXTEST.match(line):
            passed, failed = int(summary["passed"] or 0), int(summary["failed"] or 0)
            bad = kept(m["name"] for each in lines if (m := _NEXTEST_BAD.match(each)))
            whole = bad is not None and len(bad) == failed
            return ToolReport(failed, passed, bad if whole else None)
    return None


def _errors(lines: list[str]) -> Iterator[str]:
    """Each error by file and code; one without a place by itself."""
    code: str | None = None
    for line in lines:
        if error := _ERROR.match(line):
            if code is not None:
                yield code
            code = error["code"] or "error"
        elif (at := _AT.match(line)) and code is not None:
            yield f"{at['file'].strip()}: {code}"
            code = None
    if code is not None:
        yield code


def _of_messages(text: str) -> ToolReport | None:
    errors: list[str] = []
    success: bool | None = None
    for line in text.split("\n"):
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(said, dict):
            continue
        if said.get("reason") == "build-finished":
            success = bool(said.get("success"))
        message = said.get("message")
        if said.get("reason") == "compiler-message" and isinstance(message, dict):
            errors += _error_of(message)
    if success is None:
        return None
    return ToolReport(max(len(errors), 0 if success else 1), None, numbered(errors))


def _error_of(message: dict[str, object]) -> Iterator[str]:
    spans, code = message.get("spans"), message.get("code")
    if message.get("level") != "error" or not isinstance(spans, list) or not spans:
        return
    name = code.get("code") if isinstance(code, dict) else "error"
    first = spans[0]
    if isinstance(first, dict):
        yield f"{first.get('file_name')}: {name}"
