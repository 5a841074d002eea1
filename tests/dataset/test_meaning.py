"""A change that means something in its language is the person's, what a formatter does is nobody's.

The cases are a table (`authorship_cases.toml`).
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.dataset.authorship import changed_spans, persons_part
from qi_learn.dataset.grammars import grammar_of, named_by
from qi_learn.dataset.meaning import meant_tokens
from qi_learn.dataset.target import Target, target_of
from qi_learn.records import Suggestion
from tests.support.dataset_world import interaction, suggestion, turn

TABLE = Path(__file__).with_name("authorship_cases.toml")
CASES: list[dict[str, Any]] = tomllib.loads(TABLE.read_text())["case"]


def marked(before: str, after: str, language: str | None = None) -> list[str]:
    """The person's parts without white space; a `|` says that what follows the text is theirs."""
    return [after[a:b].strip() or "|" for a, b in changed_spans(before, after, language)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['language']}: {case['name']}")
def test_what_means_something_is_the_persons(case: dict[str, Any]) -> None:
    assert marked(case["before"], case["after"], case["language"]) == case["own"]


def test_half_of_the_cases_are_a_formatters() -> None:
    formatted = sum(not case["own"] for case in CASES)
    assert len(CASES) > 110
    assert 0.35 < formatted / len(CASES) < 0.65


def test_of_a_language_that_is_not_known_nothing_is_claimed() -> None:
    for before, after in [
        ("if a:\n    b()\nelse:\n    c()\n", "if a:\n    b()\n    else:\n    c()\n"),
        ("x = 'a';\n", 'x = "a"\n'),
        ("a b\n", "a\nb\n"),
    ]:
        assert marked(before, after) == marked(before, after, "brainfuck") == []


def test_a_move_begins_where_the_white_space_before_the_line_does() -> None:
    after = "if a:\n    b()\n\n    c()\n"
    ((start, end),) = changed_spans("if a:\n    b()\n\nc()\n", after, "python")
    assert after[start:end] == "\n    c"


def test_what_is_moved_as_a_whole_is_not_moved() -> None:
    code = "def f():\n    if a:\n        b()\n    return c\n"
    deeper = "".join(f"    {line}\n" for line in code.splitlines())
    assert marked(code, deeper, "python") == []
    assert marked(f"class A:\n{deeper}", code, "python") == ["d"], "the class was taken out"


def test_code_that_begins_within_a_line_has_depths_as_well() -> None:
    """A completion: its first line stands behind what the person had typed."""
    before = "x\n        y()\n    z()\n    end()\n"
    assert marked(before, before.replace("    z", "        z"), "python") == ["z"]


def test_a_fence_or_a_file_names_the_language() -> None:
    assert grammar_of("PY") == grammar_of("python:src/a.py") == grammar_of("src/a.py")
    assert grammar_of("Makefile") == grammar_of("src/Makefile") == grammar_of("rules.mk")
    assert grammar_of(None) == grammar_of("") == grammar_of("a") == grammar_of("text")
    assert (named_by("b/.env"), named_by("a\\b.YML"), named_by("a.bin")) == ("env", "yml", None)


LANGUAGES = ["python", "javascript", "go", "rust", "c", "sh", "yaml", "makefile", "css", "sql"]
CODES = st.lists(
    st.sampled_from(
        [
            *("a", "if", "for", "in", "not", "(", ")", "[", "]", "{", "}", ",", ";", ":", "-"),
            *(
                "=>",
                "=",
                "'x'",
                '"""',
                "\n",
                "\n  ",
                "\n\t",
                "|",
                "return",
                "# c\n",
                "\\\n",
                "import",
            ),
        ]
    ),
    max_size=24,
).map(" ".join)


@given(CODES, CODES, st.sampled_from(LANGUAGES))
def test_whatever_the_text_marks_are_in_order_and_within_it(
    before: str, after: str, language: str
) -> None:
    spans = changed_spans(before, after, language)
    assert all(0 <= a < b <= len(after) + 1 for a, b in spans)
    assert all(b < c for (_, b), (c, _) in pairwise(spans))
    assert changed_spans(after, after, language) == ()


