"""The sources of `qi-learn import`, by the name that a person types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from qi_learn.importers import (
    aider_history,
    claude_transcripts,
    codex_rollouts,
    continue_dev,
    exported,
    llm_logs,
    opencode_sessions,
    own_commits,
)
from qi_learn.records import Author, ImportedItem


class Read(Protocol):
    """Reads what is new in a file."""

    def __call__(self, file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]: ...


@dataclass(frozen=True, slots=True)
class ImportSource:
    """How one program's logs are read."""

    client: str
    """The program, as it is listed among those that ask."""
    files: Callable[[Path], list[Path]]
    read: Read
    usual_place: Callable[[Path, Mapping[str, str]], Path]
    hint: str
    """What to give as the path."""
    author: Author = "model"


SOURCES: Mapping[str, ImportSource] = {
    "continue": ImportSource(
        "continue",
        continue_dev.files,
        continue_dev.read,
        continue_dev.usual_place,
        "Give Continue's directory (~/.continue), or one file of its dev_data/0.2.0.",
    ),
    "claude": ImportSource(
        "claude-code",
        claude_transcripts.files,
        claude_transcripts.read,
        claude_transcripts.usual_place,
        "Give ~/.claude/projects, a directory in it, or one transcript.",
    ),
    "codex": ImportSource(
        "codex",
        codex_rollouts.files,
        codex_rollouts.read,
        codex_rollouts.usual_place,
        "Give ~/.codex, or one rollout-*.jsonl of its sessions.",
    ),
    "opencode": ImportSource(
        "opencode",
        opencode_sessions.files,
        opencode_sessions.read,
        opencode_sessions.usual_place,
        "Give ~/.local/share/opencode, or its opencode.db.",
    ),
    "aider": ImportSource(
        "aider",
        aider_history.files,
        aider_history.read,
        aider_history.usual_place,
        "Give a project's directory with .aider.chat.history.md, or a file that aider wrote.",
    ),
    "llm": ImportSource(
        "llm",
        llm_logs.files,
        llm_logs.read,
        llm_logs.usual_place,
        "Give the logs.db that `llm logs path` names.",
    ),
    "jsonl": ImportSource(
        "export",
        exported.files,
        exported.read,
        exported.usual_place,
        "Give a file that `qi-learn export data --format ...` wrote.",
    ),
    "git": ImportSource(
        "git",
        own_commits.files,
        own_commits.read,
        own_commits.usual_place,
        "Give the directory of a repository with commits of your own.",
        author="person",
    ),
}
