"""`.qi-learn-ignore`: which files of a project are not looked at, by the person's own rules.

It lies in the project's root and has the syntax of a `.gitignore`, paths from there. What is left
out by name anyway (files.py) stays left out: nothing brings it back. A file that cannot be read
(also a link to nothing, or a rule that is no pattern) leaves out everything, because it is there to
keep something private.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from pathspec import GitIgnoreSpec

NAME = ".qi-learn-ignore"
_ALL = GitIgnoreSpec.from_lines(["*"])
_NONE = GitIgnoreSpec.from_lines([])
_UNREAD = "unread"


class QiLearnIgnore:
    """The rules of one project, read again when the file changes."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._file = Path(root, NAME)
        self._seen: tuple[int, int, int] | None = None
        self._spec = _NONE
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
        return bool(len(self._spec))

    def allowed(self, paths: Iterable[str]) -> set[str]:
        """Of these paths (absolute) those that may be looked at."""
        self._look()
        listed = list(paths)
        if not len(self._spec):
            return set(listed)
        return {p for p in listed if not self._spec.match_file(os.path.relpath(p, self.root))}

    def _look(self) -> None:
        try:
            status = os.stat(self._file)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not os.path.lexists(self._file):
                self._seen, self._spec, self._digest = None, _NONE, ""
                return
            self._seen, self._spec, self._digest = None, _ALL, _UNREAD
            return
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            self._spec, self._digest = self._read()
            self._seen = seen

    def _read(self) -> tuple[GitIgnoreSpec, str]:
        """The rules, and their hash."""
        try:
            lines = self._file.read_text("utf-8-sig").splitlines()
            spec = GitIgnoreSpec.from_lines(lines)
        except (OSError, ValueError, re.error):
            return _ALL, _UNREAD
        text = "\n".join(lines).encode("utf-8", "replace")
        return spec, hashlib.sha256(text).hexdigest()[:32] if len(spec) else ""
