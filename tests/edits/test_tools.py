"""Edits by tools: each client's own names of tools and arguments, as its source has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.edits.dialects import edits_of
from tests.edits.answers import Plain, call, of_call, turn

PATCH = """*** Begin Patch
*** Update File: src/a.py
@@ def total(values):
     count = len(values)
-    return sum(values)
+    return sum(values) / count
*** Add File: docs/new.md
+# New
+
+Words.
*** Delete File: old.txt
*** Update File: b.py
*** Move to: lib/b.py
@@
-x = 1
+x = 2
*** End of File
*** End Patch
"""
PATCHED: list[Plain] = [
    ("src/a.py", "    return sum(values)\n", "    return sum(values) / count\n"),
    ("docs/new.md", None, "# New\n\nWords.\n"),
    ("lib/b.py", "x = 1\n", "x = 2\n"),
]
ONE: list[Plain] = [("/w/a.py", "x = 1", "x = 2")]
WHOLE: list[Plain] = [("/w/a.py", None, "x = 2\n")]
OLD_NEW = {"file_path": "/w/a.py", "old_string": "x = 1", "new_string": "x = 2"}
CAMEL = {"filePath": "/w/a.py", "oldString": "x = 1", "newString": "x = 2"}
CONTINUE = {"filepath": "/w/a.py", "old_string": "x = 1", "new_string": "x = 2"}
STR_REPLACE = {"command": "str_replace", "path": "/w/a.py", "old_str": "x = 1", "new_str": "x = 2"}
CREATE = {"command": "create", "path": "/w/a.py", "file_text": "x = 2\n"}
SEARCH = "<<<<<<< SEARCH\n:start_line:1\n-------\nx = 1\n=======\nx = 2\n>>>>>>> REPLACE"
DASHED = "------- SEARCH\nx = 1\n=======\nx = 2\n+++++++ REPLACE\n"
BLOCK: list[Plain] = [("/w/a.py", "x = 1\n", "x = 2\n")]
CELL: list[Plain] = [("/w/n.ipynb", None, "x = 2")]
SHAPES: list[tuple[str, str, Any, list[Plain]]] = [
    ("Claude Code", "Edit", {**OLD_NEW, "replace_all": False}, ONE),
    ("Claude Code", "MultiEdit", {"file_path": "/w/a.py", "edits": [OLD_NEW, OLD_NEW]}, ONE * 2),
    ("Claude Code", "Write", {"file_path": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    (
        "Claude Code",
        "NotebookEdit",
        {"notebook_path": "/w/n.ipynb", "cell_id": "c1", "new_source": "x = 2"},
        CELL,
    ),
    ("Anthropic", "str_replace_based_edit_tool", STR_REPLACE, ONE),
    ("OpenHands", "str_replace_editor", CREATE, WHOLE),
    (
        "OpenHands",
        "file_editor",
        {"command": "insert", "path": "/w/a.py", "insert_line": 3, "new_str": "x = 2\n"},
        WHOLE,
    ),
    ("Goose", "developer__text_editor", {**CREATE, "command": "write"}, WHOLE),
    ("Goose", "edit", {"path": "/w/a.py", "before": "x = 1", "after": "x = 2"}, ONE),
    ("Goose", "write", {"path": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    ("Codex", "apply_patch", {"input": PATCH}, PATCHED),
    ("Codex, free form", "apply_patch", PATCH, PATCHED),
    ("Codex, shell", "shell", {"command": ["apply_patch", PATCH]}, PATCHED),
    (
        "Codex, shell",
        "shell",
        {"command": ["bash", "-lc", f"apply_patch <<'EOF'\n{PATCH}EOF\n"], "workdir": ""},
        PATCHED,
    ),
    ("Codex, shell", "shell_command", {"command": f"apply_patch <<'E'\n{PATCH}E"}, PATCHED),
    ("Codex, shell", "exec_command", {"cmd": f"applypatch <<E\n{PATCH}E\n"}, PATCHED),
    (
        "responses",
        "apply_patch",
        {"type": "update_file", "path": "/w/a.py", "diff": "@@\n-x = 1\n+x = 2"},
        BLOCK,
    ),
    (
        "responses",
        "apply_patch",
        {"type": "create_file", "path": "/w/a.py", "diff": "+x = 2"},
        WHOLE,
    ),
    ("Copilot", "apply_patch", {"explanation": "Mean.", "input": PATCH}, PATCHED),
    (
        "Copilot",
        "insert_edit_into_file",
        {"explanation": "e", "filePath": "/w/a.py", "code": "x = 2\n"},
        WHOLE,
    ),
    ("Copilot", "replace_string_in_file", CAMEL, ONE),
    ("Copilot", "multi_replace_string_in_file", {"replacements": [CAMEL]}, ONE),
    ("Copilot", "create_file", {"filePath": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    (
        "Copilot",
        "edit_notebook_file",
        {"filePath": "/w/n.ipynb", "editType": "insert", "cellId": "TOP", "newCode": ["x = 2"]},
        CELL,
    ),
    ("OpenCode", "edit", CAMEL, ONE),
    ("OpenCode", "write", {"filePath": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    ("OpenCode", "multiedit", {"filePath": "/w/a.py", "edits": [CAMEL]}, ONE),
    ("OpenCode", "apply_patch", {"patchText": PATCH}, PATCHED),
    ("Continue", "edit_existing_file", {"filepath": "/w/a.py", "changes": "x = 2\n"}, WHOLE),
    ("Continue", "builtin_create_new_file", {"filepath": "/w/a.py", "contents": "x = 2\n"}, WHOLE),
    ("Continue", "single_find_and_replace", CONTINUE, ONE),
    ("Continue", "multi_edit", {"filepath": "/w/a.py", "edits": [OLD_NEW]}, ONE),
    ("Gemini CLI", "replace", {**OLD_NEW, "instruction": "i"}, ONE),
    ("Qwen Code", "edit", OLD_NEW, ONE),
    ("Qwen Code", "write_file", {"file_path": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    ("Cline", "write_to_file", {"path": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    ("Cline", "replace_in_file", {"absolutePath": "/w/a.py", "diff": DASHED}, BLOCK),
    ("Roo", "apply_diff", {"path": "/w/a.py", "diff": SEARCH}, BLOCK),
    ("Roo", "insert_content", {"path": "/w/a.py", "line": "0", "content": "x = 2\n"}, WHOLE),
    ("Roo", "search_replace", OLD_NEW, ONE),
    (
        "Zed",
        "edit_file",
        {"path": "/w/a.py", "mode": "edit", "edits": [{"old_text": "x = 1", "new_text": "x = 2"}]},
        ONE,
    ),
    ("Zed", "write_file", {"path": "/w/a.py", "content": "x = 2\n"}, WHOLE),
    (
        "Serena",
        "mcp__serena__replace_symbol_body",
        {"name_path": "f", "relative_path": "/w/a.py", "body": "x = 2\n"},
        WHOLE,
    ),
    (
        "Serena",
        "replace_content",
        {"relative_path": "/w/a.py", "needle": "x = 1", "repl": "x = 2", "mode": "literal"},
        ONE,
    ),
    (
        "another",
        "modify_source",
        {"target_file": "/w/a.py", "search": "x = 1", "replace": "x = 2"},
        ONE,
    ),
]


@pytest.mark.parametrize(
    ("name", "arguments", "edits"),
    [shape[1:] for shape in SHAPES],
    ids=[f"{client}:{name}" for client, name, *_ in SHAPES],
)
def test_a_call_edits_what_its_client_lets_it_edit(
    name: str, arguments: Any, edits: list[Plain]
) -> None:
    assert of_call(name, arguments) == edits
    if isinstance(arguments, dict):
        assert of_call(name, json.dumps(arguments)) == edits


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Read", {"file_path": "/w/a.py"}),
        ("read_file", {"path": "a.py", "content": "never"}),
        ("grep", {"path": "src", "pattern": "x", "replacement": "y"}),
        ("shell", {"command": "rm -r /"}),
        ("todo_write", {"todos": [{"content": "Write a.py"}]}),
        ("NotebookEdit", {"notebook_path": "n.ipynb", "edit_mode": "delete", "new_source": ""}),
        ("edit_file", {"path": "a.py", "display_description": "Fix it", "mode": "edit"}),
        (
            "replace_content",
            {"relative_path": "a", "needle": "x.*", "repl": "$!1", "mode": "regex"},
        ),
        ("search_and_replace", {"path": "a", "search": "x+", "replace": "y", "use_regex": True}),
        ("apply_patch", {"input": PATCH.replace("*** End Patch\n", "")}),
        ("Edit", '{"file_path": "/w/a.py", "old_string": "x", "new_str'),
        ("Edit", {"file_path": None, "old_string": "x", "new_string": "y"}),
        ("Edit", None),
        ("Edit", []),
    ],
)
def test_what_is_not_certain_is_no_edit(name: str, arguments: Any) -> None:
    assert of_call(name, arguments) == []


def test_each_edit_knows_its_call() -> None:
    made = turn(calls=[call("Edit", OLD_NEW, "toolu_7"), call("Edit", OLD_NEW)])
    assert [edit.call for edit in edits_of(made)] == ["toolu_7", "#1"]


def test_calls_of_no_form_at_all_are_no_edits() -> None:
    forms: list[list[Any]] = [[None, 3, {}], [{"function": "x"}], [{"function": {"name": 1}}]]
    for calls in forms:
        assert edits_of(turn(calls=calls)) == ()
