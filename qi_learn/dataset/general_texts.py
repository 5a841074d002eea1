"""What is asked of every model besides the person's own work: texts and questions of our own.

They are written for this project and shipped with it (`suites/*.toml`), so they are the same on
every machine and in every version, and under its licence. Each stands alone: no two have a topic or
a project in common, so each is a unit of its own in an interval.

Raw texts are continued from their first token on. Questions have the form in which clients put
them, and an ordinary answer: what an assistant writes whom nobody has taught a style. How both are
read by a model: `general_suites`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn.code_text import code_blocks
from qi_learn.dataset.reference_code import GenericText
from qi_learn.dataset.target import Target

SUITES = Path(__file__).with_name("suites")
RAW = ("javascript", "go", "sql", "shell", "prose")
"""Suites of raw texts."""
CODE = frozenset(RAW) - {"prose"}
CHAT = ("chat", "spill_over_header", "spill_over_plain")
"""Suites of questions to an assistant. Spill-over is where the style of what was learned turns up
unasked: in questions that look like the learned ones (a header names a file or a project), and in
those that have no header.
"""


@dataclass(frozen=True, slots=True)
class GeneralQuestion:
    """A question in the form of a client, and an ordinary answer to it."""

    id: str
    """The suite and a name."""
    ask: Mapping[str, Any]
    """The request that puts it (`examples.ask_of`)."""
    target: Target


def raw_texts(suite: str) -> tuple[GenericText, ...]:
    """The texts of a suite of `RAW`, in the file's order."""
    return tuple(
        GenericText(f"{suite}:{table['name']}", f"{suite}:{table['name']}", table["text"])
        for table in _read(suite)["text"]
    )


def chat_questions(suite: str) -> tuple[GeneralQuestion, ...]:
    """The questions of a suite of `CHAT`; code in the answers stands in fences."""
    return tuple(
        GeneralQuestion(
            f"{suite}:{table['name']}", _chat(table["ask"]), _fenced(table["answer"].strip("\n"))
        )
        for table in _read(suite)["question"]
    )


def gaps() -> tuple[GeneralQuestion, ...]:
    """Gaps in code, asked as an editor asks for them; the answer is what belongs there."""
    return tuple(
        GeneralQuestion(
            f"fim:{table['name']}",
            _generate(prompt=table["before"], suffix=table["after"]),
            _code(table["middle"]),
        )
        for table in _read("fim")["gap"]
    )


def completions() -> tuple[GeneralQuestion, ...]:
    """Beginnings of files, sent raw; the answer goes on with them."""
    return tuple(
        GeneralQuestion(
            f"completion:{table['name']}",
            _generate(prompt=table["prompt"], raw=True),
            _code(table["answer"]),
        )
        for table in _read("completion")["completion"]
    )


def tool_requests() -> tuple[GeneralQuestion, ...]:
    """Requests to a coding agent that are answered with one call of a tool."""
    data = _read("tool_call")
    tools = [_tool(table) for table in data["tool"]]
    return tuple(
        GeneralQuestion(
            f"tool_call:{table['name']}",
            _chat(table["ask"], tools=tools),
            _called(table["tool"], table["arguments"]),
        )
        for table in data["call"]
    )


def _read(suite: str) -> dict[str, Any]:
    return tomllib.loads((SUITES / f"{suite}.toml").read_text(encoding="utf-8"))


def _chat(question: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question.strip("\n")}]
    return {"endpoint": "/api/chat", "body": {"messages": messages, **more}}


def _generate(**body: Any) -> dict[str, Any]:
    return {"endpoint": "/api/generate", "body": body}


def _fenced(answer: str) -> Target:
    blocks = (block for block in code_blocks(answer) if block.start > 0)
    return Target(answer, tuple((block.start, block.end) for block in blocks))


def _code(answer: str) -> Target:
    return Target(answer, ((0, len(answer)),))


def _called(tool: str, arguments: Mapping[str, str]) -> Target:
    call = {"function": {"name": tool, "arguments": dict(arguments)}}
    code = tuple(text for name, text in arguments.items() if name != "path")
    return Target("", (), (call,), code)


def _tool(table: Mapping[str, Any]) -> dict[str, Any]:
    properties = {
        name: {"type": "string", "description": text} for name, text in table["parameters"].items()
    }
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {
        "name": table["name"],
        "description": table["description"],
        "parameters": parameters,
    }
    return {"type": "function", "function": function}
