"""What two releases of a package give to be played: one function changed or added at a time.

The file before is the older release's, and the file after differs from it by one function alone, as
its author wrote it. So what is played is real code in a real place, and its fate is that of one
suggestion.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.benchmarks.labelling.definitions import Definition, definitions
from scripts.benchmarks.labelling.likeness import tokens
from scripts.benchmarks.labelling.releases import Package

MOST_FILES = 30
"""How many files of the older release the working tree has, at most."""
FEWEST_TOKENS = 20
"""A function with fewer says too little to be anybody's."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One function of a package, changed or added between two releases."""

    package: str
    language: str
    path: str
    """The file, from the project's root."""
    name: str
    before: str
    """The file's text before."""
    after: str
    """The file's text with the function as its author changed or wrote it."""
    old: str
    """The function before; "" if it was added."""
    new: str
    """The function as the author wrote it: whole lines, as they stand in the file."""
    spare: str
    """Another function of the package, no part of that file: for what else a person writes."""
    spare_called: str
    """That one's own name."""
    files: Mapping[str, str]
    """Other files of the project, by path."""

    @property
    def fresh(self) -> bool:
        """Whether the function was added."""
        return not self.old

    @property
    def called(self) -> str:
        """The function's own name."""
        return called(self.name)


def samples_of(
    package: Package, older: Mapping[str, str], newer: Mapping[str, str], chance: random.Random
) -> list[Sample]:
    """All that two releases give, in an order that chance made."""
    found = []
    some = chance.sample(sorted(older), min(len(older), MOST_FILES))
    every = [(path, d) for path in some for d in definitions(older[path], package.language)]
    for path in sorted(set(older) & set(newer)):
        if older[path] == newer[path]:
            continue
        spares = [d for other, d in every if other != path and _enough(d.text)]
        for name, old, new, after in _changes(older[path], newer[path], package.language):
            if not spares:
                continue
            files = _others(older, path, chance)
            spare = chance.choice(spares)
            found.append(
                Sample(
                    *(package.name, package.language, path, name, older[path], after, old, new),
                    *(spare.text, called(spare.name), files),
                )
            )
    chance.shuffle(found)
    return found


def _changes(before: str, newer: str, language: str) -> Iterator[tuple[str, str, str, str]]:
    """Name, old text, new text of a function, and the older file with that change alone."""
    old = {d.name: d for d in definitions(before, language)}
    lines = before.split("\n")
    last: Definition | None = None
    for new in definitions(newer, language):
        if (was := old.get(new.name)) is not None:
            last = was
            if tokens(was.text) != tokens(new.text) and _enough(new.text):
                changed = [*lines[: was.start], *new.text[:-1].split("\n"), *lines[was.end :]]
                yield new.name, was.text, new.text, "\n".join(changed)
        elif last is not None and last.owner == new.owner and _enough(new.text):
            gap = [""] * (2 if language == "python" and not new.owner else 1)
            added = [*lines[: last.end], *gap, *new.text[:-1].split("\n"), *lines[last.end :]]
            yield new.name, "", new.text, "\n".join(added)


def called(name: str) -> str:
    """The last part of a qualified name."""
    return name.split(":")[-1].split("/")[0].split(".")[-1]


def _enough(text: str) -> bool:
    return len(tokens(text)) >= FEWEST_TOKENS


def _others(older: Mapping[str, str], path: str, chance: random.Random) -> dict[str, str]:
    names = [name for name in sorted(older) if name != path and "test" not in name.lower()]
    return {name: older[name] for name in chance.sample(names, min(len(names), MOST_FILES))}


def indentation(text: str) -> str:
    """The white space before the first line of a text."""
    match = re.match(r"[ \t]*", text)
    return match.group() if match else ""