@given(CODES, st.sampled_from(LANGUAGES))
def test_no_token_stands_twice_or_outside(text: str, language: str) -> None:
    tokens = meant_tokens(text, language)
    assert all(a.end <= b.start for a, b in pairwise(tokens))
    assert all(text[t.start : t.end].strip() for t in tokens)


FUNCTION = """
def find(self, rows, key=None, *, most=10):
    found = []
    for number, row in enumerate(rows):
        if key and row.key != key:
            continue
        try:
            value = self.parse(row); found.append(value)
        except (ValueError, KeyError) as error:
            self.failed[number] = error
        else:
            if len(found) >= most: break
    else:
        self.complete = True
    with self.lock:
        self.last = found
    return (found or None), self.failed
""".lstrip()
LINES = FUNCTION.splitlines(keepends=True)


@settings(deadline=None)
@given(st.integers(1, len(LINES) - 1), st.integers(1, 5), st.sampled_from(["    ", ""]))
def test_lines_that_move_are_marked_if_and_only_if_python_reads_them_otherwise(
    first: int, count: int, deeper: str
) -> None:
    moved = [deeper + line if deeper else line[4:] for line in LINES[first : first + count]]
    after = "".join([*LINES[:first], *moved, *LINES[first + count :]])
    try:
        same = ast.dump(ast.parse(after)) == ast.dump(ast.parse(FUNCTION))
    except SyntaxError:
        return
    assert (changed_spans(FUNCTION, after, "python") == ()) == same


# --- answers --------------------------------------------------------------------------------------


def own_of(target: object) -> list[str]:
    assert isinstance(target, Target)
    return [target.text[a:b].strip() for a, b in persons_part(target).text]


LOOP = "for x in xs:\n    if x:\n        break\n    else:\n        f(x)\n"
OUTSIDE = "for x in xs:\n    if x:\n        break\nelse:\n    f(x)\n"


def test_the_fence_of_a_block_says_what_a_move_means() -> None:
    for fence, own in (("python", ["else", "f"]), ("go", []), ("", [])):
        t = turn(answer=f"Here:\n```{fence}\n{LOOP}```\n")
        kept = suggestion(t, LOOP, final=OUTSIDE, file=None)
        assert own_of(target_of(interaction(t, kept))) == own


def test_the_file_says_it_where_no_fence_does() -> None:
    code = "a:\n  b: 1\n  c: 2\n"
    moved = "a:\n  b: 1\nc: 2\n"
    t = turn(answer=code, endpoint="/api/generate")
    for file, own in (("deploy/values.yaml", ["c"]), ("notes.txt", []), (None, [])):
        taken = replace(suggestion(t, code, final=moved, file=file), language=None)
        assert own_of(target_of(interaction(t, taken))) == own


def test_of_an_argument_the_path_beside_it_says_it() -> None:
    call = {"function": {"name": "write", "arguments": {"path": "a.py", "text": LOOP}}}
    t = turn(answer="", answer_extra={"tool_calls": [call]})
    for path, own in (("a.py", 2), ("a.txt", 0), (None, 0)):
        edit = Suggestion(t.id, 0, LOOP, -1, -1, state="settled", final_text=OUTSIDE, path=path)
        target = target_of(interaction(t, edit))
        assert isinstance(target, Target)
        assert [len(spans) for spans in persons_part(target).arguments] == [own]


def test_a_correction_that_is_an_answer_of_its_own_is_read_block_by_block() -> None:
    t = turn(answer=f"Here:\n```python\n{LOOP}```\nDone.")
    whole = f"Look:\n```python\n{OUTSIDE}```\nDone."
    assert own_of(target_of(interaction(t, correction=whole))) == ["Look", "else", "f"]
