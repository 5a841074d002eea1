"""What clients say of edits in their next request, in their own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.capture.wire import question_of
from qi_learn.edits.results import Result, results_of, word_of
from qi_learn.records import Message, Said

DECLINED = [
    "The user doesn't want to proceed with this tool use. The tool use was rejected (eg. if it was "
    "a file edit, the new_string was NOT written to the file). STOP what you are doing.",
    "exec command rejected by user",
    "patch rejected by user",
    "The user denied this operation.",
    "The user denied this operation and provided the following feedback:\n<feedback>\nno",
    '{"status":"denied","message":"The user denied this operation.","feedback":"no"}',
    "The user rejected permission with feedback: not so",
    "The user has declined to run this tool. DO NOT attempt to call this tool again.",
    "The user declined to execute the tool",
    "User declined, reason: unknown",
    'User rejected the changes for `a.py`, with the reason "tabs"',
    "[Operation Cancelled] Reason: User denied execution.",
    '{"error": "[Operation Cancelled] Reason: User did not allow tool call"}',
    "This tool call was cancelled by the user. You should clarify next steps.",
    "Permission to run tool denied by user",
    "Permission denied by user",
    "The user rejected permission to use this specific tool call with the following feedback: no",
    "Error: The user rejected permission to use this specific tool call with the following "
    "feedback: no",
]
FAILED = [
    "<tool_use_error>String to replace not found in file.\nString: x = 1</tool_use_error>",
    "<tool_use_error>File has not been read yet. Read it first.</tool_use_error>",
    "apply_patch verification failed: Failed to find expected lines in /w/a.py:\nx = 1",
    "Exit code: 1\nWall time: 0 seconds\nOutput:\nerror",
    '{"output":"no such file","metadata":{"exit_code":1,"duration_seconds":0.1}}',
    "The tool execution failed with the following error:\n<error>\nno\n</error>",
    "Failed to edit, 0 occurrences found for old_string in /w/a.py.",
    "[Operation Cancelled] Reason: User cancelled the operation.",
    "oldString not found in content",
    "Could not find oldString in the file. It must match exactly, including whitespace.",
    "No match found for the specified text.\n\nFile preview:",
    "ERROR:\nNo replacement was performed, old_str `x` did not appear verbatim in /w/a.py.",
    "No edits were made.",
    "Error: ENOENT: no such file or directory",
]
APPLIED = [
    "The file /w/a.py has been updated. Here's the result of running `cat -n` on a snippet:\n"
    "     1\traise ValueError('no match found')",
    "The file /w/a.py has been updated successfully.",
    "File created successfully at: /w/a.py",
    "Updated cell c1 with x = 2",
    "Success. Updated the following files:\nM a.py\n",
    "Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess. Updated the following files:\nM a.py",
    '{"output":"Success. Updated the following files:\\nM a.py\\n","metadata":{"exit_code":0}}',
    "The content was successfully saved to a.py.\n\nHere is the full, updated content",
    "The user made the following updates to your content:\n\n@@ -1 +1 @@",
    "<file_write_result>\n<path>a.py</path>\n<operation>modified</operation>",
    "Edit applied successfully.\n\nLSP errors detected in this file, please fix:",
    "Wrote file successfully.",
    "Successfully edited /w/a.py\nDiff:\n-no match found",
    "Successfully overwrote file: /w/a.py.",
    "The following files were successfully edited:\n/w/a.py",
    "Edited a.py (1 lines -> 2 lines)",
    "Edited work/a.rs:\n\n```diff\n-no match found\n```",
    "Successfully modified file: /w/a.py (1 replacements).",
    "The file /w/a.py has been edited. Here's the result",
    "OK",
]
SILENT = [
    "The user rejected permission to use this specific tool call.",  # or `opencode run` by itself
    "Error: The user rejected permission to use this specific tool call.",
    '{"error": "The user rejected permission to use this specific tool call."}',
    "",
    "def f():\n    # The user doesn't want to proceed with this tool use\n    return 1",
    "1 failed, 3 passed in 0.2s",
    "a.py  b.py  the user denied this operation.txt",
    "I like it. Now the tests, please.",
]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((text, "declined") for text in DECLINED),
        *((text, "failed") for text in FAILED),
        *((text, "applied") for text in APPLIED),
        *((text, None) for text in SILENT),
    ],
)
def test_a_result_says_what_its_client_means(text: str, said: Said | None) -> None:
    assert word_of(text) == said


def words(results: tuple[Result, ...]) -> list[tuple[str | None, Said | None]]:
    return [(result.call, result.said) for result in results]


def results(endpoint: str, request: Any, answer: str = "", calls: Any = ()) -> tuple[Result, ...]:
    messages = question_of(endpoint, json.dumps(request))
    return results_of(messages, answer=answer, extra={"tool_calls": list(calls)} if calls else {})


ARGUMENTS = {"file_path": "/w/a.py", "old_string": "x = 1", "new_string": "x = 2"}


def made(id: str | None) -> dict[str, Any]:
    call: dict[str, Any] = {"function": {"name": "Edit", "arguments": ARGUMENTS}}
    return {"id": id, **call} if id else call


def test_anthropic_s_results_are_blocks_of_the_user() -> None:
    request = {
        "messages": [
            {"role": "user", "content": "Do it."},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "toolu_1", "name": "Edit", "input": ARGUMENTS},
                    {"type": "tool_use", "id": "toolu_2", "name": "Edit", "input": ARGUMENTS},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "content": "The file /w/a.py has been updated successfully.",
                    },
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_2",
                        "is_error": True,
                        "content": DECLINED[0],
                    },
                ],
            },
        ]
    }
    found = results("/v1/messages", request, calls=[made("toolu_1"), made("toolu_2")])
    assert words(found) == [("toolu_1", "applied"), ("toolu_2", "declined")]


def test_results_of_chat_completions_and_of_responses_have_the_call_s_id() -> None:
    call = {"id": "call_1", "type": "function"}
    chat = {
        "messages": [
            {"role": "user", "content": "Do it."},
            {
                "role": "assistant",
                "tool_calls": [
                    {**call, "function": {"name": "Edit", "arguments": json.dumps(ARGUMENTS)}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Edit applied successfully."},
        ]
    }
    assert words(results("/v1/chat/completions", chat, calls=[made("call_1")])) == [
        ("call_1", "applied")
    ]
    responses = {
        "input": [
            {"role": "user", "content": "Do it."},
            {
                "type": "custom_tool_call",
                "name": "apply_patch",
                "call_id": "call_1",
                "input": "*** Begin Patch\n*** End Patch",
            },
            {
                "type": "custom_tool_call_output",
                "call_id": "call_1",
                "output": "patch rejected by user",
            },
        ]
    }
    assert words(results("/v1/responses", responses, calls=[made("call_1")])) == [
        ("call_1", "declined")
    ]


def test_ollama_s_own_results_have_no_id_and_stand_in_order() -> None:
    request = {
        "messages": [
            {"role": "user", "content": "Do it."},
            {"role": "assistant", "content": "", "tool_calls": [made(None), made(None)]},
            {"role": "tool", "tool_name": "Edit", "content": "OK"},
            {"role": "tool", "tool_name": "Edit", "content": "Error: no"},
        ]
    }
    found = results("/api/chat", request, calls=[made(None), made(None)])
    assert words(found) == [("#0", "applied"), ("#1", "failed")]


def test_cline_says_which_file_a_result_is_of() -> None:
    answer = "<write_to_file>\n<path>a.py</path>\n<content>\nx\n</content>\n</write_to_file>"
    said = "[write_to_file for 'a.py'] Result:\nThe user denied this operation."
    messages = [Message("assistant", answer), Message("user", f"{said}\n<environment_details>")]
    (found,) = results_of(messages, answer=f"{answer}\nIt is done.", extra={})
    assert (found.said, found.path, found.call) == ("declined", "a.py", None)


def test_aider_repeats_the_blocks_that_it_could_not_find() -> None:
    text = (
        "# 1 SEARCH/REPLACE block failed to match!\n\n"
        "## SearchReplaceNoExactMatch: This SEARCH block failed to exactly match lines in a.py\n"
        "<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n\n"
        "# The other 2 SEARCH/REPLACE blocks were applied successfully.\n"
    )
    messages = [Message("assistant", "Here it is."), Message("user", text)]
    failed, others = results_of(messages, answer="Here it is.", extra={})
    assert (failed.said, failed.path, failed.new) == ("failed", "a.py", "new\n")
    assert (others.said, others.path) == ("applied", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I committed the changes with git hash 1a2b3c4 & commit msg: Mean", ["applied"]),
        ("I updated the files.", ["applied"]),
        ("I didn't see any properly formatted edits in your reply?!", ["failed"]),
        ("Thank you. I committed the changes.", []),
    ],
)
def test_aider_s_words_between_two_questions(text: str, said: list[Said]) -> None:
    messages = [
        Message("assistant", "Here it is."),
        Message("user", text),
        Message("assistant", "Ok."),
        Message("user", "And now the tests."),
    ]
    assert [r.said for r in results_of(messages, answer="Here it is.", extra={})] == said


def test_a_request_that_does_not_go_on_from_the_answer_says_nothing_of_it() -> None:
    messages = [Message("assistant", "Another."), Message("user", "I updated the files.")]
    assert results_of(messages, answer="Here it is.", extra={}) == ()
    assert results_of(messages, answer="", extra={}) == ()
    assert results_of((), answer="x", extra={}) == ()


def test_of_an_answer_of_which_aider_took_a_part_the_rest_failed() -> None:
    """Written as aider 0.86.2 writes it: it commits the part, and then says what did not fit."""
    one, other = (
        f"tax.py\n```python\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n```\n"
        for old, new in (("x = 1", "x = 2"), ("y = 1", "y = 2"))
    )
    messages = [
        Message("user", "Two, please."),
        Message("assistant", one + other),
        Message("user", "I committed the changes with git hash 1a2b3c4 & commit msg: fix: x"),
        Message("assistant", "Ok."),
        Message("user", "I have *added these files to the chat* so you can go ahead."),
        Message("assistant", "Ok, any changes I propose will be to those files."),
        Message(
            "user",
            "# 1 SEARCH/REPLACE block failed to match!\n\n## SearchReplaceNoExactMatch: This SEARCH"
            " block failed to exactly match lines in tax.py\n<<<<<<< SEARCH\ny = 1\n=======\n"
            "y = 2\n>>>>>>> REPLACE\n\n"
            "# The other 1 SEARCH/REPLACE block were applied successfully.\n",
        ),
    ]
    results = results_of(messages, answer=one + other, extra={})
    assert [(each.said, each.new) for each in results] == [
        ("applied", None),
        ("failed", "y = 2\n"),
        ("applied", None),
    ]


def test_an_undo_of_aider_is_the_persons_word() -> None:
    block = "a.py\n```\n<<<<<<< SEARCH\nx = 1\n=======\nx = 2\n>>>>>>> REPLACE\n```"
    messages = [
        Message("assistant", block),
        Message("user", "I committed the changes with git hash 1a2b3c4 & commit msg: fix: x"),
        Message("assistant", "Ok."),
        Message(
            "user",
            "I did `git reset --hard HEAD~1` to discard the last edits. Please wait for further"
            " instructions before attempting that change again.",
        ),
    ]
    results = results_of(messages, answer=block, extra={})
    assert [each.said for each in results] == ["declined"]
