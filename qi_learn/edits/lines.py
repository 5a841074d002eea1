"""The lines of a text with their places, and the names of files that stand alone on one.

Everything here takes time in proportion to the text's length.
"""

from __future__ import annotations

import re

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of a text, without its end."""

    start: int
    end: int
    """Behind its line feed, or the end of the text."""
    text: str


def lines_of(text: str) -> list[TextLine]:
    """The lines, cut at line feeds; what stands behind the last one is a line if it is not empty.

    A carriage return in front of the line feed is not in the line's text.
    """
    lines, start = [], 0
    while start < len(text):
        stop = text.find("\n", start)
        end = len(text) if stop < 0 else stop + 1
        line = text[start : end if stop < 0 else stop]
        lines.append(TextLine(start, end, line.removesuffix("\r")))
        start = end
    return lines


_LONGEST_NAME = 260
_NAMED = re.compile(r"(?:[A-Za-z]:[\\/])?[\w.~@+\-$\\/()\[\]]+")
_WITHOUT_ENDING = {
    *("Makefile", "Dockerfile", "Containerfile", "Jenkinsfile", "Gemfile", "Rakefile", "Procfile"),
    *("Vagrantfile", "Justfile", "justfile", "Brewfile", "LICENSE", "README", "CHANGELOG"),
    *("BUILD", "WORKSPACE", "CODEOWNERS", "makefile", "CMakeLists.txt"),
}
_ENDING = re.compile(r"\.?[\w\-~]+(?:\.[\w\-~]+)*\.[A-Za-z_][\w]{0,11}")
_HIDDEN = re.compile(r"\.[A-Za-z][\w.\-]*")
_CLASSES = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\(.*")


def is_file_name(text: str) -> bool:
    """Whether a text is the name of a file and nothing else: with an ending, or a known one."""
    if not 0 < len(text) <= _LONGEST_NAME or not _NAMED.fullmatch(text):
        return False
    last = re.split(r"[\\/]", text)[-1]
    if _CLASSES.fullmatch(last) or text.startswith(("http:", "https:", "//")):
        return False
    known = last in _WITHOUT_ENDING or _HIDDEN.fullmatch(last)
    return bool(known or _ENDING.fullmatch(last))


_AROUND = re.compile(r"^(?:#{1,6}\s+|[-*]\s+|\d+[.)]\s+)?(?:(?:file|path|filename)\s*:\s*)?", re.I)


def name_alone(line: str) -> str | None:
    """The name of a file that stands alone on a line: bare, or as a heading or in bold or quotes.

    As aider reads it (aider/coders/editblock_coder.py, `strip_filename`), and no sentence.
    """
    if len(line) > _LONGEST_NAME + 40:
        return None
    plain = line.strip()
    plain = _AROUND.sub("", plain, count=1).strip()
    plain = plain.strip("*").strip().rstrip(":").strip()
    plain = plain.strip("`*\"'").rstrip(":").replace("\\_", "_")
    return plain if is_file_name(plain) else None
