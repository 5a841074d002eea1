"""The benchmark in cells, kept as they are finished: a run goes on where an earlier one stopped.

A cell is one method on one stream with one seed and so many examples. Its figures are one line of
JSON in a file, under a key that names everything they depend on: the base, the cell, the sizes of
the run, and the code. Two runs may write to one file, each its own slice. A line that a crash cut
off is measured again.

What the code is: the sources of what trains, packs and measures here, and torch's and llama.cpp's
versions. Not covered: the rules of the gate, so figures outlive a change of them. What plays a
working day has a version of its own, with the gate and the data set in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from qi_learn import codec
from qi_learn.errors import SettingsError

Figures = TypeVar("Figures")
SOURCES = (
    *("bench", "dataset", "plan", "train", "pack"),
    *("gate/likelihood_curve.py", "gate/reading.py", "gate/spill_over.py", "gate/temperature.py"),
    *("outside/llama_cpp.py", "outside/llama_cpp_nll.py", "outside/chat_template.py"),
    *("code_text.py", "lexer.py"),
)
"""Folders and files of the package."""
_ONLY_SHOWN = ("figures.py", "tables.py", "command.py", "cells.py")
"""Files of the benchmark that no figure depends on."""
_DAY = "day"
"""Folder of the benchmark of a working day, on which the others do not depend."""
_LIBRARIES = ("torch", "llama-cpp-python")


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement."""

    stream: str
    method: str
    seed: int
    shots: int
    """Examples of each task; 0 if nothing is learned."""

    def __str__(self) -> str:
        shots = f", {self.shots} examples" if self.shots else ""
        return f"{self.stream}, seed {self.seed}{shots}, {self.method}"


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a run: every `of`-th cell, from the `number`-th on (from 1)."""

    number: int = 1
    of: int = 1

    def cells(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        """The cells of this part."""
        return cells[self.number - 1 :: self.of]


WHOLE = Slice()


def slice_of(text: str) -> Slice:
    """`2/5` as a slice. Raises ValueError for anything else."""
    number, _, of = text.partition("/")
    made = Slice(int(number), int(of))
    if not 1 <= made.number <= made.of:
        raise ValueError(f"{text} is no part of a whole")
    return made


def part_asked(text: str | None) -> Slice:
    """The part that `--slice` asks for. Raises SettingsError if it is none."""
    try:
        return slice_of(text) if text else WHOLE
    except ValueError:
        raise SettingsError(
            f"`--slice {text}` is no part of a whole.", "Give for one `--slice 2/5`."
        ) from None


class FinishedCells:
    """The figures of finished cells, in a file of JSON lines if a path is given."""

    def __init__(self, path: Path | None, conditions: Mapping[str, Any]) -> None:
        """`conditions`: what all figures of this run depend on, besides the cell."""
        self._path, self._conditions = path, dict(conditions)
        self._lines: dict[str, Any] = {}
        if path is not None and path.exists():
            self._lines = dict(_read(path))

    def get(self, cell: Cell, kind: type[Figures]) -> Figures | None:
        """The figures of a cell; None if it was not measured, or by other code or sizes."""
        value = self._lines.get(self._key(cell))
        if value is None:
            return None
        try:
            return codec.build(kind, value)
        except (ValueError, TypeError):
            return None  # figures of another form: they are measured again

    def put(self, cell: Cell, figures: Any) -> None:
        """Keep what was measured. Written in one piece, so two runs may do so at once."""
        key, value = self._key(cell), codec.plain(figures)
        self._lines[key] = value
        if self._path is not None:
            line = json.dumps({"key": json.loads(key), "figures": value}, ensure_ascii=False)
            with self._path.open("a", encoding="utf-8") as out:
                out.write(line + "\n")

    def _key(self, cell: Cell) -> str:
        return json.dumps({**self._conditions, **codec.plain(cell)}, sort_keys=True)


def _read(path: Path) -> Iterator[tuple[str, Any]]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            entry = json.loads(line)
            yield json.dumps(entry["key"], sort_keys=True), entry["figures"]
        except (ValueError, TypeError, KeyError):
            continue  # the empty end, or a line that a crash cut off


def code_version(packages: Sequence[str] = SOURCES, *, day: bool = False) -> str:
    """What trains, packs and measures, in twelve hex digits.

    `day`: with what plays a working day.
    """
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for source in _files(package, packages):
        name = source.relative_to(package)
        of_day = name.parts[:2] == ("bench", _DAY)
        if name.parts[0] == "bench" and (name.name in _ONLY_SHOWN or (of_day and not day)):
            continue
        digest.update(f"{name}\0".encode() + source.read_bytes())
    for library in _LIBRARIES:
        digest.update(f"{library} {_version(library)}\0".encode())
    return digest.hexdigest()[:12]


def _files(package: Path, names: Sequence[str]) -> Iterator[Path]:
    """The sources and the texts of these parts of a package."""
    for name in names:
        place = package / name
        found = place.rglob("*") if place.is_dir() else [place]
        yield from sorted(path for path in found if path.suffix in (".py", ".toml"))


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
