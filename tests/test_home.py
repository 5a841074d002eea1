"""A home that cannot be used is refused with one clear sentence, and what was accepted is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_learn.errors import DiskFull, QiError, SpoolError, StoreError
from qi_learn.paths import Paths
from qi_learn.spool import Spool
from qi_learn.store import events
from qi_learn.store.database import open_store
from tests.support.drained_spool import take

ROOT = Path(__file__).parent.parent
STRANGER = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user or mount")


def as_user(uid: int, act: Callable[[], object]) -> str:
    """What a child process running as that user is told."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            os.setgid(uid)
            os.setuid(uid)
            act()
            told = "nothing"
        except QiError as error:
            told = f"{type(error).__name__}: {error.what}"
        except BaseException:  # noqa: BLE001 - a child must not go on with the parent's tests
            told = traceback.format_exc()
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(pid, 0)
    return told


@pytest.fixture
def open_place(tmp_path: Path) -> Path:
    """A directory that another user can reach."""
    for directory in (tmp_path, *tmp_path.parents[:3]):
        if directory != Path("/tmp"):
            directory.chmod(directory.stat().st_mode | 0o055)
    return tmp_path


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
    assert as_user(STRANGER, home.ensure) == "nothing"
    home.state.chmod(0o500)
    assert as_user(STRANGER, home.ensure) == f"StoreError: {home.state} may not be written to."
    place.chmod(0o500)
    other = Paths.under(place / "other")
    told = as_user(STRANGER, other.ensure)
    assert told == f"StoreError: {other.config} cannot be made: Permission denied."


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


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
    home, table = tmp_path / "home", tmp_path / "mountinfo"
    home.mkdir()
    table.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n42 27 0:37 / {home} rw - nfs4 server:/home rw\n"
    )
    script = tmp_path / "lock.py"
    script.write_text(NETWORKED)
    words = f'mount --bind {table} /proc/$$/mountinfo && exec "$0" "$@"'
    told = subprocess.run(
        ["unshare", "-m", "sh", "-c", words, sys.executable, script, home],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if "mount" in told.stderr or "unshare" in told.stderr:
        pytest.skip(f"no namespace of its own can be made here: {told.stderr}")
    assert "is on a network file system (nfs4)" in told.stdout, told
