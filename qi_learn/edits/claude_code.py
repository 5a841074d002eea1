"""Claude Code: Edit, MultiEdit, Write, NotebookEdit; and avante's tools of Claude's names.

The arguments are those of its published tool descriptions (its SDK's `sdk-tools.d.ts`:
`FileEditInput`, `FileWriteInput`, `NotebookEditInput`; MultiEdit is of older versions). A cell is
named by its id and the notebook by `notebook_path`; the text of a cell is an edit of the notebook.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, each_replaced, replaced, written


def _edit(call: Called) -> Iterator[Edit]:
    old, new = call.said("old_string"), call.said("new_string")
    return replaced(call.said("file_path"), old, new)


def _multi_edit(call: Called) -> Iterator[Edit]:
    parts = call.parts("edits")
    return each_replaced(call.said("file_path"), parts, "old_string", "new_string")


def _write(call: Called) -> Iterator[Edit]:
    return written(call.said("file_path", "filepath"), call.said("content"))


def _notebook_edit(call: Called) -> Iterator[Edit]:
    new = None if call.said("edit_mode") == "delete" else call.said("new_source")
    return written(call.said("notebook_path"), new)


TOOLS = {
    "Edit": _edit,
    "Update": _edit,
    "MultiEdit": _multi_edit,
    "Write": _write,
    "NotebookEdit": _notebook_edit,
}
