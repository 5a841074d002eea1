"""`qi-learn export data --all DIR`: everything that is known about a person, to read and to keep.

One file of JSON lines a table, the files of learning cycles, the settings, the versions, and a page
that says what is what. The database is only read, at one moment, row by row. Every text goes once
more through the rules that take secrets out: some rule may be newer than the row. What is no text
(weights, caches) is named and not copied.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qi_learn import __version__
from qi_learn.errors import NotFound, QiError
from qi_learn.paths import Paths
from qi_learn.redact import Redactor, load_redactor
from qi_learn.spool import spool_files
from qi_learn.store.database import open_store
from qi_learn.store.everything import WORDS, one_moment, rows_of, tables

README = "README.md"
READABLE = (".json", ".jsonl")
"""Files of a run that are copied; the rest is weights, checkpoints and logs."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One file that was written."""

    name: str
    count: int
    """Rows or lines; 0 for a file that has none."""
    words: str


def export_everything(paths: Paths, directory: Path, *, now: str) -> Iterator[Exported]:
    """Write everything into a directory that is new or empty, and yield each file when it is there.

    `now`: the time, as the page is to say it. Raises NotFound if the directory holds something
    already, StoreError if the database cannot be read, OSError if there is no room.
    """
    _make(directory)
    # without a database there is no key yet, and nothing that needs it
    redactor = load_redactor(paths.redaction_key) if paths.database.exists() else None
    written: list[Exported] = []
    for file in (
        *_tables(paths, directory, redactor),
        *_runs(paths, directory, redactor),
        *_documents(paths, directory, redactor),
    ):
        written.append(file)
        yield file
    write_lines(directory / README, [_page(written, _not_copied(paths), now)])


def _make(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise NotFound(
            f"{directory} holds something already.", "Name a directory that is new or empty."
        )


def _tables(paths: Paths, directory: Path, redactor: Redactor | None) -> Iterator[Exported]:
    if not paths.database.exists():
        return
    with open_store(paths.database, readonly=True) as store, one_moment(store):
        for table in tables(store):
            lines = (_line(row, redactor) for row in rows_of(store, table))
            count = write_lines(directory / f"{table}.jsonl", lines)
            yield Exported(f"{table}.jsonl", count, WORDS.get(table, "a table of the database"))


def _runs(paths: Paths, directory: Path, redactor: Redactor | None) -> Iterator[Exported]:
    """What learning cycles leave that can be read: data sets, plans, verdicts, journals."""
    count = 0
    for file in sorted(paths.runs.rglob("*")) if paths.runs.is_dir() else ():
        if file.suffix in READABLE and file.is_file() and not file.is_symlink():
            target = directory / "runs" / file.relative_to(paths.runs)
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open(encoding="utf-8", errors="replace") as lines:
                write_lines(target, _copied(lines, redactor, whole=file.suffix == ".json"))
            count += 1
    if count:
        words = "one directory a cycle: run.json, plan, data set (snapshot/), verdict, journal"
        yield Exported("runs/", count, words)


def _documents(paths: Paths, directory: Path, redactor: Redactor | None) -> Iterator[Exported]:
    """The settings, the registered projects, the versions."""
    for file, words in (
        (paths.settings_file, "the settings that you gave"),
        (paths.projects, "the projects that are watched"),
        (paths.deploy, "versions of the model, and which one is live"),
        (paths.routes, "which model answers for which name"),
    ):
        if file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            write_lines(directory / file.name, [text if redactor is None else redactor.text(text)])
            yield Exported(file.name, 0, words)


def _copied(lines: Iterable[str], redactor: Redactor | None, *, whole: bool) -> Iterator[str]:
    """JSON, a value a line or one in all; what is no JSON is copied as text."""
    for text in ["".join(lines)] if whole else lines:
        try:
            value = json.loads(text)
        except ValueError:
            yield text if redactor is None else redactor.text(text)
        else:
            yield _line(value, redactor)


def _line(value: Any, redactor: Redactor | None) -> str:
    clean = value if redactor is None else redactor.value(value)
    return json.dumps(clean, ensure_ascii=False).encode("utf-8", "replace").decode() + "\n"


def write_lines(file: Path, texts: Iterable[str]) -> int:
    """Write a new file (0600); the number of texts."""
    count = 0
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as out:
        for text in texts:
            out.write(text)
            count += 1
    return count


def _not_copied(paths: Paths) -> Iterator[str]:
    """What else there is, and where: a line each."""
    places = (
        (paths.adapters, "adapters: what was learned, as weights"),
        (paths.models, "models of the embedded engine"),
        (paths.fisher, "a cache of numbers about the base model"),
        (paths.known, "a cache of measurements"),
        (paths.names, "which names each project uses, as hashes"),
        (paths.logs, "logs of the processes"),
        (paths.spool / "bad", "lines that could not be understood, without secrets"),
    )
    yield from (f"- `{place}`: {words}" for place, words in places if place.exists())
    backups = sorted(paths.data.glob(f"{paths.database.name}.*.backup"))
    yield from (f"- `{file}`: the database before an upgrade" for file in backups)
    if waiting := len(spool_files(paths.spool)):
        yield (
            f"- `{paths.spool}`: {waiting} files that the daemon takes in within a minute; what is "
            "in them comes with the next export"
        )
    yield "- models on your Ollama, if it serves: `qi-learn versions` names them"


def _page(written: Iterable[Exported], not_copied: Iterable[str], now: str) -> str:
    files = [
        f"- `{file.name}`" + (f" ({file.count})" if file.count else "") + f": {file.words}"
        for file in written
    ]
    return "\n".join(
        (
            "# What qi-learn knows",
            "",
            f"Written {now} by version {__version__}. One line of JSON a row; times are seconds "
            "since 1970 (UTC), yes and no are 1 and 0, null is unknown. Secrets that were "
            "recognised stand as `[REDACTED:kind:tag]`.",
            "",
            *files,
            "",
            "Not copied, because it is no text or only for a moment:",
            "",
            *not_copied,
            "",
        )
    )


def problem_of(error: OSError, directory: Path) -> QiError:
    """What went wrong with the directory, in words."""
    return QiError(
        f"{directory} could not be written: {error.strerror or error}.",
        "Name another directory; what was written of it can be deleted.",
    )
