"""Every edit that an answer asks for, in whatever way its client lets models edit files.

The invariant: a text is part of one edit at most, and what one dialect reads no later one reads
again. Each dialect takes time in proportion to the answer's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from qi_learn.code_text import code_blocks
from qi_learn.edits import (
    any_tool,
    apply_patch,
    claude_code,
    cline,
    continue_,
    copilot,
    gemini,
    opencode,
    serena,
    shell,
    text_calls,
    text_editor,
    unified_diff,
    zed,
)
from qi_learn.edits.edit import Called, Edit, Passage, calls_of
from qi_learn.edits.fences import file_of
from qi_learn.edits.lines import TextLine, lines_of, name_alone
from qi_learn.edits.search_replace import SearchReplace, blocks_in
from qi_learn.records import Turn

_TOOLS: tuple[Mapping[str, Callable[[Called], Iterable[Edit]]], ...] = (
    claude_code.TOOLS,
    text_editor.TOOLS,
    copilot.TOOLS,
    opencode.TOOLS,
    gemini.TOOLS,
    continue_.TOOLS,
    cline.TOOLS,
    zed.TOOLS,
    serena.TOOLS,
)
_FENCES = ("<source>", "<code>", "<pre>", "<codeblock>", "<sourcecode>")
"""What aider lets models write in the place of backticks, if a file has those in it."""
_ABOVE = 3
"""Lines in front of a SEARCH/REPLACE block in which its file is named, as aider looks for it."""


def edits_of(turn: Turn) -> tuple[Edit, ...]:
    """The edits of an answer: those in its text in their order, then those of its tool calls."""
    in_text = [edit for passage in passages_of(turn) for edit in passage.edits]
    return (*in_text, *tool_edits(turn))


def tool_edits(turn: Turn) -> tuple[Edit, ...]:
    """The edits of an answer's tool calls; each has its call."""
    return called_edits(turn.answer_extra)


def called_edits(extra: Mapping[str, Any]) -> tuple[Edit, ...]:
    """The edits of the tool calls in what came beside an answer's text (`tool_calls`)."""
    return tuple(replace(edit, call=call.id) for call in calls_of(extra) for edit in _read(call))


def passages_of(turn: Turn) -> tuple[Passage, ...]:
    """The parts of an answer's text that ask for edits, in their order; no two share a character.

    Blocks of code that name a file are among them.
    """
    answer = turn.answer
    lines = lines_of(answer)
    asked = turn.messages[-1].content if turn.messages else ""
    read = chain(
        _calls(answer, lines),
        cline.passages_in(answer) if "</" in answer else (),
        zed.texts_in(answer, zed.edited_file(asked)) if "<old_text" in answer else (),
        _search_replace(answer, lines),
        apply_patch.patches_in(lines),
        unified_diff.diffs_in(lines),
    )
    return _apart([*_apart(list(read)), *_named_blocks(answer)])


def _apart(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages without those that share characters with one that was read before them.

    By their places. What has no edits takes its characters all the same.
    """
    taken: list[tuple[int, Passage]] = []
    for number, passage in sorted(enumerate(passages), key=lambda each: (each[1].start, each[0])):
        if not taken or passage.start >= taken[-1][1].end:
            taken.append((number, passage))
        elif number < taken[-1][0]:
            taken[-1] = number, passage
    return tuple(passage for _, passage in taken)


def _read(call: Called) -> tuple[Edit, ...]:
    """The edits of a call, by the first dialect that knows its name and its arguments."""
    if call.name in apply_patch.TOOLS and (edits := tuple(apply_patch.call_edits(call))):
        return edits
    if call.name in shell.TOOLS:
        return tuple(shell.call_edits(call))
    for tools in _TOOLS:
        reader = tools.get(call.name)
        if reader is not None and (edits := tuple(reader(call))):
            return edits
    return tuple(any_tool.call_edits(call))


def _calls(answer: str, lines: Sequence[TextLine]) -> Iterator[Passage]:
    """The tool calls that stand in the text. What stands there as it is has its place."""
    if "<tool_call>" in answer or "<function=" in answer:
        for start, end, call in text_calls.calls_in(answer):
            yield Passage(start, end, _placed(answer, start, end, _read(call)))
    if "TOOL_NAME" in answer:
        for first, last, call in continue_.calls_in(lines):
            start, end = lines[first].start, lines[last - 1].end
            yield Passage(start, end, _placed(answer, start, end, _read(call)))


def _placed(answer: str, start: int, end: int, edits: Iterable[Edit]) -> tuple[Edit, ...]:
    placed, at = [], start
    for edit in edits:
        if edit.old and (gone := answer.find(edit.old, at, end)) >= 0:
            at = gone + len(edit.old)
        found = answer.find(edit.new, at, end) if edit.new.strip() else -1
        if found >= 0:
            at = found + len(edit.new)
            edit = replace(edit, start=found, end=at)
        placed.append(edit)
    return tuple(placed)


def _search_replace(answer: str, lines: Sequence[TextLine]) -> Iterator[Passage]:
    """The bare blocks, each for the file named above it, or the one of the block before."""
    path: str | None = None
    for block in blocks_in(answer, lines):
        path = _file_above(lines, block) or path
        edit = Edit(path, block.old or None, block.new, block.new_start, block.new_end)
        yield Passage(block.start, block.end, (edit,))


def _file_above(lines: Sequence[TextLine], block: SearchReplace) -> str | None:
    """The name above a block: fences may stand in between, or have the name behind them."""
    for line in reversed(lines[max(0, block.first - _ABOVE) : block.first]):
        bare = line.text.strip()
        if bare.startswith(("```", "~~~")):
            words = bare.lstrip("`~").split()
            if words and (name := name_alone(words[-1])):
                return name
        elif bare and bare not in _FENCES:
            return name_alone(bare)
    return None


def _named_blocks(answer: str) -> Iterator[Passage]:
    for block in code_blocks(answer):
        if block.closed and (path := file_of(answer, block)):
            edit = Edit(path, None, block.text, block.start, block.end)
            yield Passage(block.start, block.end, (edit,))
