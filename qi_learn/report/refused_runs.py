"""The cycles that came to no version, because the gate refused what they made.

A version is listed by `qi-learn versions`; without this what was refused could be named by nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from qi_learn.codec import read_object
from qi_learn.errors import QiError
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.records import Verdict
from qi_learn.report.words import clock
from qi_learn.rundir.directory import RunDirectory, RunRequest, run_directories
from qi_learn.store.short_ids import short_id

SHOWN = 5
"""How many of the newest are listed for a person."""


@dataclass(frozen=True, slots=True)
class RefusedRun:
    """A cycle whose candidate the gate refused."""

    run: str
    short: str
    """The beginning of its id, as a person types it."""
    started: float
    compared_with: str
    """The version that stayed live."""
    refused_by: tuple[str, ...]
    """The rules that refused it."""


def refused_runs(paths: Paths) -> list[RefusedRun]:
    """All of them, oldest first; one whose files cannot be read is left out."""
    try:
        runs = run_directories(paths.runs)
    except OSError:
        return []  # what one can go back to is listed all the same
    ids = [run.run_id for run in runs]
    return [found for run in runs if (found := _refused(run, ids)) is not None]


def _refused(run: RunDirectory, ids: Sequence[str]) -> RefusedRun | None:
    try:
        if not run.ended or read_object(run.outcome).get("state") != "refused":
            return None
        verdict, request = run.read(run.verdict, Verdict), run.read(run.request, RunRequest)
    except (QiError, OSError, ValueError):
        return None
    if verdict.ships:
        return None
    short = short_id(run.run_id, *(other for other in ids if other != run.run_id))
    return RefusedRun(run.run_id, short, request.started, verdict.compared_with, verdict.refused_by)


def refused_text(refused: Sequence[RefusedRun]) -> str:
    """A line for each of the newest; empty if there are none."""
    if not refused:
        return ""
    lines = [
        f"   refused  {clock(each.started)}  run {each.short}, by {', '.join(each.refused_by)}"
        for each in refused[-SHOWN:]
    ]
    more = len(refused) - len(lines)
    return "\n".join(
        [
            *([f"   ({more} more were refused before)"] if more else []),
            *lines,
            f"`qi-learn explain {refused[-1].short}` says why.",
        ]
    )
