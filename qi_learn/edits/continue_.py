"""Continue: edit_existing_file, create_new_file, single_find_and_replace, multi_edit.

continuedev/continue, core/tools/definitions; the names once had `builtin_` in front. The `changes`
of `edit_existing_file` may leave parts out, for another model to merge. To models without tools it
gives a notation in a fence (core/tools/systemMessageTools/toolCodeblocks): `TOOL_NAME:`, and each
argument between `BEGIN_ARG:` and `END_ARG`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from qi_learn.edits.edit import Called, Edit, each_replaced, replaced, written
from qi_learn.edits.lines import TextLine


def _edit_existing(call: Called) -> Iterator[Edit]:
    return written(call.said("filepath"), call.said("changes", "new_contents"))


def _create_new(call: Called) -> Iterator[Edit]:
    return written(call.said("filepath"), call.said("contents"))


def _find_and_replace(call: Called) -> Iterator[Edit]:
    return replaced(call.said("filepath"), call.said("old_string"), call.said("new_string"))


def _multi_edit(call: Called) -> Iterator[Edit]:
    return each_replaced(call.said("filepath"), call.parts("edits"), "old_string", "new_string")


TOOLS = {
    "edit_existing_file": _edit_existing,
    "create_new_file": _create_new,
    "single_find_and_replace": _find_and_replace,
    "multi_edit": _multi_edit,
}

_TOOL = re.compile(r"[ \t]*`{3,}[ \t]*tool[ \t]*")
_NAME = re.compile(r"[ \t]*TOOL_NAME:[ \t]*(\S+)[ \t]*")
_ARGUMENT = re.compile(r"[ \t]*BEGIN_ARG:[ \t]*(\S+)[ \t]*")


def calls_in(lines: Sequence[TextLine]) -> Iterator[tuple[int, int, Called]]:
    """The calls that stand in fences: from which line up to which, and what is called."""
    opened = -1
    for number, line in enumerate(lines):
        if opened < 0:
            opened = number if _TOOL.fullmatch(line.text) else -1
        elif line.text.strip().startswith("```"):
            made = _call([each.text for each in lines[opened + 1 : number]])
            if made is not None:
                yield opened, number + 1, made
            opened = -1


def _call(lines: Sequence[str]) -> Called | None:
    name, argument = "", ""
    arguments: dict[str, list[str]] = {}
    for line in lines:
        if argument:
            if line.strip() == "END_ARG":
                argument = ""
            else:
                arguments[argument].append(line)
        elif begun := _ARGUMENT.fullmatch(line):
            argument = begun[1]
            arguments[argument] = []
        elif named := _NAME.fullmatch(line):
            name = named[1]
    if not name or argument:
        return None
    return Called(name, {key: "\n".join(value) for key, value in arguments.items()})
