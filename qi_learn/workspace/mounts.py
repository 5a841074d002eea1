"""File systems that tell nobody of a change: the type is read from `/proc/self/mountinfo`.

On these a file may be written by another machine, or by a program on the other side of the mount,
and the system here hears nothing of it. So trees on them are looked at, not waited for.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
SILENT = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "prl_fs"),
    *("vmhgfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "coda", "ncpfs"),
    *("davfs", "drvfs", "v9fs", "grpcfuse", "osxfs", "fakeowner", "fuse", "gfs2", "ocfs2"),
}
"""Types whose changes may come from elsewhere. `fuse.` with any name after it is one too; `fuseblk`
is a disk of this machine.
"""
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system."""

    point: str
    type: str

    @property
    def silent(self) -> bool:
        """Whether files on it may change without an event."""
        return self.type in SILENT or self.type.startswith("fuse.")


def parse_mounts(raw: bytes) -> tuple[Mount, ...]:
    """The mounts in the text of a mountinfo file, without lines of another form."""
    found = []
    for line in raw.split(b"\n"):
        left, _, right = line.partition(b" - ")
        fields, kind = left.split(b" "), right.split(b" ")[0]
        if len(fields) >= 6 and kind:
            point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
            found.append(Mount(os.fsdecode(point), kind.decode("ascii", "replace")))
    return tuple(found)


def read_mounts(file: Path = MOUNTINFO) -> tuple[Mount, ...]:
    """The mounts of this process; none if the system does not tell."""
    try:
        return parse_mounts(file.read_bytes())
    except OSError:
        return ()


def silent_mount(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that holds a path, if files on it may change without an event."""
    holding: Mount | None = None
    for mount in mounts:  # of two at one place, the later one lies over the other
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (holding is None or len(mount.point) >= len(holding.point)):
            holding = mount
    return holding if holding is not None and holding.silent else None
