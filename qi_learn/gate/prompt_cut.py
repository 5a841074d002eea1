"""A prompt that is too long to be read whole is cut inside its parts.

What is left is a prompt that the model could be given in that form: the special tokens that mark
its parts stay, and around a gap to fill the end of what stands before it and the beginning of what
stands behind it. Of a conversation the system head stays, shortened, and everything from the last
question on; what is longest there loses its middle. Earlier turns stay whole or go, the oldest
first. Plain text keeps its end.

The invariant: the result depends on the ids alone and on how many answers follow the question, so
that a prompt is cut alike for every model and in every cycle. It is at most as long as asked for,
and ends as the prompt does.

Not covered: templates that mark turns by words instead of special tokens. Their prompts are plain
text here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from qi_learn.outside.llama_cpp import Vocabulary
from qi_learn.records import Example

Ids = tuple[int, ...]

HEADER = 12
"""Tokens of plain text up to which the end of a prompt is only what opens the answer (the longest
seen: `assistant`, two line feeds and an empty thought)."""
LEAST = 32
"""Tokens that a part keeps at least; rather than less of each, parts are left out."""


@dataclass(frozen=True, slots=True)
class PromptMarks:
    """The tokens by which the parts of a prompt are known. Without any, all prompts are plain."""

    first: int | None = None
    """Stands in front of every prompt; None if nothing does."""
    fim: tuple[int, int, int] | None = None
    """In front of what stands before a gap, of what stands behind it, and of the middle."""
    controls: frozenset[int] = frozenset()
    """All special tokens."""
    end: int | None = None
    """Ends a turn."""


NO_MARKS = PromptMarks()


def marks_of(vocabulary: Vocabulary) -> PromptMarks:
    """The marks of a model's prompts. Raises ModelError if it has no token that ends an answer."""
    fim = vocabulary.fim()
    return PromptMarks(
        vocabulary.first, fim, vocabulary.controls | set(fim or ()), vocabulary.end_of_turn()
    )


def answers_since(example: Example) -> int:
    """How many answers of the model the question has behind the person's last message."""
    messages = example.ask.get("body", {}).get("messages") or ()
    roles = [message.get("role") for message in messages]
    asked = max((at for at, role in enumerate(roles) if role == "user"), default=len(roles))
    return roles[asked:].count("assistant")


def cut_prompt(ids: Ids, most: int, marks: PromptMarks, *, answers: int = 0) -> Ids:
    """At most `most` (1 or more) of a prompt's tokens. `answers`: see `answers_since`."""
    if len(ids) <= most:
        return ids
    front = ids[:1] if ids[0] == marks.first and most > 1 else ()
    if front and front[0] in marks.controls & set(ids[1:]):
        front = ()  # the token that opens each turn, so that it belongs to the first of them
    ids, most = ids[len(front) :], most - len(front)
    cut = _gap(ids, most, marks) or _conversation(ids, most, marks, answers)
    return (*front, *(_end(ids, most) if cut is None else cut))


# --- a gap to fill --------------------------------------------------------------------------------


