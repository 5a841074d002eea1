"""`qi-learn backup` and `restore`: a home in one file, and back."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qi_learn import __version__, codec
from qi_learn.daemon import client
from qi_learn.daemon.forget_receipt import KnownBackup, KnownBackups
from qi_learn.daemon.lock import take_lock
from qi_learn.daemon.restoring import complete_restore, put_in_place, stage_of
from qi_learn.deploy.journal import load_deployment, read_journal
from qi_learn.deploy.taint import mark_runs
from qi_learn.errors import Busy, NotFound, QiError, Refused, StoreError
from qi_learn.paths import Paths, replace_file
from qi_learn.redact import load_redactor
from qi_learn.rundir.archive import ArchiveManifest, read_archive, write_archive
from qi_learn.rundir.directory import run_directories
from qi_learn.rundir.forget_examples import forget_examples, turns_in
from qi_learn.store import copies, forget
from qi_learn.store.database import Store, open_store
from qi_learn.store.tombstones import Tombstones, carry_over_tombstones

SINGLE = (
    *("redaction.key", "redacted-secrets"),
    *("projects.json", "deploy.json", "routes.json", "backups.json"),
)
"""Files of the data directory that are in a backup; the database is a copy of its own."""
LEFT_OUT = (".gguf", ".tmp", ".log")
NOT_OF_RUNS = ("checkpoints", "lock", "rendered.jsonl")


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What was put into a backup, or taken out of one."""

    file: str
    made: float
    bytes: int
    files: int
    turns: int
    live: str
    """The live version in it; empty if there is none."""
    seconds: float
    forgotten: int = 0
    """By a restore: turns in it that this home had forgotten since, and which did not come back."""
    remark: str = ""
    """What a person should know of it."""


def backup(paths: Paths, file: Path, *, force: bool = False) -> BackupReport:
    """Write everything that a home needs to one file; the daemon may go on meanwhile.

    Raises NotFound if nothing was recorded, Refused if the file is there already, Busy while
    something is being forgotten, DiskFull, StoreError.
    """
    began, now = time.monotonic(), time.time()
    target = file.expanduser().absolute()
    if not paths.database.exists():
        raise NotFound("Nothing was recorded yet.", "`qi-learn status` says whether it records.")
    if target.exists() and not force:
        raise Refused(f"{target} is there already.", "Name another, or say --force.")
    if paths.forgetting.exists():
        raise Busy("Something is being forgotten just now.", "Try again in a minute.")
    copy = target.with_name(f".{target.name}.{os.getpid()}.db.tmp")
    try:
        copies.copy_database(paths.database, copy)
        live = ""
        with suppress(QiError):
            live = load_deployment(paths).live
        manifest = write_archive(
            target,
            _files(paths, copy),
            made=now,
            program=__version__,
            turns=copies.turns_in_copy(copy),
            live=live,
        )
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        with suppress(NotADirectoryError):  # it could not be made
            copy.unlink(missing_ok=True)
    remark = _note(paths, KnownBackup(str(target), now))
    return _report(target, manifest, time.monotonic() - began, remark=remark)


def _not_written(target: Path, error: OSError) -> QiError:
    there = target.parent.is_dir()
    return QiError(
        f"{target} cannot be written: {error.strerror or error}.",
        "Name another place." if there else "Name a file in a directory that is there.",
    )


def _files(paths: Paths, copy: Path) -> Iterator[tuple[str, Path]]:
    """The files of a backup: name in it, and place."""
    yield "data/qi-learn.db", copy
    if paths.settings_file.exists():
        yield "config/config.toml", paths.settings_file
    for name in SINGLE:
        if (path := paths.data / name).is_file():
            yield f"data/{name}", path
    roots = [paths.adapters, paths.receipts]
    roots += [run.path for run in run_directories(paths.runs) if run.ended]
    for root in roots:
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(paths.data)
            if (
                path.is_file()
                and path.suffix not in LEFT_OUT
                and not set(inside.parts) & set(NOT_OF_RUNS)
            ):
                yield f"data/{inside.as_posix()}", path


