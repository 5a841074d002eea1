"""Requests that real clients sent, with what they say of the edits of the answers before.

Recorded from the packages of npm and PyPI against a server that answers with edits written
beforehand: one that fits, a new file, one whose old text is not there. The file is named after the
client and its version; its directories are other ones. Libraries (openai, anthropic, litellm) had a
tool of a few lines, as their users write it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qi_learn.capture.wire import question_of
from qi_learn.edits.dialects import edits_of, tool_edits
from qi_learn.edits.results import results_of
from qi_learn.records import Said
from tests.edits.answers import Plain, turn

RECORDINGS = Path(__file__).parent / "recordings"
TAX, NEW = "/work/shop/tax.py", "/work/shop/b.py"
RENAMED, WRITTEN, MISSED = (
    (TAX, "RATE = 1", "VAT = 19"),
    (NEW, None, "x = 1\n"),
    (TAX, "NOPE", "Z"),
)
SUM = "def total(values):\n    return sum(values)\n"
SKIPPING = """\
def total(values):
    whole = 0
    for each in values:
        if each is not None:
            whole += each
    return whole
"""
NOTHING = "def nothing(here):\n    return here\n"
BY_A_LIBRARY: list[tuple[list[Plain], Said | None]] = [
    ([("tax.py", SUM, SKIPPING)], "applied"),
    ([("tax.py", NOTHING, SKIPPING)], "failed"),
]
EXPECTED: dict[str, list[tuple[list[Plain], Said | None]]] = {
    "anthropic-2.14.0": BY_A_LIBRARY,
    "claude-code-1.0.120": [
        ([RENAMED], "applied"),
        ([WRITTEN], "applied"),
        ([MISSED], "failed"),
        ([(TAX, "VAT = 19", "VAT = 20")], "failed"),
    ],
    "codex-0.171.0": [
        ([("tax.py", "RATE = 1\n", "VAT = 19\n"), ("b.py", None, "x = 1\n")], "applied"),
        ([("tax.py", "NOPE\n", "Z\n")], "failed"),
        ([("tax.py", "VAT", "TAX")], "applied"),
    ],
    "continue-cli-1.5.47": [
        ([], None),
        ([RENAMED], "failed"),
        ([WRITTEN], "applied"),
        ([(TAX, "VAT = 19", "VAT = 20")], "failed"),
        ([MISSED], "failed"),
    ],
    "litellm-ollama-1.110.2": BY_A_LIBRARY,
    "litellm-openai-1.110.2": BY_A_LIBRARY,
    "openai-chat-3.57.0": BY_A_LIBRARY,
    "openai-responses-3.57.0": BY_A_LIBRARY,
    "opencode-1.18.34": [
        ([], None),
        ([RENAMED], "applied"),
        ([WRITTEN], "applied"),
        ([MISSED], "failed"),
    ],
    "qwen-code-0.15.10": [
        ([], None),
        ([RENAMED], "applied"),
        ([WRITTEN], "applied"),
        ([MISSED], "failed"),
    ],
}
"""By client: the edits of each call, and what the client said of it."""


@pytest.mark.parametrize("client", EXPECTED)
def test_a_client_s_own_request_tells_each_edit_and_what_became_of_it(client: str) -> None:
    recorded = json.loads((RECORDINGS / f"{client}.json").read_text(encoding="utf-8"))
    messages = question_of(recorded["endpoint"], json.dumps(recorded["request"]))
    found: list[tuple[list[Plain], Said | None]] = []
    for message in messages:
        if message.role == "assistant" and message.extra.get("tool_calls"):
            calls = message.extra["tool_calls"]
            edits = tool_edits(turn(message.content, calls))
            (result,) = results_of(messages, answer=message.content, extra=message.extra)
            assert {edit.call for edit in edits} <= {result.call}
            found.append(([(e.path, e.old, e.new) for e in edits], result.said))
    assert found == EXPECTED[client]


def test_calls_that_a_client_names_anew_have_their_results() -> None:
    """LiteLLM gives Ollama's calls ids of its own."""
    recorded = json.loads((RECORDINGS / "litellm-ollama-1.110.2.json").read_text(encoding="utf-8"))
    messages = question_of(recorded["endpoint"], json.dumps(recorded["request"]))
    first, second = (m.extra["tool_calls"] for m in messages if m.role == "assistant")
    for calls, said in ((first, "applied"), (second, "failed")):
        as_served = [{**calls[0], "id": "call_8x1kq0tp"}]
        (result,) = results_of(messages, answer="", extra={"tool_calls": as_served})
        assert (result.call, result.said) == ("call_8x1kq0tp", said)


GROSS = """\
def gross(net):
    if net < 0:
        raise ValueError('no each below zero')
    return round(net * RATE, {})
"""
IN_TEXT: dict[str, list[tuple[Plain, list[Said | None]]]] = {
    "aider-diff-0.86.2": [
        (("tax.py", SUM, SKIPPING), ["applied"]),
        (("tax.py", NOTHING, GROSS.format(10)), ["failed", "failed"]),
    ],
    "aider-udiff-0.86.2": [
        (("tax.py", SUM, SKIPPING), ["applied"]),
        (("tax.py", NOTHING, GROSS.format(12)), ["failed", "failed"]),
    ],
}
"""By client: the edit in the text of each answer, and what the client says of it, in its order."""


@pytest.mark.parametrize("client", IN_TEXT)
def test_what_aider_says_of_an_edit_stands_behind_its_own_answers(client: str) -> None:
    recorded = json.loads((RECORDINGS / f"{client}.json").read_text(encoding="utf-8"))
    messages = question_of(recorded["endpoint"], json.dumps(recorded["request"]))
    found: list[tuple[Plain, list[Said | None]]] = []
    for message in messages:
        edits = edits_of(turn(message.content)) if message.role == "assistant" else ()
        if edits:
            (edit,) = edits
            results = results_of(messages, answer=message.content, extra={})
            found.append(((edit.path, edit.old, edit.new), [each.said for each in results]))
    assert found == IN_TEXT[client]


def test_every_recording_is_looked_at() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.json")} == EXPECTED.keys() | IN_TEXT.keys()
