"""Literals beside a name that says they are secret, in the forms in which tools write names.

After the telling word come the rest of the name, what closes it, and one of: an operator, perhaps
behind a type; a comma or a parenthesis (the name is an argument, or the function's); `value:` of a
pair; the end of an XML tag; or only a blank. Then the literal, quoted (escaped or not) or bare.
"""

from __future__ import annotations

import re
from functools import lru_cache

from qi_learn.redact.frames import framed
from qi_learn.redact.key_objects import is_chain_key, is_on_a_chain
from qi_learn.redact.letter_pairs import is_jumbled
from qi_learn.redact.literals import is_key, is_password, is_random
from qi_learn.redact.secret_names import KEYS, PASSWORDS, is_of_rendering, is_secret_name
from qi_learn.redact.spans import Span

_QUOTE = r"\\{0,8}(?:\"\"\"|'''|[\"'`])"
_QUOTED = (
    rf"[rbfuRBFU@$]{{0,2}}(?P<quote>{_QUOTE})"
    r"(?P<quoted>(?:(?!(?P=quote))[^\n]){6,2048})(?P=quote)"
)
_WRAPPED = (
    _QUOTED.replace("quoted", "wrapped").replace("quote>", "inner>").replace("=quote", "=inner")
)
_SIGNS = r"[A-Za-z0-9+/_~^!#%*@$.?{}()\[\]-]"
# two more operators at most, or `token=token=...` would be read to its end from each of its words
_BARE = rf"(?P<bare>{_SIGNS}{{1,1024}}+(?:[=:]{_SIGNS}{{1,512}}+){{0,2}}={{0,2}})"
# String::from(   []byte(   ["
_WRAP = (
    r"(?:(?:new\s{1,3})?[A-Za-z_&][\w:.<>\[\]]{0,40}\(\s{0,8}"
    r"|\[?\]?[a-z]{2,8}\(|[\[({]\s{0,24}){1,2}"
)
_TYPES = (
    # token: str =
    r"[ \t]{0,4}[!?]{0,2}:[ \t]{0,4}[A-Za-z_&?*\[(][^=\n\"`;{}]{0,80}?[ \t]{0,4}=(?![=>])",
    # token string =
    r"[ \t]{1,4}[A-Za-z_*\[\].]{1,30}[ \t]{1,4}=(?!=)",
    # Token { get; set; } =
    r"[ \t]{0,4}\{[^}\"\n]{0,40}\}[ \t]{0,4}=",
    # token[] =
    r"\[\d{0,4}\][ \t]{0,4}=",
)
_CLOSE = r"(?:\\{0,8}[\"'`]|[\])]|\*\*){0,3}"
# also the full-width signs, and the narrow blank that French sets before its colon
_OPERATOR = r"[ \t\u00a0\u202f]{0,24}(?::=|=>|={1,3}|::?|->|<-|\||[\uff1a\uff1d])"
_ASSIGNED = re.compile(
    rf"{_CLOSE}(?:{'|'.join(_TYPES)}|{_OPERATOR})\*{{0,2}}"
    r"(?:[ \t]{0,24}|[ \t]{0,4}[>|][+-]?[ \t]{0,4}\n[ \t]{1,24}|\s{0,24}(?=\\{0,8}[\"'`]))"
    r"(?:(?:!!|&)\w{1,40}[ \t]{1,4}|[\u201c\u201e\u00ab\u300c\u300e][ \t]?)?"  # password: !!str x
    rf"(?:{_QUOTED}|(?P<wrap>{_WRAP}){_WRAPPED}|{_BARE})"
)
# "first half" + "second half", also on the next line and with a backslash between
_GOES_ON = re.compile(
    r"\s{0,24}(?:[\\+.&]\s{0,24})?[rbfuRBFU]{0,2}(?P<other>[\"'`])(?P<more>[^\s\"'`]{4,512})(?P=other)"
)
_MOST_PARTS = 8
_PAIRS = (
    # {"name": "token", "value": "x"}
    rf"[,\s]{{1,60}}(?:{_QUOTE})?(?i:value|val|default|secret|data)(?:{_QUOTE})?\s{{0,4}}[:=]\s{{0,4}}",
    # variable "token" { default = "x"
    r"\s{0,4}\{[^{}]{0,300}?\b(?:default|value|secret_string)\s{0,12}=\s{0,4}",
    # <token>x   <property name="token">x
    r"[ \t]{0,4}/?>|[ \t][^<>\n]{0,60}>",
    # ("token", "x")
    rf"(?P<comma>\s{{0,4}},\s{{0,24}}(?={_QUOTE}))",
    # setPassword("x")   set_password("service", "me", "x")
    rf"(?P<call>\()(?:{_QUOTE}[^\"'\n]{{0,80}}{_QUOTE}\s{{0,4}},\s{{0,4}}){{0,2}}(?={_QUOTE})",
    # token{"x"}
    rf"\{{(?={_QUOTE})",
    # PASSWORD 'x'   the password is "x"
    rf"(?:[ \t]{{1,8}}(?:is|was|=|unknown|to))?:?[ \t]{{1,8}}(?={_QUOTE})",
)
_PAIRED = re.compile(rf"{_CLOSE}(?:{'|'.join(_PAIRS)})(?:{_QUOTED}|{_BARE})")
_AFTER_BLANK = re.compile(
    r"(?:[ \t]{1,8}(?:is|was|ist|lautet|es|est|\u00e8|\u00e9|to|\u044d\u0442\u043e|[\u2013\u2014-])"
    r":?[ \t]"
    # Chinese and Japanese
    r"|[ \t]?[\u662f\u4e3a\u70ba\u306f][:\uff1a]?[ \t]?|[ \t\n]\s{0,8})"
    r"(?P<bare>[A-Za-z0-9+/=_~^!#%*@$.-]{6,2048}+)"
)
_TAIL = re.compile("[A-Za-z0-9_-]{0,40}+")
_OPTION = re.compile(r"(?:^|[\s\"'=\[,(`])--?[\w.-]*\Z")
_NETRC = re.compile(r"\blogin\s+\S{1,100}\s+(?:account\s+\S{1,100}\s+)?\Z")
_DOCKER = re.compile(r"(?:^|\n)[ \t]*(?:ENV|ARG)[ \t]+\w*\Z")
_ARGUMENT = re.compile(r"\(\s{0,8}\\{0,8}[\"'`][\w.-]{0,60}\Z")
_CALL = re.compile(r"[A-Za-z_.]{4,}[(\[]|[\w)]\(\S*\)\Z|[(\[]\Z")
_BEFORE = 160
_IN_PROSE = -12.0
"""What follows `password` in prose reads like this at most, as `letter_pairs` counts."""


