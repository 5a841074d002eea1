"""A home that cannot be used is refused with one clear sentence, and what was accepted is kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from qi_learn.errors import DiskFull, SpoolError, StoreError
from qi_learn.paths import Paths
from qi_learn.spool import Spool
from qi_learn.store import events
from qi_learn.store.database import open_store
from tests.support.drained_spool import take
from tests.support.odd_homes import (
    STRANGER,
    as_user,
    on_network,
    root_only,
)


@root_only
def test_a_home_of_another_user(open_place: Path) -> None:
    home = Paths.under(open_place / "home").ensure()
    for directory in (open_place / "home", *(open_place / "home").iterdir()):
        directory.chmod(0o755)
    told = as_user(STRANGER, home.ensure)
    assert told.startswith(f"StoreError: {home.config} belongs to another user (uid 0, you are")
    os.chown(home.data, STRANGER, STRANGER)
    with pytest.raises(StoreError, match="belongs to another user"):
        home.ensure()  # what root made there, its owner could not write


@root_only
def test_a_home_that_may_not_be_written_to(open_place: Path) -> None:
    place = open_place / "mine"
    place.mkdir()
    os.chown(place, STRANGER, STRANGER)
    home = Paths.under(place / "home")
    assert as_user(STRANGER, home.ensure) == str(home)
    home.state.chmod(0o500)
    assert as_user(STRANGER, home.ensure) == f"StoreError: {home.state} may not be written to."
    place.chmod(0o500)
    other = Paths.under(place / "other")
    told = as_user(STRANGER, other.ensure)
    assert told == f"StoreError: {other.config} cannot be made: Permission denied."


def test_a_read_only_home(small_disk: Path) -> None:
    home = Paths.under(small_disk / "home").ensure()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError) as refused:
        home.ensure()
    assert refused.value.what == f"{home.config} is on a read-only file system."
    assert "QI_LEARN_HOME" in refused.value.hint
    with pytest.raises(StoreError, match="cannot be made: Read-only file system"):
        Paths.under(small_disk / "other").ensure()


def test_a_full_home_keeps_what_it_accepted(small_disk: Path) -> None:
    """The spool fills the disk, so that the database cannot grow; with room all of it is there."""
    home = Paths.under(small_disk / "home").ensure()
    told = []
    spool = Spool(home.spool, "gateway")
    refused = ""
    while not refused:
        try:
            told.append(spool.append("git", {"text": "x" * 3000}))
        except SpoolError as error:
            refused = error.what
    assert "No space left" in refused
    for _ in range(50):
        with pytest.raises(SpoolError):
            spool.append("git", {"text": "x" * 9000})
    assert len(list(home.spool.iterdir())) < 5  # no empty file for each line that was refused
    with pytest.raises((DiskFull, StoreError)) as full:
        open_store(home.database).close()
    assert "disk" in str(full.value) or "space" in str(full.value)
    subprocess.run(["mount", "-o", "remount,size=32m", small_disk], check=True)
    with open_store(home.database) as store:
        take(store, home.spool)
        assert [event.id for event in events.events_of(store, "git")] == told
    spool.close()


NETWORKED = """
import sys
from pathlib import Path
from qi_learn.daemon.lock import take_lock
from qi_learn.errors import QiError
from qi_learn.paths import Paths
try:
    take_lock(Paths.under(Path(sys.argv[1])).ensure())
except QiError as error:
    print(error.what)
"""


@root_only
def test_a_daemon_on_a_network_home_is_told_which(tmp_path: Path) -> None:
    """The kernel's own table says NFS to that one process, which becomes the daemon."""
    home, script = tmp_path / "home", tmp_path / "lock.py"
    home.mkdir()
    script.write_text(NETWORKED)
    told = on_network(home, script, home)
    assert "is on a network file system (nfs4)" in told.stdout, told
