"""A prompt that is too long to be read whole is cut inside its parts.

What is left is a prompt that the model could be given in that form: the special tokens that mark
its parts stay, and around a gap to fill the end of what stands before it and the beginning of what
stands behind it. Of a conversation the system head stays, shortened, and everything from the last
question on; what is longest there loses its middle. Earlier turns stay whole or go, the oldest
first. Plain text keeps its end.

The invariant: the result depends on the ids alone and on how many messages follow the question, so
that a prompt is cut alike for every model and in every cycle. It is at most as long as asked for,
and ends as the prompt does.

Not covered: templates that mark turns by words instead of special tokens. Their prompts are plain
text here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
    return _roles_since(example).count("assistant")


def inserted_since(example: Example) -> int:
    """How many other messages stand between the person's last one and the first answer behind it.

    A reminder by the system, a result of a tool: of the prompt's turns they are the newest, or
    stand in front of those that `answers_since` counts.
    """
    roles = _roles_since(example)
    return roles.index("assistant") if "assistant" in roles else len(roles)


def _roles_since(example: Example) -> list[str | None]:
    messages = example.ask.get("body", {}).get("messages") or ()
    roles = [message.get("role") for message in messages]
    asked = max((at for at, role in enumerate(roles) if role == "user"), default=len(roles))
    return roles[asked + 1 :]


def cut_prompt(
    ids: Ids, most: int, marks: PromptMarks, *, answers: int = 0, inserted: int = 0
) -> Ids:
    """At most `most` (1 or more) of a prompt's tokens.

    `answers`: see `answers_since`; `inserted`: see `inserted_since`.
    """
    if len(ids) <= most:
        return ids
    front = ids[:1] if ids[0] == marks.first and most > 1 else ()
    if front and front[0] in marks.controls & set(ids[1:]):
        front = ()  # the token that opens each turn, so that it belongs to the first of them
    ids, most = ids[len(front) :], most - len(front)
    cut = _gap(ids, most, marks) or _conversation(ids, most, marks, answers, inserted)
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
    if _is_spoken_of(ids, places[-1], marks):
        return None
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


def _is_spoken_of(ids: Ids, last: int, marks: PromptMarks) -> bool:
    """Whether the marks of a gap, of which this is the last, stand in the text of a conversation.

    Its turns end behind them. If they are in the beginning of the answer, turns ended before.
    """
    behind = ids[last + 1 :]
    return bool(behind) and (marks.end in ids or not marks.controls.isdisjoint(behind))


def _last(ids: Ids, token: int) -> int:
    return len(ids) - 1 - ids[::-1].index(token)


def _end(ids: Ids, count: int) -> Ids:
    return ids[len(ids) - min(count, len(ids)) :]


# --- a conversation -------------------------------------------------------------------------------


def _conversation(
    ids: Ids, most: int, marks: PromptMarks, answers: int, inserted: int
) -> Ids | None:
    """The system head and everything from the question on; None if it is none, or no room."""
    marks = _of_turns(ids, marks)
    if marks.controls.isdisjoint(ids):
        return None
    turns = _turns(ids, marks)
    question = _question(turns, marks, answers, inserted)
    before, needed = _head_apart(turns[:question], turns[question], marks), turns[question:]
    head = before[:1] if before and _opening(before[0]) != _opening(needed[0]) else []
    reserved = min(_size(head), max(most // 4, most - _size(needed)))
    first = (_squeezed(head, reserved, marks) or ()) if head else ()
    kept = _squeezed(needed, most - len(first), marks)
    while kept is None and len(needed) > 2:
        needed = [needed[0], *needed[2:]]
        kept = _squeezed(needed, most - len(first), marks)
    if kept is None:
        return _squeezed(needed[-2:], most, marks)
    left = most - len(first) - len(kept)
    earlier = _newest(before[len(head) if first else 0 :], left, _opening(turns[-1]))
    return (*first, *earlier, *kept)


def _of_turns(ids: Ids, marks: PromptMarks) -> PromptMarks:
    """The marks without those of a gap, where there are others: a turn's text may hold them."""
    others = marks.controls - set(marks.fim or ())
    return marks if others.isdisjoint(ids) else replace(marks, controls=others)


def _head_apart(before: list[Ids], question: Ids, marks: PromptMarks) -> list[Ids]:
    """The turns with the system head as one of its own, where only an answer ends a turn."""
    opener = question[0]
    if not before or opener not in marks.controls or opener not in before[0]:
        return before
    at = before[0].index(opener)
    if not _runs([before[0][:at]], marks):
        return before  # no text stands in front of the first question
    return [before[0][:at], before[0][at:], *before[1:]]


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


def _question(turns: Sequence[Ids], marks: PromptMarks, answers: int, inserted: int) -> int:
    """The index of the turn with the person's last message."""
    last = len(turns) - 1
    own = _opening(turns[last])
    if any(len(run) > HEADER for run in _runs([turns[last]], marks)):
        asked = max(0, last - answers)  # it is not only what opens the answer
        return _in_front(turns, asked, inserted if answers else 0, own)
    said = [at for at in range(last) if _opening(turns[at]) == own]
    behind = said[-answers] if 0 < answers <= len(said) else last
    asked = _in_front(turns, max(0, behind - 1), inserted, own)
    return _before_reminders(turns[: asked + 1], own)


def _in_front(turns: Sequence[Ids], at: int, inserted: int, answer: Ids) -> int:
    """The index so many turns before, or fewer: a template need not write each message as one."""
    while inserted and at and _opening(turns[at - 1]) != answer:
        inserted, at = inserted - 1, at - 1
    return at


def _before_reminders(turns: Sequence[Ids], answer: Ids) -> int:
    """The index of the last of the turns that is none of the system, if that can be known.

    The first turn is taken for the system's if neither an answer nor another of its kind follows.
    """
    last = len(turns) - 1
    system = _opening(turns[0])
    if last < 2 or _opening(turns[1]) in (system, answer):
        return last
    asked = next(at for at in range(last, 0, -1) if _opening(turns[at]) != system)
    return last if _opening(turns[asked]) == answer else asked


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
