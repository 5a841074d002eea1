"""What an export says became of a turn, checked: a file may come from anywhere.

The invariant: ids of commits are ids, for git is asked with them; shares are shares and times are
times; and a rejection has a positive sign, whichever version or hand wrote that it was one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from qi_learn.fates import fate_of, inferred_fate, said_in
from qi_learn.records import Became, Feedback, Suggestion

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_END_OF_TIME = 1e11
"""Unix seconds, some thousand years from now."""
_MOST_LINES = 10_000_000


def checked(became: Became) -> Became:
    """The same, with no rejection that has no sign. Raises ValueError if something cannot be."""
    own = became.suggestions
    if len({s.ordinal for s in own}) < len(own):
        raise ValueError("two suggestions of one number")
    _commits(c for s in own for c in (s.commit, s.repaired_by))
    _commits(each.commit for each in became.left)
    _shares(n for s in own for n in (s.similarity, s.match_confidence))
    _shares(n for each in became.left for n in (each.at_commit, each.after_day, each.after_week))
    if (score := became.score) is not None:
        _shares((score.suggestion_score, score.confidence, score.target_score))
    _times(t for s in own for t in (s.placed_at, s.touched_at, s.settled_at, s.looked_at))
    _times(t for each in became.left for t in (each.made, each.due))
    if any(g.rating is not None and g.rating not in range(1, 6) for g in became.ratings):
        raise ValueError("a rating that is not 1 to 5")
    if any(not 0 <= n < _MOST_LINES for s in became.left for lines in s.lines for n in lines):
        raise ValueError("a line that no file has")
    return _with_signs(became)


def _with_signs(became: Became) -> Became:
    """The same by today's rules: rejections without a sign are unknown, fates are named anew.

    What was said of a turn is in its ratings, and in no fate that they do not give. If that changes
    something, the turn is scored anew.
    """
    said = said_in(became.ratings)
    mended = tuple(_named(s, said) for s in became.suggestions)
    if mended == became.suggestions:
        return became
    verdicts = {s.inferred for s in mended} & {"kept", "edited", "rejected"}
    seen = became.seen if verdicts else replace(became.seen, accepted=None, modified=None)
    return replace(became, suggestions=mended, seen=seen, score=None)


def _named(suggestion: Suggestion, said: Feedback) -> Suggestion:
    inferred = suggestion.inferred
    if inferred == "rejected" and inferred_fate(suggestion) != "rejected":
        inferred = "unknown"
    return replace(suggestion, inferred=inferred, fate=fate_of(inferred, said))


def _commits(ids: Iterable[str | None]) -> None:
    for id in ids:
        if id and _COMMIT.fullmatch(id) is None:
            raise ValueError("a commit whose id is none")


def _shares(numbers: Iterable[float | None]) -> None:
    if any(n is not None and not 0 <= n <= 1 for n in numbers):
        raise ValueError("a share that is none")


def _times(times: Iterable[float | None]) -> None:
    if any(t is not None and not 0 <= t < _END_OF_TIME for t in times):
        raise ValueError("a time that is none")
