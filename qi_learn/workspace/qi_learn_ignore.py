"""`.qi-learn-ignore`: which files of a project are not looked at, by the person's own rules.

It lies in the project's root and has the syntax of a `.gitignore`, paths from there. As git has it,
nothing brings back what lies in a directory that is left out: `private/` and `!private/a.py` leave
out both. One difference: a rule of stars alone (`*`) leaves out no directory, so that `*` and
`!src/**` list what is looked at. What is left out by name anyway (files.py) stays left out. A file
that cannot be read (also a link to nothing, or a rule that is no pattern) leaves out everything,
because it is there to keep something private.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pathspec import GitIgnoreSpec, RegexPattern

NAME = ".qi-learn-ignore"
_UNREAD = "unread"
_MOST_KNOWN = 10_000
_STARS = re.compile(r"[/*]+\s*")
_WILD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True)
class _Rules:
    """The lines of one file."""

    lines: tuple[str, ...] = ()

    @cached_property
    def spec(self) -> GitIgnoreSpec:
        """All of them. Raises ValueError or re.error for what is no pattern."""
        return GitIgnoreSpec.from_lines(self.lines)

    @cached_property
    def of_directories(self) -> tuple[tuple[re.Pattern[str], bool, bool], ...]:
        """Each rule that may say of a directory, the last first.

        What it names, whether it takes back, and whether it means only what is in the directory.
        """
        rules = []
        for line in reversed(self.lines):
            named = line.rstrip().removeprefix("!")
            if not named or named.startswith("#") or _STARS.fullmatch(named):
                continue
            for pattern in GitIgnoreSpec.from_lines([named]).patterns:
                if isinstance(pattern, RegexPattern) and isinstance(pattern.regex, re.Pattern):
                    rules.append((pattern.regex, line.startswith("!"), named.endswith("/**")))
        return tuple(rules)

    def leave_out(self, name: str) -> bool:
        """Whether a file is left out, named from the root."""
        return bool(self.spec.match_file(name)) or any(map(self.closed, _above(name)))

    def closed(self, directory: str) -> bool:
        """Whether a directory is left out as such, so that nothing in it comes back."""
        if directory not in self._closed:
            if len(self._closed) >= _MOST_KNOWN:
                self._closed.clear()
            self._closed[directory] = self._says_closed(directory)
        return self._closed[directory]

    @cached_property
    def _closed(self) -> dict[str, bool]:
        """What is known of directories by now."""
        return {}

    def _says_closed(self, directory: str) -> bool:
        for regex, takes_back, inside in self.of_directories:
            if regex.match(directory) if inside else regex.fullmatch(f"{directory}/"):
                return not takes_back
        return False

    def without_effect(self) -> Iterator[tuple[int, str]]:
        """The lines that would take something back, and cannot: number and text."""
        for number, line in enumerate(self.lines, 1):
            if line.startswith("!"):
                literal = _WILD.split(line[1:].strip("/ "), maxsplit=1)[0]
                if "/" in line[1:].strip("/ ") and any(map(self.closed, _above(literal))):
                    yield number, line.strip()


_ALL, _NONE = _Rules(("*",)), _Rules()


def _above(name: str) -> Iterator[str]:
    """The directories that hold a file, from the outermost on."""
    parts = name.split("/")[:-1]
    yield from ("/".join(parts[:n]) for n in range(1, len(parts) + 1))


class QiLearnIgnore:
    """The rules of one project, read again when the file changes."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._file = Path(root, NAME)
        self._seen: tuple[int, int, int] | None = None
        self._rules = _NONE
        self._digest = ""

    @property
    def digest(self) -> str:
        """What the rules say, as a hash; "" without rules."""
        self._look()
        return self._digest

    @property
    def any(self) -> bool:
        """Whether there are rules: then not to see something in the project says nothing."""
        self._look()
        return bool(len(self._rules.spec))

    @property
    def readable(self) -> bool:
        """Whether the rules can be read, or there are none; else everything is left out."""
        self._look()
        return self._digest != _UNREAD

    def without_effect(self) -> tuple[tuple[int, str], ...]:
        """The lines (number and text) that would take something back, and cannot."""
        self._look()
        return tuple(self._rules.without_effect())

    def allowed(self, paths: Iterable[str]) -> set[str]:
        """Of these paths (absolute) those that may be looked at."""
        self._look()
        listed = list(paths)
        if not len(self._rules.spec):
            return set(listed)
        return {p for p in listed if not self._rules.leave_out(os.path.relpath(p, self.root))}

    def _look(self) -> None:
        try:
            status = os.stat(self._file)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.lexists(self._file):
                self._seen, self._rules, self._digest = None, _NONE, ""
                return
            self._seen, self._rules, self._digest = None, _ALL, _UNREAD
            return
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            self._rules, self._digest = self._read()
            self._seen = seen

    def _read(self) -> tuple[_Rules, str]:
        """The rules, and their hash."""
        try:
            text = self._file.read_text("utf-8-sig")
            if "\0" in text:
                raise ValueError("it is no text")
            rules = _Rules(tuple(text.splitlines()))
            count = len(rules.spec) + len(rules.of_directories)
        except (OSError, ValueError, re.error):
            return _ALL, _UNREAD
        said = "\n".join(rules.lines).encode("utf-8", "replace")
        return rules, hashlib.sha256(said).hexdigest()[:32] if count else ""
