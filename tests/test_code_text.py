"""The code of an answer: finding it, replacing it, and how alike two pieces of code are."""

from __future__ import annotations

import pytest

from qi_learn.code_text import (
    code_blocks,
    identifiers,
    loops,
    parses,
    similarity,
    with_code,
)

ANSWER = "Here:\n```python\ndef f(x):\n    return x\n```\nDone."


def test_a_fenced_block_is_found_where_it_stands() -> None:
    (block,) = code_blocks(ANSWER)
    assert ANSWER[block.start : block.end] == block.text == "def f(x):\n    return x\n"
    assert (block.language, block.closed) == ("python", True)


@pytest.mark.parametrize("answer", ["Use `x` here.", "Yes.", "yes", "42", "", "a, b", "```\n```"])
def test_prose_has_no_code(answer: str) -> None:
    assert code_blocks(answer) == ()


def test_an_answer_without_a_fence_that_parses_is_one_block() -> None:
    (block,) = code_blocks("def f(x):\n    return x\n")
    assert (block.start, block.language) == (0, "python")


def test_several_blocks_and_longer_fences() -> None:
    answer = "A\n```js\nlet a = 1\n```\nB\n````md\n```py\nx = 1\n```\n````\nC"
    assert [(b.language, b.text) for b in code_blocks(answer)] == [
        ("js", "let a = 1\n"),
        ("md", "```py\nx = 1\n```\n"),
    ]


def test_kept_code_takes_the_place_of_the_block() -> None:
    text, spans = with_code(ANSWER, code_blocks(ANSWER), ["def g():\n    pass"])
    assert text == "Here:\n```python\ndef g():\n    pass\n```\nDone."
    assert [text[a:b] for a, b in spans] == ["def g():\n    pass\n"]


def test_an_unclosed_fence_is_closed() -> None:
    cut = "Here:\n```python\ndef f(x):\n    retu"
    (block,) = code_blocks(cut)
    assert not block.closed
    text, spans = with_code(cut, (block,), ["def g():\n    pass\n\n"])
    assert text == "Here:\n```python\ndef g():\n    pass\n```"
    assert text[slice(*spans[0])] == "def g():\n    pass\n"


def test_replacing_with_the_same_text_changes_nothing() -> None:
    blocks = code_blocks(ANSWER)
    assert with_code(ANSWER, blocks, [b.text for b in blocks])[0] == ANSWER


def test_whitespace_comments_and_trailing_commas_do_not_count() -> None:
    assert similarity("f(a,\n  b,\n)  # note", "f(a, b)") == 1.0
    assert similarity("x = 'a # b'  # c", 'x = "a # b";') == 1.0


def test_what_a_formatter_does_is_no_difference() -> None:
    one = "x = first + second\nreturn 'a'\n"
    assert similarity(one, 'x = (\n    first + second\n);\nreturn "a";\n') == 1.0


def test_similarity_is_one_minus_the_share_of_edited_tokens() -> None:
    assert similarity("a b c d", "a b c e") == pytest.approx(0.75)
    assert similarity("", "") == 1.0
    assert similarity("a", "") == 0.0


def test_loops_are_seen() -> None:
    assert loops("start " + "again and again " * 8)
    assert not loops("def f(x):\n    return x + 1\n")


def test_parses_knows_python_only() -> None:
    assert parses("def f(): pass", "python") is True
    assert parses("def f(:", None) is False
    assert parses("fn main() {}", "rust") is None


@pytest.mark.parametrize(
    ("code", "language", "names"),
    [
        ("def area(width):\n    return width if None else lambda: True\n", None, "area width"),
        ("async def run():\n    await match(function)\n", "python", "run match function"),
        ("export const area = function (width) { return null };", "js", "area width"),
        ("pub fn area(mut width: &str) -> Area { while true {} }", "rust", "area width str Area"),
    ],
)
def test_keywords_are_no_names(code: str, language: str | None, names: str) -> None:
    assert identifiers(code, language) == set(names.split())
