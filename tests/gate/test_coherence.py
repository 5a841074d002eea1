"""An answer counts as coherent if it brings its code as it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from qi_learn.gate.coherence import container_of, is_coherent, kept_so_far
from qi_learn.lexer import code_tokens
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
LOOPING = "and again " * 40
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
        (TALK, answer(LOOPING), False),
    ],
)
def test_the_code_comes_where_it_was_asked_for(
    asked: Example, said: Answer, coherent: bool
) -> None:
    assert is_coherent(asked, said, cut=None) is coherent


# --- answers that were cut ------------------------------------------------------------------------

CLASS = """class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        return self.items.pop()

    def peek(self):
        return self.items[-1]

    def size(self):
        return len(self.items)
"""
OWN = CLASS.replace("items", "entries").replace("item)", "one)")
START = "class Stack:\n    def __init__(self):\n"
SHORT = """class Stack(list):
    push = list.append

    def peek(self):
        return self[-1]
"""


def cut_example(before: str, code: str, after: str, **body: Any) -> Example:
    """An answer of whose letters each is a token, so that a cut is where it is seen."""
    target = before + code + after
    code_mask = tuple(len(before) <= n < len(before) + len(code) for n in range(len(target)))
    ask = {"endpoint": "/api/chat", "body": body}
    ids = tuple(range(len(target)))
    return Example("e", "h", "p", target, (1,), ids, code_mask, kept_code=CLASS, ask=ask)


LONG = cut_example("Here it is:\n```python\n", CLASS, "```\nIt is a class.")
LATE = cut_example("Let me think about that. " * 40 + "\n```python\n", CLASS, "```")
BARE = cut_example("", CLASS, "")
ESCAPED = CLASS.replace("\n", "\\n")
CALLED = cut_example(
    '<tool_call>\n{"name": "write_file", "arguments": {"path": "a.py", "content": "',
    ESCAPED,
    '"}}\n</tool_call>',
    tools=TOOLS,
)
TAGGED = cut_example(
    "<tool_call>\n<function=write_file>\n<parameter=content>\n",
    CLASS,
    "</parameter>\n</function>\n</tool_call>",
    tools=TOOLS,
)
NAMED = cut_example(
    'I call `write_file` for that.\n<tool_call>\n{"name": "write_file", "arguments": {"content": "',
    ESCAPED,
    '"}}\n</tool_call>',
    tools=TOOLS,
)
UNKNOWN = replace(CALLED, ask={"endpoint": "/api/chat", "body": {"tools": [{"type": "other"}]}})
CHATTER = " That is all that there is to say about it, and it has been said."


@pytest.mark.parametrize(
    ("asked", "said", "coherent"),
    [
        (LONG, f"```python\n{START}", True),
        (LONG, "Here you are.\n```python\nclass Sta", True),
        (LONG, f"```python\n{OWN}```\n{CHATTER}", True),
        (LONG, f"```python\n{SHORT}```\n{CHATTER}", True),
        (LONG, f"```sh\nls\n```\nThen:\n```python\n{START}", True),
        (LONG, f"```python\nclass Stack:\n```\n{CHATTER}", False),
        (LONG, f"```python\nimport collections\n```\n{CHATTER}", False),
        (LONG, f"```python\n{CLASS.replace('(self)', '(self')}```\n{CHATTER}", False),
        (LONG, f"```python\nclass Stack(:\n```\nThen:\n```python\n{START}", False),
        (LONG, "It is a class." + CHATTER, False),
        (LONG, "So:", True),
        (LATE, "It is a class." + CHATTER, True),
        (LATE, f"```python\n{START}", True),
        (LATE, f"```python\nclass Stack(:\n```\n{CHATTER}", False),
        (BARE, START, True),
        (BARE, f"```python\n{START}", False),
        (CALLED, '<tool_call>\n{"name": "write_file", "arguments": {"path": "b.py"', True),
        (CALLED, '{"name":"write_file", "argum', True),
        (CALLED, 'I write it now. <tool_call>\n{"na', True),
        (CALLED, "I would write a class." + CHATTER, False),
        (CALLED, f"```python\n{START}", False),
        (TAGGED, "<tool_call>\n<function=write_file>\n<parameter=path>\n", True),
        (TAGGED, "I would write a class." + CHATTER, False),
        (NAMED, '<tool_call>\n{"name": "write_file", "argum', True),
        (NAMED, "I would write a class." + CHATTER, False),
        (UNKNOWN, "I would write a class." + CHATTER, True),
        (CALLED, "", True),
        (LONG, "", False),
        (LONG, LOOPING, False),
    ],
)
def test_of_an_answer_that_was_cut_what_is_there_is_judged(
    asked: Example, said: str, coherent: bool
) -> None:
    found = answer(said, reason="length")
    assert is_coherent(asked, found, cut=300) is coherent


HALF = CLASS[:250]
"""It ends inside a line."""
DOCUMENTED = 'class Stack:\n    """' + " ".join(f"word{n}" for n in range(30))
WORSE = {
    "no colon": HALF.replace("push(self, item):", "push(self, item)"),
    "a bracket too many": HALF.replace("append(item)", "append(item))"),
    "a bracket too few": HALF.replace("__init__(self)", "__init__(self"),
    "no indentation": HALF.replace("        ", "    "),
    "one space too many": HALF.replace("    def pop", "     def pop"),
    "prose": HALF.replace("    def pop", "    This takes the newest off.\n    def pop"),
}


