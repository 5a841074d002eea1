"""Which file system a path is on, as the kernel's mount table says.

The table is `/proc/self/mountinfo` (Linux, proc(5)). A system without one gives "": not known is
never taken for a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from qi_learn.errors import StoreError
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass

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
_OCTAL = rb"\\([0-7]{3})"


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system."""

    point: str
    type: str


def parse_mounts(raw: bytes) -> tuple[Mount, ...]:
    """The mounts in the text of a mountinfo file, without lines of another form."""
    found = []
    for line in raw.split(b"\n"):
        left, _, right = line.partition(b" - ")
        fields, kind = left.split(b" "), right.split(b" ")[0]
        if len(fields) >= 6 and kind:
            point = re.sub(_OCTAL, lambda match: bytes((int(match[1], 8),)), fields[4])
            found.append(Mount(os.fsdecode(point), kind.decode("ascii", "replace")))
    return tuple(found)


def read_mounts(file: Path = MOUNTS) -> tuple[Mount, ...]:
    """The mounts of this process; none if the system does not tell."""
    try:
        return parse_mounts(file.read_bytes())
    except OSError:
        return ()


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that holds a real path. Of two on one point the later hides the earlier."""
    holding: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (holding is None or len(mount.point) >= len(holding.point)):
            holding = mount
    return holding


def file_system_of(path: Path, *, mounts: Path = MOUNTS) -> str:
    """The type of the file system that holds the path (`ext4`, `nfs4`, `fuse.sshfs`, ...).

    Of a path that is not there yet, that of its nearest parent that is; "" if it is not known.
    """
    mount = mount_of(os.path.realpath(path), read_mounts(mounts))
    return mount.type if mount else ""


def is_shared(path: Path, *, mounts: Path = MOUNTS) -> bool:
    """Whether the path is on a file system that another machine may write as well."""
    mount = mount_of(os.path.realpath(path), read_mounts(mounts))
    return mount is not None and (
        mount.type in SHARED or (mount.type in _SHARED_UNLESS_ROOT and mount.point != "/")
    )


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
