"""Editing tools of no client that is known here, by what their arguments are called.

Certain is a call that names a file and two texts, one for the other. With one text alone the tool
must be called after writing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from qi_learn.edits.edit import Called, Edit, replaced, text_in, written

_FILE = (
    *("path", "file_path", "filePath", "filepath", "file", "filename", "fileName", "target_file"),
    *("relative_workspace_path", "relative_path", "absolute_path", "absolutePath", "TargetFile"),
)
_OLD = (
    *("old_string", "oldString", "old_str", "old_text", "oldText", "search", "before", "original"),
    *("old", "find", "find_text", "search_text"),
)
_NEW = (
    *("new_string", "newString", "new_str", "new_text", "newText", "replace", "after", "updated"),
    *("new", "replacement", "replace_text", "replacement_text"),
)
_WRITTEN = (
    *(
        "content",
        "contents",
        "code",
        "text",
        "file_text",
        "insert_text",
        "code_edit",
        "new_content",
    ),
    *("new_string", "newString", "new_str", "new_text", "newText", "replacement", "source", "body"),
)
_WRITES = re.compile(
    r"write|edit|create|replace|insert|save|update|patch|append|modify|put_file|new_file", re.I
)
_PATTERN = ("use_regex", "regex", "is_regex", "useRegex")


def call_edits(call: Called) -> Iterator[Edit]:
    """The edits of a call, if its arguments say without doubt what they are."""
    path = call.said(*_FILE)
    if path is None or any(call.arguments.get(name) not in (None, False) for name in _PATTERN):
        return
    parts = call.parts("edits", "replacements", "changes", "operations")
    for part in parts or (call.arguments,):
        yield from _part(call.name, text_in(part, *_FILE) or path, part)


def _part(name: str, path: str, part: Mapping[str, object]) -> Iterator[Edit]:
    old, new = text_in(part, *_OLD), text_in(part, *_NEW)
    if old is not None and new is not None:
        yield from replaced(path, old, new)
    elif old is None and _WRITES.search(name):
        yield from written(path, text_in(part, *_WRITTEN))
