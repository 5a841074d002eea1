"""The ends of a run of lines: its first line, and the brackets that close at its end.

The invariant: a run that is found for code whose brackets are closed does not lose a closing one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

from rapidfuzz.distance import LCSseq

from qi_learn.lexer import is_comment
from qi_learn.track.saved_text import Saved

ALIKE = 0.7
"""So much of a line's tokens a line has that is the same with more put in."""
REACH = 4
"""How many lines above a run its first line is looked for."""
WRAPPED = 12
"""The same if its first line may be wrapped over so many."""
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


def with_ends(spelt: Sequence[str], saved: Saved, start: int, end: int) -> tuple[int, int]:
    """The run of lines `start` up to `end` with the first and the last lines that belong to it.

    `spelt`: the lines of the code that it is, in letters.
    """
    start = _with_head(spelt, saved, start, end)
    return start, with_closing(spelt, saved, start, end)


def with_comments(
    code: str, lines: Sequence[str], start: int, end: int, added: Collection[int]
) -> tuple[int, int]:
    """The run with the comments above it that the code has there, and those below it has.

    Comments have no tokens, so they were not matched. `added`: the lines that are new.
    """
    own = [line.strip() for line in code.split("\n")]
    above = start
    if leading := _leading(own, lines[start].strip()):
        above -= max(_of_leading(each, lines, start) for each in leading)
        while above - 1 in added and lines[above - 1].strip() and is_comment(lines[above - 1]):
            above -= 1
    there = {line for line in own if line}
    while end < len(lines) and lines[end].strip() in there and is_comment(lines[end]):
        end += 1
    return above, end


def _leading(own: Sequence[str], first: str) -> list[list[str]]:
    """The comments directly above a line of the code, each time it is there; else at its head."""
    head = next((i for i, line in enumerate(own) if line and not is_comment(line)), len(own))
    places = [i for i, line in enumerate(own) if line == first] or [head]
    found = []
    for at in places:
        above = takewhile(lambda line: bool(line) and is_comment(line), reversed(own[:at]))
        if comments := list(above)[::-1]:
            found.append(comments)
    return found


def _of_leading(leading: Sequence[str], lines: Sequence[str], start: int) -> int:
    """How many of the comments above a line are these of the code.

    They stand in the same order, some of them changed; what stands above them is other code's, also
    if the same words come again in it.
    """
    lowest = max(0, start - 2 * len(leading) - REACH)
    above = (lines[i].strip() for i in range(start - 1, lowest - 1, -1))
    block = list(takewhile(lambda line: bool(line) and is_comment(line), above))[::-1]
    same = SequenceMatcher(None, leading, block, autojunk=False).get_matching_blocks()
    matched = (line for each in same for line in leading[each.a : each.a + each.size])
    if any(len(line.split()) > 2 for line in matched):
        return len(block) - max(0, same[0].b - same[0].a)
    pairs = zip(reversed(leading), reversed(block), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _with_head(spelt: Sequence[str], saved: Saved, start: int, end: int) -> int:
    """The start with the line above if it is the code's first line with more put in.

    A line to which much was added costs a run more than it gains. It may be wrapped now.
    """
    first = next((line for line in spelt if line), "")
    if len(first) < 3 or start >= end or _in_common(first, saved.spelt[start]) >= ALIKE:
        return start
    for i in reversed([i for i in range(max(0, start - WRAPPED), start) if saved.spelt[i]]):
        head = saved.letters_of(i, start + 1)
        if depth(saved.letters_of(i, start), saved) > 0 and first[:2] in saved.spelt[i]:
            return i if _in_common(first, head) >= ALIKE else start
    above = [i for i in range(max(0, start - REACH), start) if saved.spelt[i]]
    return next((i for i in reversed(above) if _in_common(first, saved.spelt[i]) >= ALIKE), start)


def _in_common(wanted: str, line: str) -> float:
    return LCSseq.similarity(wanted, line) / len(wanted)


def with_closing(spelt: Sequence[str], saved: Saved, start: int, end: int) -> int:
    """The end moved over lines that only close brackets, until as many are as in the code."""
    wanted = depth("".join(spelt), saved)
    opened = depth(saved.letters_of(start, end), saved)
    for i in range(end, len(saved.lines)):
        if opened <= wanted or (saved.spelt[i] and not _only_closes(saved.spelt[i], saved)):
            break
        if saved.spelt[i]:
            opened += depth(saved.spelt[i], saved)
            end = i + 1
    while opened < wanted and end - 1 > start and _only_closes(saved.spelt[end - 1], saved):
        end -= 1
        opened -= depth(saved.spelt[end], saved)
    return end


def depth(letters: str, saved: Saved) -> int:
    """How many brackets are open at the end of some code."""
    tokens = [saved.letters.token(letter) for letter in letters]
    return sum(t in _OPENING for t in tokens) - sum(t in _CLOSING for t in tokens)


def _only_closes(letters: str, saved: Saved) -> bool:
    tokens = [saved.letters.token(letter) for letter in letters]
    return bool(tokens) and all(t in _CLOSING or t == "," for t in tokens)
