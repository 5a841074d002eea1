"""OpenCode: edit, write, multiedit (packages/opencode/src/tool); its patch is `apply_patch`'s."""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, each_replaced, replaced, written


def _edit(call: Called) -> Iterator[Edit]:
    return replaced(call.said("filePath"), call.said("oldString"), call.said("newString"))


def _write(call: Called) -> Iterator[Edit]:
    return written(call.said("filePath"), call.said("content"))


def _multiedit(call: Called) -> Iterator[Edit]:
    return each_replaced(call.said("filePath"), call.parts("edits"), "oldString", "newString")


TOOLS = {"edit": _edit, "write": _write, "multiedit": _multiedit}
