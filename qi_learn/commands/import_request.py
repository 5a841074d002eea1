"""What is to be imported, and what was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qi_learn.commands.import_places import Moved


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What is to be imported."""

    source: str
    path: Path
    project: Path | None = None
    """The project of all that it says; None: as the log says."""
    moved: tuple[Moved, ...] = ()
    """Directories as the log names them, and where they lie by now."""
    local: bool = False
    """The person says that models on this machine gave the answers."""
    again: bool = False
    """Read everything from the beginning."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported, or would be."""

    source: str
    files: int
    """That were looked at."""
    unchanged: int
    """Of those, the ones that were read to their end before."""
    turns: int
    signs: int
    """What a tool said of an edit: applied, failed, declined."""
    ratings: int
    commands: int
    """Results of commands, which an export brings back."""
    recorded: int
    """Turns that the gateway has recorded itself."""
    left_out: Mapping[str, int]
    """What was not taken, by reason."""
    not_understood: int
    examples: tuple[str, ...]
    """Where, and why; the first few."""
    waits: bool
    """Whether no daemon runs that takes it in."""
    dry_run: bool
