"""What goes and what stays, as a receipt: a dry run says the same as the real one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from qi_learn import codec
from qi_learn.daemon.forget_job import ForgetJob
from qi_learn.deploy.journal import Deployment, load_deployment, runs_behind
from qi_learn.deploy.taint import trains_from
from qi_learn.errors import NotFound, QiError, StoreError
from qi_learn.paths import Paths, replace_file
from qi_learn.records import ForgetRequest, MarkedVersion, Receipt
from qi_learn.rundir.directory import run_directories
from qi_learn.rundir.forget_examples import turns_in
from qi_learn.store import forget
from qi_learn.store.database import Store
from qi_learn.store.forget_choice import ForgetChoice
from qi_learn.workspace.registry import load_projects


@dataclass(frozen=True, slots=True)
class KnownBackup:
    """A backup that was made of this home."""

    file: str
    made: float


@dataclass(frozen=True, slots=True)
class KnownBackups:
    """The file `backups.json`."""

    backups: tuple[KnownBackup, ...] = ()


def write_receipt(paths: Paths, receipt: Receipt) -> None:
    """Keep a receipt. Raises OSError."""
    paths.receipts.mkdir(mode=0o700, exist_ok=True)
    replace_file(paths.receipts / f"{receipt.id}.json", codec.dumps(receipt) + "\n")


def read_receipt(paths: Paths, id: str) -> Receipt | None:
    """A receipt, or None if there is none (yet)."""
    try:
        return codec.loads(Receipt, (paths.receipts / f"{id}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def receipt_of(paths: Paths, store: Store, job: ForgetJob, state: Any) -> Receipt:
    """What goes and what stays, as far as it is known now."""
    request, deployment = job.request, None
    with suppress(NotFound):
        deployment = load_deployment(paths)
    versions = _versions_of(paths, store, job.turns, deployment)
    return Receipt(
        id=job.id,
        asked=request.asked,
        by="id"
        if request.ids
        else "grep"
        if request.grep
        else "project"
        if request.project
        else "since",
        state=state,
        keep_record=request.keep_record,
        turns=job.turns,
        along=len(job.along),
        went=job.went,
        stays=(*job.stays, *_shared(paths, job), *_stays(paths, versions)),
        versions=versions,
        starts_from=_starts_from(deployment, job) if deployment else "",
    )


def weigh_all(
    paths: Paths, store: Store, request: ForgetRequest, choice: ForgetChoice
) -> dict[str, int]:
    """How much goes, by kind: rows, and examples of data sets."""
    went = forget.weigh(store, choice, keep_record=request.keep_record)
    examples = 0
    for run in run_directories(paths.runs):
        with suppress(StoreError):
            examples += len(turns_in(run, set(choice.turns)))
    return {**went, "examples in data sets": examples} if examples else went


def _starts_from(deployment: Deployment, job: ForgetJob) -> str:
    if not job.request.retrain:
        return ""
    return trains_from(replace(deployment, retrain=True))


def _versions_of(
    paths: Paths, store: Store, turns: tuple[str, ...], deployment: Deployment | None
) -> tuple[MarkedVersion, ...]:
    """The versions whose data held one of these turns."""
    if deployment is None:
        return ()
    seen = forget.runs_with(store, turns)
    for run in run_directories(paths.runs):
        with suppress(StoreError):
            seen.setdefault(run.run_id, set()).update(turns_in(run, set(turns)))
    found = []
    for release in deployment.releases:
        runs = runs_behind(deployment, release.version)
        saw: set[str] = set().union(*(seen.get(run, set()) for run in runs))
        if saw:
            retired = release.version in deployment.retired
            live = release.version == deployment.live
            found.append(MarkedVersion(release.version, release.model, len(saw), live, not retired))
    return tuple(found)


def _shared(paths: Paths, job: ForgetJob) -> list[str]:
    """What other answers and the projects' own files say as well."""
    if job.request.keep_record:
        return []
    files = ["the files of your projects, from which their context is made again"]
    registered = []
    with suppress(QiError, OSError):  # a list that cannot be read is told by `status`
        registered = [
            f"{project} as a registered project: `qi-learn init --remove` takes it back"
            for project in (load_projects(paths) if job.request.project else ())
            if str(project) == job.request.project
        ]
    return [*_earlier(job), *(files if job.contexts else ()), *registered]


def _earlier(job: ForgetJob) -> list[str]:
    if not job.shared:
        return []
    few = ", ".join(job.shared[:5]) + (", ..." if len(job.shared) > 5 else "")
    return [f"what {len(job.shared)} earlier answers say as well: {few}; name them to forget it"]


def _stays(paths: Paths, versions: tuple[MarkedVersion, ...]) -> list[str]:
    weights = [
        f"the weights of v{v.version} (adapters/v{v.version}"
        + (f", {v.model} on the server)" if v.on_server else "; its model was deleted)")
        + ": no text can be searched for in weights"
        for v in versions
    ]
    with suppress(OSError, ValueError):
        known = codec.loads(KnownBackups, paths.backups.read_text(encoding="utf-8")).backups
        made = "%Y-%m-%d %H:%M"
        weights += [
            f"the backup {b.file} of {time.strftime(made, time.localtime(b.made))}, if it held it: "
            "delete it, or make a new one in its place"
            for b in known
        ]
    return weights
