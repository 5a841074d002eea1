"""The seccomp programs of the two sandboxes.

System calls that a program of pure computation has no use for fail with EPERM.

Namespaces hide what is outside, and limits bound one process. This closes what neither does: a
second process (a limit on their number does not hold for root), sockets of any kind, memory that
belongs to no process (shared segments, memory files), other processes' memory, and the parts of the
kernel in which most of its holes were found. It is a list of what is forbidden, not of what is
allowed: an interpreter's needs change with its version. A project's tests may start processes and
open sockets, of which the network that they see has only their own; namespaces of their own, and
sockets that no network namespace holds back (vsock, the kernel's crypto), stay forbidden.

Numbers: Linux `asm/unistd_64.h` (x86-64) and `asm-generic/unistd.h` (arm64); instructions:
`linux/bpf_common.h`, `linux/seccomp.h`.
"""

from __future__ import annotations

import struct

FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    # name: (x86-64, arm64); None if that machine has no such call
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "clone3": (435, 435),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "io_uring_setup": (425, 425),
    "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "fsopen": (430, 430), "open_tree": (428, 428),
    "move_mount": (429, 429), "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282),
}  # fmt: skip
MACHINES: dict[str, tuple[int, int]] = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""By name of the machine: the column above, and the kernel's number for it (AUDIT_ARCH)."""
OTHER_WAYS = 0x40000000
"""From this number on, x86-64 has the same calls again for 32-bit pointers."""

_LOAD, _EQUAL, _AT_LEAST, _HAS_ONE_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_KILL, _REFUSE, _ALLOW, _UNKNOWN = 0x80000000, 0x00050000 | 1, 0x7FFF0000, 0x00050000 | 38
_STARTS = ("clone", "fork", "vfork", "clone3")
_SOCKETS = ("socket", "socketpair", "connect", "bind")
_OWN_NAMESPACES = 0x7E020000
"""The flags of `clone` that ask for a namespace of one's own."""
_FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6, and netlink, by which a program learns which addresses it has."""


def seccomp_program(machine: str) -> bytes:
    """The program for `bwrap --seccomp`; a call by another machine's convention kills the process.

    Raises KeyError for a machine that is not in MACHINES.
    """
    column, audit = MACHINES[machine]
    numbers = sorted(n for columns in FORBIDDEN.values() if (n := columns[column]) is not None)
    refuse = [_step(_AT_LEAST, OTHER_WAYS, len(numbers) + 1, 0)]
    refuse += [_step(_EQUAL, number, len(numbers) - i, 0) for i, number in enumerate(numbers)]
    return b"".join(
        [
            _step(_LOAD, _MACHINE),
            _step(_EQUAL, audit, 1, 0),
            _step(_RETURN, _KILL),
            _step(_LOAD, _NUMBER),
            *refuse,
            _step(_RETURN, _ALLOW),
            _step(_RETURN, _REFUSE),
        ]
    )


def project_seccomp_program(machine: str) -> bytes:
    """The program for a project's tests: the same, but processes and sockets of a network.

    `clone3` is answered as by a kernel that has it not, because a filter cannot read its flags:
    every library then asks `clone`. Raises KeyError for a machine that is not in MACHINES.
    """
    column, audit = MACHINES[machine]
    mine = {name: FORBIDDEN[name][column] for name in ("clone", "clone3", "socket", "socketpair")}
    numbers = sorted(
        number
        for name, columns in FORBIDDEN.items()
        if name not in (*_STARTS, *_SOCKETS) and (number := columns[column]) is not None
    )
    clone = [_step(_LOAD, _FIRST_ARGUMENT), _step(_HAS_ONE_OF, _OWN_NAMESPACES, 1, 0)]
    clone += [_step(_RETURN, _ALLOW), _step(_RETURN, _REFUSE)]
    count = len(_FAMILIES)
    socket = [_step(_LOAD, _FIRST_ARGUMENT)]
    socket += [_step(_EQUAL, each, count - i, 0) for i, each in enumerate(_FAMILIES)]
    socket += [_step(_RETURN, _REFUSE), _step(_RETURN, _ALLOW)]
    start = [
        _step(_LOAD, _MACHINE),
        _step(_EQUAL, audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, OTHER_WAYS, 0, 1),
        _step(_RETURN, _REFUSE),
        *_if_number(mine["clone3"], [_step(_RETURN, _UNKNOWN)]),
        *_if_number(mine["clone"], clone),
        *_if_number(mine["socket"], socket),
        *_if_number(mine["socketpair"], socket),
    ]
    refuse = [_step(_EQUAL, number, len(numbers) - i, 0) for i, number in enumerate(numbers)]
    return b"".join([*start, *refuse, _step(_RETURN, _ALLOW), _step(_RETURN, _REFUSE)])


def _if_number(number: int | None, then: list[bytes]) -> list[bytes]:
    """Steps for one call; they end in an answer."""
    return [] if number is None else [_step(_EQUAL, number, 0, len(then)), *then]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; a jump is the number of instructions that are skipped."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
