"""Why a training ended: `error.json` in the run directory.

The worker writes it; the process that waits for the worker reads it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from qi_learn.paths import replace_file

FILE = "error.json"


@dataclass(frozen=True, slots=True)
class Failure:
    """What happened, and what to do about it; both empty if the worker reported nothing."""

    what: str = ""
    hint: str = ""


def write_failure(run: Path, what: str, hint: str) -> None:
    """Write the file, renamed into place. Raises OSError if the disk does not take it."""
    replace_file(run / FILE, json.dumps({"what": what, "todo": hint}))


def read_failure(run: Path) -> Failure:
    """What the worker of a run directory left behind.

    Empty if there is no file or it cannot be read.
    """
    try:
        failure = json.loads((run / FILE).read_text(encoding="utf-8"))
        return Failure(str(failure["what"]), str(failure["todo"]))
    except (OSError, ValueError, TypeError, KeyError):
        return Failure()


def clear_failure(run: Path) -> None:
    """Remove the file of an earlier try."""
    (run / FILE).unlink(missing_ok=True)
