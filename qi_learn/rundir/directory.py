"""A run's own directory, `runs/<ULID>/`: what one cycle needs to be resumed, and leaves behind.

A step is done when its file is there: every file is renamed into place last, so a killed cycle goes
on with the first step whose file is missing. `journal.jsonl` says in order what was begun and
finished, for people and for `status`.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.paths import replace_file
from qi_learn.record_class import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Why a cycle was started and on what; written before its process is started."""

    run_id: str
    server: str
    """Base URL of the serving API."""
    started: float
    reason: str
    """Why now, in words."""
    seed: int
    """Decides every draw of the cycle."""
    fresh: int
    """Examples that no live version had learned when it started."""
    base_gguf: str
    """Path of the base's GGUF."""
    parent: str
    """The version that was live: what is trained on top of, and compared with."""
    ancestors: tuple[str, ...] = ()
    """The runs behind `parent`, oldest first: their data is learned already."""
    model_store: str | None = None
    """The server's model store if it is local (the embedded engine's, or Ollama's), for switching
    the alias by rename.
    """
    engine: bool = False
    """Whether the server is the embedded engine, which uses no GPU."""
    asked: bool = False
    """Whether a person waits for it (`train --now`): then it does not wait until they are idle."""


@dataclass(frozen=True, slots=True)
class ScaleTrial:
    """One scale of the delta, measured on dev."""

    scale: float
    dev_nll: float
    """Nats per target token, without those that end an answer."""
    dev_loss: float | None = None
    """The same with those that end an answer, as the training counts; None if not all of dev was
    read.
    """
    tokens_read: int = 0
    seconds: float = 0.0
    """What reading them took."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of one run's files, and what can be asked of them."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's ULID."""
        return self.path.name

    @property
    def request(self) -> Path:
        """`RunRequest`: why it was started and on what."""
        return self.path / "run.json"

    @property
    def snapshot(self) -> Path:
        """Directory of the data set (`rundir/snapshot.py`)."""
        return self.path / "snapshot"

    @property
    def scales(self) -> Path:
        """`ScaleTrial`s: what each scale of the delta gave on dev."""
        return self.path / "scales.json"

    @property
    def plan(self) -> Path:
        """`Plan`: every number of the training."""
        return self.path / "plan.json"

    @property
    def placement(self) -> Path:
        """`Placement`: the device its training last started on, and what it pauses for."""
        return self.path / "placement.json"

    @property
    def progress(self) -> Path:
        """`Progress`: how far the training is (`rundir/progress.py`)."""
        return self.path / "progress.json"

    @property
    def result(self) -> Path:
        """`TrainResult`: the training is done."""
        return self.path / "result.json"

    @property
    def recall_log(self) -> Path:
        """`RecallLog`: what the training found out about the examples it saw."""
        return self.path / "memory.json"

    @property
    def delta(self) -> Path:
        """The adapter that this cycle trained."""
        return self.path / "adapter" / "delta.safetensors"

    @property
    def past_fisher(self) -> Path:
        """The Fisher of past work, this cycle's included."""
        return self.path / "adapter" / "past_fisher.safetensors"

    @property
    def joined(self) -> Path:
        """The live adapter plus the delta at the chosen scale."""
        return self.path / "joined" / "adapter.safetensors"

    @property
    def model(self) -> Path:
        """The packed file."""
        return self.path / "model.gguf"

    @property
    def packed(self) -> Path:
        """`Packed`: packing is done."""
        return self.path / "packed.json"

    @property
    def verdict(self) -> Path:
        """`Verdict`: the gate is done."""
        return self.path / "verdict.json"

    @property
    def outdated(self) -> Path:
        """`Verdict`: the last one against a version that was not live any more at the switch."""
        return self.path / "outdated.json"

    @property
    def outcome(self) -> Path:
        """`{"state", "reason", "version"}`: the cycle has ended."""
        return self.path / "outcome.json"

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled: then it ends at its next safe point."""
        return (self.path / "cancel").exists()

    def cancel(self) -> None:
        """Mark the run as cancelled. The process working on it stops at its next safe point."""
        replace_file(self.path / "cancel", "")

    @property
    def log(self) -> Path:
        """The output of its process."""
        return self.path / "cycle.log"

    def hold(self) -> int | None:
        """Take the run; the file descriptor that holds it, None if another process has it.

        It is held for this process and those that inherit the descriptor, until the last has ended.
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
        """Whether a process works on it now."""
        fd = self.hold()
        if fd is not None:
            os.close(fd)
        return fd is None

    def journal(self, ts: float, step: str, state: str, **more: Any) -> None:
        """Add one line, whole or not at all.

        On a full disk it is lost, rather than in the way of the cycle.
        """
        entry = {"ts": round(ts, 3), "step": step, "state": state, **more}
        try:
            self._append((json.dumps(entry, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            import logging  # which `status` is spared

            logger = logging.getLogger(__name__)
            logger.warning(
                "run %s: %s %s is not in its journal: %s", self.run_id, step, state, error
            )

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(self.path / "journal.jsonl", flags, 0o600)
        try:
            if (written := os.write(fd, line)) < len(line):
                os.ftruncate(fd, os.fstat(fd).st_size - written)
        finally:
            os.close(fd)

    def history(self) -> list[dict[str, Any]]:
        """The journal's lines, oldest first; one that is torn is left out."""
        try:
            lines = (self.path / "journal.jsonl").read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [line for line in map(_object, lines) if line is not None]

    def read_trials(self) -> tuple[ScaleTrial, ...]:
        """What each scale of the delta gave on dev; nothing if it was not written down."""
        try:
            trials = json.loads(self.scales.read_text(encoding="utf-8"))
            return tuple(codec.build(ScaleTrial, trial) for trial in trials)
        except (OSError, ValueError):
            return ()

    def write(self, path: Path, record: Any) -> None:
        """Write a record (or plain value) as JSON, renamed into place."""
        replace_file(path, codec.dumps(record) + "\n")

    def read(self, path: Path, kind: type[T]) -> T:
        """The record in a file. Raises StoreError if it is missing or damaged."""
        try:
            return codec.loads(kind, path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} cannot be read: {error}",
                f"The run {self.run_id} cannot go on; it is marked as failed and the next one "
                "starts afresh.",
            ) from error

    @property
    def ended(self) -> bool:
        """Whether the cycle is over, however it ended."""
        return self.outcome.exists()

    def clear(self) -> None:
        """Delete what only a cycle under way needs.

        That is models, checkpoints, and the Fisher, of which a version that shipped has a copy.
        What it learned from, and why it ended so, stays.
        """
        for model in (*self.path.glob("*.gguf"), *self.path.glob(".*.tmp")):
            model.unlink(missing_ok=True)
        self.past_fisher.unlink(missing_ok=True)
        import shutil

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
