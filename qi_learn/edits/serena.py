"""Serena: bodies of symbols, and contents and lines of files (oraios/serena, src/serena/tools).

A pattern (`regex`) says what goes only to who applies it: then only what is put in is known, and
only if it refers to nothing of what it matched.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, replaced, written


def _body(call: Called) -> Iterator[Edit]:
    return written(call.said("relative_path"), call.said("body"))


def _content(call: Called) -> Iterator[Edit]:
    return written(call.said("relative_path"), call.said("content"))


def _replace(call: Called) -> Iterator[Edit]:
    path, new = call.said("relative_path"), call.said("repl")
    if call.said("mode") == "literal":
        yield from replaced(path, call.said("needle"), new)
    elif new and "$!" not in new and "\\" not in new:
        yield from written(path, new)


TOOLS = {
    "replace_symbol_body": _body,
    "insert_after_symbol": _body,
    "insert_before_symbol": _body,
    "create_text_file": _content,
    "insert_at_line": _content,
    "replace_lines": _content,
    "replace_content": _replace,
    "replace_regex": _replace,
}
