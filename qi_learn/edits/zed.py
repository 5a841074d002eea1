"""Zed: edit_file and write_file, and the text that a second request asks for.

zed-industries/zed, crates/agent/src: `edit_file` was given a path and a description, and a request
of its own (templates/edit_file_prompt_xml.hbs) asked for `<old_text>` and `<new_text>`, or for the
whole file, and named the file in `<file_to_edit>`. Newer versions have the texts in the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, Passage, each_replaced, replaced, written


def _edit_file(call: Called) -> Iterator[Edit]:
    path = call.said("path")
    if parts := call.parts("edits"):
        yield from each_replaced(path, parts, "old_text", "new_text")
    elif call.said("old_text") is not None:
        yield from replaced(path, call.said("old_text"), call.said("new_text"))
    else:
        yield from written(path, call.said("content"))


def _write_file(call: Called) -> Iterator[Edit]:
    return written(call.said("path"), call.said("content"))


TOOLS = {"edit_file": _edit_file, "write_file": _write_file}

_OLD = re.compile(r"<old_text(?:[ \t][^>\n]{0,40})?>")
_OLD_ENDS, _NEW, _NEW_ENDS = "</old_text>", "<new_text>", "</new_text>"
_FILE, _FILE_ENDS = "<file_to_edit>", "</file_to_edit>"


def edited_file(question: str) -> str | None:
    """The file that a request asks to edit; None if it is no such request."""
    start = question.rfind(_FILE)
    end = question.find(_FILE_ENDS, start)
    if start < 0 or end < 0:
        return None
    return question[start + len(_FILE) : end].strip() or None


def texts_in(answer: str, path: str | None) -> Iterator[Passage]:
    """The pairs of an old and a new text in an answer."""
    at = 0
    while opened := _OLD.search(answer, at):
        old_end = answer.find(_OLD_ENDS, opened.end())
        new = answer.find(_NEW, old_end)
        new_end = answer.find(_NEW_ENDS, new)
        if min(old_end, new, new_end) < 0:
            return
        at = new_end + len(_NEW_ENDS)
        if answer[old_end + len(_OLD_ENDS) : new].strip():
            continue
        start = new + len(_NEW)
        start += answer.startswith("\n", start)
        end = max(start, new_end)
        old = answer[opened.end() : old_end].removeprefix("\n")
        edit = Edit(path, old or None, answer[start:end], start, end)
        yield Passage(opened.start(), at, (edit,))
