"""A home into which logs are imported, and the intake that takes them in."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from qi_learn.capture.shell_outcomes import outcomes_of
from qi_learn.capture.wire import decode
from qi_learn.commands.import_ import bring_in
from qi_learn.commands.import_request import ImportReport, ImportRequest
from qi_learn.paths import Paths
from qi_learn.records import LearningInteraction
from qi_learn.settings import Settings
from qi_learn.store.database import Store, open_store
from qi_learn.store.feedback import load_interaction
from qi_learn.store.ingest import Drained, drain
from qi_learn.track.heard import words_for
from qi_learn.track.suggestions import suggestions_of
from qi_learn.workspace.registry import add_project
from tests.support.foreign_logs import (
    CODE,
    ClaudeSession,
    aider_session,
    codex_session,
    continue_completion,
    edits,
    jsonl,
    opencode_database,
    says,
)
from tests.support.llm_log import llm_database, log_with_llm


@dataclass
class ImportedHome:
    """A home with one registered project, `shop`."""

    root: Path
    now: float = field(default_factory=lambda: float(int(time.time())))
    settings: Settings = field(default_factory=Settings)
    open_databases: list[sqlite3.Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.project.mkdir(parents=True, exist_ok=True)
        add_project(self.paths.ensure(), self.project)

    @property
    def paths(self) -> Paths:
        return Paths.under(self.root / "home")

    @property
    def project(self) -> Path:
        return self.root / "shop"

    @property
    def began(self) -> float:
        """Some hours ago: what is imported is of then."""
        return self.now - 4 * 3600.0

    def bring(self, source: str, path: Path, **more: object) -> ImportReport:
        request = replace(ImportRequest(source, path), **more)  # type: ignore[arg-type]
        return bring_in(self.paths, self.settings, request, now=self.now + 3600.0)

    def take_in(self) -> Drained:
        with self.store() as store:
            return drain(
                store,
                self.paths.spool,
                decode=decode,
                suggest=suggestions_of,
                say=words_for,
                outcomes=outcomes_of,
                now=self.now,
            )

    def store(self) -> Store:
        return open_store(self.paths.database)

    def interactions(self) -> list[LearningInteraction]:
        with self.store() as store:
            rows = store.rows("SELECT id FROM turns ORDER BY ended, id")
            return [load_interaction(store, row["id"]) for row in rows]

    # --- one log of each program, in which `WORD` is asked and answered ---

    def log_of(self, source: str, word: str = "quokka") -> Path:
        """A log with an exchange, at its path."""
        return _LOGS[source](self, self.root / source, word)

    def close(self) -> None:
        for conn in self.open_databases:
            conn.close()


def _continue(home: ImportedHome, directory: Path, word: str) -> Path:
    file = home.project / "a.py"
    event = continue_completion(home.began, "c1", f"    return {word}(rows)", file, False)
    jsonl(directory / "dev_data" / "0.2.0" / "autocomplete.jsonl", [event])
    return directory


def _claude(home: ImportedHome, directory: Path, word: str) -> Path:
    session = ClaudeSession(directory / "-shop" / "s-1.jsonl", home.project, at=home.began)
    session.asks(f"Rename {word}.")
    session.answers("msg_1", says(f"The {word}:"), edits("t1", "a.py", word, f"{word}_2"))
    return directory


def _codex(home: ImportedHome, directory: Path, word: str) -> Path:
    lines = codex_session(home.project, home.began)
    lines[-2]["payload"]["content"][0]["text"] = f"I leave {word}."
    lines[2]["payload"]["content"][0]["text"] = f"Add {word}."
    jsonl(directory / "sessions" / "rollout-2026-01-01T00-00-00-c-1.jsonl", lines)
    return directory


def _opencode(home: ImportedHome, directory: Path, word: str) -> Path:
    conn = opencode_database(directory, home.project, home.began)
    for before, after in (("Rename x.", f"Rename {word}."), ("So.", f"So {word}.")):
        conn.execute("UPDATE part SET data = replace(data, ?, ?)", (before, after))
    home.open_databases.append(conn)
    return directory


def _aider(home: ImportedHome, directory: Path, word: str) -> Path:
    file = home.project / ".aider.chat.history.md"
    file.write_text(aider_session(home.began, (f"Write {word}.", f"{word}:\n```python\n{CODE}```")))
    return file


def _llm(home: ImportedHome, directory: Path, word: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    database = llm_database(directory / "logs.db")
    log_with_llm(database, f"Write {word}.", f"{word}:\n```python\n{CODE}```")
    home.open_databases.append(database.conn)
    return directory / "logs.db"


def _git(home: ImportedHome, directory: Path, word: str) -> Path:
    def git(*arguments: str) -> None:
        subprocess.run(("git", *arguments), cwd=home.project, check=True, capture_output=True)

    file = home.project / "a.py"
    git("init", "-q", "-b", "main")
    git("config", "user.email", "me@example.org")
    git("config", "user.name", "me")
    file.write_text("import math\n\n\ndef area(r):\n    return math.pi * r * r\n")
    git("add", ".")
    git("commit", "-qm", "Area")
    file.write_text(
        file.read_text() + f"\n\ndef {word}(rows):\n    found = list(rows)\n"
        "    return sum(row.price for row in found)\n"
    )
    git("commit", "-qam", "Totals")
    return home.project


_LOGS: dict[str, Callable[[ImportedHome, Path, str], Path]] = {
    "continue": _continue,
    "claude": _claude,
    "codex": _codex,
    "opencode": _opencode,
    "aider": _aider,
    "llm": _llm,
    "git": _git,
}
