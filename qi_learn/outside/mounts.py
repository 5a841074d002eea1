"""Which file system a path is on, as the kernel's mount table says.

The table is `/proc/self/mountinfo` (Linux, proc(5)). A system without one gives "": not known is
never taken for a network.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from qi_learn.errors import StoreError
from qi_learn.paths import Paths

MOUNTS = Path("/proc/self/mountinfo")
SHARED = frozenset(
    (
        *("nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "coda", "ncpfs"),
        *("ceph", "fuse.ceph", "fuse.ceph-fuse", "fuse.glusterfs", "lustre", "beegfs", "gpfs"),
        *("orangefs", "pvfs2", "fuse.juicefs", "davfs", "fuse.davfs2", "fuse.sshfs", "fuse.rclone"),
        *("fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.blobfuse2", "fuse.mount-s3"),
        *("fuse.smbnetfs", "fuse.gvfsd-fuse", "fuse.curlftpfs", "fuse.vmhgfs-fuse", "vboxsf"),
        *("vmhgfs", "prl_fs", "fuse.grpcfuse", "fuse.osxfs"),
    )
)
"""File systems whose files another machine may hold open as well: neither a lock nor the shared
memory of a WAL database reaches it (sqlite.org/wal.html). 9p and virtiofs are such too, but also
the whole disk of small virtual machines: they count unless they are the root.
"""
_SHARED_UNLESS_ROOT = frozenset(("9p", "virtiofs"))
_OCTAL = re.compile(rb"\\([0-7]{3})")


def file_system_of(path: Path, *, mounts: Path = MOUNTS) -> str:
    """The type of the file system that holds the path (`ext4`, `nfs4`, `fuse.sshfs`, ...).

    Of a path that is not there yet, that of its nearest parent that is; "" if it is not known.
    """
    return _mount_of(path, mounts)[1]


def is_shared(path: Path, *, mounts: Path = MOUNTS) -> bool:
    """Whether the path is on a file system that another machine may write as well."""
    point, kind = _mount_of(path, mounts)
    return kind in SHARED or (kind in _SHARED_UNLESS_ROOT and point != b"/")


def refuse_shared_home(paths: Paths, *, mounts: Path = MOUNTS) -> None:
    """Raise StoreError, with the file system's name, if the home is on a network file system."""
    for directory in (paths.data, paths.state, paths.runtime):
        if is_shared(directory, mounts=mounts):
            kind = file_system_of(directory, mounts=mounts)
            raise StoreError(
                f"{directory} is on a network file system ({kind}): two machines could write one "
                "database there, and it would be damaged.",
                "Set QI_LEARN_HOME to a directory on this machine's own disk.",
            )


def _mount_of(path: Path, mounts: Path) -> tuple[bytes, str]:
    """Mount point and type. Of two mounts on one point the later hides the earlier."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return b"", ""
    place = os.fsencode(os.path.realpath(path))
    found, kind = b"", ""
    for line in lines:
        fields, dash, rest = line.partition(b" - ")
        if not dash or len(columns := fields.split(b" ")) < 5:
            continue
        point = _OCTAL.sub(lambda m: bytes((int(m[1], 8),)), columns[4])
        if len(point) >= len(found) and _holds(point, place):
            found, kind = point, rest.split(b" ", 1)[0].decode("ascii", "replace")
    return found, kind


def _holds(point: bytes, place: bytes) -> bool:
    return point == b"/" or place == point or place.startswith(point + b"/")
