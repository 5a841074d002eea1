"""JUnit's XML: what pytest, Maven, Gradle, jest-junit, vitest, phpunit and many more write.

There is no one form of it. The counts are those of the test cases themselves, not of the suites'
attributes, which are counted differently.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from qi_learn.results.mypy_output import mypy_report
from qi_learn.results.report_xml import report_root
from qi_learn.results.tool_report import ToolReport, kept

_SCRIPT = re.compile(r"\.[cm]?[jt]sx?$")
_BAD = ("failure", "error", "rerunFailure")


def junit_report(text: str) -> ToolReport | None:
    """The report in a JUnit file; None if it is none."""
    root = report_root(text, "testsuites", "testsuite")
    if root is None:
        return None
    suites = [root, *root.iter("testsuite")]
    if any(suite.get("name") == "mypy" for suite in suites):
        return mypy_report("\n".join(each.text or "" for each in root.iter("failure")))
    of_pytest = any(suite.get("name") == "pytest" for suite in suites)
    passed = 0
    failing: list[str] = []
    files: list[str | None] = []
    for case, suite in _cases(root, root):
        files.append(_file(case, suite, of_pytest))
        if any(case.find(tag) is not None for tag in _BAD):
            failing.append(_name(case))
        elif case.find("skipped") is None and case.get("status") not in ("skipped", "notrun"):
            passed += 1
    known = kept(f for f in files if f) if files and None not in files else None
    return ToolReport(len(failing), passed, kept(failing), known)


def _cases(
    element: ElementTree.Element, suite: ElementTree.Element
) -> Iterator[tuple[ElementTree.Element, ElementTree.Element]]:
    """The test cases, each with the suite that holds it."""
    for child in element:
        if child.tag == "testcase":
            yield child, suite
        elif child.tag == "testsuite":
            yield from _cases(child, child)


def _name(case: ElementTree.Element) -> str:
    own = (case.get("classname"), case.get("name"))
    return "::".join(part for part in own if part)


def _file(case: ElementTree.Element, suite: ElementTree.Element, of_pytest: bool) -> str | None:
    """The file of a test; None if the report does not say it."""
    if file := case.get("file") or suite.get("file") or suite.get("filepath"):
        return file
    named = case.get("classname") or ""
    if _SCRIPT.search(named):  # vitest puts the file there
        return named
    steps = (named or case.get("name") or "").split(".")
    if not of_pytest or not steps[0]:
        return None
    modules = []
    for step in steps:  # behind the module come its classes, which begin with a capital letter
        if step[:1].isupper():
            break
        modules.append(step)
    return "/".join(modules) + ".py" if modules else None
