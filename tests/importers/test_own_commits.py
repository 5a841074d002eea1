"""What a person wrote in commits of their own, out of a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.importers.own_commits import read
from qi_learn.records import ToolRating
from tests.support.repository import Repository

ADDED = "def total(rows):\n    found = list(rows)\n    return sum(row.price for row in found)\n"


@pytest.mark.parametrize("odd", ["\f", "\v", "\x1c", "\x85", "\u2028"], ids=ascii)
def test_lines_are_counted_as_git_counts_them(tmp_path: Path, odd: str) -> None:
    repo = Repository(tmp_path / "work")
    begun = f'"""Rows."""\n\nODD = "a{odd}b{odd}c"\n{odd}\n\nimport math\n'
    repo.write("rows.py", begun)
    repo.commit("Begin")
    repo.git("config", "user.email", repo.git("log", "-1", "--format=%ae"))
    repo.write("rows.py", f"{begun}\n\n{ADDED}")
    repo.commit("Totals")
    told = [i for i in read(repo.root, "", ended=True) if isinstance(i, ToolRating)]
    assert [each.correction for each in told] == [f"\n\n{ADDED}"]
