"""Homes that cannot be used: another user's, on a disk that is read-only or full, on a network."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_learn.errors import QiError

ROOT = Path(__file__).parents[2]
STRANGER = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user or mount")


def as_user(uid: int, act: Callable[[], object]) -> str:
    """What a child process running as that user gets or is told, as a text."""
    reader, writer = os.pipe()
    if not (pid := os.fork()):
        try:
            os.setgid(uid)
            os.setuid(uid)
            told = str(act())
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
    for directory in (tmp_path, *tmp_path.parents[:4]):
        if directory == Path(tempfile.gettempdir()):
            break
        directory.chmod(directory.stat().st_mode | 0o055)
    return tmp_path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB: an empty home takes a third of it."""
    place = tmp_path / "disk"
    place.mkdir()
    command: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", place]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def on_network(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python with the arguments where the kernel's own table says that the home is on NFS."""
    table = home.parent / "mountinfo"
    table.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n42 27 0:37 / {home} rw - nfs4 server:/home rw\n"
    )
    words = f'mount --bind {table} /proc/$$/mountinfo && exec "$0" "$@"'
    told = subprocess.run(
        ["unshare", "-m", "sh", "-c", words, sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "QI_LEARN_HOME": str(home)},
    )
    if "mount:" in told.stderr or "unshare:" in told.stderr:
        pytest.skip(f"no namespace of its own can be made here: {told.stderr}")
    return told
