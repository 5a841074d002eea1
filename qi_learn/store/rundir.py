"""A run's own directory, `runs/<ULID>/`: everything one cycle needs to be resumed, and what it left behind.

A step is done when its file is there: every file is renamed into place last, so a killed cycle goes on with the first step whose file is missing.
`journal.jsonl` says in order what was begun and finished, for people and for `status`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.paths import replace_file

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Why a cycle was started and on what; written before its process is."""

    run_id: str
    server: str
    """Base URL of the serving API."""
    started: float
    reason: str
    seed: int
    fresh: int
    """Examples that no live version had learned when it started."""
    base_gguf: str
    parent: str
    """The version that was live: what is trained on top of, and compared with."""
    ancestors: tuple[str, ...] = ()
    """The runs behind `parent`, oldest first: their data is learned already."""
    model_store: str | None = None
    """The server's model store where it is local (the embedded engine's, or Ollama's), for switching the alias by rename."""


@dataclass(frozen=True, slots=True)
class ScaleTrial:
    """One candidate scale of the delta, measured on dev."""

    scale: float
    dev_nll: float


@dataclass(frozen=True, slots=True)
class RunDirectory:
    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def request(self) -> Path:
        return self.path / "run.json"

    @property
    def snapshot(self) -> Path:
        return self.path / "snapshot"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def delta(self) -> Path:
        return self.path / "adapter" / "delta.safetensors"

    @property
    def past_fisher(self) -> Path:
        return self.path / "adapter" / "past_fisher.safetensors"

    @property
    def joined(self) -> Path:
        return self.path / "joined" / "adapter.safetensors"

    @property
    def model(self) -> Path:
        return self.path / "model.gguf"

    @property
    def packed(self) -> Path:
        return self.path / "packed.json"

    @property
    def verdict(self) -> Path:
        return self.path / "verdict.json"

    @property
    def outcome(self) -> Path:
        """`{"state", "reason", "version"}`: the cycle has ended."""
        return self.path / "outcome.json"

    @property
    def log(self) -> Path:
        return self.path / "cycle.log"

    @property
    def pid(self) -> Path:
        return self.path / "pid"

    def journal(self, ts: float, step: str, state: str, **more: Any) -> None:
        """One line more; lost on a full disk rather than in the way of the cycle."""
        line = json.dumps({"ts": round(ts, 3), "step": step, "state": state, **more}, ensure_ascii=False) + "\n"
        fd = os.open(self.path / "journal.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)

    def history(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first; a torn last line is left out."""
        try:
            lines = (self.path / "journal.jsonl").read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines[:-1]]

    def write(self, place: Path, record: Any) -> None:
        """A record (or plain value) as JSON, renamed into place."""
        replace_file(place, codec.dumps(record) + "\n")

    def read(self, place: Path, kind: type[T]) -> T:
        """The record at `place`. Raises StoreError where it is missing or damaged."""
        try:
            return codec.loads(kind, place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{place} cannot be read: {error}", f"The run {self.run_id} cannot go on; it is marked as failed and the next one starts afresh."
            ) from error

    @property
    def ended(self) -> bool:
        return self.outcome.exists()


def run_directories(runs: Path) -> list[RunDirectory]:
    """Every run, oldest first (ULIDs sort by time)."""
    if not runs.is_dir():
        return []
    return [RunDirectory(p) for p in sorted(runs.iterdir()) if (p / "run.json").exists()]
