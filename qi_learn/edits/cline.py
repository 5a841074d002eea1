"""Cline and Roo Code: tags in the answer's text, or tools of the same names and parameters.

cline/cline, src/core/prompts and src/core/assistant-message (write_to_file, replace_in_file);
RooCodeInc/Roo-Code, src/core/prompts/tools (apply_diff, also with several files in `<args>`,
insert_content, search_and_replace, and the native search_replace and edit_file).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, Passage, each_replaced, replaced, text_in, written
from qi_learn.edits.markup import Extent, Tagged, content, parameter, tags_in, value
from qi_learn.edits.search_replace import blocks_in
from qi_learn.edits.shell import script_edits

_PATH = ("path", "file_path", "absolutePath", "filePath", "relative_path")
_TAGS = (
    *("write_to_file", "replace_in_file", "apply_diff", "insert_content", "search_and_replace"),
    *("execute_command", "new_rule"),
)
_FILE = ("path", "file_path", "absolutePath")
_NAMED = re.compile(r"<(path|file_path|absolutePath)>([^<>\n]{1,300})</\1>")


def passages_in(answer: str) -> Iterator[Passage]:
    """The edits that are asked for by tags in an answer."""
    for tagged in tags_in(answer, _TAGS):
        if edits := tuple(_edits(answer, tagged)):
            yield Passage(tagged.start, tagged.end, edits)


def _edits(answer: str, tagged: Tagged) -> Iterator[Edit]:
    path = value(answer, parameter(answer, tagged.inner, *_FILE))
    if tagged.name in ("write_to_file", "new_rule", "insert_content"):
        inner = parameter(answer, tagged.inner, "content", last=True)
        if inner is not None and path:
            yield _at(path, None, answer, content(answer, inner))
    elif tagged.name in ("replace_in_file", "apply_diff"):
        yield from _blocks(answer, tagged.inner)
    elif tagged.name == "search_and_replace":
        yield from _searched(answer, tagged.inner, path)
    elif tagged.name == "execute_command":
        yield from script_edits(value(answer, parameter(answer, tagged.inner, "command")) or "")


def _at(path: str, old: str | None, answer: str, new: Extent) -> Edit:
    return Edit(path, old, answer[new.start : new.end], new.start, new.end)


def _blocks(answer: str, within: Extent) -> Iterator[Edit]:
    """The blocks of a diff, each for the file that was named last before it."""
    inside = answer[within.start : within.end]
    named = [(each.start(), each[2].strip()) for each in _NAMED.finditer(inside)]
    path, at = None, 0
    for block in blocks_in(inside):
        while at < len(named) and named[at][0] < block.start:
            path, at = named[at][1], at + 1
        start, end = within.start + block.new_start, within.start + block.new_end
        yield Edit(path, block.old or None, block.new, start, end)


def _searched(answer: str, within: Extent, path: str | None) -> Iterator[Edit]:
    if value(answer, parameter(answer, within, "use_regex")) == "true":
        return
    search = parameter(answer, within, "search")
    replace = parameter(answer, within, "replace")
    if path and search is not None and replace is not None:
        old, new = (content(answer, span) for span in (search, replace))
        yield _at(path, answer[old.start : old.end], answer, new)


def _write(call: Called) -> Iterator[Edit]:
    return written(call.said(*_PATH), call.said("content"))


def _diff(call: Called) -> Iterator[Edit]:
    path = call.said(*_PATH)
    for block in blocks_in(call.said("diff") or ""):
        yield from replaced(path, block.old, block.new)


def _search_and_replace(call: Called) -> Iterator[Edit]:
    path = call.said(*_PATH)
    for part in call.parts("operations") or [call.arguments]:
        if str(part.get("use_regex", "")).lower() != "true":
            yield from replaced(path, text_in(part, "search"), text_in(part, "replace"))


def _insert(call: Called) -> Iterator[Edit]:
    if parts := call.parts("operations"):
        for part in parts:
            yield from written(call.said(*_PATH), text_in(part, "content"))
    else:
        yield from written(call.said(*_PATH), call.said("content"))


def _strings(call: Called) -> Iterator[Edit]:
    if parts := call.parts("edits"):
        return each_replaced(call.said(*_PATH), parts, "old_string", "new_string")
    return replaced(call.said(*_PATH), call.said("old_string"), call.said("new_string"))


TOOLS = {
    "write_to_file": _write,
    "new_rule": _write,
    "replace_in_file": _diff,
    "apply_diff": _diff,
    "search_and_replace": _search_and_replace,
    "insert_content": _insert,
    "search_replace": _strings,
    "edit_file": _strings,
}
