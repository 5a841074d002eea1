"""The patches of `apply_patch`: `*** Begin Patch`, files, chunks, `*** End Patch`.

As Codex reads them (openai/codex, codex-rs/apply-patch/src/parser.rs): a file is added, updated
(perhaps moved) or deleted; a chunk may begin with `@@` and a line that stands above it. The same
text is given to Copilot's and OpenCode's tool of that name, as a function's argument, as the input
of a tool of free form, or to a shell. `apply_patch_call` of OpenAI's responses has the diff of one
file alone. Clients ask no more of the marks than that they are there; a patch that was cut off
before its end is not applied by any of them, and is no edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qi_learn.edits.edit import Called, Edit, Passage
from qi_learn.edits.lines import TextLine
from qi_learn.edits.unified_diff import edit_of_hunk

BEGIN, END = "*** Begin Patch", "*** End Patch"
_ADD, _UPDATE, _DELETE = "*** Add File: ", "*** Update File: ", "*** Delete File: "
_MOVE, _LAST = "*** Move to: ", "*** End of File"
TOOLS = ("apply_patch", "applypatch", "patch", "apply_diff_patch")
_ARGUMENTS = ("input", "patch", "patchText", "patch_text", "diff")


def call_edits(call: Called) -> Iterator[Edit]:
    """The edits of a call of `apply_patch`, in each form in which it comes."""
    path, kind = call.said("path"), call.said("type")
    if path and kind in ("create_file", "update_file"):
        yield from _operation(path, kind, call.said("diff") or "")
        return
    text = call.text or call.said(*_ARGUMENTS) or ""
    yield from patch_edits(text.split("\n"))


def _operation(path: str, kind: str, diff: str) -> Iterator[Edit]:
    """The one file of an `apply_patch_call`: a new file's lines all begin with `+`."""
    body = diff.split("\n")
    if kind == "create_file":
        yield from _added(path, body)
    else:
        yield from _updated(path, body)


def patches_in(lines: Sequence[TextLine]) -> Iterator[Passage]:
    """The patches in an answer's own text."""
    begun = -1
    for number, line in enumerate(lines):
        bare = line.text.strip()
        if bare == BEGIN:
            begun = number
        elif bare == END and begun >= 0:
            body = [each.text for each in lines[begun : number + 1]]
            yield Passage(lines[begun].start, line.end, tuple(patch_edits(body)))
            begun = -1


def patch_edits(lines: Sequence[str]) -> Iterator[Edit]:
    """The edits of the first patch among some lines; none if it has no end."""
    bare = [line.strip() for line in lines]
    if BEGIN not in bare:
        return
    first = bare.index(BEGIN) + 1
    if END not in bare[first:]:
        return
    path, added, body = "", False, list[str]()
    for line in (*lines[first : bare.index(END, first)], f"{_DELETE} "):
        mark = line.strip() + " " if line.startswith("***") else ""
        if mark.startswith((_ADD, _UPDATE, _DELETE)):
            yield from (_added if added else _updated)(path, body)
            added, body = mark.startswith(_ADD), []
            path = "" if mark.startswith(_DELETE) else mark.partition(": ")[2].strip()
        elif mark.startswith(_MOVE):
            path = mark[len(_MOVE) :].strip()
        else:
            body.append(line.removesuffix("\r"))


def _added(path: str, body: Sequence[str]) -> Iterator[Edit]:
    lines = [line[1:] for line in body if line.startswith("+")]
    if path and lines:
        yield Edit(path, None, "\n".join([*lines, ""]))


def _updated(path: str, body: Sequence[str]) -> Iterator[Edit]:
    hunk: list[str] = []
    for line in (*body, "@@"):
        if line.startswith(("@@", _LAST)):
            if path:
                yield from edit_of_hunk(path, hunk)
            hunk = []
        else:
            hunk.append(line)
