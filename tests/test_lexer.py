"""What counts when code is compared: a formatter changes none of it, a person does."""

from __future__ import annotations

import pytest

from qi_learn.lexer import code_tokens, is_comment, tokens_by_line

LONG = "first_of_them + second_of_them"


@pytest.mark.parametrize(
    ("written", "formatted"),
    [
        ("x = 'a'", 'x = "a"'),
        ("x = 'it\\'s'", 'x = "it\'s"'),
        ("'''Doc.'''", '"""Doc."""'),
        ("f(a, b)", "f(\n    a,\n    b,\n)"),
        (f"x = {LONG}", f"x = (\n    {LONG}\n)"),
        (f"return {LONG}", f"return (\n    {LONG}\n)"),
        ("for (a, b) in pairs:\n    pass", "for a, b in pairs:\n    pass"),
        ("if (a):\n    b()", "if a:\n    b()"),
        ("assert a, 'why'", "assert a, (\n    'why'\n)"),
        ("x = a + \\\n    b", "x = a + b"),
        ("x = 0XFF + 1E5", "x = 0xFF + 1e5"),
        ("x = F'{a}' + u'b'", 'x = f"{a}" + "b"'),
        ("const f = x => x + 1", "const f = (x) => x + 1;"),
        ("const o = {a: 1, b: [1, 2]}", "const o = {\n  a: 1,\n  b: [1, 2],\n};"),
        ("return <p>{name}</p>", "return (\n  <p>{name}</p>\n);"),
        ('x := map[string]int{\n\t"a": 1,\n}', 'x := map[string]int{"a": 1}'),
        ("/* Licence. */\nint x = 1;", "int x = 1;"),
        ("def f():\n  # note\n  return 1", "def f():\n    return 1  # another"),
    ],
)
def test_a_formatter_is_not_an_edit(written: str, formatted: str) -> None:
    assert code_tokens(written) == code_tokens(formatted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = (a,)", "x = a"),
        ("x = (a + b) * c", "x = a + b * c"),
        ("f((a, b), c)", "f(a, b, c)"),
        ("#include <stdio.h>", "#include <stdlib.h>"),
        ("#[derive(Debug)]\nstruct A;", "struct A;"),
        ("this.#rows = 1", "this.#rows = 2"),
        ("class A {\n  #rows = 1\n}", "class A {\n  #rows = 2\n}"),
        ("if a < b: pass", "if a <= b: pass"),
        ("x = 'a b'", "x = 'a  b'"),
        ("f()", "f"),
    ],
)
def test_what_a_person_changes_counts(one: str, other: str) -> None:
    assert code_tokens(one) != code_tokens(other)


@pytest.mark.parametrize("line", ["", "# a", "// a", "/**", " * a", " */", "/* a */", "*"])
def test_a_line_of_a_comment_is_known_by_itself(line: str) -> None:
    assert is_comment(line)
    assert not is_comment("/* a */ x = 1")
    assert not is_comment("* b + c".replace(" b", "b"))


def test_tokens_stand_in_their_lines_and_are_read_in_their_context() -> None:
    assert tokens_by_line(["f(", "    a,  # one", ")", "/* a", "b */ c"]) == [
        ["f", "("],
        ["a"],
        [")"],
        [],
        ["c"],
    ]


def test_slashes_divide_unless_they_start_a_comment() -> None:
    found = code_tokens("a // b\nlet c = 1; // note\n// note")
    assert found == ["a", "/", "/", "b", "let", "c", "=", "1"]
