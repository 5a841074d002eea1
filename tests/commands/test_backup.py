"""Backup and restore: a home in one file and back, also while it is written, whatever dies."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import stat
import sys
import tarfile
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from qi_learn.commands.backup import as_text, backup, restore
from qi_learn.commands.forget import forget
from qi_learn.daemon.look_through import RedactAgain, look_through, read_receipt
from qi_learn.daemon.restoring import complete_restore
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.taint import forgotten_in
from qi_learn.errors import Busy, QiError, Refused, StoreError
from qi_learn.paths import Paths
from qi_learn.records import ForgetRequest, Message
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import load_snapshot
from qi_learn.store import audit, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.schema import migrations
from tests.support import forgotten_home as home
from tests.support.fake_daemon import holding_the_lock
from tests.support.forgotten_home import RUNS, STAYING, WORD, files_with
from tests.support.redacted import as_before, as_redacted

ALL = STAYING | {"T2", "T3"}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths.under(tmp_path / "home")
    home.make(paths)
    adapter = paths.adapters / "v1.1.0" / "adapter.safetensors"
    adapter.parent.mkdir(parents=True)
    adapter.write_bytes(b"weights" * 1000)
    paths.settings_file.write_text("[keep]\nraw_days = 7\n")
    paths.projects.write_text('["/home/me/acme"]\n')
    (paths.runs / RUNS[0] / "model.gguf").write_bytes(b"GGUF" * 1000)
    return paths


def test_a_list_that_cannot_be_written_is_told_and_the_backup_is_there(
    paths: Paths, tmp_path: Path, file: Path
) -> None:
    """As in a home that is read-only; a directory in its place is what keeps root from writing."""
    paths.backups.mkdir()
    report = backup(paths, file)
    assert f"it is whole, but {paths.backups} cannot be written" in as_text(report, restored=False)
    paths.backups.rmdir()
    assert restore(Paths.under(tmp_path / "other"), file).turns == 5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home.backup"


def stored(paths: Paths) -> set[str]:
    with open_store(paths.database) as store:
        assert turns.verify(store) == []
        assert audit.verify(store) == []
        return {row["id"] for row in store.rows("SELECT id FROM turns")}


def same(one: Paths, two: Paths) -> None:
    """Whether two homes hold the same of what a backup is for."""
    for name in ("redaction.key", "projects.json", "deploy.json"):
        assert (one.data / name).read_bytes() == (two.data / name).read_bytes()
    assert one.settings_file.read_bytes() == two.settings_file.read_bytes()
    assert (two.adapters / "v1.1.0" / "adapter.safetensors").stat().st_size == 7000
    with open_store(one.database) as a, open_store(two.database) as b:
        assert rows(a) == rows(b)
    for run in RUNS:
        snapshots = [load_snapshot(RunDirectory(p.runs / run).snapshot) for p in (one, two)]
        assert snapshots[0] == snapshots[1]


def rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    names = [row["name"] for row in store.rows("SELECT name FROM sqlite_master WHERE type='table'")]
    return {name: [tuple(r) for r in store.rows(f'SELECT * FROM "{name}"')] for name in names}


def test_into_an_empty_home(paths: Paths, file: Path, tmp_path: Path) -> None:
    report = backup(paths, file)
    assert (report.turns, report.live) == (5, "1.2.0")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = Paths.under(tmp_path / "other")
    done = restore(other, file)
    assert (done.turns, done.forgotten) == (5, 0)
    same(paths, other)
    assert not list(other.runs.rglob("*.gguf"))
    assert not list(other.data.glob(".restoring*"))
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in home.every_file(other))
    assert "is not in a backup" in as_text(done, restored=True)
    assert [p.name for p in file.parent.iterdir() if "tmp" in p.name] == []


def test_a_restored_home_is_looked_through_for_secrets_again(
    paths: Paths, file: Path, tmp_path: Path
) -> None:
    """The backup may be of a time when fewer were known, whatever this home was looked through."""
    secret = "ghp_" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2"
    with open_store(paths.database) as store:
        turn = home.a_turn("X1", (Message("user", f"use {secret}"),), "Yes.", 900.0)
        turns.save_turn(store, as_before(turn))
    backup(paths, file)
    for place in (paths, Paths.under(tmp_path / "other").ensure()):
        with open_store(place.database) as store:
            for _ in look_through(place, store, 1000.0):
                pass
        restore(place, file, force=True)
        again = RedactAgain(place)
        assert again.left
        with open_store(place.database) as store:
            while again.left:
                again.step(store, 2000.0)
        assert files_with(place, secret) == []
        assert read_receipt(place) is not None


def test_over_an_existing_home_only_by_force(paths: Paths, file: Path, tmp_path: Path) -> None:
    backup(paths, file)
    other = Paths.under(tmp_path / "other").ensure()
    with open_store(other.database) as store:
        turns.save_turn(
            store, as_redacted(home.a_turn("X1", (Message("user", "Mine."),), "Yes.", 1.0))
        )
    before = {p: p.read_bytes() for p in home.every_file(other)}
    with pytest.raises(Refused, match="already"):
        restore(other, file)
    after = {p: p.read_bytes() for p in home.every_file(other) if p.name != "daemon.lock"}
    assert after == before
    restore(other, file, force=True)
    assert stored(other) == ALL
    same(paths, other)


def test_a_file_that_is_there_is_not_written_over(paths: Paths, file: Path) -> None:
    file.write_text("mine")
    with pytest.raises(Refused):
        backup(paths, file)
    assert file.read_text() == "mine"
    assert backup(paths, file, force=True).turns == 5


def test_while_the_daemon_writes(paths: Paths, file: Path, tmp_path: Path) -> None:
    """The copy is of one instant, and the writer is never turned away."""
    stop, written = threading.Event(), []

    def write() -> None:
        with open_store(paths.database) as store:
            n = 0
            while not stop.is_set():
                words = (Message("user", f"question {n} " * 50),)
                with store.transaction():  # always two, so that half of a pair is seen
                    for side in "ab":
                        turn = home.a_turn(f"W{n}{side}", words, f"{n}{side}", 1000.0 + n)
                        turns.save_turn(store, as_redacted(turn))
                n += 1
                written.append(n)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            target = tmp_path / f"{number}.backup"
            backup(paths, target)
            other = Paths.under(tmp_path / f"other{number}")
            restore(other, target)
            pairs = {id for id in stored(other) if id.startswith("W")}
            assert len(pairs) % 2 == 0
    finally:
        stop.set()
        writer.join()
    assert len(written) > 3


def test_refused_while_a_daemon_runs(paths: Paths, file: Path, tmp_path: Path) -> None:
    backup(paths, file)
    other = Paths.under(tmp_path / "other").ensure()
    with holding_the_lock(other), pytest.raises(Busy, match="daemon"):
        restore(other, file)
    assert not other.database.exists()


@pytest.mark.parametrize("harm", ["cut", "changed", "no tar", "manifest missing"])
def test_what_is_no_whole_backup_changes_nothing(
    paths: Paths, file: Path, tmp_path: Path, harm: str
) -> None:
    backup(paths, file)
    content = bytearray(file.read_bytes())
    if harm == "cut":
        content = content[: len(content) // 2]
    elif harm == "changed":
        at = content.index(b"weights")
        content[at] ^= 1
    elif harm == "no tar":
        content = bytearray(b"hello" * 1000)
    else:
        at = content.rindex(b"manifest.json")
        content = content[:at] + b"\0" * 2048
    file.write_bytes(content)
    other = Paths.under(tmp_path / "other")
    with pytest.raises(StoreError, match="no whole backup"):
        restore(other, file)
    assert not other.database.exists()
    before = stored(paths)
    with pytest.raises(StoreError):
        restore(paths, file, force=True)
    assert stored(paths) == before


@pytest.mark.parametrize("name", ["../evil", "/evil", "state/evil", "data/../../evil", "evil"])
def test_a_file_that_wants_to_lie_elsewhere_is_refused(
    file: Path, tmp_path: Path, name: str
) -> None:
    with tarfile.open(file, "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(StoreError, match="no place"):
        restore(Paths.under(tmp_path / "other"), file)
    assert not list(tmp_path.rglob("evil"))


def test_a_link_is_refused(file: Path, tmp_path: Path) -> None:
    with tarfile.open(file, "w") as tar:
        info = tarfile.TarInfo("data/x")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(StoreError, match="no place"):
        restore(Paths.under(tmp_path / "other"), file)


def test_a_newer_ones_database_is_refused(paths: Paths, file: Path, tmp_path: Path) -> None:
    conn = sqlite3.connect(paths.database)
    conn.execute("PRAGMA user_version = 99")
    conn.close()
    backup(paths, file)
    with pytest.raises(StoreError, match="newer"):
        restore(Paths.under(tmp_path / "other"), file)


def test_what_was_forgotten_since_stays_forgotten(paths: Paths, file: Path) -> None:
    backup(paths, file)
    receipt = forget(paths, ForgetRequest(1000.0, grep=WORD))
    assert any(str(file) in what for what in receipt.stays)  # the receipt names the backup
    done = restore(paths, file, force=True)
    assert done.forgotten == 2
    assert stored(paths) == STAYING
    assert (paths.receipts / f"{receipt.id}.json").exists()
    deployment = load_deployment(paths)
    assert forgotten_in(deployment, "1.2.0") == 1
    first = load_snapshot(RunDirectory(paths.runs / RUNS[0]).snapshot)
    assert [e.id for e in first.examples] == ["T1"]
    assert [f for f in files_with(paths, "as a comment.") if "qi-learn.db" in f] == []


def test_what_is_kept_from_learning_stays_so(paths: Paths, file: Path) -> None:
    backup(paths, file)
    forget(paths, ForgetRequest(1000.0, ids=("T2",), keep_record=True))
    restore(paths, file, force=True)
    with open_store(paths.database) as store:
        found = store.rows("SELECT id FROM turns WHERE never_learn ORDER BY id")
        assert [row["id"] for row in found] == ["T2", "T3"]


def test_over_a_damaged_home_and_one_of_an_older_schema(
    paths: Paths, file: Path, tmp_path: Path
) -> None:
    backup(paths, file)
    damaged = Paths.under(tmp_path / "damaged").ensure()
    damaged.database.write_bytes(b"no database " * 1000)
    assert "is not known" in restore(damaged, file, force=True).remark
    assert stored(damaged) == ALL
    older = Paths.under(tmp_path / "older").ensure()
    conn = sqlite3.connect(older.database)
    migrations.apply(sqlite_utils.Database(conn), stop_before=migrations._migrations[6].name)
    conn.close()
    assert restore(older, file, force=True).remark == ""
    assert stored(older) == ALL


def in_a_child(paths: Paths, file: Path, *, die_after: int) -> int:
    """Restore in a forked child that kills itself at a step; how it ended."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    steps = 0

    def seen(event: str, args: Any) -> None:
        nonlocal steps
        if event in ("os.remove", "os.mkdir", "os.rename", "os.rmdir", "shutil.rmtree") or (
            event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            steps += 1
            if steps == die_after:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.addaudithook(seen)
        restore(paths, file, force=True)
        code = 0
    except Exception:  # noqa: BLE001 -- the child must not go on with the parent's tests
        traceback.print_exc()
    finally:
        os._exit(code)


def test_killed_at_every_step_it_is_the_old_home_or_the_new_one(
    paths: Paths, file: Path, tmp_path: Path
) -> None:
    backup(paths, file)
    step, kills = 1, 0
    while True:
        other = Paths.under(tmp_path / f"other{step}").ensure()
        with open_store(other.database) as store:
            turns.save_turn(
                store, as_redacted(home.a_turn("X1", (Message("user", "Mine."),), "Yes.", 1.0))
            )
        ended = in_a_child(other, file, die_after=step)
        if not ended:
            break
        assert os.WIFSIGNALED(ended), "it failed by itself"
        kills += 1
        completed = complete_restore(other)  # as a daemon does before it opens anything
        assert stored(other) == (ALL if completed or other.deploy.exists() else {"X1"})
        if other.deploy.exists():
            same(paths, other)
        assert not list(other.data.glob(".restoring*"))
        step += 1 + step // 10
    assert kills > 15


def test_not_while_something_is_being_forgotten(paths: Paths, file: Path) -> None:
    paths.forgetting.write_text("{}")
    with pytest.raises(Busy):
        backup(paths, file)
    assert not file.exists()


def test_a_place_without_room_or_rights(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(QiError):
        backup(paths, tmp_path / "no" / "such" / "directory" / "x")
    assert replace(backup(paths, tmp_path / "x"), seconds=0.0).files > 10
