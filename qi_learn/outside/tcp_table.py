"""The TCP connections of this machine, as Linux lists them; elsewhere nothing is known.

Both ends of a connection over loopback are listed, also after the program at one of them is gone.
The kernel is asked for each (`socket_diag.py`); its tables are read if it does not answer, or if
there are many.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qi_learn.outside import socket_diag
from qi_learn.outside.socket_diag import Address

Ends = tuple[Address, Address]
"""The end of a connection that is asked about, and the other one."""
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_ASKED_SINGLY = 50
_ESTABLISHED, _CLOSE_WAIT = 0x01, 0x08
"""States of an end from which nothing was closed: only the other end may have been."""


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """One end of a connection."""

    state: int
    owner: int
    """The number of the user whose it is."""
    inode: str
    """The number by which its process's list of open files calls it; "0" if no process has it."""

    @property
    def held(self) -> bool:
        """Whether a process has it open: of any other the system names no owner."""
        return self.inode != "0"

    @property
    def closed(self) -> bool:
        """Whether its program has closed it, or sent its end."""
        return self.state not in (_ESTABLISHED, _CLOSE_WAIT)


def listed(ends: Iterable[Ends]) -> dict[Ends, ConnectionEnd]:
    """What is listed of these ends of connections."""
    asked = list(ends)
    if sys.platform == "linux" and len(asked) <= _ASKED_SINGLY:
        try:
            return {pair: end for pair in asked if (end := told(*pair)) is not None}
        except OSError:
            pass  # such questions are not answered here, as in some containers
    return in_the_tables(asked)


def told(near: Address, far: Address) -> ConnectionEnd | None:
    """What the kernel says of one end. Raises OSError if it does not answer."""
    found = socket_diag.told(near, far)
    return None if found is None else ConnectionEnd(found[0], found[1], str(found[2]))


def in_the_tables(ends: Iterable[Ends]) -> dict[Ends, ConnectionEnd]:
    """The same by the tables of `/proc/net`."""
    lines = {
        (_hexadecimal(near, wide), _hexadecimal(far, wide)): (near, far)
        for near, far in ends
        for wide in (False, True)
    }
    found: dict[Ends, ConnectionEnd] = {}
    for table in _TABLES:
        try:
            rows = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, rows):
            if (asked := lines.get((columns[1], columns[2]))) is not None:
                found[asked] = ConnectionEnd(int(columns[3], 16), int(columns[7]), columns[9])
    return found


def _hexadecimal(address: Address, wide: bool) -> str:
    """An address as the kernel's tables write it.

    32-bit words in the machine's byte order, then the port. `wide`: IPv4 within IPv6.
    """
    raw = ipaddress.ip_address(address[0]).packed
    if wide and len(raw) == 4:
        raw = bytes(10) + b"\xff\xff" + raw
    words = (int.from_bytes(raw[k : k + 4], sys.byteorder) for k in range(0, len(raw), 4))
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
