"""Which file system a path is on: recorded mount tables, and this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from qi_learn.errors import StoreError
from qi_learn.outside.mounts import MOUNTS, file_system_of, is_shared, refuse_shared_home
from qi_learn.paths import Paths

# As the kernel prints it (proc(5)): a laptop with its home on NFS, a share with a blank in its
# name, sshfs, a container's overlay over an automounter's point, and a local disk below the share.
TABLE = r"""22 27 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:14 - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
41 27 0:36 / /home rw,relatime shared:20 - autofs systemd-1 rw,fd=29,pgrp=1,timeout=0
42 41 0:37 / /home rw,relatime shared:21 - nfs4 server:/export/home rw,vers=4.2,hard,proto=tcp
43 27 0:38 / /mnt/team\040share rw,relatime shared:22 - cifs //server/team rw,vers=3.1.1,soft
44 42 0:39 / /home/ann/remote rw,nosuid,nodev - fuse.sshfs ann@host:/srv rw,user_id=1000
45 42 8:17 / /home/ann/disk rw,relatime shared:23 - xfs /dev/sdb1 rw,attr2
46 27 0:40 / /mnt/host rw,relatime - 9p hostshare rw,trans=virtio
broken line
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(TABLE)
    return path


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/var/lib/x", "ext4", False),
        ("/home", "nfs4", True),
        ("/home/ann/.local/share/qi-learn", "nfs4", True),
        ("/home/ann/remote/x", "fuse.sshfs", True),
        ("/home/ann/remotely", "nfs4", True),
        ("/home/ann/disk/qi", "xfs", False),
        ("/mnt/team share/qi", "cifs", True),
        ("/mnt/host/qi", "9p", True),
        ("/proc/self", "proc", False),
    ],
)
def test_the_longest_mount_point_decides_and_the_later_hides_the_earlier(
    mounts: Path, path: str, kind: str, shared: bool
) -> None:
    assert file_system_of(Path(path), mounts=mounts) == kind
    assert is_shared(Path(path), mounts=mounts) is shared


def test_the_disk_of_a_small_virtual_machine_is_its_own(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("27 1 0:5 / / rw - 9p none rw,trans=fd\n")
    assert file_system_of(Path("/root"), mounts=table) == "9p"
    assert not is_shared(Path("/root"), mounts=table)


def test_without_a_mount_table_nothing_is_known(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, mounts=tmp_path / "none") == ""
    assert not is_shared(tmp_path, mounts=tmp_path / "none")


@pytest.mark.skipif(not MOUNTS.exists(), reason="no mount table on this system")
def test_this_machine_names_the_kernel_s_own() -> None:
    assert file_system_of(Path("/proc")) == "proc"
    assert file_system_of(Path("/proc/nowhere/at/all")) == "proc"


def test_a_home_on_a_network_file_system_is_refused_by_name(mounts: Path, tmp_path: Path) -> None:
    refuse_shared_home(Paths.under(tmp_path), mounts=mounts)
    with pytest.raises(StoreError) as refused:
        refuse_shared_home(Paths.under(Path("/home/ann/qi")), mounts=mounts)
    assert "network file system (nfs4)" in refused.value.what
    assert "QI_LEARN_HOME" in refused.value.hint