def _note(paths: Paths, made: KnownBackup) -> str:
    """Remember the backup, so that a receipt can name it; what keeps from that, as a remark."""
    known: tuple[KnownBackup, ...] = ()
    with suppress(OSError, ValueError):
        known = codec.loads(KnownBackups, paths.backups.read_text(encoding="utf-8")).backups
    others = [b for b in known if b.file != made.file and Path(b.file).exists()]
    try:
        replace_file(paths.backups, codec.dumps(KnownBackups((*others, made))) + "\n")
    except (OSError, QiError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return f"it is whole, but {paths.backups} cannot be written ({why}): no receipt names it"
    return ""


def _report(
    file: Path, manifest: ArchiveManifest, seconds: float, forgotten: int = 0, remark: str = ""
) -> BackupReport:
    return BackupReport(
        file=str(file),
        made=manifest.made,
        bytes=file.stat().st_size,
        files=len(manifest.files),
        turns=manifest.turns,
        live=manifest.live,
        seconds=round(seconds, 2),
        forgotten=forgotten,
        remark=remark,
    )


# --- back -----------------------------------------------------------------------------------------


def restore(paths: Paths, file: Path, *, force: bool = False) -> BackupReport:
    """Make this home what the backup holds; what was forgotten here since stays forgotten.

    Raises Busy while a daemon runs, Refused if there is something here already and not `force`,
    StoreError if it is no whole backup: then nothing was changed. DiskFull.
    """
    began = time.monotonic()
    source = file.expanduser().absolute()
    if not source.is_file():
        raise NotFound(f"There is no file {source}.", "Name a file that `qi-learn backup` made.")
    if client.locked(paths):
        raise Busy("A daemon runs for this home.", "Stop it first: `qi-learn daemon stop`.")
    lock = take_lock(paths.ensure())
    try:
        complete_restore(paths)
        if not force and (paths.database.exists() or paths.deploy.exists()):
            raise Refused(
                f"There is something in {paths.data} already.",
                "--force puts the backup in its place; `qi-learn backup` keeps what is there.",
            )
        stage = stage_of(paths)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(mode=0o700)
        try:
            manifest = read_archive(source, stage)
            copies.check_copy(stage / "data" / "qi-learn.db")
            forgotten, remark = _forget_again(paths, _paths_of(stage))
            # it may be of before the rules of today: it is looked through again
            replace_file(_paths_of(stage).redaction_rules, "")
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        put_in_place(paths, stage)
    finally:
        os.close(lock)
    return _report(source, manifest, time.monotonic() - began, forgotten, remark)


def _paths_of(stage: Path) -> Paths:
    return Paths(stage / "config", stage / "data", stage / "state", stage / "run")


def _forget_again(here: Paths, there: Paths) -> tuple[int, str]:
    """Bring the tombstones of this home to the restored one.

    Returns how many turns do not come back, and a remark if what is forgotten here is not known.
    """
    gone, kept, remark = list[str](), list[str](), ""
    with open_store(there.database) as store:  # an older schema is brought up to this one
        if here.database.exists():
            try:
                gone, kept = carry_over_tombstones(
                    store, here.database, marks=_same_key(here, there)
                )
            except StoreError as error:
                # the database here is damaged, or of before anything could be forgotten
                if "no such table" not in str(error):
                    remark = f"What was forgotten here is not known, and may be back: {error}"
            _take_out(there, store, gone, kept)
        store.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in (*there.data.glob("qi-learn.db*"), there.data / "deploy.lock"):
        if path != there.database:
            path.unlink(missing_ok=True)
    return len(gone), remark


def _take_out(there: Paths, store: Store, gone: list[str], kept: list[str]) -> None:
    load_redactor(there.data / "redaction.key")  # made if the backup has none
    forget.keep_from_learning(store, kept)
    forget.forget_turns(store, Tombstones(store), gone, frozenset(), time.time())
    forget.drop_unneeded(store)
    for run in run_directories(there.runs):
        if seen := turns_in(run, {*gone, *kept}):
            forget.note_runs(store, run.run_id, seen)
            forget_examples(run, seen)
    if read_journal(there) is not None:
        mark_runs(there, forget.forgotten_in_runs(store), retrain=False)
    forget.compact(store)


def _same_key(here: Paths, there: Paths) -> bool:
    try:
        names = [p.data / "redaction.key" for p in (here, there)]
        return names[0].read_bytes() == names[1].read_bytes()
    except OSError:
        return False


def as_text(report: BackupReport, *, restored: bool) -> str:
    """What was done, for a person."""
    turns = f"{report.turns} turn{'' if report.turns == 1 else 's'}"
    size = f"{report.bytes / 1e6:.1f} MB, {report.files} files, {turns}"
    live = f", v{report.live} live" if report.live else ""
    lines = [f"{'restored from' if restored else 'written:'} {report.file} ({size}{live})"]
    if report.forgotten:
        one = report.forgotten == 1
        gone = "1 turn" if one else f"{report.forgotten} turns"
        stay = "it stays" if one else "they stay"
        lines.append(f"{gone} in it had been forgotten here: {stay} so")
    lines += [report.remark] if report.remark else []
    if restored and report.live:
        lines.append(
            f"the model of v{report.live} is not in a backup: if the server lacks it, requests go "
            "to the base until it is there (`qi-learn doctor`)"
        )
    if not restored:
        lines.append("not in it: models, logs, caches, and what waits in the spool")
    return "\n".join([*lines, f"{report.seconds:.1f} s"])
