"""File systems that tell nobody of a change.

On these a file may be written by another machine, or by a program on the other side of the mount,
and the system here hears nothing of it. So trees on them are looked at, not waited for.
"""

from __future__ import annotations

from collections.abc import Sequence

from qi_learn.outside.mounts import Mount, mount_of

SILENT = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "prl_fs"),
    *("vmhgfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "coda", "ncpfs"),
    *("davfs", "drvfs", "v9fs", "grpcfuse", "osxfs", "fakeowner", "fuse", "gfs2", "ocfs2"),
}
"""Types whose changes may come from elsewhere. `fuse.` with any name after it is one too; `fuseblk`
is a disk of this machine.
"""


def silent_mount(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that holds a path, if files on it may change without an event."""
    mount = mount_of(path, mounts)
    silent = mount is not None and (mount.type in SILENT or mount.type.startswith("fuse."))
    return mount if silent else None
