"""Who wrote what of a target: the person, or the model that was asked.

The person's are the parts that differ from the answer as it was served: what stands there anew, and
behind what was taken out, the first character that follows, because to go on there was the person's
choice. Texts are compared token by token, by the rules of their language (`dataset/grammars.py`):
what its formatters change is not the person's, a line that they moved into another block is, with
the white space before it and its first token. Words of comments are compared too. A text that has
little in common with the one it replaced is written anew: all of it is the person's.

The invariant: one function says of a text what is the person's (`persons_part`). Whether a turn
counts before it is rendered, and which tokens of its example are theirs, both follow from it.

Not covered: what a formatter does beyond signs and white space (imports that are sorted, strings
that are joined). A comment that is missing before or behind the code says nothing, because
the place that was followed in the file may not have included it; neither does the missing end of an
answer behind which nothing comes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapidfuzz.distance import Levenshtein

from qi_learn.dataset.line_ends import like_the_prompt
from qi_learn.dataset.meaning import MeantToken, meant_tokens, moved, placed
from qi_learn.dataset.target import Target
from qi_learn.dataset.tool_calls import Span, argument_places

REWRITTEN = 0.5
"""A text that shares less than this with the one it replaced, of the shorter one's tokens, is
written anew.
"""
_PIECE = re.compile(r"\w+|\W")


@dataclass(frozen=True, slots=True)
class PersonsPart:
    """What the person wrote or changed of a target; false if nothing."""

    text: tuple[Span, ...] = ()
    """In the text of the answer."""
    arguments: tuple[tuple[Span, ...], ...] = ()
    """In each argument of its calls that is code; a span that begins at an argument's end means
    what closes it.
    """

    def __bool__(self) -> bool:
        return bool(self.text) or any(self.arguments)


def persons_part(target: Target) -> PersonsPart:
    """What the person wrote or changed of a target.

    All of its text if what was served in its place was cut off.
    """
    served = target.served or Target("", (), arguments=("",) * len(target.arguments))
    languages = _languages(target)
    if _outside(target) == _outside(served):
        blocks = zip(served.spans, target.spans, languages[: len(target.spans)], strict=True)
        text = [
            (start + a, start + b)
            for (was, was_end), (start, end), language in blocks
            for a, b in changed_spans(served.text[was:was_end], target.text[start:end], language)
        ]
    elif served.text == target.text:
        text = []
    else:
        old, new = (_Written(each.text, _tokens_of(each)) for each in (served, target))
        text = list(_changed(old, new))
    arguments = zip(served.arguments, target.arguments, languages[len(target.spans) :], strict=True)
    return PersonsPart(
        tuple(span for span in text if span[0] < len(target.text)),
        tuple(changed_spans(was, now, language) for was, now, language in arguments),
    )


def _tokens_of(target: Target) -> list[MeantToken]:
    """The tokens of a whole answer: its code by the rules of its languages."""
    tokens: list[MeantToken] = []
    at = 0
    for (start, end), language in zip(target.spans, _languages(target), strict=False):
        tokens += placed(meant_tokens(target.text[at:start]), at)
        tokens += placed(meant_tokens(target.text[start:end], language), start)
        at = end
    return [*tokens, *placed(meant_tokens(target.text[at:]), at)]


def _languages(target: Target) -> list[str | None]:
    """Of each piece of its code, first of those in its text; None where nothing says it."""
    pieces = len(target.spans) + len(target.arguments)
    return [*target.languages, *[None] * pieces][:pieces]


def _outside(target: Target) -> list[str]:
    """The text around the code, piece by piece."""
    ends = [0, *(end for _, end in target.spans)]
    starts = [*(start for start, _ in target.spans), len(target.text)]
    return [target.text[a:b] for a, b in zip(ends, starts, strict=True)]


def changed_spans(before: str, after: str, language: str | None = None) -> tuple[Span, ...]:
    """Where `after` differs from `before` by more than formatting, in order.

    A span that begins at the end of `after` stands for what follows it. `language` is as a fence or
    the end of a file's name has it.
    """
    if before == after:
        return ()
    old = _Written(before, meant_tokens(before, language))
    return _changed(old, _Written(after, meant_tokens(after, language)))


@dataclass(frozen=True, slots=True)
class _Written:
    """A text and its tokens."""

    text: str
    tokens: Sequence[MeantToken]


def _changed(before: _Written, after: _Written) -> tuple[Span, ...]:
    old, new = before.tokens, after.tokens
    changes = _changes(old, new)
    same = len(new) - sum(change.came[1] - change.came[0] for change in changes)
    if new and same < REWRITTEN * min(len(old), len(new)):
        return ((new[0].start, new[-1].end),)
    came = [_span(change, before, after) for change in changes if not _only_around(change, old)]
    return _joined(sorted([*came, *_moved(changes, old, after)]))


def _moved(
    changes: Sequence[_Change], old: Sequence[MeantToken], after: _Written
) -> Iterator[Span]:
    """Where what both texts have stands at another place, with the white space before it."""
    text, new = after.text, after.tokens
    same = list(_same(changes, len(old)))
    for number in moved([old[was] for was, _ in same], [new[now] for _, now in same]):
        token = new[same[number][1]]
        start = len(text[: token.start].rstrip())
        yield max(start, text.rfind("\n", start, token.start)), token.end


def _same(changes: Sequence[_Change], count: int) -> Iterator[tuple[int, int]]:
    """The numbers of the tokens that both texts have, in the old and the new one."""
    was = now = 0
    for change in (*changes, _Change((count, count), (-1, -1))):
        yield from zip(range(was, change.gone[0]), itertools.count(now), strict=False)
        was, now = change.gone[1], change.came[1]


@dataclass(frozen=True, slots=True)
class _Change:
    """Tokens that went and those that came in their place, from one number up to another."""

    gone: Span
    came: Span


def _changes(old: Sequence[MeantToken], new: Sequence[MeantToken]) -> list[_Change]:
    """What differs; between two changes is at least one token that both texts have."""
    changes: list[_Change] = []
    for step in Levenshtein.opcodes([t.text for t in old], [t.text for t in new]):
        gone, came = (step.src_start, step.src_end), (step.dest_start, step.dest_end)
        if step.tag == "equal":
            continue
        if changes and (changes[-1].gone[1], changes[-1].came[1]) == (gone[0], came[0]):
            last = changes.pop()
            gone, came = (last.gone[0], gone[1]), (last.came[0], came[1])
        changes.append(_Change(gone, came))
    return changes


def _only_around(change: _Change, old: Sequence[MeantToken]) -> bool:
    """Whether a change only leaves out comments before or behind the code."""
    start, end = change.gone
    at_an_end = start == 0 or end == len(old)
    left_out = change.came[0] == change.came[1]
    return left_out and at_an_end and all(token.in_comment for token in old[start:end])


def _span(change: _Change, before: _Written, after: _Written) -> Span:
    """Where a change stands in the new text."""
    old, new = before.tokens, after.tokens
    (gone, gone_end), (first, end) = change.gone, change.came
    if first == end:  # something was left out: what follows it
        at = new[first].start if first < len(new) else len(after.text)
        return at, at + 1
    if gone_end - gone == end - first == 1:
        was, now = old[gone], new[first]
        had, has = before.text[was.start : was.end], after.text[now.start : now.end]
        if has[0] in "\"'" and had[0] == has[0]:
            start, stop = _within(had, has)
            return now.start + start, now.start + stop
    return new[first].start, new[end - 1].end


def _within(before: str, after: str) -> Span:
    """The words of a string that differ from those of the one before it."""
    was, now = _PIECE.findall(before), _PIECE.findall(after)
    most = min(len(was), len(now))
    head = next((i for i in range(most) if was[i] != now[i]), most)
    tail = next((i for i in range(most - head) if was[-1 - i] != now[-1 - i]), most - head)
    start, end = (sum(map(len, now[:n])) for n in (head, len(now) - tail))
    return start, max(end, start + 1)


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans in order, those that touch or overlap as one."""
    joined: list[Span] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def written_spans(target: Target, written: str, ask: Mapping[str, Any]) -> tuple[Span, ...] | None:
    """Where the person's part stands in an answer as the model writes it.

    `written` is that answer, `ask` its question. None if the server writes an argument in a form in
    which it is not found: then it is not known.
    """
    part = persons_part(target)
    if not target.calls:
        return like_the_prompt(target.text, part.text, ask)[1]
    places = argument_places(written, target.arguments)
    spans: list[Span] = []
    for place, own in zip(places, part.arguments, strict=True):
        if place is None and own:
            return None
        if place is not None:
            spans += [(place.at(start), place.at(end)) for start, end in own]
    return tuple(spans)
