"""Anthropic's text editor tool, which takes one of several commands, and those made after it.

`str_replace_based_edit_tool` and `str_replace_editor` of Anthropic's documentation; the editors of
OpenHands (All-Hands-AI/openhands-aci, `openhands_aci/editor/editor.py`; later `file_editor`); and
Goose's `text_editor` (block/goose, crates/goose-mcp: `write` in the place of `create`, and a
`diff` instead of two texts). Goose's newer `edit` and `write` take no command
(crates/goose/src/agents/platform_extensions/developer/edit.rs: `before` and `after`).
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, replaced, written
from qi_learn.edits.unified_diff import edits_in


def _command(call: Called) -> Iterator[Edit]:
    path, command = call.said("path"), call.said("command")
    if command in ("create", "write"):
        yield from written(path, call.said("file_text", "content"))
    elif command == "insert":
        yield from written(path, call.said("new_str", "insert_text"))
    elif command in ("str_replace", "edit"):
        diff = call.said("diff")
        if diff:
            yield from (Edit(path, edit.old, edit.new) for edit in edits_in(diff.split("\n")))
        else:
            new = call.said("new_str")
            yield from replaced(path, call.said("old_str"), "" if new is None else new)


def _edit(call: Called) -> Iterator[Edit]:
    return replaced(call.said("path"), call.said("before"), call.said("after"))


def _write(call: Called) -> Iterator[Edit]:
    return written(call.said("path"), call.said("content"))


TOOLS = {
    "str_replace_based_edit_tool": _command,
    "str_replace_editor": _command,
    "text_editor": _command,
    "file_editor": _command,
    "editor": _command,
    "edit": _edit,
    "write": _write,
}
