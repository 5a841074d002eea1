"""Which file systems tell of changes, by recorded tables of mounts."""

from __future__ import annotations

import pytest

from qi_learn.outside.mounts import parse_mounts, read_mounts
from qi_learn.workspace.silent_mounts import silent_mount

LAPTOP = rb"""
22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro
96 28 259:1 / /boot/efi rw,relatime shared:30 - vfat /dev/nvme0n1p1 rw,fmask=0077
120 28 0:52 / /home/me/far rw,nosuid,nodev,relatime shared:60 - fuse.sshfs me@host:/srv rw
121 28 0:53 / /mnt/nas rw,relatime shared:61 - nfs4 nas:/export rw,vers=4.2,rsize=1048576
122 28 0:54 / /mnt/with\040a\040space rw,relatime shared:62 - cifs //server/share rw,vers=3.1.1
123 28 0:55 / /mnt/windows rw,relatime shared:63 - fuseblk /dev/sda1 rw,user_id=0
124 121 259:2 /srv/local /mnt/nas/local rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
125 28 0:56 / /run/user/1000/doc rw,nosuid,nodev,relatime shared:64 - fuse.portal portal rw
"""
WSL = rb"""
76 67 8:32 / / rw,relatime - ext4 /dev/sdc rw,discard,errors=remount-ro,data=ordered
91 76 0:55 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=1000,trans=fd
92 76 0:28 / /mnt/wsl rw,relatime shared:1 - tmpfs none rw
"""
CONTAINER = rb"""
1045 968 0:170 / / rw,relatime master:362 - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A
1046 1045 0:173 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1060 1045 0:41 /Users/me/work /code rw,relatime - fakeowner /run/host_mark/Users rw,fakeowner
1061 1045 0:42 / /shared rw,relatime - virtiofs virtiofs0 rw
1062 1045 0:43 / /box rw,nodev,relatime - vboxsf vagrant rw,iocharset=utf8,uid=1000
"""


@pytest.mark.parametrize(
    ("table", "path", "type"),
    [
        (LAPTOP, "/home/me/work", None),
        (LAPTOP, "/home/me/far", "fuse.sshfs"),
        (LAPTOP, "/home/me/far/src", "fuse.sshfs"),
        (LAPTOP, "/home/me/farther", None),
        (LAPTOP, "/mnt/nas/x", "nfs4"),
        (LAPTOP, "/mnt/nas/local/x", None),
        (LAPTOP, "/mnt/with a space/x", "cifs"),
        (LAPTOP, "/mnt/windows/x", None),
        (LAPTOP, "/run/user/1000/doc/x", "fuse.portal"),
        (WSL, "/home/me", None),
        (WSL, "/mnt/c/Users/me/work", "9p"),
        (CONTAINER, "/srv", None),
        (CONTAINER, "/code/x", "fakeowner"),
        (CONTAINER, "/shared", "virtiofs"),
        (CONTAINER, "/box/x", "vboxsf"),
        (b"not a table\n", "/x", None),
    ],
)
def test_the_innermost_mount_decides(table: bytes, path: str, type: str | None) -> None:
    mount = silent_mount(path, parse_mounts(table))
    assert (None if mount is None else mount.type) == type


def test_the_table_of_this_machine_can_be_read() -> None:
    assert any(mount.point == "/" for mount in read_mounts())
