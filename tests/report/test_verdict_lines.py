"""What a person reads of a verdict: what refused it first, and what held in few lines."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.commands.train import CycleHost, follow
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.project_rule import REFUSED, project_tests_check
from qi_learn.gate.project_tests import ProjectResults
from qi_learn.records import Check, Execution, SuiteNll, Verdict
from qi_learn.report.verdict_lines import refusal_lines, rule_lines, verdict_lines
from qi_learn.report.words import clock
from qi_learn.rundir.directory import RunDirectory
from tests.support.command_line import Terminal
from tests.support.gate_models import N, answers, model, spread, suite, verdict_on
from tests.support.recorded_home import RUN, deploy, ended_run, record

SUITES = (
    "python_stdlib",
    "python",
    "javascript",
    "go",
    "sql",
    "shell",
    "prose",
    "chat",
    "fim",
    "tool_call",
    "completion",
    "spill_over_header",
    "spill_over_plain",
)
COST = {
    "tokens_read": 87_312.0,
    "tokens_asked": 9_120.0,
    "tokens_generated": 5_804.0,
    "gate_read_seconds": 520.0,
    "gate_generate_seconds": 140.0,
    "gate_parameters": 1.345e8,
}


def general(risen: dict[str, float], noise: float) -> dict[str, SuiteNll]:
    draw = random.Random(3)
    return {
        name: suite(
            name,
            [1.2 + risen.get(name, 0.0) + draw.gauss(0, noise) for _ in range(24)],
            tokens=80,
        )
        for name in SUITES
    }


def tried(
    *, fall: float, apart: float, risen: dict[str, float] | None = None, solved: int = 6
) -> Measurements:
    """A model beside one that is at 2.0 on fresh work, over three sessions."""
    draw = random.Random(3)
    units = tuple(f"s{n % 3}" for n in range(N))
    tasks = tuple(f"task{n}" for n in range(20))
    return replace(
        model(speed=45.0),
        gate=suite("gate", [2.0 - fall + draw.gauss(0, apart) for _ in range(N)], units=units),
        old=suite("old", spread(1.505 if apart else 1.5), tokens=40),
        general=general(risen or {}, 0.02 if apart else 0.0),
        execution=Execution(tasks, tuple(n < solved for n in range(20))),
    )


BEFORE = tried(fall=0.0, apart=0.0, solved=7)


def judged(candidate: Measurements) -> Verdict:
    verdict = verdict_on(
        candidate,
        BEFORE,
        BEFORE,
        dev_by_scale={1.0: 1.5, 0.75: 1.51, 0.5: 1.62, 0.25: 1.7},
        few_shot=answers(0.9),
        own=120,
    )
    return replace(verdict, numbers={**verdict.numbers, **COST})


@pytest.fixture
def home(tmp_path: Path) -> Terminal:
    made = Terminal(tmp_path)
    record(made.paths, made.root / "project")
    deploy(made.paths)
    return made


def end(home: Terminal, verdict: Verdict) -> None:
    run = ended_run(home.paths)
    run.write(run.verdict, verdict)
    state, reason = "deployed" if verdict.ships else "refused", "; ".join(verdict.reasons)
    version = "1.1.0" if verdict.ships else None
    run.write(run.outcome, {"state": state, "reason": reason, "version": version})


def test_a_refusal_by_one_rule_fits_a_screen_of_80_columns(home: Terminal) -> None:
    verdict = judged(tried(fall=0.1, apart=0.3))
    assert (verdict.refused_by, len(verdict.checks)) == (("domain_relevance",), 26)
    end(home, verdict)
    explained, told = home.screen("explain", RUN), home.screen("status")
    assert len(explained) <= 45
    assert len(told) <= 30
    wide = [line for line in (*explained, *told) if len(line) > 80 and str(home.root) not in line]
    assert wide == [], "but for a path, which is never cut"
    assert [line[:7] for line in explained[3:5]] == ["    NO ", "       "]
    assert explained[-1] == "  ended: refused by domain_relevance"
    assert "last run    01HZXW00 refused by domain_relevance" in told
    assert sum(line.startswith("would help") for line in told) == 1
    assert "            25 rules that held: `qi-learn explain 01HZXW00`" in told


def test_what_refuses_comes_before_what_helps_and_what_holds(home: Terminal) -> None:
    rules = verdict_lines(judged(tried(fall=0.5, apart=0.1, risen={"go": 0.2, "prose": 0.06})))
    assert rules[0] == "  the gate refused it against v1.0.0, which stays live, at scale 1:"
    kinds = [line[4:7].strip() for line in rules[1:] if line[4] != " "]
    assert kinds[:2] == ["NO", "NO"]
    assert kinds.index("wou") == 2
    assert "NO" not in kinds[2:]
    assert any(line.startswith("    yes 11 general suites: NLL a token") for line in rules)
    assert any(", spill over plain " in line for line in rules), "each has its number"
    assert not any(line.startswith("    yes general_") for line in rules)


def test_status_shows_two_rules_and_two_helps_at_most(home: Terminal) -> None:
    rises = {"go": 0.2, "prose": 0.1, "chat": 0.07}
    end(home, judged(tried(fall=0.0, apart=0.3, risen=rises, solved=0)))
    told = home.screen("status", columns=120)
    assert sum(line.startswith("            NO  ") for line in told) == 2
    assert "            3 more rules that refused, and 21 rules that held:" in "\n".join(told)
    assert sum(line.startswith("would help") for line in told) == 2


def test_a_rule_that_was_not_run_is_no_yes() -> None:
    results = ProjectResults({name: Execution((), (), "no tests") for name in ("a", "b", "c")})
    unrun = project_tests_check(results, "a", "b", "c")
    held = Check("coherence", True, 0.0, None, None, 0.0, "24 of 24")
    skipped = Check("project_tests", True, None, None, None, None, REFUSED)
    assert rule_lines((unrun, held, skipped), ()) == [
        "    yes coherence: 24 of 24",
        "    --  project_tests: not run: no tests",
        "    --  project_tests: not run: the other rules refuse it already",
    ]


def test_where_there_is_no_earlier_work_its_rule_is_no_yes() -> None:
    first, none = tried(fall=0.5, apart=0.1), suite("old", [])
    before = replace(BEFORE, old=none)
    verdict = verdict_on(replace(first, old=none), before, before)
    assert verdict.ships
    assert "    --  old_work: not run: there is no earlier work to compare on yet" in rule_lines(
        verdict.checks, ()
    )


def test_what_ships_has_every_rule_and_the_way_back(home: Terminal) -> None:
    verdict = judged(tried(fall=0.5, apart=0.1))
    assert verdict.ships
    end(home, verdict)
    lines = home.screen("explain", RUN)
    assert lines[2] == "  the gate passed it against v1.0.0, at scale 1:"
    assert lines[3].startswith("    yes domain_relevance: NLL on what you wrote yourself fell by")
    assert lines[4].startswith("        token (at least 0."), "below its own text"
    assert any(line.startswith("    way back: `qi-learn rollback`") for line in lines)
    assert "speed 1.00, " in " ".join(" ".join(lines).split()), (
        "a number of the file itself is not left out"
    )
    assert len(lines) <= 45


def test_what_ended_otherwise_than_by_the_gate_keeps_its_reason(home: Terminal) -> None:
    end(home, judged(tried(fall=0.1, apart=0.3)))
    run = RunDirectory(home.paths.runs / RUN)
    run.write(run.outcome, {"state": "failed", "reason": "The disk is full.", "version": None})
    assert "  ended: failed, The disk is full." in home.screen("explain", RUN)
    assert "last run    01HZXW00 failed: The disk is full." in home.screen("status")


def test_cycles_that_were_refused_are_listed_below_the_versions(home: Terminal) -> None:
    """They came to no version, so that no other list names them."""
    assert home.qi("versions").out.count("\n") == 2
    end(home, judged(tried(fall=0.1, apart=0.3)))
    out = home.qi("versions").out.splitlines()
    assert out[-2:] == [
        f"   refused  {clock(80.0)}  run 01HZXW00, by domain_relevance",
        "`qi-learn explain 01HZXW00` says why.",
    ]
    (told,) = home.qi("versions", "--json").json["refused"]
    assert (told["run"], told["compared_with"]) == (RUN, "1.0.0")
    for n in range(6):
        newer = RunDirectory(home.paths.runs / f"01J{n}{RUN[4:]}")
        shutil.copytree(home.paths.runs / RUN, newer.path)
    out = home.qi("versions").out.splitlines()
    assert (out[2], len(out)) == ("   (2 more were refused before)", 9)
    run = RunDirectory(home.paths.runs / RUN)
    run.verdict.write_bytes(b"\x00")
    assert len(home.qi("versions", "--json").json["refused"]) == 6


def test_a_refused_cycle_that_one_waited_for_says_why_at_its_end(home: Terminal) -> None:
    end(home, judged(tried(fall=0.1, apart=0.3)))
    run = RunDirectory(home.paths.runs / RUN)
    lines = refusal_lines(run)
    assert lines[0].startswith("    NO  domain_relevance: NLL on what you wrote yourself")
    assert lines[1].startswith("    would have helped: at this effect")
    run.journal(82.0, "end", "refused", reason="one; two", version=None)
    view = Said()
    host = CycleHost(alive=lambda: True, cancel=lambda: None, left="")
    ended = follow(run, view, [], host)
    assert view.said[-1] == "end: refused by domain_relevance"
    assert (ended.state, ended.run) == ("refused", run)
    run.verdict.unlink()
    assert refusal_lines(run) == []


class Said:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, run: RunDirectory) -> None:
        """Shows nothing."""
