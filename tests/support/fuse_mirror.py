"""A real FUSE file system that shows another directory, read only: `python -m ... SOURCE TARGET`.

It speaks the kernel's protocol over /dev/fuse itself, so it needs no library, but it needs root.
What is written in the source is a change from elsewhere: the kernel tells nobody of it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys

_HEADER = struct.Struct("<IIQQIIII")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _RELEASE = 1, 2, 3, 14, 15, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _FORGETS = 25, 26, 27, 28, 29, 36, 42
_DIRECT_IO = 1


class Mirror:
    """Answers the kernel's questions about a directory."""

    def __init__(self, source: str) -> None:
        self._paths = [b"", os.fsencode(source)]
        self._numbers = {self._paths[1]: 1}

    def answer(self, opcode: int, node: int, body: bytes) -> bytes:
        """The reply to a question. Raises OSError."""
        path = self._paths[node] if node else b""
        if opcode == _INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0)
        if opcode == _LOOKUP:
            inner = os.path.join(path, body.rstrip(b"\0"))
            attributes = _attributes(inner)
            if inner not in self._numbers:
                self._numbers[inner] = len(self._paths)
                self._paths.append(inner)
            return struct.pack("<QQQQII", self._numbers[inner], 0, 0, 0, 0, 0) + attributes
        if opcode == _GETATTR:
            return struct.pack("<QII", 0, 0, 0) + _attributes(path)
        if opcode in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, _DIRECT_IO, 0)
        _, offset, size = struct.unpack_from("<QQI", body) if len(body) >= 20 else (0, 0, 0)
        if opcode == _READ:
            with open(path, "rb") as file:
                file.seek(offset)
                return file.read(size)
        if opcode == _READDIR:
            return _entries(path, offset, size)
        if opcode in (_RELEASE, _RELEASEDIR, _FLUSH):
            return b""
        raise OSError(errno.ENOSYS, "not answered")


def _attributes(path: bytes) -> bytes:
    s = os.lstat(path)
    times = (int(s.st_atime), int(s.st_mtime), int(s.st_ctime))
    parts = tuple(ns % 10**9 for ns in (s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns))
    head = struct.pack("<QQQQQQ", s.st_ino, s.st_size, s.st_blocks, *times)
    owner = (s.st_mode, s.st_nlink, s.st_uid, s.st_gid, 0, 4096, 0)
    return head + struct.pack("<IIIIIIIIII", *parts, *owner)


def _entries(path: bytes, offset: int, size: int) -> bytes:
    found = b""
    for number, name in enumerate(sorted(os.listdir(path)), 1):
        if number <= offset:
            continue
        kind = stat.S_IFMT(os.lstat(os.path.join(path, name)).st_mode) >> 12
        entry = struct.pack("<QQII", number + 1000, number, len(name), kind) + name
        entry += b"\0" * (-len(entry) % 8)
        if len(found) + len(entry) > size:
            break
        found += entry
    return found


def main(source: str, target: str) -> None:
    """Mount and serve until unmounted."""
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"mirror", os.fsencode(target), b"fuse.mirror", 0, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    print("mounted", flush=True)
    mirror = Mirror(source)
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError:  # unmounted
            return
        _, opcode, unique, node, *_ = _HEADER.unpack_from(request)
        if opcode in (_FORGET, _FORGETS, _INTERRUPT):
            continue
        try:
            failed, reply = 0, mirror.answer(opcode, node, request[_HEADER.size :])
        except OSError as error:
            failed, reply = -(error.errno or errno.EIO), b""
        os.write(device, struct.pack("<IiQ", 16 + len(reply), failed, unique) + reply)


if __name__ == "__main__":
    main(*sys.argv[1:])
