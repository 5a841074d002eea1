"""The documentation keeps up with the code: JSON fields, commands, files that it names. (The
settings page: test_settings.py.)
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from qi_learn.bench.figures import InContext, MethodFigures, Report, Unlearning
from qi_learn.bench.packed_file import FileFigures
from qi_learn.cli.app import app, bench_app
from qi_learn.codec import keys_of
from qi_learn.commands.rollback import RollbackReport
from qi_learn.demo.figures import Figures
from qi_learn.report.explain import Explanation
from qi_learn.report.finding import Finding
from qi_learn.report.gpu_use import GpuUse
from qi_learn.report.listing import VersionLine
from qi_learn.report.status import RunLine, Status
from qi_learn.rundir.progress import Progress
from qi_learn.store.turns import TurnLine

ROOT = Path(__file__).parent.parent
DOCUMENTED: dict[str, tuple[tuple[type, ...], set[str]]] = {
    "status": (
        (Status, RunLine, Progress, GpuUse),
        {"running", "waiting", "deferred", "deployed", "refused", "failed", "cancelled"},
    ),
    "log": ((TurnLine,), {"turns", "--event"}),
    "explain": ((Explanation,), set()),
    "versions": ((VersionLine,), {"versions"}),
    "rollback": ((RollbackReport,), set()),
    "doctor": ((Finding,), {"checks"}),
    "demo": (
        (Figures,),
        {"before", "after", "low", "high", "state", "version", "scale", "reasons"},
    ),
    "bench learning": ((MethodFigures, InContext, Unlearning, FileFigures), {*Report().figures()}),
}
"""By command: the records that it prints, and what else its section names."""


def section(command: str) -> str:
    return (
        (ROOT / "docs" / "json.md")
        .read_text()
        .split(f"## qi-learn {command}\n", 1)[1]
        .split("\n## ", 1)[0]
    )


@pytest.mark.parametrize("command", DOCUMENTED)
def test_the_json_fields_are_the_documented_ones(command: str) -> None:
    records, more = DOCUMENTED[command]
    assert (
        set(re.findall(r"`([^`]+)`", section(command)))
        == {key for record in records for key in keys_of(record)} | more
    )


def test_every_command_that_prints_json_is_documented() -> None:
    with_json = {
        c.name or c.callback.__name__
        for c in app.registered_commands
        if c.callback and "as_json" in inspect.signature(c.callback).parameters
    }
    with_json |= {f"bench {c.name}" for c in bench_app.registered_commands}
    assert with_json == set(
        re.findall(r"^## qi-learn ([\w ]+)$", (ROOT / "docs" / "json.md").read_text(), re.MULTILINE)
    )


def test_every_command_has_help_and_a_place_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = {
        c.name or c.callback.__name__: (c.callback.__doc__ or "")
        for c in app.registered_commands
        if c.callback
    }
    commands["daemon"] = "see its own help"
    assert {name for name, words in commands.items() if not words.strip()} == set()
    assert {name for name in commands if not re.search(rf"qi-learn {name}\b", readme)} <= {
        "config"
    }, "the tour names the commands"


def test_every_link_leads_to_a_file() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text())
        if "://" not in target
    ]
    assert links
    assert [
        f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()
    ] == []


def test_every_test_that_a_page_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", (ROOT / "docs" / "ewc.md").read_text())
    assert len(named) > 15
    for file, name in named:
        assert (
            f"def {name}(" in (ROOT / "tests" / file).read_text()
            if name
            else (ROOT / "tests" / file).exists()
        ), f"{file}::{name}"
