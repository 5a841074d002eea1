"""What is defined in source files of the languages whose grammars are installed."""

from __future__ import annotations

import textwrap

import pytest

from qi_learn.syntax import has_error, language_of
from qi_learn.track.definitions import definitions
from qi_learn.track.region import Region, region_at

FILES = {
    "a.ts": (
        """\
        @Injectable()
        export class Table {
          rows = () => {
            return 1
          }

          @Get()
          add(row: number): void {
          }
        }

        export const sum = async (x: number) => {
          return x
        };

        interface Row {
          size: number
        }
        """,
        [
            ("Table", 0, 10),
            ("Table.rows", 2, 5),
            ("Table.add", 6, 9),
            ("sum", 11, 14),
            ("Row", 15, 18),
        ],
        "tree_sitter_typescript",
    ),
    "a.jsx": (
        "export default function Page() {\n  return <p>{name}</p>\n}\n",
        [("Page", 0, 3)],
        "tree_sitter_javascript",
    ),
    "a.go": (
        """\
        package main

        func (t *Table) Add(row int) error {
        \treturn nil
        }

        type Table struct {
        \trows []int
        }
        """,
        [("Table.Add", 2, 5), ("Table", 6, 9)],
        "tree_sitter_go",
    ),
    "a.rs": (
        """\
        #[derive(Debug)]
        pub struct Table {
            rows: Vec<i32>,
        }

        impl Table {
            #[inline]
            fn add(&mut self, row: i32) {
                self.rows.push(row);
            }
        }
        """,
        [("Table", 0, 4), ("Table", 5, 11), ("Table.add", 6, 10)],
        "tree_sitter_rust",
    ),
    "A.java": (
        """\
        public class Table {
            @Override
            public int size() {
                return 1;
            }
        }
        """,
        [("Table", 0, 6), ("Table.size", 1, 5)],
        "tree_sitter_java",
    ),
    "a.c": (
        "static int *first(int *rows)\n{\n    return rows;\n}\n\nstruct table {\n    int x;\n};\n",
        [("first", 0, 4), ("table", 5, 8)],
        "tree_sitter_c",
    ),
    "a.cpp": (
        """\
        namespace n {
        template <typename T>
        T &first(T *rows) {
            return rows[0];
        }
        }

        int Table::size() const {
            return 1;
        }
        """,
        [("n", 0, 6), ("n.first", 1, 5), ("Table::size", 7, 10)],
        "tree_sitter_cpp",
    ),
}


@pytest.mark.parametrize("file", FILES)
def test_definitions_are_found_with_what_belongs_to_them(file: str) -> None:
    text, expected, grammar = FILES[file]
    pytest.importorskip(grammar)
    found = definitions(textwrap.dedent(text), file)
    assert [(d.name, d.start, d.end) for d in found or ()] == expected


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_does_not_parse_has_none_known(file: str) -> None:
    pytest.importorskip(FILES[file][2])
    broken = textwrap.dedent(FILES[file][0]) + "\n}}} ((\n"
    assert definitions(broken, file) is None
    assert has_error(broken, language_of(None, file)) is True


def test_without_a_grammar_nothing_is_said() -> None:
    assert definitions("function f() end", "a.lua") is None
    assert has_error("function f(", language_of("lua")) is None


@pytest.mark.parametrize(
    ("name", "file", "language"),
    [
        ("py", None, "python"),
        ("TypeScript", "a.txt", "typescript"),
        (None, "src/a.tsx", "tsx"),
        (None, "a.h", "cpp"),
        ("c++", None, "cpp"),
        ("yaml", "a.py", None),
        (None, "Makefile", None),
        (None, None, None),
    ],
)
def test_a_fence_or_else_a_file_says_the_language(
    name: str | None, file: str | None, language: str | None
) -> None:
    assert language_of(name, file) == language


def test_a_region_is_the_function_of_which_the_suggestion_is_the_most() -> None:
    pytest.importorskip("tree_sitter_typescript")
    text = "export const f = (x: number) => {\n  const y = x + 1\n  return y * 2\n};\n"
    assert region_at(text, "a.ts", 0, 3) == Region(0, 4, "f")
