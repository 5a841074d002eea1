"""A command speaks for what it could see, and for nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from qi_learn.capture.command_kind import kind_of
from qi_learn.capture.command_scope import speaks_for
from qi_learn.capture.command_words import read_command

ROOT = "/home/me/work"


def speaks(
    command: str,
    file: str,
    cwd: str = "",
    tests: Sequence[str] | None = None,
    loaded: Sequence[str] | None = None,
) -> bool:
    words = read_command(command)
    kind = kind_of(command.split())
    where = f"{ROOT}/{cwd}".rstrip("/")
    return speaks_for(f"{ROOT}/{file}", words, kind, where, tests, loaded)


def test_a_command_speaks_for_what_is_below_its_directory() -> None:
    assert speaks("pytest", "stats.py")
    assert speaks("pytest -q", "pkg_a/stats.py", "pkg_a")
    assert not speaks("pytest -q", "pkg_b/stats.py", "pkg_a")
    assert not speaks("pytest -q", "pkg_ab/stats.py", "pkg_a")


def test_of_a_command_in_an_unknown_directory_nothing_is_known() -> None:
    assert not speaks_for(f"{ROOT}/stats.py", read_command("pytest"), "test", None)


@pytest.mark.parametrize(
    ("command", "sees", "not_seen"),
    [
        ("pytest", ["a.py", "a.pyi"], ["a.ts", ".github/workflows/ci.yaml", "README.md", "a.go"]),
        ("npm test", ["web/a.ts", "a.jsx", "a.vue"], ["backend/a.py", "a.rs"]),
        ("tsc --noEmit", ["a.ts", "a.tsx"], ["a.py", "a.css"]),
        ("cargo test", ["src/lib.rs"], ["build.py", "web/a.ts"]),
        ("go test ./...", ["a/b.go"], ["a/b.py"]),
        ("make", ["a.c", "b.cpp", "c.rs"], ["a.py", "a.ts", "ci.yaml"]),
        ("make test", ["a.c", "a.py", "a.ts"], ["ci.yaml", "README.md"]),
        ("g++-12 -c a.cc", ["a.cc"], ["a.py"]),
        ("kubectl apply -f x.yaml", ["x.yaml", "a.py"], []),
        ("mvn test", ["src/main/java/A.java"], ["a.py"]),
        ("dotnet test", ["A.cs"], ["a.java"]),
    ],
)
def test_a_tool_speaks_for_its_languages(
    command: str, sees: list[str], not_seen: list[str]
) -> None:
    assert [file for file in sees if not speaks(command, file)] == []
    assert [file for file in not_seen if speaks(command, file)] == []


@pytest.mark.parametrize(
    ("command", "sees", "not_seen"),
    [
        ("pytest tests/test_mean.py", ["mean.py", "tests/test_mean.py"], ["csv_rows.py"]),
        ("pytest tests/test_mean.py::test_none", ["src/mean.py"], ["tests/test_other.py"]),
        ("pytest tests", ["mean.py", "tests/a/test_b.py"], []),
        ("pytest pkg_a/tests", ["pkg_a/mean.py"], ["pkg_b/mean.py"]),
        ("pytest tests/store", ["work/store/rows.py", "tests/store/test_a.py"], ["work/a.py"]),
        ("pytest -k mean -n 2", ["mean.py"], []),
        ("pytest .", ["mean.py"], []),
        ("mypy src", ["src/a.py"], ["tests/a.py"]),
        ("python -m unittest tests.test_mean", ["mean.py"], ["csv_rows.py"]),
        ("go test ./a", ["a/b.go"], ["c/d.go", "a/b/c.go"]),
        ("go test ./a/...", ["a/b.go", "a/b/c.go"], ["c/d.go"]),
        ("go test -run TestX ./a", ["a/b.go"], ["c/d.go"]),
        ("jest src/sum.test.ts", ["src/sum.ts"], ["src/other.ts"]),
        ("cargo test parser", ["src/parser.rs", "src/parser/mod.rs"], ["src/lexer.rs"]),
        ("cargo test -p my-crate", ["my_crate/src/lib.rs"], ["other/src/lib.rs"]),
        ("npm test -w web", ["packages/web/a.ts"], ["packages/api/a.ts"]),
        ("npm --prefix web test", ["web/a.ts"], ["api/a.ts"]),
        ("make -C build check", ["build/a.c"], ["src/a.c"]),
        ("tsc -p web/tsconfig.json", ["web/a.ts"], ["api/a.ts"]),
        ("gcc -c a.c", ["a.c"], ["b.c"]),
    ],
)
def test_a_command_speaks_for_what_it_was_told_to_look_at(
    command: str, sees: list[str], not_seen: list[str]
) -> None:
    assert [file for file in sees if not speaks(command, file)] == []
    assert [file for file in not_seen if speaks(command, file)] == []


def test_what_took_part_is_known_better_than_by_words() -> None:
    tests, loaded = ["tests/test_mean.py"], ["stats/mean.py"]
    assert speaks("pytest", "stats/mean.py", tests=tests, loaded=loaded)
    assert speaks("pytest", "tests/test_mean.py", tests=tests, loaded=loaded)
    assert not speaks("pytest", "stats/csv_rows.py", tests=tests, loaded=loaded)
    assert speaks("pytest tests/test_odd.py", "stats/mean.py", tests=tests, loaded=loaded)


def test_a_report_of_tests_speaks_for_no_test_that_is_not_in_it() -> None:
    ran = ["tests/test_mean.py"]
    assert speaks("pytest", "tests/test_mean.py", tests=ran)
    assert not speaks("pytest", "tests/test_csv.py", tests=ran)
    assert speaks("pytest", "csv_rows.py", tests=ran)
    assert not speaks("pytest tests/test_mean.py", "csv_rows.py", tests=ran)
    assert not speaks("jest", "a.test.ts", tests=("b.spec.ts",))
