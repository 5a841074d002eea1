"""The tokens of a text, with what their layout means in its language.

The invariant: what the language's formatters do leaves them as they are, and where a language is
known, a change that means something does not. Of an unknown language they are those of the lexer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from qi_learn.dataset.code_pieces import Code
from qi_learn.dataset.grammars import grammar_of
from qi_learn.dataset.signs import aside, spelt
from qi_learn.dataset.token_places import NOWHERE, TokenPlace, places_of
from qi_learn.lexer import lexed

_WORD = re.compile(r"\w+")


class MeantToken(NamedTuple):
    """A token, and where it stands in its text (characters)."""

    text: str
    """As every formatter would write it; of a word in a comment the word behind a `#` and a
    space.
    """
    start: int
    end: int
    place: TokenPlace = NOWHERE

    @property
    def in_comment(self) -> bool:
        """Whether it is a word of a comment."""
        return self.text.startswith("# ")


def meant_tokens(text: str, language: str | None = None) -> list[MeantToken]:
    """The tokens of a text that mean something, and the words of its comments, in order."""
    grammar = grammar_of(language)
    pieces = lexed(text, lifetimes=grammar.lifetimes)
    code = Code(text, pieces, grammar)
    left_out = aside(code)
    kept = [number for number in range(len(code.pieces)) if number not in left_out]
    tokens = [
        MeantToken(spelt(code, number), code.pieces[number].start, code.pieces[number].end, place)
        for number, place in places_of(code, kept)
    ]
    words = [
        MeantToken(f"# {word.group()}", piece.start + word.start(), piece.start + word.end())
        for piece in pieces
        if piece.kind == "comment"
        for word in _WORD.finditer(text[piece.start : piece.end])
    ]
    return sorted([*tokens, *words], key=lambda token: token.start) if words else tokens


def placed(tokens: Iterable[MeantToken], at: int) -> Iterator[MeantToken]:
    """The tokens of a text that begins at this place of another."""
    return (token._replace(start=token.start + at, end=token.end + at) for token in tokens)


def moved(old: Sequence[MeantToken], new: Sequence[MeantToken]) -> set[int]:
    """Which of these tokens, one by one the same, stand where they mean something else."""
    depths = [_fall(was.place, now.place) for was, now in zip(old, new, strict=True)]
    together = len({depth for depth in depths if depth is not None}) < 2
    return {
        number
        for number, (was, now) in enumerate(zip(old, new, strict=True))
        if _differs(was.place.begins, now.place.begins)
        or _differs(was.place.joined, now.place.joined)
        or (depths[number] and not together)
    }


def _fall(was: TokenPlace, now: TokenPlace) -> float | None:
    return None if was.depth is None or now.depth is None else now.depth - was.depth


def _differs(was: bool | None, now: bool | None) -> bool:
    return was is not None and now is not None and was != now
