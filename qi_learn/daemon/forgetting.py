"""Forgetting, step by step: rows, what hangs on nothing, data sets, marks, spool, remains.

The invariant: a job is on the disk before its first step, each step may be done twice, and the
next is begun when the one before is noted as done. So a `forget` that was killed anywhere is
completed by the next daemon, or by the next command that is the daemon for a while.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from qi_learn.daemon.forget_job import ForgetJob, new_job, read_job, write_job
from qi_learn.daemon.forget_receipt import receipt_of, weigh_all, write_receipt
from qi_learn.deploy.taint import mark_runs
from qi_learn.errors import NotFound, QiError, StoreError
from qi_learn.paths import Paths
from qi_learn.records import ForgetRequest, Receipt
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.rundir.forget_examples import expire_data_set, forget_examples, turns_in
from qi_learn.rundir.snapshot import snapshot_ready
from qi_learn.spool import LEFT, Spool, retire, spool_files
from qi_learn.store import audit, forget
from qi_learn.store.bad_lines import drop_lines
from qi_learn.store.database import Store
from qi_learn.store.forget_choice import choose, says
from qi_learn.store.tombstones import Tombstones

logger = logging.getLogger(__name__)
SLICE_SECONDS = 0.5
"""How long one look at a job deletes turns; the rest waits for the next."""
SPOOL_SECONDS = 90.0
"""How long a spool file may take to go; then the receipt says that it is there still."""
GOING_ON = "more of it is to be done"
"""The reason of a step that only makes room for others."""
KEEPING = ("cycle", "rows", "runs", "cycle again", "runs again", "versions", "audit")
"""The steps of one that keeps the record."""


class Forgetting:
    """Does the one job that there may be; its owner is the only writer of the database."""

    def __init__(
        self,
        paths: Paths,
        *,
        cancel: Callable[[RunDirectory], Any],
        taken_away: Callable[[], None] = lambda: None,
    ) -> None:
        """`cancel` ends a cycle, and may be called again; `taken_away` is called when rows went."""
        self._paths = paths
        self._cancel = cancel
        self._taken_away = taken_away
        self._job: ForgetJob | None = None
        self._spool_until: float | None = None
        self.texts: tuple[str, ...] = ()
        """A few of the texts of the last job that was begun, in memory only."""
        self.waits_for = ""
        """What the job waits for; empty if there is none, or it just goes on."""

    @property
    def busy(self) -> bool:
        """Whether there is a job."""
        return self._job is not None

    def resume(self) -> None:
        """Take up what a process that was killed left. Raises StoreError."""
        self._job = self._job or read_job(self._paths)

    def begin(self, store: Store, request: ForgetRequest) -> Receipt:
        """Write down what is to be forgotten; `go_on` does it.

        Raises NotFound if an id names no turn.
        """
        choice = choose(store, request)
        went = weigh_all(self._paths, store, request, choice)
        self.texts = choice.texts
        self._job = new_job(request, choice, went)
        write_job(self._paths, self._job)
        return self._receipt(store, self._job, "under way", "")

    def go_on(self, store: Store, now: float) -> Receipt | None:
        """Do the next steps; the receipt when the last one is done, else None: it waits.

        Raises what stopped a step (DiskFull, StoreError): called again, it tries again.
        """
        if self._job is None:
            return None
        for name, step in self._steps().items():
            if name in self._job.done:
                continue
            try:
                # or a power failure would undo a step that is noted as done
                with forget.on_the_disk(store):
                    self.waits_for = step(store)
            except QiError as error:
                self.waits_for = f"what stops it to be mended ({error.what})"
                self._receipt(store, self._job, "under way", self.waits_for)
                raise
            if self.waits_for:
                if self.waits_for != GOING_ON:
                    self._receipt(store, self._job, "under way", self.waits_for)
                return None
            self._job = self._job.with_done(name)
            write_job(self._paths, self._job)
        receipt = self._receipt(store, self._job, "done", "", now)
        self._paths.forgetting.unlink(missing_ok=True)
        self._job = None
        return receipt

    def _steps(self) -> Mapping[str, Callable[[Store], str]]:
        steps = {
            "cycle": self._stop_cycle,
            "rows": self._rows,
            "rest": self._rest,
            "runs": self._runs,
            # one that was asked for meanwhile may have frozen what was half gone
            "cycle again": self._stop_cycle,
            "runs again": self._runs,
            "versions": self._versions,
            "spool": self._spool,
            "bad lines": self._bad_lines,
            "copies": self._copies,
            "audit": self._audit,
            "remains": self._remains,
        }
        if self.job.request.keep_record:
            return {name: step for name, step in steps.items() if name in KEEPING}
        return steps

    @property
    def job(self) -> ForgetJob:
        """The job under way."""
        assert self._job is not None
        return self._job

    # --- the steps: each says what it waits for ---------------------------------------------------

    def _stop_cycle(self, store: Store) -> str:
        """End a cycle that learns from it, or is just reading what it may learn from."""
        turns = set(self.job.turns)
        for run in run_directories(self._paths.runs):
            if run.ended or (snapshot_ready(run.snapshot) and not turns_in(run, turns)):
                continue
            self._cancel(run)
            if not run.ended:
                return f"the cycle {run.run_id} to end"
        return ""

    def _rows(self, store: Store) -> str:
        job, over = self.job, time.monotonic() + SLICE_SECONDS
        tombstones = Tombstones(store)
        if not job.request.keep_record:
            self._bury_span(store, tombstones)
        said = set(job.messages)
        while True:
            turns = _left(store, job)[: forget.AT_ONCE]
            if not turns and not said:
                break
            if job.request.keep_record:
                forget.keep_from_learning(store, turns)
            else:
                forget.forget_turns(store, tombstones, turns, said, job.request.asked)
            said = set()
            if turns and time.monotonic() > over:
                return GOING_ON
        self._taken_away()
        return ""

    def _bury_span(self, store: Store, tombstones: Tombstones) -> None:
        request = self.job.request
        if request.since is not None or request.project:
            tombstones.bury_span(request.since or 0.0, request.asked, request.project)

    def _rest(self, store: Store) -> str:
        forget.forget_rest(store, self.job.choice)
        forget.drop_unneeded(store)
        return ""

    def _runs(self, store: Store) -> str:
        turns = set(self.job.turns)
        for run in run_directories(self._paths.runs):
            try:
                if seen := turns_in(run, turns):
                    forget.note_runs(store, run.run_id, seen)
                    forget_examples(run, turns)
                elif run.ended or snapshot_ready(run.snapshot):
                    (run.path / "rendered.jsonl").unlink(missing_ok=True)
            except StoreError as error:
                logger.warning("its texts are deleted: %s", error.what)
                expire_data_set(run)  # what cannot be read cannot be searched
        return ""

    def _versions(self, store: Store) -> str:
        with suppress(NotFound):  # nothing is live yet
            mark_runs(
                self._paths, forget.forgotten_in_runs(store), retrain=self.job.request.retrain
            )
        return ""

    def _spool(self, store: Store) -> str:
        """Wait until the files are gone whose lines were taken in before this began."""
        if self._spool_until is None:
            names = {p.name.removesuffix(LEFT) for p in spool_files(self._paths.spool)}
            self._spool_until = time.monotonic() + SPOOL_SECONDS
            self._job = replace(self.job, spool=tuple(sorted(names)))
        left = [
            path
            for path in spool_files(self._paths.spool)
            if path.name.removesuffix(LEFT) in self.job.spool and _holds_lines(path)
        ]
        for path in left:
            with suppress(OSError):
                if not path.name.endswith(LEFT) and path.stat().st_mode & 0o200 and retire(path):
                    self._taken_away()
        if left and time.monotonic() < self._spool_until:
            return "the spool to be emptied"
        if left:
            named = ", ".join(path.name for path in left)
            self._job = replace(self.job, stays=(*self.job.stays, f"in the spool: {named}"))
        self._spool_until = None
        return ""

    def _bad_lines(self, store: Store) -> str:
        bad = self._paths.spool / "bad"
        gone = drop_lines(bad, _in_lines(self.job.request, self.job.turns))
        self._job = self.job.went_more(**{"bad lines": gone})
        return ""

    def _copies(self, store: Store) -> str:
        """Delete the copies of an older schema: they hold everything."""
        found = list(store.path.parent.glob(f"{store.path.name}.schema-*.backup"))
        for path in (*found, *store.path.parent.glob(f".{store.path.name}.*.tmp")):
            path.unlink(missing_ok=True)
        self._job = self.job.went_more(**{"copies of an older schema": len(found)})
        return ""

    def _audit(self, store: Store) -> str:
        """Note in the audit journal that something was forgotten; not what."""
        known = "SELECT 1 FROM audit WHERE what = 'forgotten' AND instr(body, ?)"
        if store.row(known, (self.job.id,)) is None:
            counted = {"receipt": self.job.id, "turns": len(self.job.turns)}
            kept = {"kept": True} if self.job.request.keep_record else {}
            audit.append(store, self.job.request.asked, "forgotten", {**counted, **kept})
        return ""

    def _remains(self, store: Store) -> str:
        if "compacted" not in self.job.done:
            store.execute("VACUUM")
            self._job = self.job.with_done("compacted")
        return "" if forget.empty_wal(store) else "a reader of the database to end"

    # --- the receipt ------------------------------------------------------------------------------

    def _receipt(
        self, store: Store, job: ForgetJob, state: Any, waits_for: str, now: float | None = None
    ) -> Receipt:
        receipt = receipt_of(self._paths, store, job, state)
        receipt = replace(receipt, waits_for=waits_for, finished=now)
        write_receipt(self._paths, receipt)
        return receipt


def _holds_lines(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False  # it went just now


def _left(store: Store, job: ForgetJob) -> list[str]:
    """The turns of a job that are not done yet."""
    sql = "SELECT id FROM turns WHERE id IN (SELECT value FROM json_each(?)) AND NOT never_learn"
    if not job.request.keep_record:
        sql = sql.removesuffix(" AND NOT never_learn")
    return [row["id"] for row in store.rows(sql, (json.dumps(job.turns),))]


def _in_lines(request: ForgetRequest, turns: Iterable[str]) -> Callable[[str, float], bool]:
    """Whether a bad line (its text, and the time of its file) is meant."""
    if request.grep:
        found = says(request.grep)
        return lambda text, at: found(text)
    if request.project:
        return lambda text, at: request.project in text
    if request.since is not None:
        since = request.since
        return lambda text, at: at >= since
    named = tuple(turns)
    return lambda text, at: any(turn in text for turn in named)


def abandon(paths: Paths, run: RunDirectory) -> None:
    """Cancel a run that no daemon works on; if a process still works on it, that ends it."""
    run.cancel()
    if run.held:
        return
    reason = "something that it learned from was forgotten"
    spool = Spool(paths.spool, "forget", clock=time.time)
    spool.append("cycle", {"run": run.run_id, "state": "cancelled", "reason": reason})
    spool.close()
    run.write(run.outcome, {"state": "cancelled", "reason": reason, "version": None})
    run.clear()
