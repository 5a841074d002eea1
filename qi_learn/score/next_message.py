"""What a person's next message says of an answer: that it worked, that it failed, or nothing.

It is weak evidence, of a small weight in the suggestion score, and never says what became of a
suggestion. Precision comes first. What counts are the first words of the message: that *this* does
not work or is wrong, or that it works, or thanks; and an error that was pasted and names the file
or a function of a suggestion. Questions, conditions, requests, and words about something else say
nothing, and neither does what a program put around the words.

Not covered: languages other than English. Those say nothing, but for a pasted error.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import PurePath
from typing import Literal

from qi_learn.records import Suggestion
from qi_learn.score.next_words import (
    BUT_SOME,
    ELSEWHERE,
    EXCUSED,
    FAILED,
    NO,
    NOT_ALL,
    PRAISED,
    REQUEST,
    THANKS,
    TROUBLE,
    UNREAL,
    WORKED,
)

Says = Literal["worked", "failed"]
_ClauseSays = Literal["worked", "failed", "thanks"]
FIRST = 300
"""Characters of a person's own words that are read."""
LONGEST = 100_000
"""Characters of a message that are looked at for an error."""
NAME = 4
"""Letters of a name that is looked for in an error: shorter ones stand in any."""
_COMMON = frozenset(
    (
        *("main", "init", "test", "tests", "self", "call", "name", "data", "item", "items"),
        *("value", "index", "__init__"),
    )
)
_TAG = re.compile(r"<([A-Za-z][\w-]{0,39})(?![\w-])[^<>]*>")
_OWN_TAGS = frozenset(("task", "feedback", "user_message", "user_query", "answer"))
"""Tags in which clients put the person's own words; what stands in others, they added."""
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_ERROR = re.compile(
    r"^(?:Traceback \(most recent call last\)|E? *(?:\w+\.)*\w*(?:Error|Exception)\b.*:"
    r"|error(?:\[\w+\])?: |FAILED |thread '.*' panicked at|panic: |.*: error(?: \w+)?: "
    r"|[ \t]+at \S+ ?\(.*:\d+)",
    re.MULTILINE,
)
_PASSING = re.compile(r"(?:\bPASSED\b|\bok$|^ \.+(?: +\[ *\d+%\])?$|^(?: +\d+)+ +\d+%)")
"""What follows a name in a line that says that its tests passed, or how much of it they ran."""
_BEFORE_ERROR = 200
"""Characters before the first sign of an error that belong to it: the place it names."""
_DEFINED = re.compile(r"\b(?:def|class|function|fn|func|struct|interface|impl)\s+(\w+)")
_CLAUSE = re.compile(r"[.!;\n]+(?=\s|$)|,\s|:\s|\?|\s(?=(?:but|however|though)\b)")


def what_it_says(message: str, names: Collection[str] = ()) -> Says | None:
    """What a message says of the answer before it; None if nothing.

    `names`: of its files and functions, as an error may name them.
    """
    text = _without_added(message[:LONGEST]).strip()
    if _names_error(text, names):
        return "failed"
    words = _own_words(text)
    said = [] if EXCUSED.search(words) else list(_said(words))
    if "failed" not in said:
        return "worked" if said else None
    return None if "worked" in said[: said.index("failed")] else "failed"


def names_of(suggestions: Collection[Suggestion]) -> frozenset[str]:
    """The names by which an error may speak of suggestions: of files, and of what they define."""
    files = (PurePath(f).name for s in suggestions for f in (s.file, s.path) if f)
    defined = (name for s in suggestions for name in _DEFINED.findall(s.text))
    return frozenset((*files, *(n for n in defined if len(n) >= NAME and n not in _COMMON)))


def _without_added(text: str) -> str:
    """A message without what a client put around the person's words; in one pass."""
    parts: list[str] = []
    open_for_good: set[str] = set()
    at = 0
    for tag in _TAG.finditer(text):
        name = tag[1]
        if tag.start() < at or name in open_for_good:
            continue
        end = text.find(f"</{name}>", tag.end())
        if end < 0:
            open_for_good.add(name)
            continue
        parts.append(text[at : tag.start()])
        if name.lower() in _OWN_TAGS:
            parts.append(text[tag.end() : end])
        at = end + len(name) + 3
    return "\n".join((*parts, text[at:]))


def _names_error(text: str, names: Collection[str]) -> bool:
    """Whether an error stands in the text that names one of the names as a whole word."""
    found = _ERROR.search(text)
    if found is None or not names:
        return False
    told = text[max(0, found.start() - _BEFORE_ERROR) :]
    return any(
        not _PASSING.search(_rest_of_line(told, match.end()))
        for name in names
        for match in re.finditer(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", told)
    )


def _rest_of_line(text: str, at: int) -> str:
    return text[at : at + 200].partition("\n")[0].rstrip()


def _own_words(text: str) -> str:
    """The beginning of what the person wrote: without code, errors and quotations."""
    bare = _FENCED.sub("\n", text)
    if (error := _ERROR.search(bare)) is not None:
        bare = bare[: error.start()]
    lines = (
        line for line in bare.split("\n") if not line.startswith(("    ", "\t", ">", "[", "#"))
    )
    return "\n".join(lines).strip()[:FIRST].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _said(words: str) -> Iterator[_ClauseSays]:
    """What each clause says, in order; a question and a condition say nothing."""
    no = requested = False
    start = 0
    for end in (*_CLAUSE.finditer(words), None):
        stop = len(words) if end is None else end.start()
        clause = words[start:stop].strip(" \t-*\"'()")
        start = len(words) if end is None else end.end()
        asked = end is not None and end[0].startswith("?")
        clause = clause.removeprefix("but ").removeprefix("however ")
        requested = requested or REQUEST.match(clause) is not None
        about_that = asked or requested
        requested = requested and end is not None and end[0].strip() in (",", ":", "")
        if not clause or about_that:
            continue
        if (says := _says(clause, words[stop:])) is not None:
            yield says
        elif no and re.match(r"(?:you|it|that|this|i (?:said|meant|wanted|asked)) ", clause):
            yield "failed"
        no = NO.match(clause) is not None


def _says(clause: str, behind: str) -> _ClauseSays | None:
    """What one clause says; `behind`: what follows it."""
    failed = FAILED.search(clause)
    if failed is not None and not UNREAL.search(clause[: failed.start()]):
        return None if ELSEWHERE.search(clause) else "failed"
    worked = WORKED.search(clause)
    if worked is not None and not UNREAL.search(before := clause[: worked.start()]):
        return None if NOT_ALL.search(before) or BUT_SOME.match(behind) else "worked"
    if PRAISED.match(clause) or THANKS.match(clause):
        after = behind.strip(" ,.!;-\n").removeprefix("but ")
        if not TROUBLE.search(after):
            return "thanks" if THANKS.match(clause) else "worked"
    return None
