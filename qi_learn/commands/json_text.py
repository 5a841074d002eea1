"""JSON that a person wrote, as text: where its values stand, and how to put one in or take it out.

The invariant: what is put in is one piece behind an opening bracket, so taking it out again leaves
every other byte as it was. Comments and trailing commas are read over, as the tools do that allow
them. Nothing is formatted anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_SPACE = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_PLAIN = re.compile(r"[^\s,\[\]{}\"/]+")
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class JsonSpan:
    """A value and where it stands in its text."""

    start: int
    end: int
    kind: str
    """`{`, `[`, or empty for a plain value."""
    value: object = None
    """Of a plain value."""
    members: tuple[JsonMember, ...] = ()

    def member(self, name: str) -> JsonMember | None:
        """The member that counts of those with a name: the last."""
        return next((each for each in reversed(self.members) if each.name == name), None)


@dataclass(frozen=True, slots=True)
class JsonMember:
    """A member of an object, or an element of a list."""

    name: str
    """Empty in a list."""
    start: int
    """Where its name begins, or its value in a list."""
    value: JsonSpan
    comma: int
    """Where the comma behind it ends; -1 if there is none."""


def read_json_text(text: str) -> JsonSpan | None:
    """The value that a text is; None if there is nothing in it. Raises ValueError if it is none."""
    reader = _Reader(text)
    at = reader.skip(0)
    if at == len(text):
        return None
    value = reader.value(at, 0)
    if reader.skip(value.end) != len(text):
        raise ValueError(f"something stands behind its end, at character {value.end}")
    return value


def put_first(text: str, container: JsonSpan, piece: str) -> str:
    """The text with a member or an element in front of all others of a container."""
    lead = ""
    if container.members:
        gap = re.match(r"\s*", text[container.start + 1 : container.members[0].start])
        lead, piece = gap[0] if gap else "", f"{piece},"
    return f"{text[: container.start + 1]}{lead}{piece}{text[container.start + 1 :]}"


def take_out(text: str, container: JsonSpan, number: int) -> str:
    """The text without a member, the white space in front of it, and a comma that it needed."""
    gone = container.members[number]
    before = len(text[: gone.start].rstrip())
    if gone.comma >= 0:
        return text[:before] + text[gone.comma :]
    if number and text[:before].endswith(","):
        before -= 1
    return text[:before] + text[gone.value.end :]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads values of a text; raises ValueError if there is none."""

    text: str

    def skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> JsonSpan:
        opening = self.text[at : at + 1]
        if depth > _DEEPEST:
            raise ValueError("it is nested too deep")
        if opening in ("{", "["):
            return self._container(at, opening, depth)
        match = _STRING.match(self.text, at) or _PLAIN.match(self.text, at)
        if match is None:
            raise ValueError(f"no value at character {at}")
        return JsonSpan(at, match.end(), "", json.loads(match[0], strict=False))

    def _container(self, at: int, opening: str, depth: int) -> JsonSpan:
        closing = "}" if opening == "{" else "]"
        members: list[JsonMember] = []
        here = self.skip(at + 1)
        while self.text[here : here + 1] != closing:
            if members and members[-1].comma < 0:
                raise ValueError(f"no comma before character {here}")
            member = self._member(here, opening, depth)
            members.append(member)
            here = self.skip(member.value.end if member.comma < 0 else member.comma)
        return JsonSpan(at, here + 1, opening, members=tuple(members))

    def _member(self, at: int, opening: str, depth: int) -> JsonMember:
        name, here = "", at
        if opening == "{":
            match = _STRING.match(self.text, at)
            if match is None:
                raise ValueError(f"no name at character {at}")
            name, here = str(json.loads(match[0], strict=False)), self.skip(match.end())
            if self.text[here : here + 1] != ":":
                raise ValueError(f"no colon at character {here}")
            here = self.skip(here + 1)
        value = self.value(here, depth + 1)
        behind = self.skip(value.end)
        comma = behind + 1 if self.text[behind : behind + 1] == "," else -1
        return JsonMember(name, at, value, comma)
