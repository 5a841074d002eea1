"""A run's own directory, `runs/<ULID>/`: everything one cycle needs to be resumed, and what it left
behind.

A step is done when its file is there: every file is renamed into place last, so a killed cycle goes
on with the first step whose file is missing. `journal.jsonl` says in order what was begun and
finished, for people and for `status`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.paths import replace_file

T = TypeVar("T")
logger = logging.getLogger(__name__)


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
    """The server's model store where it is local (the embedded engine's, or Ollama's), for
    switching the alias by rename.
    """
    engine: bool = False
    """The server is the embedded engine, which uses no GPU."""
    asked: bool = False
    """By a person who waits for it (`train --now`): it does not wait until he is idle."""


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
    def scales(self) -> Path:
        return self.path / "scales.json"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def placement(self) -> Path:
        """Where its training last started, and for whom it pauses."""
        return self.path / "placement.json"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def memory(self) -> Path:
        return self.path / "memory.json"

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
    def cancelled(self) -> bool:
        """Somebody does not want it any more: it ends at the next place where it can."""
        return (self.path / "cancel").exists()

    def cancel(self) -> None:
        """Marks it so; whoever works on it, now or later, ends it."""
        replace_file(self.path / "cancel", "")

    @property
    def log(self) -> Path:
        return self.path / "cycle.log"

    def hold(self) -> int | None:
        """Takes the run for this process and those it hands the file descriptor to, until the last
        of them has ended; None where another has it.
        """
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    @property
    def held(self) -> bool:
        """Whether some process works on it now."""
        fd = self.hold()
        if fd is not None:
            os.close(fd)
        return fd is None

    def journal(self, ts: float, step: str, state: str, **more: Any) -> None:
        """One line more, whole or not at all; lost on a full disk rather than in the way of the
        cycle.
        """
        line = (
            json.dumps(
                {"ts": round(ts, 3), "step": step, "state": state, **more}, ensure_ascii=False
            )
            + "\n"
        ).encode()
        try:
            fd = os.open(
                self.path / "journal.jsonl",
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                0o600,
            )
            try:
                if (written := os.write(fd, line)) < len(line):
                    os.ftruncate(fd, os.fstat(fd).st_size - written)
            finally:
                os.close(fd)
        except OSError as error:
            logger.warning(
                "run %s: %s %s is not in its journal: %s", self.run_id, step, state, error
            )

    def history(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first; one that is torn is left out."""
        try:
            lines = (self.path / "journal.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [line for line in map(_object, lines) if line is not None]

    def read_trials(self) -> tuple[ScaleTrial, ...]:
        """What each scale of the delta gave on dev; nothing where it was not written down."""
        try:
            return tuple(
                codec.build(ScaleTrial, trial)
                for trial in json.loads(self.scales.read_text(encoding="utf-8"))
            )
        except (OSError, ValueError):
            return ()

    def write(self, place: Path, record: Any) -> None:
        """A record (or plain value) as JSON, renamed into place."""
        replace_file(place, codec.dumps(record) + "\n")

    def read(self, place: Path, kind: type[T]) -> T:
        """The record at `place`. Raises StoreError where it is missing or damaged."""
        try:
            return codec.loads(kind, place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{place} cannot be read: {error}",
                f"The run {self.run_id} cannot go on; it is marked as failed and the next one "
                "starts afresh.",
            ) from error

    @property
    def ended(self) -> bool:
        return self.outcome.exists()

    def clear(self) -> None:
        """Deletes what only a cycle under way needs: models, checkpoints, and the Fisher, which a
        version that shipped has a copy of.

        What it learned from, and why it ended so, stays.
        """
        for model in (*self.path.glob("*.gguf"), *self.path.glob(".*.tmp")):
            model.unlink(missing_ok=True)
        self.past_fisher.unlink(missing_ok=True)
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def run_directories(runs: Path) -> list[RunDirectory]:
    """Every run, oldest first (ULIDs sort by time)."""
    if not runs.is_dir():
        return []
    return [RunDirectory(p) for p in sorted(runs.iterdir()) if (p / "run.json").exists()]
