"""Whatever a model writes, and wherever it is cut off: nothing raises, nothing takes long."""

from __future__ import annotations

import random
import time

import pytest

from qi_learn.edits.dialects import edits_of
from qi_learn.edits.results import results_of, word_of
from qi_learn.records import Message
from tests.edits.answers import call, turn
from tests.edits.test_text import AIDER, CLINE, HUNK
from tests.edits.test_tools import PATCH, SHAPES

PIECES = (
    *(
        "<<<<<<< SEARCH\n",
        "=======\n",
        ">>>>>>> REPLACE\n",
        "------- SEARCH\n",
        "+++++++ REPLACE\n",
    ),
    *("```python\n", "```\n", "```diff\n", "```tool\n", "~~~\n", "a.py\n", "```src/a.py\n", "\n"),
    *("*** Begin Patch\n", "*** End Patch\n", "*** Update File: a.py\n", "*** Add File: b\n"),
    *("--- a/x\n", "+++ b/x\n", "@@ -1 +1 @@\n", "+x\n", "-y\n", " z\n", "\\ No newline\n"),
    *("<write_to_file>\n", "</write_to_file>", "<path>a.py</path>\n", "<content>", "</content>"),
    *(
        "<apply_diff>",
        "</apply_diff>",
        "<diff>",
        "</diff>",
        "<tool_call>",
        "</tool_call>",
        "{",
        "}",
    ),
    *('{"name": "write", "arguments": {}}', "<function=edit>", "<parameter=path>", "</parameter>"),
    *("</function>", "<old_text>", "</old_text>", "<new_text>", "</new_text>", "TOOL_NAME: x\n"),
    *(
        "BEGIN_ARG: y\n",
        "END_ARG\n",
        "x = 1\n",
        "\r\n",
        "\u2028",
        "\x00",
        "é",
        "🙂",
        " ",
        "\t",
        '"',
    ),
    *("cat > a <<'E'\n", "E\n", "sed -i 's/a/b/' c\n", "cd x && ", "<execute_command><command>"),
)
LENGTH = 100_000


def test_any_text_gives_edits_that_stand_where_they_say() -> None:
    chance = random.Random(7)
    for _ in range(400):
        text = "".join(chance.choices(PIECES, k=chance.randrange(1, 60)))
        for edit in edits_of(turn(text, [call("bash", {"command": text})])):
            assert edit.start == -1 or text[edit.start : edit.end] == edit.new
        word_of(text)


@pytest.mark.parametrize("text", [AIDER, CLINE, f"```diff\n{HUNK}```\n", PATCH])
def test_an_answer_may_be_cut_off_anywhere(text: str) -> None:
    for at in range(len(text)):
        edits_of(turn(text[:at]))


def test_arguments_may_be_cut_off_anywhere() -> None:
    for _, name, arguments, _ in SHAPES:
        text = repr(arguments) if isinstance(arguments, dict) else arguments
        for at in range(0, len(text), 7):
            edits_of(turn(calls=[call(name, text[:at])]))


@pytest.mark.parametrize("piece", [*PIECES, "<", "`", "=", "a" * 97, " " * 97, "<path>"])
def test_a_long_answer_of_one_piece_takes_no_long_time(piece: str) -> None:
    text = piece * (LENGTH // len(piece))
    began = time.process_time()
    edits_of(turn(text, [call("bash", {"command": text}), call("apply_patch", text)]))
    word_of(text)
    answer = Message("assistant", text)
    results_of([answer, Message("user", text)], answer=text, extra={})
    assert time.process_time() - began < 3.0


def test_a_long_answer_of_many_edits_takes_time_by_its_length() -> None:
    for text in (AIDER, CLINE + "\n", f"```diff\n--- a/x\n+++ b/x\n{HUNK}```\n", PATCH):
        whole = text * (LENGTH // len(text))
        began = time.process_time()
        assert edits_of(turn(whole))
        assert time.process_time() - began < 3.0
