"""Where an answer's code goes in a file, and which part of it."""

from __future__ import annotations

import pytest

from qi_learn.gate.project_place import (
    BINARY,
    NOT_THERE,
    CodePlace,
    PlaceInFile,
    code_for,
    find_place,
)

METHOD = "    def total(self):\n        return sum(self.rows)\n"
FILE = f"class Table:\n    rows = ()\n\n{METHOD}\n\nLAST = 1\n"


def placed(file: str, place: CodePlace, code: str) -> str:
    found = find_place(file.encode(), place)
    assert isinstance(found, PlaceInFile)
    return found.placed(code).decode()


def test_a_method_is_put_at_its_indentation() -> None:
    code = "def total(self):\n    return len(self.rows)"
    assert placed(FILE, CodePlace(METHOD, "Table.total"), code) == FILE.replace(
        "sum(self.rows)", "len(self.rows)"
    )


def test_a_completion_within_a_line_is_put_as_it_is() -> None:
    assert placed("x = add(1, 2)\n", CodePlace("1, 2"), "3, 4\n") == "x = add(3, 4)\n"


def test_line_ends_stay_what_they_are() -> None:
    file = "a = 1\r\nb = 2\r\nc = 3\r\n"
    assert (
        placed(file, CodePlace("b = 2\n"), "b = 4\nd = 5\n")
        == "a = 1\r\nb = 4\r\nd = 5\r\nc = 3\r\n"
    )


def test_of_two_equal_texts_the_lines_before_tell() -> None:
    file = "# one\nreturn 0\n# two\nreturn 0\n"
    assert find_place(file.encode(), CodePlace("return 0\n")) == NOT_THERE
    assert placed(file, CodePlace("return 0\n", "", ("# two",)), "return 1") == (
        "# one\nreturn 0\n# two\nreturn 1\n"
    )
    assert find_place(file.encode(), CodePlace("return 0\n", "", ("# three",))) == NOT_THERE


@pytest.mark.parametrize("file", [b"\xff\xfe", b"a = 1\n\0"])
def test_a_binary_file_has_no_places(file: bytes) -> None:
    assert find_place(file, CodePlace("a = 1\n")) == BINARY


def test_an_empty_text_has_no_place() -> None:
    assert find_place(b"a\n\n", CodePlace("\n")) == NOT_THERE


def test_of_an_answer_the_definition_counts_with_its_imports() -> None:
    answer = (
        "Sure:\n\n```python\nimport math\n\nclass Table:\n    @property\n    def total(self):\n"
        "        return math.fsum(self.rows)\n\nprint(Table().total)\n```\nDone."
    )
    assert code_for(CodePlace(METHOD, "Table.total"), answer, completion=False) == (
        "import math\n@property\ndef total(self):\n    return math.fsum(self.rows)"
    )


def test_of_several_blocks_the_one_with_the_name_counts() -> None:
    answer = "```go\nfunc Other() {}\n```\n\n```go\nfunc (t *T) Total() int { return 1 }\n```\n"
    assert code_for(
        CodePlace("func (t *T) Total() int {}\n", "T.Total"), answer, completion=False
    ) == ("func (t *T) Total() int { return 1 }\n")


def test_without_a_name_the_first_block_counts_as_it_is() -> None:
    answer = "```js\nlet a = 1\n```\n```js\nlet b\n```\n"
    assert code_for(CodePlace("let a = 2\n"), answer, completion=False) == "let a = 1\n"


def test_an_answer_without_code_has_none() -> None:
    assert code_for(CodePlace(METHOD, "Table.total"), "I cannot do that.", completion=False) == ""


def test_all_of_a_completion_is_code() -> None:
    assert code_for(CodePlace("1, 2"), " 3, 4)", completion=True) == " 3, 4)"


def test_code_that_does_not_parse_is_put_as_it_is() -> None:
    answer = "```python\ndef total(self:\n```\n"
    assert (
        code_for(CodePlace(METHOD, "Table.total"), answer, completion=False) == "def total(self:\n"
    )


def test_a_character_that_is_none_does_no_harm() -> None:
    assert placed("a = 1\n", CodePlace("a = 1\n"), "a = '\ud800'") == "a = '?'\n"
