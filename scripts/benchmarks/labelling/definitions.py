"""The functions of a source text, found without the grammars that the product uses.

Python by its own parser, the languages with braces by their headers and brackets. What is found is
whole: from the comments and attributes right above a function to its last line. A function that a
header of an unforeseen form begins is not found; nothing is played of it then.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

FEWEST_LINES, MOST_LINES = 4, 60
_STRINGS = {
    "go": r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|`[^`]*`|'(?:\\.|[^'\\\n])+'",
    "rust": r"//[^\n]*|/\*.*?\*/|r#\".*?\"#|\"(?:\\.|[^\"\\])*\"|'(?:\\[^\n]{1,8}?|[^'\\\n])'",
    "java": r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'",
    "typescript": r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    r"|`(?:\\.|[^`\\])*`",
}
_STRINGS["javascript"] = _STRINGS["typescript"]
_SCRIPT = (
    r"^(?P<indent>[ \t]*)(?:export +)?(?:default +)?(?:async +)?function\*? +(?P<name>[\w$]+)"
    r"|^(?P<indent2>[ \t]+)(?:(?:public|private|protected|static|async|override|get|set) +)*"
    r"(?!(?:if|for|while|switch|return|catch|function|throw|new|await|typeof)\b)"
    r"(?P<name2>[\w$]+)(?:<[^>\n]*>)?(?=\()"
)
_HEADERS = {
    "go": r"^(?P<indent>)func (?:\(\w* ?\*?(?P<owner>\w+)[^)]*\) )?(?P<name>\w+)",
    "rust": r"^(?P<indent>[ \t]*)(?:pub(?:\([^)]*\))? +)?(?:const +|async +|unsafe +)*"
    r"fn +(?P<name>\w+)",
    "java": r"^(?P<indent>[ \t]+)(?!(?:return|new|throw|else|case|assert)\b)"
    r"(?:[\w.<>\[\],?&]++ ++){1,7}(?P<name>\w++)(?=\()",
    "typescript": _SCRIPT,
    "javascript": _SCRIPT,
}
_OWNERS = {
    "rust": r"^[ \t]*(?:unsafe +)?(?:impl\b[^{;\n]*|(?:pub +)?trait +\w+|(?:pub +)?mod +\w+)",
    "java": r"^[ \t]*(?:[\w@]+ +)*(?:class|interface|enum) +\w+",
    "typescript": r"^[ \t]*(?:export +)?(?:default +)?(?:abstract +)?class +[\w$]+",
    "go": r"(?!)",
}
_OWNERS["javascript"] = _OWNERS["typescript"]
_ABOVE = re.compile(r"\s*(?://|/\*|\*|#\[|@\w)")


@dataclass(frozen=True, slots=True)
class Definition:
    """A function of a text: its whole lines `start` up to `end`."""

    name: str
    """Qualified by what holds it, and by its number of parameters if there are several."""
    start: int
    end: int
    text: str
    owner: str
    """What holds it, a class for example; "" at the top of the file."""


@lru_cache(maxsize=1000)
def definitions(text: str, language: str) -> tuple[Definition, ...]:
    """The functions that can be told apart by name, in their order; none of a text in error."""
    found = list(_in_python(text) if language == "python" else _in_braces(text, language))
    counts = Counter(each.name for each in found)
    return tuple(
        each
        for each in found
        if counts[each.name] == 1 and FEWEST_LINES <= each.end - each.start <= MOST_LINES
    )


def _in_python(text: str) -> Iterator[Definition]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    lines = text.split("\n")
    queue: list[tuple[str, ast.AST]] = [("", tree)]
    while queue:
        owner, node = queue.pop(0)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                queue.append((f"{owner}{child.name}.", child))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                start = min([child.lineno, *(d.lineno for d in child.decorator_list)]) - 1
                end = child.end_lineno or child.lineno
                while start > 0 and lines[start - 1].lstrip().startswith("#"):
                    start -= 1
                yield Definition(
                    owner + child.name, start, end, "\n".join(lines[start:end]) + "\n", owner
                )


def _in_braces(text: str, language: str) -> Iterator[Definition]:
    hidden = masked(text, language)
    lines = text.split("\n")
    owners = [
        (match.start(), end, " ".join(match.group().split()))
        for match in re.finditer(_OWNERS[language], hidden, re.MULTILINE)
        if (end := _body_end(hidden, match.end())) is not None
    ]
    for match in re.finditer(_HEADERS[language], hidden, re.MULTILINE):
        groups = match.groupdict()
        if groups.get("name2") and not _is_method(hidden, match.end()):
            continue
        end_at = _body_end(hidden, match.end())
        if end_at is None or hidden[end_at : hidden.find("\n", end_at)].strip(" \t;"):
            continue
        name = groups["name"] or groups.get("name2") or ""
        holder = [o for o in owners if o[0] < match.start() and end_at <= o[1]]
        owner = groups.get("owner") or (holder[-1][2] if holder else "")
        if (language == "java" or groups.get("name2")) and not holder:
            continue
        header = hidden[match.end() : hidden.find("{", match.end())]
        start = hidden.count("\n", 0, match.start())
        end = hidden.count("\n", 0, end_at) + 1
        while start > 0 and _ABOVE.match(lines[start - 1]):
            start -= 1
        body = "\n".join(lines[start:end]) + "\n"
        yield Definition(f"{owner}:{name}/{header.count(',')}", start, end, body, owner)


def masked(text: str, language: str) -> str:
    """The text with blanks in the place of strings and comments; line feeds stay."""
    return re.sub(
        _STRINGS[language], lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.DOTALL
    )


def _body_end(hidden: str, at: int) -> int | None:
    """The end of the first body in braces; None if a semicolon outside of brackets comes before."""
    depth = 0
    for i in range(at, len(hidden)):
        char = hidden[i]
        if char in "([{":
            if char == "{" and depth == 0:
                return _closed(hidden, i)
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth < 0:
                return None
        elif char == ";" and depth == 0:
            return None
    return None


def _is_method(hidden: str, at: int) -> bool:
    """Whether parameters in brackets are followed by a body: then it is no call."""
    end = _closed(hidden, at, within=2000)
    return (
        end is not None
        and re.match(r"\s*(?::[^;{}=]{0,200})?\{", hidden[end : end + 250]) is not None
    )


def _closed(hidden: str, at: int, within: int = 200_000) -> int | None:
    depth = 0
    for i in range(at, min(len(hidden), at + within)):
        depth += (hidden[i] in "([{") - (hidden[i] in ")]}")
        if depth == 0:
            return i + 1
    return None
