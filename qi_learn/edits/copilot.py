"""Copilot in VS Code: the tools of microsoft/vscode-copilot-chat, src/extension/tools.

`insert_edit_into_file` is given code with comments in the place of what stays, for another model to
merge: its text stands so in no file, but what is written out in it does. A cell of a notebook is
an edit of the notebook. Its `apply_patch` is Codex's.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, each_replaced, replaced, written


def _insert_edit(call: Called) -> Iterator[Edit]:
    return written(call.said("filePath"), call.said("code"))


def _replace_string(call: Called) -> Iterator[Edit]:
    return replaced(call.said("filePath"), call.said("oldString"), call.said("newString"))


def _several(call: Called) -> Iterator[Edit]:
    return each_replaced(None, call.parts("replacements"), "oldString", "newString")


def _create_file(call: Called) -> Iterator[Edit]:
    return written(call.said("filePath"), call.said("content"))


def _notebook(call: Called) -> Iterator[Edit]:
    given = call.arguments.get("newCode")
    lines = [line for line in (given if isinstance(given, list) else [given]) if line is not None]
    if call.said("editType") == "delete" or not all(isinstance(line, str) for line in lines):
        return iter(())
    return written(call.said("filePath"), "\n".join(map(str, lines)) if lines else None)


TOOLS = {
    "insert_edit_into_file": _insert_edit,
    "replace_string_in_file": _replace_string,
    "multi_replace_string_in_file": _several,
    "create_file": _create_file,
    "edit_notebook_file": _notebook,
}