def test_right_code_is_coherent_wherever_it_is_cut() -> None:
    """Also if what it is cut in may not end there: a line behind a backslash, a string."""
    whole = CLASS.replace("self.items.append(item)", "self.items \\\n    .append(item)")
    whole = whole.replace("class Stack:", 'class Stack:\n    """One.\n\n    Two."""\n')
    for end in range(1, len(whole)):
        for asked, said in ((LONG, f"```python\n{whole[:end]}"), (BARE, whole[:end])):
            assert is_coherent(asked, answer(said, reason="length"), cut=20), said


@pytest.mark.parametrize("code", WORSE.values(), ids=WORSE.keys())
def test_code_that_a_cut_left_unfinished_parses_as_far_as_it_goes(code: str) -> None:
    assert code != HALF
    for asked, said in ((LONG, f"```python\n{code}"), (BARE, code)):
        assert not is_coherent(asked, answer(said, reason="length"), cut=300)
    go = answer(f"```go\n{code}", reason="length")
    assert is_coherent(LONG, go, cut=300), "another language is not judged"
    kept_broken = replace(LONG, kept_code=CLASS.replace("(self)", "(self"))
    assert is_coherent(kept_broken, answer(f"```python\n{code}", reason="length"), cut=300)


def test_what_only_compiling_finds_fault_with_is_none() -> None:
    """What stands alone may return, and nothing warns of what it says."""
    code = "x = 1\nif x is 1:\n    y = '\\d'\nreturn await x\n"
    for text in (code, f"{code}for y in ("):
        for asked, said in ((LONG, f"```python\n{text}"), (BARE, text)):
            assert is_coherent(asked, answer(said, reason="length"), cut=300)


MIDDLE_CUT = cut_example("", "a + b\n\n\ndef double(a):\n    return (2 * a", "", suffix=")\n")


@pytest.mark.parametrize(
    ("prompt", "said", "coherent"),
    [
        ("def add(a, b):\n    return ", "(b + a\n", True),
        ("def add(a, b):\n    return ", "b + a\n    return a\n\n\ndef d", True),
        ("def add(a, b):\n    return ", "b + a)\n\n\ndef d", False),
        ("def add(a, b):\n    return ", "b + a\n\n\ndef double(a)\n    return", False),
        ("Add two numbers: ", "b + a)\n\n\ndef d", True),
    ],
)
def test_code_in_the_middle_is_judged_behind_what_it_continues(
    prompt: str, said: str, coherent: bool
) -> None:
    """And not where the kept code does not parse there: then the prompt is no code, or not all."""
    asked = replace(MIDDLE_CUT, kept_code=MIDDLE_CUT.target)
    asked = replace(asked, ask={"body": {**MIDDLE_CUT.ask["body"], "prompt": prompt}})
    assert is_coherent(asked, answer(said, reason="length"), cut=20) is coherent


@pytest.mark.parametrize(
    ("said", "coherent"),
    [
        (f"{CHATTER * 4}\n```python\n{START}", False),
        (f"{CHATTER * 4}\n```python\nclass Stack:\n```\n```python\n{START}", False),
        (f"{CHATTER}\n```python\n{HALF}", True),
        (f"{CHATTER}\n```python\n{DOCUMENTED}", True),
    ],
)
def test_a_long_preface_leaves_no_room_for_code(said: str, coherent: bool) -> None:
    """A right line behind it is as like the kept code as a line can be."""
    assert is_coherent(LONG, answer(said, reason="length"), cut=300) is coherent


@pytest.mark.parametrize(
    ("said", "coherent"),
    [
        (answer("", writes(OWN), reason="length"), True),
        (answer("Then I", writes("import collections\n"), reason="length"), True),
        (answer('{"name": "wri', writes("import collections\n"), reason="length"), True),
        (answer("Then I", writes("class Stack(:\n" + OWN), reason="length"), False),
    ],
)
def test_of_calls_in_front_of_a_cut_too(said: Answer, coherent: bool) -> None:
    """How much they write says nothing: a server holds back the next call until it is whole."""
    assert is_coherent(CALLED, said, cut=300) is coherent


def test_how_much_the_kept_answer_has_by_then() -> None:
    assert kept_so_far(LONG, 10) == 0
    assert kept_so_far(LONG, 10_000) == len(code_tokens(CLASS))
    half = len("Here it is:\n```python\n") + len(CLASS) // 2
    assert kept_so_far(LONG, half) == pytest.approx(len(code_tokens(CLASS)) / 2, abs=1)
    assert kept_so_far(TALK, 10) == 0
