"""An answer counts as coherent if it brings its code as it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from qi_learn.gate.coherence import container_of, is_coherent
from qi_learn.outside.ollama_answer import Answer
from qi_learn.records import Example

ADD = "def add(a, b):\n    return a + b\n"
GO = "func add(a int, b int) int {\n\treturn a + b\n}\n"
TOOLS = [{"type": "function", "function": {"name": "write_file"}}]
CALL = '{"name": "write_file", "arguments": {"path": "a.py", "content": "def add(a, b):\\n    re"}}'


def example(target: str, kept: str, **body: Any) -> Example:
    ids = tuple(range(20))
    ask = {"endpoint": "/api/chat", "body": body}
    code = (True,) * 20
    return Example("e", "h", "p", target, (1,), ids, code, kept_code=kept, ask=ask)


FENCE = example(f"Here:\n```python\n{ADD}```", ADD)
GO_FENCE = example(f"```go\n{GO}```", GO)
RAW = example(ADD, ADD)
TOOL = example(CALL, ADD, tools=TOOLS)
TALK = example("A list keeps its order.", "")
MIDDLE = example("a + b", "a + b", prompt="def add(a, b):\n    return (", suffix=")\n")
BROKEN = example("```python\ndef add(a, b:\n```", "def add(a, b:\n")


def answer(text: str = "", *calls: Mapping[str, Any], reason: str = "stop") -> Answer:
    return Answer(text, reason, 5, 5, 1.0, calls)


def writes(content: str) -> Mapping[str, Any]:
    return {"function": {"name": "write_file", "arguments": {"path": "a.py", "content": content}}}


def edits(old: str, new: str, name: str = "Edit") -> Mapping[str, Any]:
    arguments = {"file_path": "a.py", "old_string": old, "new_string": new}
    return {"function": {"name": name, "arguments": arguments}}


def test_where_the_kept_code_stands() -> None:
    examples = (FENCE, GO_FENCE, RAW, TOOL, TALK, MIDDLE)
    assert [container_of(e) for e in examples] == ["fence", "fence", "raw", "tool", "none", "raw"]
    assert container_of(example(ADD, ADD, tools=TOOLS)) == "raw"


@pytest.mark.parametrize(
    ("asked", "said", "coherent"),
    [
        (FENCE, answer(f"```python\n{ADD}```"), True),
        (FENCE, answer(f"~~~\n{ADD}~~~"), True),
        (FENCE, answer(ADD), False),
        (FENCE, answer("class Color:\ndef from_rgb(r, g, b):\n"), False),
        (FENCE, answer("I cannot do that."), False),
        (FENCE, answer("", writes(ADD)), False),
        (FENCE, answer(f"```python\n{ADD}"), False),
        (FENCE, answer("```python\ndef add(a, b:\n```"), False),
        (GO_FENCE, answer(f"```go\n{GO}```"), True),
        (GO_FENCE, answer(GO), False),
        (RAW, answer(ADD), True),
        (RAW, answer("def add(a, b:\n"), False),
        (RAW, answer(f"```python\n{ADD}```"), False),
        (TOOL, answer("", writes(ADD)), True),
        (TOOL, answer("I write it.", writes(ADD)), True),
        (TOOL, answer("", edits("pass\n", ADD)), True),
        (TOOL, answer("", edits(ADD, "")), False),
        (TOOL, answer("", edits(ADD, ADD)), False),
        (TOOL, answer("", edits(ADD, "def add(a, b:\n    return\n")), False),
        (TOOL, answer("", edits(ADD, ADD, "Delete")), False),
        (TOOL, answer(f"```python\n{ADD}```"), False),
        (TOOL, answer("", writes("def add(a, b:\n    return\n")), False),
        (TALK, answer("It does."), True),
        (TALK, answer(f"```python\n{ADD}```"), True),
        (MIDDLE, answer("b + a"), True),
        (MIDDLE, answer("b + (a"), False),
        (BROKEN, answer("```python\ndef add(a:\n```"), True),
        (TALK, answer("It does.", reason="length"), False),
        (TALK, answer(" "), False),
        (TALK, answer("and again " * 40), False),
    ],
)
def test_the_code_comes_where_it_was_asked_for(
    asked: Example, said: Answer, coherent: bool
) -> None:
    assert is_coherent(asked, said, cut=False) is coherent


@pytest.mark.parametrize(
    ("asked", "said", "coherent"),
    [
        (FENCE, "```python\ndef add(a,", True),
        (FENCE, "He", True),
        (FENCE, "def add(a, b):\n    return", False),
        (RAW, "def add(a,", True),
        (RAW, "```python\ndef add(a,", False),
        (TOOL, '{"name": "write_file", "argum', True),
    ],
)
def test_an_answer_that_was_cut_must_have_begun_as_asked(
    asked: Example, said: str, coherent: bool
) -> None:
    assert is_coherent(asked, answer(said, reason="length"), cut=True) is coherent
