"""When a file was made, which neither writing it nor setting its times changes.

Linux tells it by `statx`, which Python's `os.stat` does not ask; macOS by `stat`. Some file systems
do not keep it.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from functools import cache

_AT_FDCWD, _AT_SYMLINK_NOFOLLOW = -100, 0x100
_STATX_BTIME = 0x800
_SIZE, _MASK_AT, _BIRTH_AT = 256, 0, 80
"""The size of `struct statx`, and where `stx_mask` and `stx_btime` lie in it (linux/stat.h)."""


def birth_ns(path: str) -> int | None:
    """When a file was made, in Unix nanoseconds; None if it is gone or the system does not say."""
    if sys.platform == "darwin":
        return _birth_by_stat(path)
    statx = _statx()
    if statx is None:
        return None
    answer = ctypes.create_string_buffer(_SIZE)
    name = ctypes.c_char_p(os.fsencode(path))
    if statx(_AT_FDCWD, name, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, answer) != 0:
        return None
    (mask,) = struct.unpack_from("=I", answer, _MASK_AT)
    seconds, nanoseconds = struct.unpack_from("=qI", answer, _BIRTH_AT)
    return int(seconds) * 10**9 + int(nanoseconds) if mask & _STATX_BTIME else None


def _birth_by_stat(path: str) -> int | None:
    try:
        born: float | None = getattr(os.lstat(path), "st_birthtime", None)
    except OSError:
        return None
    return None if born is None else int(born * 1e9)


@cache
def _statx() -> ctypes._NamedFuncPointer | None:
    """The C library's function, if it has one (glibc since 2.28, musl since 1.2.5)."""
    try:
        return ctypes.CDLL(None).statx
    except (OSError, AttributeError):
        return None
