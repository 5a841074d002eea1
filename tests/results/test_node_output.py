"""What `node --test` prints, recorded from Node 20."""

from __future__ import annotations

from qi_learn.results.by_tool import printed_report
from qi_learn.results.tool_report import ToolReport

TAP = """TAP version 13
# Subtest: clamps
ok 1 - clamps
  ---
  duration_ms: 10.084981
  ...
1..1
# tests 3
# suites 0
# pass 1
# fail 1
# cancelled 1
# skipped 0
# todo 0
# duration_ms 239.017445
"""
SPEC = "".join(
    f"\x1b[34mℹ {line}\x1b[39m\n"
    for line in ("tests 2", "suites 0", "pass 2", "fail 0", "cancelled 0", "duration_ms 1.5")
)


def test_both_forms_are_read() -> None:
    assert printed_report("node", TAP) == ToolReport(2, 1)
    assert printed_report("node", SPEC) == ToolReport(0, 2)


def test_what_is_no_report_is_none() -> None:
    assert printed_report("node", "hello\n# tests\n") is None
