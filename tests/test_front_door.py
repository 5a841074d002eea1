"""What a stranger meets first holds: lines, snippets, places, and no package that is not published.

Links and commands are held by test_docs.py.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from qi_learn.paths import Paths
from qi_learn.settings import Settings
from qi_learn.settings_file import load_settings
from tests.support.pages import lines_by_hand

ROOT = Path(__file__).parent.parent
HOW_TO = ROOT / "docs" / "how-to"
PAGES = (*ROOT.glob("*.md"), *HOW_TO.glob("*.md"), ROOT / "docs" / "versioning.md")
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.toml"))
CLIENTS = HOW_TO / "connect-your-editor.md"
FROM_AN_INDEX = re.compile(
    r"""(pip3?|pipx|uv\ pip|uv\ tool)\ install\s+(-\S+\s+)*["']?qi-learn\b
      | uvx\s+["']?qi-learn\b""",
    re.VERBOSE,
)
"""A line that would fetch whatever lies on a package index under our name."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_fits_into_100_columns(page: Path) -> None:
    assert [line for line in lines_by_hand(page) if len(line) > 100] == []


def test_the_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 95


def test_nothing_recommends_a_package_that_is_not_published() -> None:
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "qi_learn").rglob("*.py")]
    files += [file for file in (ROOT / "scripts").rglob("*") if file.suffix in ("", ".py")]
    found = {file: FROM_AN_INDEX.search(file.read_text()) for file in files if file.is_file()}
    assert {str(file): hit[0] for file, hit in found.items() if hit} == {}


@pytest.mark.parametrize("text", blocks(CLIENTS, "json"))
def test_a_json_snippet_can_be_pasted(text: str) -> None:
    json.loads(text)


@pytest.mark.parametrize("text", blocks(CLIENTS, "toml"))
def test_a_toml_snippet_can_be_pasted(text: str) -> None:
    tomllib.loads(text)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_of_a_configuration_can_be_used(file: Path) -> None:
    assert load_settings(file, env={}) != Settings()


def test_every_snippet_names_the_gateways_address() -> None:
    gateway, page = Settings().gateway, CLIENTS.read_text()
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", page)) == {str(gateway.port)}
    assert Settings().serve.alias.removesuffix(":latest") in page


def test_every_client_says_whether_it_was_run() -> None:
    sections = CLIENTS.read_text().split("\n## ")[1:]
    clients = {s.splitlines()[0]: s for s in sections if "```" in s or "Settings" in s}
    for other in ("Which model to ask for", "Over the network"):
        clients.pop(other)
    assert len(clients) > 12
    silent = [name for name, s in clients.items() if not re.search(r"not run\s+here|Run here", s)]
    assert silent == []


def test_every_place_is_on_the_page_that_lists_them() -> None:
    page = (HOW_TO / "where-everything-lies.md").read_text()
    paths = Paths.under(Path("/somewhere"))
    names = [name for name, kind in vars(Paths).items() if isinstance(kind, property)]
    missing = {name for name in names if f"`{getattr(paths, name).name}" not in page}
    assert missing == set()
