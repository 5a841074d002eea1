"""The documentation keeps up with the code: generated parts, JSON fields, commands, and every file,
test, setting and link that a page names."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.bench.day.day_figures import (
    CycleFigures,
    DayFigures,
    DayReport,
    Difference,
    Point,
)
from qi_learn.bench.figures import InContext, MethodFigures, Report, ShotsRow, Unlearning
from qi_learn.bench.packed_file import FileFigures
from qi_learn.cli.app import app
from qi_learn.codec import keys_of
from qi_learn.commands.backup import BackupReport
from qi_learn.commands.export_examples import ExampleReport
from qi_learn.commands.hooks import HookState
from qi_learn.commands.import_request import ImportReport
from qi_learn.commands.launch import ToolFound
from qi_learn.commands.rollback import RollbackReport
from qi_learn.demo.figures import Figures
from qi_learn.gate.cost import Cost
from qi_learn.gate.measurements import Measurements
from qi_learn.gate.project_rule import with_project_tests
from qi_learn.gate.project_tests import ProjectResults
from qi_learn.records import (
    Check,
    Execution,
    Leak,
    MarkedVersion,
    Monitored,
    Receipt,
    SetAside,
    Verdict,
    VersionPair,
    WatchState,
)
from qi_learn.report.daemon_status import DaemonStatus, Process
from qi_learn.report.explain import Explanation
from qi_learn.report.finding import Finding
from qi_learn.report.gpu_use import GpuUse
from qi_learn.report.keeping import KeptState
from qi_learn.report.listing import VersionLine
from qi_learn.report.refused_runs import RefusedRun
from qi_learn.report.shipped import ShippedState
from qi_learn.report.status import RunLine, Status
from qi_learn.report.why import LinesLeft, Why, WhyBlock
from qi_learn.rundir.lost_turns import Lost
from qi_learn.rundir.progress import Progress
from qi_learn.settings import Settings, settings_table
from qi_learn.store.client_rates import ClientRates
from qi_learn.store.turn_lines import TurnLine
from tests.support.gate_models import BEFORE, answers, model, suite, verdict_on
from tests.support.pages import lines_by_hand

ROOT = next(p for p in Path(__file__).resolve().parents if (p / "pyproject.toml").exists())
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
HISTORY = DOCS / "internals" / "log"
"""Its commands and names are those of their day."""
SUFFIXES = {"db", "json", "log", "py", "ready", "sock", "toml"}
"""`gate.py` and `gateway.log` look like settings and are files."""
DOCUMENTED: dict[str, tuple[tuple[type, ...], set[str]]] = {
    "status": (
        (
            *(Status, RunLine, Progress, GpuUse, Lost, WatchState, SetAside, KeptState),
            *(ClientRates, ShippedState, Monitored, VersionPair),
        ),
        {
            *("running", "waiting", "deferred", "deployed", "refused", "failed", "cancelled"),
            *("starting", "watched", "polled", "blind", "--seen"),
        },
    ),
    "log": (
        (TurnLine, Why, WhyBlock, LinesLeft),
        {
            *("turns", "searched_since", "waiting", "--event", "--why", "forget --keep-record"),
            *("kept", "edited", "rejected", "superseded", "unknown", "placed", "settled"),
        },
    ),
    "import": ((ImportReport,), set()),
    "hooks list": ((HookState,), {"hooks"}),
    "hooks status": ((HookState,), set()),
    "launch": (
        (ToolFound,),
        {
            *("tools", "tool", "file", "restored", "--config", "--restore", "as it was"),
            *("only ours taken out", "nothing"),
        },
    ),
    "export data": ((ExampleReport,), {"--format"}),
    "explain": (
        (Explanation, Verdict, Check),
        {"monitored", "known", "qi-learn status", "records.verdict"},
    ),
    "versions": ((VersionLine, RefusedRun), {"versions", "refused"}),
    "rollback": ((RollbackReport,), set()),
    "backup": ((BackupReport,), set()),
    "forget": (
        (Receipt, MarkedVersion),
        {"grep", "project", "since", "dry run", "under way", "done", "receipts/", "--retrain"},
    ),
    "doctor": ((Finding,), {"checks"}),
    "daemon status": ((DaemonStatus, Process), set()),
    "demo": (
        (Figures,),
        {"before", "after", "low", "high", "state", "version", "scale", "reasons"}
        | {"tokens_read", "tokens_generated"},
    ),
    "bench learning": (
        (MethodFigures, InContext, Unlearning, FileFigures, ShotsRow),
        {*Report().figures()},
    ),
    "bench day": (
        (DayFigures, Point, Difference, CycleFigures),
        {*DayReport().figures(), "live", "base", "few_shot", "train.min_interactions"},
    ),
}
"""By command: the records that it prints, and what else its section names."""


def commands() -> dict[str, Any]:
    """Every command by its words, `bench learning` for one, as the command line parses it."""

    def below(group: Any, words: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield f"{words}{name}", command
            if hasattr(command, "commands"):
                yield from below(command, f"{words}{name} ")

    return dict(below(app, ""))


def identity(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# --- what is generated ------------------------------------------------------------------------


def test_the_generated_parts_are_what_the_code_says() -> None:
    words = [sys.executable, "-m", "scripts.reference", "--check"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_page_that_differs_is_named(tmp_path: Path) -> None:
    for name in ("tests", "CONTRIBUTING.md", "SECURITY.md"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(DOCS, tmp_path / "docs")
    settings = tmp_path / "docs" / "reference" / "settings.md"
    settings.write_text(settings.read_text().replace("| `port` | `11435` |", "| `port` | `1` |"))
    script = (
        "import sys; from pathlib import Path; from scripts.reference.blocks import outdated; "
        "print(*(p.name for p in outdated(Path(sys.argv[1]))))"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "settings.md\n"


# --- what `--json` prints ---------------------------------------------------------------------


def section(command: str) -> str:
    page = (DOCS / "reference" / "json.md").read_text()
    return page.split(f"## qi-learn {command}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("command", DOCUMENTED)
def test_the_json_fields_are_the_documented_ones(command: str) -> None:
    records, more = DOCUMENTED[command]
    known = {key for record in records for key in keys_of(record)} | more
    assert set(re.findall(r"`([^`]+)`", section(command))) == known


def test_every_number_of_a_verdict_is_in_the_list_and_no_other() -> None:
    """Of a verdict on everything that there can be."""
    page = (DOCS / "reference" / "json.md").read_text().split("## The numbers of a verdict\n")[1]
    listed = set(
        re.findall(r"`(\w+)`", "\n".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)))
    )
    forms = {
        name: name.replace("WHO", "(candidate|live|base)")
        .replace("SUITE", "[a-z_]+")
        .replace("RUN", "[A-Z0-9]+")
        .replace("SCALE", "[0-9.]+")
        for name in listed
    }
    tasks = Execution(("t0",), (True,))
    fits = {
        number: {name for name, form in forms.items() if re.fullmatch(form, number)}
        for number in whole_verdict(replace(model(gate=1.8), execution=tasks)).numbers
    }
    assert [number for number, names in fits.items() if not names] == []
    assert set().union(*fits.values()) == listed


def whole_verdict(candidate: Measurements) -> Verdict:
    """With every number that there can be."""
    before = replace(BEFORE, execution=candidate.execution)
    leak = Leak("key", "an answer", 1.0)
    fixed = {who: suite("fixed", [1.0]) for who in ("candidate", "live", "base")}
    verdict = verdict_on(
        candidate,
        before,
        before,
        leaks=(leak,),
        dev_by_scale={0.5: 1.0},
        few_shot=answers(0.9),
        packing_cost=0.01,
        cycles={"old0": "R1"},
        fixed=fixed,
    )
    cost = Cost(1, 1, 1, 1.0, 1.0, 1).numbers()
    check, ran = Check("project_tests", True, None, None, None, None, ""), ProjectResults({}, {}, 3)
    return with_project_tests(replace(verdict, numbers={**verdict.numbers, **cost}), check, ran)


def test_every_command_that_prints_json_is_documented() -> None:
    with_json = {
        name
        for name, command in commands().items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    page = (DOCS / "reference" / "json.md").read_text()
    assert with_json == set(re.findall(r"^## qi-learn ([\w ]+)$", page, re.MULTILINE))


# --- what pages name --------------------------------------------------------------------------


def test_every_command_has_help_and_a_page() -> None:
    """The generated page has all of them; that is checked here by reading it as a person would."""
    page = (DOCS / "reference" / "cli.md").read_text()
    told = set(re.findall(r"^##+ qi-learn ([\w ]+)$", page, re.MULTILINE))
    assert told == set(commands())
    assert {
        name for name, command in commands().items() if not (command.help or "").strip()
    } == set()


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    """In code and in shell blocks. Of a group the word behind it is a command too."""
    known, text = commands(), page.read_text()
    lines = re.findall(r"`qi-learn ([a-z][a-z -]*)", text)
    for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines += re.findall(r"^(?:\$ )?qi-learn ([a-z][a-z -]*)", block, re.MULTILINE)
    for words in map(str.split, lines):
        assert words[0] in known, f"qi-learn {' '.join(words)}"
        if hasattr(known[words[0]], "commands") and len(words) > 1:
            assert " ".join(words[:2]) in known, f"qi-learn {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_option_that_a_page_names_is_there(page: Path) -> None:
    """`qi-learn COMMAND --option`, wherever it stands in code."""
    known = commands()
    text = page.read_text()
    for name, command in known.items():
        if hasattr(command, "commands"):
            continue
        options = {option for parameter in command.params for option in parameter.opts}
        for rest in re.findall(rf"qi-learn {name}((?: [^\s`#|]+)*)", text):
            given = rest.split(" -- ")[0] if name == "run" else rest
            named = {word.split("=")[0] for word in given.split() if re.match(r"--\w", word)}
            assert named - options <= {"--help"}, f"qi-learn {name}{rest}"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_link_leads_to_a_file(page: Path) -> None:
    """Anchors too: a heading, or an `id` that the page sets."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else page.parent / path
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text()), target


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    """By the end of its path, `gate/test_leaks.py` for one; the log's names are of their day."""
    if HISTORY in page.parents:
        return
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    for name, test in re.findall(r"`((?:\w+/)*test_\w+\.py)(?:::(test_\w+))?`", page.read_text()):
        found = [file for file in files if f"/{file}".endswith(f"/{name}")]
        assert len(found) == 1, f"{name}: {found}"
        if test:
            assert f"def {test}(" in (ROOT / found[0]).read_text(), f"{name}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_source_file_that_a_page_names_is_there(page: Path) -> None:
    """From the root, or from within the package; the log's names are of their day."""
    if HISTORY in page.parents:
        return
    named = re.findall(r"`((?:[\w.]+/)+\w+\.\w+)`", page.read_text())
    roots = (ROOT, ROOT / "qi_learn", ROOT / "tests")
    code = [name for name in named if name.endswith((".py", ".toml", ".service", ".plist"))]
    assert [name for name in code if not any((root / name).exists() for root in roots)] == []


def test_every_promise_names_a_test() -> None:
    page = (DOCS / "reference" / "promises.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    assert [row[0] for row in rows if "/test_" not in row[1] and "ewc.md" not in row[1]] == []
    assert (
        len(re.findall(r"`train/test_\w+\.py", (DOCS / "explanation" / "ewc.md").read_text())) > 15
    )


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_setting_that_a_page_names_is_there(page: Path) -> None:
    """`section.key` in code, where the section is one of the settings'."""
    table = settings_table(Settings())
    for name, key in re.findall(r"`(\w+)\.(\w+)(?: = [^`]*)?`", page.read_text()):
        if name in table and key not in SUFFIXES:
            assert key in table[name], f"{name}.{key}"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_a_page_is_at_most_100_columns_wide(page: Path) -> None:
    """But for tables, and for lines that a link makes longer."""
    for number, line in enumerate(lines_by_hand(page), 1):
        if not line.startswith("|") and "](" not in line and "://" not in line:
            assert len(line) <= 100, f"line {number}: {len(line)}"
