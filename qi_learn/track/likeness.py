"""How much of a suggestion stands in the text that took its place.

The invariant: 1.0 is the suggestion as it is, whatever a formatter did to it; what was kept whole
with more put in, or is a part of the suggestion and nothing else, is at least `TAKEN` like it.
"""

from __future__ import annotations

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq

from qi_learn.lexer import code_tokens
from qi_learn.track.alike import TELLING, Letters, alike, is_part
from qi_learn.track.elisions import pieces_of

TAKEN = 0.5
"""The least likeness of what a part was taken of, or to which more was added."""
PART_TOKENS, PART = 16, 0.8
"""A part has at least so many tokens, and so much of it is of the suggestion."""
MORE = 3.0
"""What was added is at most so many times as much as the suggestion."""


def likeness(final: str, suggestion: str) -> float:
    """How alike a final text is to what was suggested, 0 to 1."""
    letters = Letters()
    has = letters.of(code_tokens(final))
    pieces = [letters.of(code_tokens(piece)) for piece in pieces_of(suggestion)]
    if len(pieces) > 1:
        return _of_pieces(pieces, has)
    wanted = "".join(pieces)
    if not wanted and not has:
        return 1.0
    score = alike(wanted, has)
    if score < TAKEN and (is_part(wanted, has, PART_TOKENS, share=PART) or _is_within(wanted, has)):
        return TAKEN
    return score


def _of_pieces(pieces: list[str], has: str) -> float:
    """The likeness of a suggestion that leaves out code: of each piece to what is most like it."""
    size = sum(map(len, pieces))
    found = sum(len(p) * fuzz.partial_ratio(p, has) / 100 for p in pieces if len(p) <= len(has))
    return found / size if size else 0.0


def _is_within(wanted: str, has: str) -> bool:
    """Whether nearly all of the suggestion is in the text, in its order."""
    if len(wanted) < TELLING or len(has) > MORE * len(wanted):
        return False
    return LCSseq.similarity(wanted, has) >= 0.95 * len(wanted)
