"""Real code for the demonstration: counts and round trips on the installed `rich`, and commit order
in a new repository.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
from pathlib import Path

import pytest

from qi_learn.bench.functions import (
    deal,
    functions_in,
    package_functions,
    prompt_for,
    sessions,
    skeleton,
    with_function,
    written,
)
from qi_learn.bench.repositories import repository_functions
from qi_learn.errors import NotFound

MODULE = '''"""A module."""


class Table:
    """Rows."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        count = len(self._rows)
        return count

    def text(self) -> str:
        """Text of all rows.

        More about it.
        """
        return """
left margin
"""


def lonely(a, *, b=1):
    # no docstring
    c = a + b
    return c
'''


@pytest.fixture(scope="module")
def rich() -> Path:
    spec = importlib.util.find_spec("rich")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def test_every_function_of_a_real_package_comes_back_where_it_was(rich: Path) -> None:
    functions = package_functions(rich)
    for file in sorted({f.file for f in functions}):
        text = (rich.parent / file).read_bytes().decode()
        own = [f for f in functions if f.file == file]
        for code in (lambda f: f.source, written):
            now = skeleton(text, own)
            ast.parse(now)
            assert len(now) < len(text)
            for function in reversed(own):
                now = with_function(now, function, code(function))
            assert now == text
        assert with_function(text, own[0], written(own[0])) == text


def test_a_real_package_has_enough_for_two_disjoint_sets(rich: Path) -> None:
    first, second = deal(sessions(package_functions(rich)))
    assert not {s.module for s in first} & {s.module for s in second}
    for group in (first, second):
        assert len(group) >= 10
        assert sum(len(s.asked) for s in group) >= 90
        assert sum(len(s.held_out) for s in group) >= 40
        assert max(len(s.asked) for s in group) < sum(len(s.asked) for s in group) / 4
        for session in group:
            assert not set(session.asked) & set(session.held_out)


def test_a_function_is_described_by_what_its_file_says() -> None:
    # a text that reaches left of the method's indentation would not come back: not offered
    rows, lonely = functions_in(MODULE, "shop/table.py")
    assert (rows.module, rows.name, rows.class_name, rows.indent) == (
        "shop.table",
        "Table.rows",
        "Table",
        "    ",
    )
    assert rows.signature == "@property\ndef rows(self) -> int"
    assert rows.summary == "How many rows there are."
    assert written(rows).startswith('@property\ndef rows(self) -> int:\n    """How')
    for part in ("shop/table.py", "class Table", rows.signature, rows.summary):
        assert part in prompt_for(rows)
    assert (lonely.name, lonely.class_name, lonely.summary) == ("lonely", None, "")
    assert "class" not in prompt_for(lonely)


def test_an_answer_is_put_in_the_place_of_what_is_there() -> None:
    rows, lonely = functions_in(MODULE, "shop/table.py")
    code = "def rows(self):\n\n    return len(self._rows)"
    now = with_function(with_function(MODULE, lonely, "def lonely(a):\n    return a\n"), rows, code)
    assert "    def rows(self):\n\n        return len(self._rows)\n\n    def text" in now
    assert "@property" not in now
    assert now.endswith("\ndef lonely(a):\n    return a\n")


def test_a_text_without_the_place_is_refused() -> None:
    rows, _ = functions_in(MODULE, "shop/table.py")
    for text in ("x = 1\n", "def broken(:\n"):
        with pytest.raises(NotFound, match=r"no place for Table\.rows"):
            with_function(text, rows, "def rows(self): ...")


def test_what_does_not_parse_or_is_written_twice_is_left_out() -> None:
    assert functions_in("def f(:\n", "a.py") == []
    body = "(x):\n    y = x\n    return y\n\n"
    assert [f.name for f in functions_in(f"def f{body}def f{body}def g{body}", "a.py")] == ["g"]
    assert functions_in("def f(x):\r\n    y = x\r\n    return y\r\n", "a.py") == []
    assert functions_in("def one(x): return x\n", "a.py") == []


def test_lines_that_python_does_not_count_do_not_shift_the_place() -> None:
    text = 'SIGN = "\x1c\u2028"\n\n\ndef f(x):\n    y = x\n    return y\n'
    (function,) = functions_in(text, "a.py")
    assert function.source.startswith("def f(x)")
    assert with_function(skeleton(text, [function]), function, function.source) == text


def test_a_directory_without_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no Python file"):
        package_functions(tmp_path)


# --- commit order ---------------------------------------------------------------------------------


def _function(name: str, text: str = "x") -> str:
    return f"def {name}(x):\n    y = {text}\n    return y\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "repo"
    directory.mkdir()
    _git(directory, "init", "-q")
    return directory


def _git(repository: Path, *arguments: str, date: str = "1700000000 +0000") -> None:
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=repository,
        check=True,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", **dates},
    )


def _commit(repository: Path, when: int, **files: str) -> None:
    for name, text in files.items():
        (repository / f"{name}.py").write_text(text)
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", "more", date=f"{1_700_000_000 + when} +0000")


def test_functions_come_in_the_order_of_their_first_commit(repository: Path) -> None:
    _commit(repository, 0, b=_function("zero") + "\n" + _function("gone"))
    _commit(repository, 10, a=_function("one"))
    _commit(repository, 20, b=_function("two") + "\n" + _function("zero", "x + 1"))
    _commit(repository, 30, a="def broken(:\n")
    _commit(repository, 40, a=_function("three") + "\n" + _function("one"))
    introduced = repository_functions(repository)
    assert [(i.function.name, i.when - 1_700_000_000) for i in introduced] == [
        ("zero", 0),
        ("one", 10),
        ("two", 20),
        ("three", 40),
    ]
    assert "y = x + 1" in introduced[0].function.source


def test_what_is_older_than_the_commits_looked_at_was_there_from_the_beginning(
    repository: Path,
) -> None:
    for i, name in enumerate(["first", "second", "third"]):
        _commit(repository, i, **{name: _function(name)})
    introduced = repository_functions(repository, max_commits=2)
    assert [(i.function.name, i.when - 1_700_000_000) for i in introduced] == [
        ("first", 1),
        ("second", 1),
        ("third", 2),
    ]


def test_what_is_no_repository_is_refused(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(NotFound, match="git repository"):
        repository_functions(tmp_path)
    with pytest.raises(NotFound, match="git repository"):
        repository_functions(repository)  # no commit yet
