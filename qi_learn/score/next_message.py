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

Says = Literal["worked", "failed"]
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
_TAG = re.compile(r"<([A-Za-z][\w-]*)\b[^<>]*>")
_OWN_TAGS = frozenset(("task", "feedback", "user_message", "user_query", "answer"))
"""Tags in which clients put the person's own words; what stands in others, they added."""
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)
_ERROR = re.compile(
    r"^(?:Traceback \(most recent call last\)|E? *(?:\w+\.)*\w*(?:Error|Exception)\b.*:"
    r"|error(?:\[\w+\])?: |FAILED |thread '.*' panicked at|panic: |.*: error(?: \w+)?: "
    r"|[ \t]+at \S+ ?\(.*:\d+)",
    re.MULTILINE,
)
_BEFORE_ERROR = 200
"""Characters before the first sign of an error that belong to it: the place it names."""
_DEFINED = re.compile(r"\b(?:def|class|function|fn|func|struct|interface|impl)\s+(\w+)")
_CLAUSE = re.compile(r"[.!;\n]+(?=\s|$)|,\s|:\s|\?|\s(?=(?:but|however|though)\b)")

_THIS = (
    r"(?:it|that|this|(?:the|your|this|that) (?:last |new )?"
    r"(?:code|change|fix|solution|answer|version|function|edit|patch|suggestion)s?"
    r"(?: you gave me)?)"
)
_NOT = (
    r"(?:does ?n'?t|did ?n'?t|does not|did not|wo ?n'?t|will not|is ?n'?t|is not|was not|was ?n'?t)"
)
_FAILED = re.compile(
    rf"^(?:(?:and|but|now|unfortunately|sadly|hm+|still|{_THIS})\b[ ]*)*{_NOT} (?:\w+ )?"
    r"(?:work|compile|run|build|help|fix|solve|correct|right|what i)\b"
    r"|^(?:it'?s |is |it is )?(?:still )?not working\b"
    r"|^(?:still|and|but|got|the|is)? ?(?:the )?same (?:error|result|problem|issue)\b"
    r"|\bstill (?:fail(?:s|ing)?|broken|throws?|crash(?:es|ing)?|errors?|wrong|off|not|see|seeing"
    r"|get|getting|the same)\b"
    rf"|\b{_THIS} (?:still |just |now )*(?:fails|crashes|throws|breaks|broke|hangs|errors out"
    r"|is (?:all |just |still )*(?:wrong|incorrect|broken)|is not (?:right|correct|working))\b"
    r"|\b(?:that|this|it)'s (?:all |just |still )*(?:wrong|incorrect|broken|not (?:right|correct"
    r"|what i|working))\b"
    r"|^(?:wrong|incorrect)\b"
    r"|\bi(?:'m| am)? (?:now |still )*(?:get|getting|got|see|seeing) "
    r"(?:an? |the |this |that |same )*"
    r"(?:\w+ )?(?:error|exception|traceback|\w+error|\w+exception)\b"
    r"|\btests (?:are )?(?:still |now )(?:failing|fail|red|broken)\b"
    r"|\btests (?:are failing|fail|are red|are broken) now\b"
    r"|\byou (?:broke|misunderstood|(?:changed|edited|deleted|removed) the wrong)\b"
    r"|\beven worse\b"
)
_WORKED = re.compile(
    rf"^(?:(?:and|now|yes|yep|yeah|ok|okay|great|nice|wow|{_THIS}|finally|all|really)\b[ ]*)*"
    r"(?:works|worked|fixed it|fixes it|fixes that|did it|did the trick|solved it|is fixed)\b"
    r"(?! (?:if|when|only|with(?:out)?|on|as|how)\b)"
    r"|^(?:(?:ok|okay|yes|yep|wow)\b ?)?(?:perfect|excellent|awesome|great|nice|brilliant|amazing"
    r"|cool|lovely|lgtm|looks (?:good|great|right))(?: (?:work|job|one|answer|to me))?$"
    r"|\btests (?:are |all |now )*(?:pass|passing|passed|green)\b"
)
_THANKS = re.compile(
    r"^(?:(?:great|ok|okay|perfect|cool|nice) )?(?:many )?(?:thanks|thank you|thx|cheers)"
    r"(?: so much| a lot| very much| a bunch)?$"
)
_NO = re.compile(r"^(?:no|nope|nah)$")
_REQUEST = re.compile(
    r"^(?:please |now |then |could you |can you )*(?:fix|write|add|make|look|find|update|debug"
    r"|explain|show|help|use|check|change|mend|move|run)\b"
)
"""Words that ask for something: what follows in the sentence is about that."""
_UNREAL = re.compile(
    r"\b(?:if|whether|unless|why|how|what|which|where|so that|make sure|ensure|in case|should|would"
    r"|could|can|may|might|wonder|write|add|explain|show|check|when|until|once|test|let)\b"
)
"""Words in front of others that make these no report of what happened."""


def what_it_says(message: str, names: Collection[str] = ()) -> Says | None:
    """What a message says of the answer before it; None if nothing.

    `names`: of its files and functions, as an error may name them.
    """
    text = _without_added(message[:LONGEST]).strip()
    if _names_error(text, names):
        return "failed"
    said = list(_said(_own_words(text)))
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
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", told) for name in names)


def _own_words(text: str) -> str:
    """The beginning of what the person wrote: without code, errors and quotations."""
    bare = _FENCED.sub("\n", text)
    if (error := _ERROR.search(bare)) is not None:
        bare = bare[: error.start()]
    lines = (
        line for line in bare.split("\n") if not line.startswith(("    ", "\t", ">", "[", "#"))
    )
    return "\n".join(lines).strip()[:FIRST].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def _said(words: str) -> Iterator[Literal["worked", "failed", "thanks"]]:
    """What each clause says, in order; a question and a condition say nothing."""
    no = requested = False
    start = 0
    for end in (*_CLAUSE.finditer(words), None):
        clause = words[start : len(words) if end is None else end.start()].strip(" \t-*\"'()")
        start = len(words) if end is None else end.end()
        asked = end is not None and end[0].startswith("?")
        clause = clause.removeprefix("but ").removeprefix("however ")
        requested = requested or _REQUEST.match(clause) is not None
        about_that = asked or requested
        requested = requested and end is not None and end[0].strip() in (",", ":", "")
        if not clause or about_that:
            continue
        for pattern, says in ((_FAILED, "failed"), (_WORKED, "worked"), (_THANKS, "thanks")):
            found = pattern.search(clause)
            if found is not None and not _UNREAL.search(clause[: found.start()]):
                yield says  # type: ignore[misc]  # mypy widens the literals of the pairs
                break
        else:
            if no and re.match(r"(?:you|it|that|this|i (?:said|meant|wanted|asked)) ", clause):
                yield "failed"
        no = _NO.match(clause) is not None
