"""What people wrote, in the order of time: the definitions that a history brings or changes.

A history is a git repository's commits, or releases of a package played as commits. Nothing is
fetched, checked out or run. A session is a working day (UTC), or a release.

Only a definition that a person would write in one go is taken: a function or type of 3 to 40 lines
that has no other one in it, and whose name is there once in its file. What is there from the start
is nobody's work here; neither is code that only moved (another file had it before), or was only
formatted. Of a day or release that brings more than `MOST_A_SESSION`, so many are taken evenly
(and of so many commits at most): nobody writes more by asking.

Not covered: languages without a grammar here (`qi_learn/syntax.py`), and what merges alone brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qi_learn.code_text import indentation, reindent
from qi_learn.errors import NotFound
from qi_learn.lexer import code_tokens
from qi_learn.outside.installation import how_to_add
from qi_learn.stats import evenly
from qi_learn.syntax import language_of
from qi_learn.track.definitions import Definition, definitions

MIN_LINES, MAX_LINES, MAX_CHARACTERS = 3, 40, 1200
ABOVE, BELOW = 800, 400
"""Characters of the file in front of a definition and behind it, to ask with."""
MAX_FILE = 400_000
"""Characters; larger files are data more often than code."""
MOST_A_SESSION = 24
SKIPPED = {
    *("vendor", "_vendor", "third_party", "node_modules", "dist", "build", "__pycache__"),
    *("generated", "site-packages"),
}
"""Directories of which nobody here wrote the code."""


@dataclass(frozen=True, slots=True)
class WrittenCode:
    """A definition as a person left it, and what stood there before."""

    session: str
    when: float
    """Unix seconds of the commit or release."""
    file: str
    name: str
    """Qualified: `Table.add_row`."""
    language: str
    why: str
    """The commit's subject, or the release."""
    before: str | None
    """Its text before, whole lines; None if it is new."""
    text: str
    """Its whole lines."""
    header: int
    """How many of its lines only say what it is: up to its name's."""
    above: str
    """The end of what stands in front of it in the file."""
    below: str
    """The beginning of what stands behind it."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The code that a step changed, by file."""

    before: Mapping[str, str]
    after: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One commit or release."""

    session: str
    when: float
    why: str
    read: Callable[[], Texts]
    """Reads what it changed: only of steps that are taken."""


def is_code(file: str) -> bool:
    """Whether a file is somebody's code in a language known here."""
    *directories, name = file.split("/")
    if SKIPPED & set(directories) or "\n" in file or ".min." in name:
        return False
    return language_of(None, file) is not None


def written(
    steps_newest_first: Iterable[Step], *, most: int, a_session: int = MOST_A_SESSION
) -> tuple[WrittenCode, ...]:
    """The newest `most` definitions, oldest first, at most so many of one session.

    Raises NotFound if there are none.
    """
    sessions: list[Sequence[WrittenCode]] = []
    for steps in _sessions(steps_newest_first):
        taken = evenly(steps[::-1], a_session)
        found = [one for step in taken for one in _of_step(step, step.read())]
        sessions.append(evenly(found, a_session))
        if sum(map(len, sessions)) >= most:
            break
    made = tuple(one for session in reversed(sessions) for one in session)[-most:]
    if not made:
        raise NotFound(
            "The history changes no function of 3 to 40 lines in a language known here.",
            "Give a repository with code, or releases of a package. Other languages than Python: "
            f"{how_to_add('languages')}.",
        )
    return made


def _sessions(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """The steps of one session after another, newest first."""
    together: list[Step] = []
    for step in steps:
        if together and together[-1].session != step.session:
            yield together
            together = []
        together.append(step)
    if together:
        yield together


def _of_step(step: Step, texts: Texts) -> Iterator[WrittenCode]:
    old = {file: _whole(text, file) for file, text in texts.before.items()}
    known = {tuple(code_tokens(own)) for by_name in old.values() for own in by_name.values()}
    for file, text in sorted(texts.after.items()):
        for definition, own in _usable(text, file):
            tokens = tuple(code_tokens(own))
            if tokens not in known:
                known.add(tokens)
                before = old.get(file, {}).get(definition.name)
                yield _written(step, file, _lines(text), definition, before)


def _written(
    step: Step, file: str, lines: Sequence[str], definition: Definition, before: str | None
) -> WrittenCode:
    own = lines[definition.start : definition.end]
    return WrittenCode(
        step.session,
        step.when,
        file,
        definition.name,
        str(language_of(None, file)),
        step.why,
        before,
        "".join(own),
        _header(own, definition.line - definition.start),
        _last("".join(lines[: definition.start]), ABOVE),
        "".join(lines[definition.end :])[:BELOW],
    )


def _usable(text: str, file: str) -> Iterator[tuple[Definition, str]]:
    """The definitions of a file that can be asked for by themselves."""
    for definition, own in _alone(text, file):
        size = definition.end - definition.start
        if MIN_LINES <= size <= MAX_LINES and len(own) <= MAX_CHARACTERS and _moves(own):
            yield definition, own


def _whole(text: str, file: str) -> dict[str, str]:
    """The texts of a file's definitions by name."""
    return {definition.name: own for definition, own in _alone(text, file)}


def _alone(text: str, file: str) -> Iterator[tuple[Definition, str]]:
    """The definitions with no other one in them, whose names are there once."""
    if "\r" in text or "\f" in text or len(text) > MAX_FILE:
        return  # lines would not be ours, or it is data
    found = definitions(text, file) or ()
    times = Counter(one.name for one in found)
    lines = _lines(text)
    ordered = sorted(found, key=lambda one: (one.start, -one.end))
    holders = {id(a) for a, b in pairwise(ordered) if b.start < a.end}
    for one in ordered:
        own = "".join(lines[one.start : one.end])
        if id(one) not in holders and times[one.name] == 1 and own.endswith("\n"):
            yield one, own


def _moves(own: str) -> bool:
    """Whether a text comes back exactly from the left margin, where an answer has it."""
    return reindent(reindent(own, ""), indentation(own)) == own


def _header(lines: Sequence[str], named: int) -> int:
    """The number of lines up to where the parentheses behind the name are closed again.

    At least one line is left behind it.
    """
    depth = 0
    for number in range(named, len(lines) - 1):
        depth += lines[number].count("(") - lines[number].count(")")
        if depth <= 0:
            return number + 1
    return len(lines) - 1


def _lines(text: str) -> list[str]:
    """Lines as a parser counts them: only a line feed ends one."""
    *ended, last = text.split("\n")
    return [*(f"{line}\n" for line in ended), *([last] if last else ())]


def _last(text: str, most: int) -> str:
    """The end of a text from the beginning of a line on."""
    if len(text) <= most:
        return text
    return text[-most:].partition("\n")[2]
