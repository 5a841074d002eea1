"""What stands around a literal beside a secret name, where it is neither quoted nor bare.

Markup, escapes of the web, here-documents, blocks of lines, literals in parts, the defaults of a
schema: each frame is matched from the end of the name, and says where the literal begins and ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_QUOTE = r"\\{0,8}[\"']"
_CLOSE = r"(?:\\{0,8}[\"'`]|[\])]){0,3}+"
# also behind a type
_IS = (
    r"(?:[ \t]{0,4}:[ \t]{0,4}[A-Za-z_&?*\[(][^=\n\"'`;{}()]{0,60}?[ \t]{0,4}="
    r"|[ \t]{0,24}(?::=|=>|=|:))[ \t]{0,4}"
)
_LINE_END = r"[ \t]{0,4}\\?\r?[ \t]?\n"
_ENTITY = r"&(?:quot|apos|#0?3[49]|#x2[27]);"
_PART = r"[\"'][^\s\"'\\]{1,512}[\"']"
_PARTS = rf"{_PART}(?:\s{{0,24}},\s{{0,24}}{_PART}){{1,15}}"
_ASSIGNED = {
    # password = """ and the next line
    "block": r"(?:[\w.]{1,40}\()?[rbfuRBFU]{0,2}(?P<triple>(?:\\{0,8}\"){3}|(?:\\{0,8}'){3})"
    rf"{_LINE_END}[ \t]{{0,24}}(?P<block>[^\s\"']{{6,2048}}+)\s{{0,24}}(?P=triple)",
    # password = <<EOF   password=$(cat <<EOF
    "heredoc": rf"(?:\$\([ ]?cat[ ])?<<<?[-~]?{_CLOSE}(?P<tag>\w{{1,24}}){_CLOSE}{_LINE_END}"
    rf"[ \t]{{0,24}}(?P<heredoc>\S{{6,2048}}+){_LINE_END}[ \t]{{0,24}}(?P=tag)",
    # password = %q(x)
    "percent_q": r"%[qQ]?(?:"
    + "|".join(
        rf"{re.escape(opening)}(?=[^\s]{{6,512}}?{re.escape(closing)}(?:\W|$))"
        for opening, closing in ("()", "[]", "{}", "<>", "||", "!!")
    )
    + r")(?P<percent_q>[^\s]{6,512}?)[)\]}>|!](?!\w)",
    # password = "".join(["x", "y"])
    "joined": rf"(?:\"\"|'')\.join\(\s{{0,8}}[\[(]\s{{0,24}}(?P<joined>{_PARTS})",
    # password = ["x", "y"].join("")
    "listed": rf"\[\s{{0,24}}(?P<listed>{_PARTS})\s{{0,24}}\]\.join\(",
    # password: str = Field(default="x")   password: z.string().default("x")
    "made": r"[\w.]{1,40}\("
    rf"(?:[^()]{{0,100}}?\bdefault\s{{0,4}}=\s{{0,4}}|[\w.()]{{0,60}}?\.default\(){_QUOTE}"
    rf"(?P<made>[^\s\"'\\]{{6,2048}}+)(?={_QUOTE})",
}
_OTHERS = {
    # password=&quot;x&quot;
    "entity": rf"(?:{_ENTITY})?\s{{0,4}}[:=]\s{{0,4}}{_ENTITY}"
    rf"(?P<entity>(?:[^\s<>\"'&]|&(?!quot;|apos;|#)){{6,512}}+)(?={_ENTITY})",
    # password%22%3A%22x%22
    "percent": r"(?i:(?:%5C)?(?:%(?:25)?2[27])?(?:%20|\+)?%(?:25)?3[AD](?:%20|\+)?(?:%5C)?"
    r"(?:%(?:25)?2[27])?)"
    r"(?P<percent>(?:[A-Za-z0-9._~*/-]|%(?!(?:25)?(?:22|26|27|5[Cc]|0[AaDd]|7[Dd]|2[Cc]|3[Bb]))"
    r"[0-9A-Fa-f]{2}){6,512}+)",
    # <password><![CDATA[x]]>
    "cdata": r"(?:[\"' ][^<>\n]{0,60})?>\s{0,24}<!\[CDATA\[\s{0,24}"
    r"(?P<cdata>(?:(?!\]\]>)\S){6,2048}+)",
    # <key>password</key><string>x</string>
    "element": r"(?:\.key)?</[A-Za-z]{3,8}>\s{0,40}<(?i:string|value|val|data)>\s{0,24}"
    r"(?:<!\[CDATA\[)?(?P<element>[^<>\s]{6,2048}+)(?=\s{0,24}<|\]\]>)",
    # name="password", a blank line
    "multipart": rf"\\{{0,8}}\"(?:;[^\n]{{0,100}})?{_LINE_END}"
    rf"(?:(?i:content)-[^\n]{{1,120}}\n){{0,2}}"
    rf"[ \t]{{0,2}}\r?[ \t]?\n(?P<multipart>[^\s\"]{{6,512}}+){_LINE_END}",
    # "password": {"type": "string", "default": "x"}   password: { type: String, default: "x" }
    "schema": rf"{_CLOSE}\s{{0,4}}:\s{{0,4}}\{{(?:[^{{}}]|\{{\w{{0,20}}\}}){{0,400}}?"
    rf"(?:{_QUOTE}|\b)(?:default|const|example|value)(?:{_QUOTE})?\s{{0,4}}:\s{{0,4}}"
    rf"{_QUOTE}(?P<schema>[^\s\"'\\]{{6,2048}}+)(?={_QUOTE})",
    # ("--password", type=str, default="x")
    "argument": rf"{_QUOTE},[^()]{{0,200}}?\bdefault\s{{0,4}}=\s{{0,4}}{_QUOTE}"
    rf"(?P<argument>[^\s\"'\\]{{6,2048}}+)(?={_QUOTE})",
    # password: with `default: x` in a line below it
    "lines": r"[\"']?:[ \t]{0,4}\r?\n(?:[ \t]{2,40}\w[^\n]{0,100}\n){0,4}?"
    r"[ \t]{2,40}default:[ \t]{1,4}[\"']?(?P<lines>[^\s\"'\\]{6,2048}+)",
}
_FRAMES = (*_ASSIGNED, *_OTHERS)
_FRAME = re.compile(
    rf"{_CLOSE}{_IS}(?:{'|'.join(_ASSIGNED.values())})|{'|'.join(_OTHERS.values())}"
)
_IN_PARTS = ("joined", "listed")
_FIELD = re.compile(r"name=\\{0,8}\"[\w.-]{0,60}\Z")
_BEFORE = 80


@dataclass(frozen=True, slots=True)
class Framed:
    """A literal, from where to where it stands, and whether its frame shows its end."""

    literal: str
    start: int
    end: int
    closed: bool


def framed(text: str, name_start: int, at: int) -> Framed | None:
    """The literal in the frame that begins at `at`, behind the name."""
    match = _FRAME.match(text, at)
    if match is None:
        return None
    frame = next(name for name in _FRAMES if match[name] is not None)
    start, end = match.span(frame)
    if frame == "multipart" and not _FIELD.search(text[max(0, name_start - _BEFORE) : name_start]):
        return None
    if frame in _IN_PARTS:
        parts = re.findall(_PART, match[frame])
        return Framed("".join(part[1:-1] for part in parts), start + 1, end - 1, True)
    return Framed(match[frame], start, end, frame != "percent")