def _gap(ids: Ids, most: int, marks: PromptMarks) -> Ids | None:
    """Both sides of a gap; None if there is none, or no room.

    The suffix mark stands before the suffix in every order that models know; what stands behind the
    two other marks is the prefix, or nothing.
    """
    if marks.fim is None or not set(marks.fim) <= set(ids):
        return None
    places = sorted(_last(ids, mark) for mark in marks.fim)
    ends = (*places[1:], len(ids))
    sides = [ids[at + 1 : end] for at, end in zip(places, ends, strict=True)]
    is_suffix = [ids[at] == marks.fim[1] for at in places]
    room = most - len(places)
    if room < 2 * LEAST:
        return None
    lengths = dict.fromkeys((True, False), 0)
    for side, suffix in zip(sides, is_suffix, strict=True):
        lengths[suffix] += len(side)
    after = min(lengths[True], max(room // 3, room - lengths[False]))
    before = min(lengths[False], room - after)
    cut: list[int] = []
    for at, side, suffix in reversed(list(zip(places, sides, is_suffix, strict=True))):
        kept = side[:after] if suffix else _end(side, before)
        before -= 0 if suffix else len(kept)
        room -= len(kept)
        cut[:0] = (ids[at], *kept)
    return (*_end(ids[: places[0]], room), *cut)


def _last(ids: Ids, token: int) -> int:
    return len(ids) - 1 - ids[::-1].index(token)


def _end(ids: Ids, count: int) -> Ids:
    return ids[len(ids) - min(count, len(ids)) :]


# --- a conversation -------------------------------------------------------------------------------


def _conversation(ids: Ids, most: int, marks: PromptMarks, answers: int) -> Ids | None:
    """The system head and everything from the question on; None if it is none, or no room."""
    if marks.controls.isdisjoint(ids):
        return None
    turns = _turns(ids, marks)
    question = _question(turns, marks, answers)
    needed = turns[question:]
    head = turns[:1] if question and _opening(turns[0]) != _opening(needed[0]) else []
    reserved = min(_size(head), max(most // 4, most - _size(needed)))
    kept = _squeezed(needed, most - reserved, marks)
    while kept is None and len(needed) > 2:
        needed = [needed[0], *needed[2:]]
        kept = _squeezed(needed, most - reserved, marks)
    if kept is None:
        return _squeezed(needed[-2:], most, marks)
    first = (_squeezed(head, reserved, marks) or ()) if head else ()
    left = most - len(first) - len(kept)
    earlier = _newest(turns[len(head) : question], left, _opening(turns[-1]))
    return (*first, *earlier, *kept)


def _turns(ids: Ids, marks: PromptMarks) -> list[Ids]:
    """The prompt's turns; the last is what opens the answer, or holds the question too.

    A turn ends with the token for that. If there is none, each begins with the first special one.
    """
    if marks.end in ids:
        starts = [_behind(ids, at + 1, marks) for at, token in enumerate(ids) if token == marks.end]
    else:
        opener = next((t for t in ids if t in marks.controls), None)
        starts = [at for at, token in enumerate(ids) if at and token == opener]
    edges = [0, *(at for at in starts if at < len(ids)), len(ids)]
    return [ids[a:b] for a, b in pairwise(edges) if a < b]


def _behind(ids: Ids, at: int, marks: PromptMarks) -> int:
    """Where the next turn begins: a line feed behind the end of one belongs to it."""
    following = range(at, min(at + 3, len(ids)))
    return next((n for n in following if ids[n] in marks.controls), at)


def _question(turns: Sequence[Ids], marks: PromptMarks, answers: int) -> int:
    """The index of the turn with the person's last message."""
    last = len(turns) - 1
    if any(len(run) > HEADER for run in _runs([turns[last]], marks)):
        return max(0, last - answers)  # it is not only what opens the answer
    own = _opening(turns[last])
    said = [at for at in range(last) if _opening(turns[at]) == own]
    behind = said[-answers] if 0 < answers <= len(said) else last
    return max(0, behind - 1)


def _opening(turn: Ids) -> Ids:
    """By which a turn is known to be of the same speaker as another."""
    return turn[:2]


def _newest(turns: Sequence[Ids], room: int, answer: Ids) -> Ids:
    """The newest turns that there is room for, beginning with one that is no answer."""
    kept: list[Ids] = []
    for turn in reversed(turns):
        if len(turn) > room:
            break
        room -= len(turn)
        kept.insert(0, turn)
    while kept and _opening(kept[0]) == answer:
        kept.pop(0)
    return tuple(token for turn in kept for token in turn)


def _size(turns: Sequence[Ids]) -> int:
    return sum(map(len, turns))


# --- parts of plain text --------------------------------------------------------------------------


def _squeezed(turns: Sequence[Ids], room: int, marks: PromptMarks) -> Ids | None:
    """The turns with the middle of the longest parts left out; None if there is no room for it."""
    runs = sorted(map(len, _runs(turns, marks)))
    room -= _size(turns) - sum(runs)
    most = _longest(runs, room)
    if most < min(LEAST, max(runs, default=0)):
        return None
    spare = room - sum(min(run, most) for run in runs)
    kept: list[int] = []
    for is_mark, group in _parts(turns, marks):
        part = tuple(group)
        if not is_mark and len(part) > most:
            keep = most + (spare > 0)
            spare -= 1
            part = (*part[: keep - keep // 2], *_end(part, keep // 2))
        kept += part
    return tuple(kept)


def _longest(lengths: Sequence[int], room: int) -> int:
    """How long each may be, at most, so that all fit; below 0 if there is no room at all."""
    for count, length in enumerate(sorted(lengths)):
        each = room // (len(lengths) - count)
        if each < length:
            return each
        room -= length
    return max(lengths, default=0) if room >= 0 else -1


def _runs(turns: Sequence[Ids], marks: PromptMarks) -> list[Ids]:
    return [part for is_mark, part in _parts(turns, marks) if not is_mark]


def _parts(turns: Sequence[Ids], marks: PromptMarks) -> Iterator[tuple[bool, Ids]]:
    """The special tokens and the plain text between them, turn by turn."""
    for turn in turns:
        for is_mark, group in groupby(turn, key=lambda token: token in marks.controls):
            yield is_mark, tuple(group)
