"""`qi-learn explain`: why a turn has its score, or a run did what it did.

Also why a version was shipped or refused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qi_learn import codec
from qi_learn.daemon.untaken import Untaken, waiting_answers
from qi_learn.dataset.replay import why
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.taint import forgotten_in
from qi_learn.deploy.version import is_version
from qi_learn.errors import NotFound, StoreError
from qi_learn.paths import Paths
from qi_learn.report.explain_run import explain_run
from qi_learn.report.explain_turn import turn_lines
from qi_learn.report.shipped import version_lines
from qi_learn.report.words import clock, one_line, saw_forgotten
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.rundir.snapshot import recalled_in
from qi_learn.settings import Settings
from qi_learn.store.candidates import no_example_because
from qi_learn.store.database import Store, open_store
from qi_learn.store.feedback import load_interaction
from qi_learn.store.seen_turns import newest_stray, newest_turn
from qi_learn.store.short_ids import HOW_SHORT, names, only_one, turns_named
from qi_learn.store.turns import kept_back
from qi_learn.workspace.registry import place_of

ROLES = {"train": "learned from it", "dev": "chose by it", "gate": "was judged by it"}
"""What a run did with an example, by its split."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is explained, the lines for a person, and the records behind them."""

    kind: str
    id: str
    lines: tuple[str, ...]
    records: dict[str, Any] = field(default_factory=dict)


def explain(
    paths: Paths, settings: Settings, what: str, *, directory: Path | None = None
) -> Explanation:
    """The explanation of a version (`1.1.0` or `v1.1.0`), a run or a turn.

    Those two by their id or its beginning; `last` is the last answer of the directory's project.
    Raises NotFound if it is none of these, or could be several.
    """
    if what == "last":
        return _last(paths, settings, directory)
    if is_version(what):
        return _version(paths, what.removeprefix("v"))
    if what.isalnum() and (run := RunDirectory(paths.runs / what)).request.exists():
        return _run(paths, run.run_id, what)
    runs = {run.run_id for run in run_directories(paths.runs) if names(what, run.run_id)}
    if not paths.database.exists():
        return _run(paths, only_one(what, runs), what)
    with open_store(paths.database, readonly=True) as store:
        turns = turns_named(store, what)
        id = only_one(what, {*runs, *turns})
        return _turn(store, paths, settings, id) if id in turns else _run(paths, id, what)


def _turn(store: Store, paths: Paths, settings: Settings, id: str) -> Explanation:
    interaction, kept = load_interaction(store, id), kept_back(store, id)
    why = one_line(no_example_because(store, id))
    no_example = (f"  no example: {why}",) if why else ()
    told = (*turn_lines(interaction, settings), *no_example)
    lines = (*told, *_kept_back(*kept), *_uses(paths, id))
    return Explanation("turn", id, lines, {"interaction": codec.plain(interaction)})


def _run(paths: Paths, id: str | None, what: str) -> Explanation:
    if id is None:
        raise _nothing_like(what)
    return Explanation("run", id, *explain_run(RunDirectory(paths.runs / id)))


def _last(paths: Paths, settings: Settings, directory: Path | None) -> Explanation:
    """The answer that `qi-learn rate` would rate here, and whether a newer one waits."""
    project = None if directory is None else place_of(paths, directory)
    within, now = None if project is None else str(project), time.time()
    untaken = waiting_answers(paths)
    newer = f"{untaken.newer} than this: {untaken.todo}" if untaken.count else ""
    if not paths.database.exists():
        raise nothing_yet(within, untaken)
    with open_store(paths.database, readonly=True) as store:
        last = newest_turn(store, within, before=now) or newest_stray(store, before=now)
        if last is None:
            raise nothing_yet(within, untaken)
        explained = _turn(store, paths, settings, last)
    if not newer:
        return explained
    return replace(
        explained,
        lines=(f"  {'newer':10}  {newer}", *explained.lines),
        records=explained.records | {"waiting": untaken.count},
    )


def nothing_yet(within: str | None, untaken: Untaken) -> NotFound:
    """The error for `last` where no answer was seen."""
    place = f" in {within}" if within else ""
    if untaken.count:
        words = "1 answer waits" if untaken.count == 1 else f"{untaken.count} answers wait"
        return NotFound(f"Nothing was taken in{place} yet: {words}.", untaken.todo)
    return NotFound(
        f"No answer was recorded{place} yet: there is nothing to explain.",
        "Point a tool at the gateway; `qi-learn status` says where it is.",
    )


def as_text(explanation: Explanation) -> str:
    """The lines under the name of what is explained."""
    return "\n".join((f"{explanation.kind} {explanation.id}", *explanation.lines))


def no_such_turn(what: str) -> NotFound:
    """The error for what names no answer that was taken in."""
    return NotFound(
        f"{what or 'An empty word'} is no answer that was taken in.",
        f"`qi-learn log` lists them: {HOW_SHORT}. `last` means the newest of this project.",
    )


def _nothing_like(what: str) -> NotFound:
    return NotFound(
        f"{what or 'An empty word'} is no turn, run or version.",
        "`qi-learn log` lists turns (eight letters of an id are enough), `qi-learn versions` "
        "versions with their runs.",
    )


def _kept_back(never: bool, gone: float | None, textless: bool) -> Iterator[str]:
    if never:
        yield "  kept from learning (`qi-learn forget --keep-record`): no data set has it"
    if gone is not None:
        yield f"  its texts expired on {clock(gone)} ([keep] raw_days); the numbers stay"
    if textless:
        yield '  no texts of it were recorded (gateway.record = "metadata"): only numbers'


def _uses(paths: Paths, turn: str) -> Iterator[str]:
    """What each run did with the turn."""
    for run in run_directories(paths.runs):
        try:
            split, recall = recalled_in(run.snapshot, turn)
        except StoreError:
            continue  # its data set was never frozen, or is damaged: `explain` of the run says so
        if split:
            yield f"  run {run.run_id}: {ROLES[split]}"
        if recall:
            yield f"  run {run.run_id}: replayed it: {why(recall)}"


# --- a version ------------------------------------------------------------------------------------


def _version(paths: Paths, version: str) -> Explanation:
    deployment = load_deployment(paths)
    release = deployment.release(version)
    records: dict[str, Any] = {"release": codec.plain(release)}
    lines = [
        f"  {release.model}, made {clock(release.created)}, "
        f"{'live' if deployment.live == version else 'not live'}",
        f"  sha256 {release.digest or 'unknown'}",
    ]
    if count := forgotten_in(deployment, version):
        records["forgot"] = count
        lines.append(f"  {saw_forgotten(count)}: no text can be taken out of weights")
    told, known = version_lines(paths, version)
    lines += told
    records |= {"monitored": codec.plain(known)} if known else {}
    if release.run_id is None:
        lines.append("  the base's own weights: nothing was learned")
    else:
        run_lines, run_records = explain_run(RunDirectory(paths.runs / release.run_id))
        lines += [f"  learned on top of v{release.parent} by run {release.run_id}:", *run_lines]
        records |= run_records
    return Explanation("version", version, tuple(lines), records)
