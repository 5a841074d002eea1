"""The lines of a saved file in which a suggestion stands, if it does.

The invariant: what is compared is what the answer changes. Code that is new has to be in lines that
were added since its turn; a block that repeats code of the file with some of it changed has to have
brought that change; and one that says nothing new, or nothing but boilerplate, is never found.

Compared are code tokens after what a formatter does was set aside (`lexer.py`). The suggestion's
own lines are looked for first, as they are, then the run of lines with the tokens most like it,
then the parts of it that were taken.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from qi_learn.code_text import indentation
from qi_learn.track.alike import alike, is_part, renaming, resembles
from qi_learn.track.elided import around
from qi_learn.track.elisions import pieces_of
from qi_learn.track.ends import with_closing, with_comments, with_ends
from qi_learn.track.likeness import TAKEN, likeness
from qi_learn.track.line_changes import NotCompared as NotCompared
from qi_learn.track.line_changes import added_lines as added_lines
from qi_learn.track.saved_text import Saved as Saved
from qi_learn.track.sketch import Sketch, remembered
from qi_learn.track.wanted import REPEATED, Wanted
from qi_learn.track.wanted import Match as Match

PART = 0.9
"""How alike a part of a suggestion has to be by itself."""
PIECE, MOST = 0.95, 0.6
"""How much of a run is of the code if it is a piece of it, and of the code with other names."""


def find(
    suggestion: str, before: str, saved: Saved, *, min_tokens: int, min_similarity: float
) -> Match | None:
    """The lines of a saved file that are the suggestion or a part of it, or None.

    At least `min_tokens` of its tokens are in lines that `before` did not have, or it changes code
    that `before` had and a line of that change is there. Raises NotCompared if it is unknown which
    lines are new.
    """
    if share_of(remembered(suggestion), before, saved, min_tokens=min_tokens) == 0:
        return None
    pieces = pieces_of(suggestion)
    if len(pieces) > 1:
        return around(pieces, before, saved, min_similarity)
    wanted = Wanted(suggestion, before, saved)
    match = (
        _whole(wanted, min_tokens, min_similarity)
        or _one_of_several(wanted, before, min_tokens)
        or _parts(wanted, before, min_tokens)
    )
    if match is None:
        return None
    added = wanted.changes.added
    start, end = with_comments(suggestion, saved.lines, match.start, match.end, added)
    alike_enough = likeness("\n".join(saved.lines[start:end]), suggestion) >= TAKEN
    return replace(match, start=start, end=end) if alike_enough else None


def occurrences(run: Sequence[str], lines: Sequence[str]) -> list[int]:
    """Numbers of the lines at which a run of lines begins in a text, exactly as it is."""
    if not run:
        return []
    return [
        i
        for i, line in enumerate(lines)
        if line == run[0] and list(lines[i : i + len(run)]) == list(run)
    ]


def share_of(sketch: Sketch, before: str, saved: Saved, *, min_tokens: int) -> float:
    """How much of a suggestion may be in a save, up to 1.

    That is the share of its code in lines that `before` did not have, or of its lines that stand in
    the file if the save changes as little as it does. 0 if `find` finds nothing, and 2 if it stands
    in the file word for word. Raises NotCompared.
    """
    if sketch.size < min_tokens:
        return 0.0
    new, total = saved.new_since(before)
    counts = sketch.counts
    common = sum([min(counts[token], new[token]) for token in counts.keys() & new.keys()])
    share = common / sketch.size if total >= min_tokens and common >= min_tokens else 0.0
    if not share:
        standing = sum(line in saved.solid_at for line in sketch.lines) / len(sketch.lines)
        if standing < REPEATED or not (common or saved.changes_since(before).removed):
            return 0.0
        share = standing
    return 2.0 if saved.runs_of(sketch.lines) else share


def _whole(wanted: Wanted, min_tokens: int, min_similarity: float) -> Match | None:
    """The run of lines that is all of the code, or one piece of it."""
    own = remembered(wanted.code).lines
    verbatim = [Match(i, j, 1.0, "lines") for i, j in wanted.saved.runs_of(own)]
    if verbatim:
        return _best_of(verbatim, wanted, min_tokens, min_similarity)
    runs = wanted.runs()
    for own_alone in (False, True):
        found = [
            replace(m, start=start, end=end)
            for m in runs
            for start, end in [_ends_of(wanted, m, own_alone=own_alone)]
        ]
        if (best := _best_of(found, wanted, min_tokens, min_similarity)) is not None:
            return best
    return None


def _best_of(
    found: Sequence[Match], wanted: Wanted, min_tokens: int, min_similarity: float
) -> Match | None:
    enough = [m for m in found if _is_it(wanted, m, min_tokens, min_similarity) and m.start < m.end]
    return max(
        enough, key=lambda m: (m.similarity, wanted.new_tokens(m), m.start - m.end), default=None
    )


def _ends_of(wanted: Wanted, match: Match, *, own_alone: bool) -> tuple[int, int]:
    start, end = wanted.trimmed(match, own_alone=own_alone)
    if own_alone:
        return start, with_closing(wanted.spelt, wanted.saved, start, end)
    return with_ends(wanted.spelt, wanted.saved, start, end)


def _is_it(wanted: Wanted, match: Match, min_tokens: int, min_similarity: float) -> bool:
    if match.method == "lines":
        return wanted.stands_newly(match) or wanted.brought(match, min_tokens)
    run = wanted.saved.letters_of(match.start, match.end)
    if resembles(wanted.letters, run, wanted.saved.letters, min_similarity):
        return wanted.brought(match, min_tokens)
    return (
        _is_its_part(wanted, run, 2 * min_tokens)
        and wanted.new_tokens(match) >= 2 * min_tokens
        and wanted.brought(match, min_tokens)
    )


def _is_its_part(wanted: Wanted, run: str, least: int) -> bool:
    """Whether a run is a part of the code, or most of it with other names."""
    if is_part(wanted.letters, run, least, share=PIECE):
        return True
    most = max(2 * least, int(MOST * len(wanted.letters)))
    if len(run) < most or alike(wanted.letters, run) < REPEATED:
        return False
    named = wanted.letters.translate(renaming(wanted.letters, run, wanted.saved.letters))
    return is_part(named, run, most, share=PIECE)


def _one_of_several(wanted: Wanted, before: str, min_tokens: int) -> Match | None:
    """The largest of several pieces at the margin, two functions for example, that is there.

    One of which all is there comes before one of which a part is: code like it may be that.
    """
    margin = indentation(wanted.code)
    pieces: list[list[str]] = []
    blank = True
    for line in wanted.lines:
        at_margin = line.startswith(margin) and line[len(margin) :][:1].strip() not in (
            "",
            "}",
            ")",
        )
        if not pieces or (at_margin and blank):
            pieces.append([])
        pieces[-1].append(line)
        blank = not line.strip()
    found: list[tuple[int, Match]] = []
    for code in ("\n".join(piece) for piece in pieces) if len(pieces) > 1 else ():
        if remembered(code).size >= 2 * min_tokens:
            one = Wanted(code, before, wanted.saved)
            if (match := _whole(one, min_tokens, PART)) is not None:
                found.append((len(one.letters), match))
    if not found:
        return None
    match = max(found, key=lambda each: (each[1].similarity >= PART, each[0]))[1]
    run = wanted.saved.letters_of(match.start, match.end)
    return Match(match.start, match.end, alike(wanted.letters, run), "tokens")


def _parts(wanted: Wanted, before: str, min_tokens: int) -> Match | None:
    """The paragraphs of the code that were taken, as far as they stand together."""
    paragraphs = _paragraphs(wanted.lines)
    if len(paragraphs) < 2:
        return None
    found: list[tuple[Match, int]] = []
    for paragraph in paragraphs:
        if remembered(paragraph).size < min_tokens:
            continue
        part = Wanted(paragraph, before, wanted.saved)
        if (match := _whole(part, min_tokens, PART)) is None:
            continue
        new = part.new_tokens(match)
        if found and not any(wanted.saved.spelt[found[-1][0].end : match.start]):
            last, before_it = found.pop()
            match, new = replace(last, end=max(last.end, match.end)), new + before_it
        found.append((match, new))
    match, new = max(found, key=lambda f: f[1], default=(None, 0))
    if match is None or new < 2 * min_tokens:
        return None
    return _grown(wanted, match)


def _grown(wanted: Wanted, match: Match) -> Match:
    """The match with the lines around it that stand in the same order in all of the code."""
    spelt, coded = wanted.saved.spelt, wanted.saved.coded
    own = [letters for letters in wanted.spelt if letters]
    follows = set(pairwise(own))
    first, last = bisect_left(coded, match.start), bisect_left(coded, match.end) - 1
    while last + 1 < len(coded) and (spelt[coded[last]], spelt[coded[last + 1]]) in follows:
        last += 1
    while first > 0 and (spelt[coded[first - 1]], spelt[coded[first]]) in follows:
        first -= 1
    start, end = coded[first], coded[last] + 1
    return Match(start, end, alike(wanted.letters, wanted.saved.letters_of(start, end)), "tokens")


def _paragraphs(lines: Sequence[str]) -> list[str]:
    """The runs of lines between blank ones."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    return ["\n".join(p) for p in paragraphs if p]
