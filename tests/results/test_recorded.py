"""Every parser reads what its tool really printed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.results.by_tool import printed_report, written_report
from qi_learn.results.junit_xml import junit_report
from qi_learn.results.sarif import sarif_report
from qi_learn.results.tool_report import MOST, ToolReport, kept, numbered

RECORDED = Path(__file__).parent / "recorded"
MEAN = "tests/test_stats.py"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text("utf-8")


def printed(tool: str, name: str) -> ToolReport:
    report = printed_report(tool, recorded(name))
    assert report is not None
    return report


def written(name: str) -> ToolReport:
    report = written_report(recorded(name))
    assert report is not None
    return report


@pytest.mark.parametrize(
    ("tool", "name", "failed", "passed", "failing"),
    [
        ("pytest", "pytest-q.txt", 2, 3, [f"{MEAN}::test_of_none", f"{MEAN}::test_one[2]"]),
        ("pytest", "pytest-v.txt", 2, 3, [f"{MEAN}::test_of_none", f"{MEAN}::test_one[2]"]),
        ("pytest", "pytest-broken.txt", 1, 0, ["tests/test_broken.py"]),
        ("pytest", "pytest-interrupted.txt", 0, 1, []),
        (
            "cargo",
            "cargo-test.txt",
            1,
            3,
            ["src/lib.rs::tests::of_none"],
        ),
        ("cargo", "cargo-none.txt", 0, 0, []),
        ("cargo", "cargo-build.txt", 1, None, ["src/lib.rs: E0308"]),
        ("cargo", "cargo-check.jsonl", 1, None, ["src/lib.rs: E0308"]),
        (
            "go",
            "go-test.txt",
            2,
            0,
            [
                "example.org/stats/broken [build failed]",
                *(f"example.org/stats/mean.{name}" for name in ("TestOfNone", "TestOfNone/empty")),
            ],
        ),
        (
            "go",
            "go-test-v.txt",
            1,
            1,
            [f"example.org/stats/mean.{name}" for name in ("TestOfNone", "TestOfNone/empty")],
        ),
        (
            "go",
            "go-test.jsonl",
            2,
            1,
            [
                "example.org/stats/broken [build failed]",
                "example.org/stats/mean.TestOfNone/empty",
                "example.org/stats/mean.TestOfNone",
            ],
        ),
        ("go", "go-none.txt", 0, 0, []),
        ("go", "go-build.txt", 1, None, ["broken/b.go"]),
        ("jest", "jest.txt", 2, 2, ["sum.test.js: sum › of none", "broken.test.js"]),
        ("npm", "jest-t.txt", 0, 1, []),
        ("npm", "jest-none.txt", 0, 0, []),
        ("vitest", "vitest.txt", 2, 2, ["broken.test.ts", "mean.test.ts > mean > of none"]),
        ("npm", "vitest-none.txt", 0, 0, []),
        ("npm", "vitest-t.txt", 0, 0, []),
        ("tsc", "tsc.txt", 2, None, ["bad.ts: TS2322", "bad.ts: TS2322 (2)"]),
        ("npm", "tsc-pretty.txt", 2, None, ["bad.ts: TS2322", "bad.ts: TS2322 (2)"]),
        ("mypy", "mypy.txt", 1, None, ["stats.py: return-value"]),
        ("mypy", "mypy.jsonl", 1, None, ["stats.py: return-value"]),
    ],
)
def test_what_a_tool_printed(
    tool: str, name: str, failed: int, passed: int | None, failing: list[str]
) -> None:
    report = printed(tool, name)
    assert (report.failed, report.passed) == (failed, passed)
    assert report.failing == tuple(failing)


@pytest.mark.parametrize(
    ("name", "failed", "passed"),
    [
        ("pytest-junit.xml", 2, 3),
        ("vitest-junit.xml", 2, 2),
        ("mypy-junit.xml", 1, None),
        ("jest.json", 2, 2),
        ("vitest.json", 2, 2),
        ("eslint.json", 8, None),
        ("ruff.json", 2, None),
        ("ruff.sarif", 2, None),
        ("mypy.jsonl", 1, None),
        ("go-test.jsonl", 2, 1),
        ("cargo-check.jsonl", 1, None),
    ],
)
def test_what_a_tool_wrote_is_known_by_its_content(
    name: str, failed: int, passed: int | None
) -> None:
    report = written(name)
    assert (report.failed, report.passed) == (failed, passed)
    assert report.failing is not None
    assert len(report.failing) >= failed


def test_ctrl_c_is_read_and_a_module_that_does_not_import_is_none() -> None:
    assert printed("pytest", "pytest-interrupted.txt").interrupted
    assert not printed("pytest", "pytest-broken.txt").interrupted


def test_the_files_of_the_tests_that_ran() -> None:
    assert written("pytest-junit.xml").tests == (MEAN,)
    assert printed("pytest", "pytest-v.txt").tests == (MEAN,)
    assert printed("pytest", "pytest-q.txt").tests is None
    ts = ("broken.test.ts", "mean.test.ts", "other.test.ts")
    assert written("vitest-junit.xml").tests == ts
    assert set(printed("vitest", "vitest.txt").tests or ()) == set(ts)
    assert written("vitest.json").tests == tuple(f"/home/me/stats/v/{name}" for name in ts)
    assert set(printed("jest", "jest.txt").tests or ()) == {
        *("sum.test.js", "broken.test.js", "other.test.js")
    }


def test_no_report_is_read_from_what_is_none() -> None:
    for name in sorted(path.name for path in RECORDED.glob("*.txt")):
        assert written_report("\n" + recorded(name)) is None or name.startswith(
            ("mypy", "go", "cargo")
        )
    for tool in ("pytest", "cargo", "go", "jest", "vitest", "tsc", "mypy", "npm", "make", "eslint"):
        for text in ("", "Done.", "{}", "[1]", "null", "<xml/>", "error: no", "1 passed"):
            assert printed_report(tool, text) is None, (tool, text)
    assert printed_report("ls", recorded("pytest-q.txt")) is None
    assert written_report("") is None


def test_of_maven_the_counts_are_those_of_its_cases() -> None:
    text = """<testsuite name="org.example.MeanTest" tests="4" errors="1" skipped="1" failures="1">
      <testcase name="ofTwo" classname="org.example.MeanTest"/>
      <testcase name="ofNone" classname="org.example.MeanTest"><failure>no</failure></testcase>
      <testcase name="broken" classname="org.example.MeanTest"><error>no</error></testcase>
      <testcase name="later" classname="org.example.MeanTest"><skipped/></testcase>
    </testsuite>"""
    names = ("org.example.MeanTest::ofNone", "org.example.MeanTest::broken")
    assert junit_report(text) == ToolReport(2, 1, names, None)


def test_entities_of_a_report_are_not_expanded() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite><testcase name="&a;"/></testsuite>'
    assert junit_report(bomb) is None


def test_what_is_suppressed_is_no_finding() -> None:
    found = '{"ruleId": "R", "level": "error"}'
    quiet = '{"ruleId": "R", "level": "error", "suppressions": [{"kind": "inSource"}]}'
    note = '{"ruleId": "R", "level": "note"}'
    log = f'{{"version": "2.1.0", "runs": [{{"results": [{found}, {quiet}, {note}]}}]}}'
    report = sarif_report(log)
    assert report is not None
    assert report.failing == ("?: R",)


def test_names_are_bounded_and_numbered() -> None:
    assert numbered(["a", "b", "a"]) == ("a", "b", "a (2)")
    assert kept(["a", "a"]) == ("a",)
    assert kept(map(str, range(MOST + 1))) is None