def beside(text: str, start: int, end: int) -> Span | None:
    """The literal that the telling word at start:end says is secret."""
    tail_match = _TAIL.match(text, end)
    assert tail_match is not None
    at, tail = tail_match.end(), tail_match[0]
    match = _ASSIGNED.match(text, at) or _PAIRED.match(text, at)
    after = _AFTER_BLANK.match(text, at)
    frame = framed(text, start, at)
    if not (match or after or frame) or not is_secret_name(text, start, end, tail):
        return None
    word = text[start:end].lower()
    if frame and _counts(frame.literal, word=word, group="quoted" if frame.closed else "bare"):
        return Span(frame.start, frame.end, "assigned")
    if match and _placed(text, start, word, match) and (span := _matched(text, start, word, match)):
        return span
    return _after_blank(text, start, at, after, word=word) if after else None


def _matched(text: str, start: int, word: str, match: re.Match[str]) -> Span | None:
    """The literal behind an operator, or the literals that are put together there."""
    group = next(g for g in ("quoted", "wrapped", "bare") if match.groupdict().get(g))
    literal, begin = match[group], match.start(group)
    if group == "bare":
        literal = _trimmed(literal)
    elif joined := _joined(text, match, word=word, group=group):
        return joined
    in_prose = group == "quoted" and match["quote"] == "`" and _CALL.search(literal)
    if word == "pass" and (in_prose or is_of_rendering(text, start, literal)):
        return None
    counts = _counts(literal, word=word, group=group)
    return Span(begin, begin + len(literal), "assigned") if counts else None


def _joined(text: str, match: re.Match[str], *, word: str, group: str) -> Span | None:
    """A secret in two string literals or more, which the language puts together."""
    parts, at = [match[group]], match.end()
    while len(parts) < _MOST_PARTS and (more := _GOES_ON.match(text, at)):
        parts.append(more["more"])
        at = more.end()
    if len(parts) == 1 or not _counts("".join(parts), word=word, group=group):
        return None
    return Span(match.start(group), at - 1, "assigned")


def is_secret_value(name: str, value: str) -> bool:
    """Whether a value is a secret because of the key under which it stands in JSON."""
    word = _telling_word(name[-_BEFORE:])
    return word is not None and _counts(value, word=word, group="quoted")


@lru_cache(maxsize=1024)
def _telling_word(name: str) -> str | None:
    """What in the name of a secret says that it is one."""
    lower = name.lower()
    for word in PASSWORDS + KEYS:
        start = lower.rfind(word)
        if start >= 0 and is_secret_name(name, start, start + len(word), name[start + len(word) :]):
            return word
    return None


def _placed(text: str, start: int, word: str, match: re.Match[str]) -> bool:
    """Whether a name before a comma is a call's first argument, and one before `(` is no `pass`."""
    groups = match.groupdict()
    if groups.get("comma") is not None:
        return _ARGUMENT.search(text[max(0, start - _BEFORE) : start]) is not None
    return groups.get("call") is None or word != "pass"


def _counts(literal: str, *, word: str, group: str) -> bool:
    """Whether a literal beside the telling word is a secret."""
    if group == "bare" and _CALL.search(literal[:128]):
        return False
    if is_on_a_chain(literal):
        return is_chain_key(literal) and word not in ("token", "bearer")
    if group == "wrapped" and not is_random(literal):
        return False
    return (is_password if word in PASSWORDS else is_key)(literal, quoted=group != "bare")


def _after_blank(text: str, start: int, at: int, match: re.Match[str], *, word: str) -> Span | None:
    """A bare literal after a blank: of an option, a login in netrc, ENV, or in prose."""
    literal = match["bare"].rstrip(".,;:!?")
    password = word in PASSWORDS
    jumbled = password and is_jumbled(literal, _IN_PROSE)
    if not (jumbled or any(c.isdigit() for c in literal)):
        return None
    before = text[max(0, start - _BEFORE) : start]
    named = _OPTION.search(before) or _NETRC.search(before) or _DOCKER.search(before)
    if not named and "\n" in text[at : match.start("bare")]:
        return None
    if named:
        counts = _counts(literal, word=word, group="bare")
    elif jumbled:
        counts = len(literal) >= 10 and is_password(literal, quoted=False)
    else:
        counts = (
            len(literal) >= 20
            and is_key(literal, quoted=False)
            and sum(map(str.isdigit, literal)) >= 3
        )
    return (
        Span(match.start("bare"), match.start("bare") + len(literal), "assigned")
        if counts
        else None
    )


def _trimmed(literal: str) -> str:
    """A bare literal without what closes the text around it."""
    literal = literal.rstrip(".,;:?")
    for opening, closing in ("()", "[]", "{}"):
        while literal.endswith(closing) and literal.count(closing) > literal.count(opening):
            literal = literal[:-1]
    return literal
