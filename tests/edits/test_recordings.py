"""Requests that real clients sent, with what they say of the edits of the answers before.

Recorded from the packages of npm against a server that answers with edits written beforehand: one
that fits, a new file, one whose old text is not there. The file is named after the client and its
version; its directories are other ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qi_learn.capture.wire import question_of
from qi_learn.edits.dialects import tool_edits
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
EXPECTED: dict[str, list[tuple[list[Plain], Said | None]]] = {
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


def test_every_recording_is_looked_at() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.json")} == set(EXPECTED)
