"""What is known of files, by directory: all of a directory's without a look at any other's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qi_learn.workspace.file_history import FileHistory


@dataclass(slots=True)
class _Directory:
    files: dict[str, FileHistory] = field(default_factory=dict)
    below: dict[str, _Directory] = field(default_factory=dict)


class FileTree:
    """The histories of files, by their paths with `/` below one directory."""

    def __init__(self) -> None:
        self._top = _Directory()

    def get(self, name: str) -> FileHistory | None:
        """The history of a file, if there is one."""
        *parts, last = name.split("/")
        directory = self._find(parts)
        return None if directory is None else directory.files.get(last)

    def put(self, name: str, history: FileHistory) -> None:
        """Keep the history of a file."""
        *parts, last = name.split("/")
        directory = self._top
        for part in parts:
            directory = directory.below.setdefault(part, _Directory())
        directory.files[last] = history

    def below(self, name: str = "") -> Iterator[tuple[str, FileHistory]]:
        """The files in a directory and below it."""
        start = self._find(name.split("/") if name else [])
        waiting = [] if start is None else [(f"{name}/" if name else "", start)]
        while waiting:
            prefix, directory = waiting.pop()
            yield from ((prefix + file, history) for file, history in directory.files.items())
            waiting += [(f"{prefix}{inner}/", d) for inner, d in directory.below.items()]

    def _find(self, parts: list[str]) -> _Directory | None:
        directory: _Directory | None = self._top
        for part in parts:
            if directory is None:
                return None
            directory = directory.below.get(part)
        return directory
