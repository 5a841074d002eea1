"""Files that a person leaves out by `.qi-learn-ignore` are not looked at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.project_context import read_context
from qi_learn.workspace.qi_learn_ignore import NAME, QiLearnIgnore
from qi_learn.workspace.watcher import Watcher
from tests.support.command_line import wait_until
from tests.support.repository import Repository

RULES = "private/\n*.sql\n!kept.sql\n/top.py\n"


@pytest.mark.parametrize("text", [RULES, None])
def test_what_the_rules_leave_out_is_not_told(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "src").mkdir()
    names = ("private/a.py", "dump.sql", "kept.sql", "top.py", "src/top.py")
    with Watcher() as watcher:
        watcher.add(tmp_path, wait=True)
        if text is not None:
            (tmp_path / NAME).write_text(text)
        for name in names:
            (tmp_path / name).write_text("x = 1\n")
        (tmp_path / "last.py").write_text("x = 2\n")
        told: dict[str, bool] = {}

        def all_told() -> bool:
            saves = [seen for seen in watcher.poll() if isinstance(seen, FileSaved)]
            told.update({saved.file: saved.partly for saved in saves})
            return {"last.py", "src/top.py", "kept.sql"} <= told.keys()

        wait_until(all_told)
        watcher.poll()
    seen = told.keys() - {NAME, "last.py"}
    assert seen == ({"kept.sql", "src/top.py"} if text else set(names))
    assert told["last.py"] is (text is not None)


@pytest.mark.parametrize("within", [False, True])
def test_rules_count_in_another_working_tree_from_its_top(tmp_path: Path, within: bool) -> None:
    repo = Repository(tmp_path / "project")
    repo.write(NAME, "/top.py\n*.txt\n!/src/*.txt\n")
    repo.commit("Begin")
    linked = (repo.root if within else tmp_path) / "feature"
    repo.git("worktree", "add", "-q", str(linked))
    (linked / "src").mkdir()
    with Watcher() as watcher:
        watcher.add(repo.root, wait=True)
        for name in ("top.py", "a.txt", "src/top.py", "src/b.txt", "last.py"):
            (linked / name).write_text("x = 1\n")
        told: set[str] = set()

        def all_told() -> bool:
            saves = [seen for seen in watcher.poll() if isinstance(seen, FileSaved)]
            told.update(os.path.relpath(saved.path, linked) for saved in saves)
            return {"last.py", "src/top.py", "src/b.txt"} <= told

        wait_until(all_told)
        watcher.poll()
    assert told == {"src/top.py", "src/b.txt", "last.py"}


def test_rules_that_cannot_be_read_leave_out_everything(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xff\xfe")
    assert QiLearnIgnore(str(tmp_path)).allowed([f"{tmp_path}/a.py"]) == set()


def test_a_project_may_list_what_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("*\n!src/**\n")
    names = [f"{tmp_path}/{name}" for name in ("a.py", "src/b.py", "src/deep/c.py", "doc/src.py")]
    assert QiLearnIgnore(str(tmp_path)).allowed(names) == set(names[1:3])


def test_a_file_that_is_left_out_is_not_counted_as_the_projects(tmp_path: Path) -> None:
    for name in ("src/a.py", "private/b.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x = 1\n")
    before = read_context(tmp_path, commit=None, branch=None).files
    (tmp_path / NAME).write_text(f"private/\n{NAME}\n")
    assert before - read_context(tmp_path, commit=None, branch=None).files == 1


def test_a_mark_at_the_beginning_is_no_part_of_the_first_rule(tmp_path: Path) -> None:
    """As some editors write it; git leaves it out as well."""
    (tmp_path / NAME).write_bytes(b"\xef\xbb\xbfprivate/\n*.sql\n")
    rules = QiLearnIgnore(str(tmp_path))
    assert rules.allowed([str(tmp_path / "private/a.py"), str(tmp_path / "b.py")]) == {
        str(tmp_path / "b.py")
    }


def test_what_cannot_be_read_leaves_out_everything(tmp_path: Path) -> None:
    file = str(tmp_path / "a.py")
    rules = QiLearnIgnore(str(tmp_path))
    assert rules.allowed([file]) == {file}
    (tmp_path / NAME).write_text("[z-a].txt\n")  # Python's patterns have no such range
    assert rules.allowed([file]) == set()
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    assert rules.allowed([file]) == set()


FILES = (
    *("secret/a.py", "secret/sub/b.py", "src/a.py", "src/secret/c.py", "src/keep/d.py", "a.py"),
    *("deep/secret/a.py", "secretive.py"),
)


@pytest.mark.parametrize(
    "rules",
    [
        "secret/\n!secret/a.py\n",
        "secret\n!secret/a.py\n",
        "!secret/a.py\nsecret/\n",
        "secret/\n!secret/\n!secret/a.py\n",
        "secret/*\n!secret/a.py\n",
        "secret/**\n!secret/a.py\n",
        "secret/**\n!secret/sub/b.py\n",
        "secret/**\n!secret/sub/\n!secret/sub/b.py\n",
        "/secret/\n!/secret/sub/b.py\n",
        "**/secret/\n!*.py\n",
        "src/\n!src/keep/\n!src/keep/d.py\n",
        "s*/\n!src/\n",
        "*.py\n!src/**\n",
    ],
)
def test_what_lies_in_a_directory_that_is_left_out_is_what_git_says(
    tmp_path: Path, rules: str
) -> None:
    repo = Repository(tmp_path)
    repo.write(".gitignore", rules)
    (tmp_path / NAME).write_text(rules)
    for name in FILES:
        repo.write(name, "x = 1\n")
    told = repo.git("ls-files", "--others", "--exclude-standard", *FILES).split("\n")
    allowed = QiLearnIgnore(str(tmp_path)).allowed([f"{tmp_path}/{name}" for name in FILES])
    assert {os.path.relpath(path, tmp_path) for path in allowed} == set(FILES) & set(told)


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("secret/\n# but\n!secret/a.py\n", [(3, "!secret/a.py")]),
        ("secret\n!/secret/*.py\n", [(2, "!/secret/*.py")]),
        ("secret/\n!secret/\n!secret/a.py\n", []),
        ("secret/*\n!secret/a.py\n", []),
        ("*\n!src/**\n", []),
        ("secret/\n!a.py\n!other/a.py\n", []),
    ],
)
def test_a_line_that_cannot_take_effect_is_known(
    tmp_path: Path, rules: str, told: list[tuple[int, str]]
) -> None:
    (tmp_path / NAME).write_text(rules)
    assert list(QiLearnIgnore(str(tmp_path)).without_effect()) == told


def test_rules_with_a_zero_byte_leave_out_everything(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"secret/\0\n")
    rules = QiLearnIgnore(str(tmp_path))
    assert rules.allowed([f"{tmp_path}/secret/a.py"]) == set()
    assert not rules.readable
