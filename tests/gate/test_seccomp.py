"""The seccomp program, walked through by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from qi_learn.gate.seccomp import (
    FORBIDDEN,
    MACHINES,
    project_seccomp_program,
    seccomp_program,
)


def test_the_filter_is_a_filter_for_every_machine() -> None:
    """For every number: forbidden ones are refused, others allowed, and those of another machine
    kill.
    """
    for machine, (column, audit) in MACHINES.items():
        steps = list(struct.iter_unpack("=HBBI", seccomp_program(machine)))
        forbidden = {columns[column] for columns in FORBIDDEN.values()}
        for number in (*range(480), 0x40000000, 0x40000000 + 41, 0xFFFFFFFF):
            assert _verdict(steps, number, audit) == (
                0x00050001 if number in forbidden or number >= 0x40000000 else 0x7FFF0000
            )
        assert _verdict(steps, 1, 0x40000003) == 0x80000000


def test_a_projects_tests_may_start_processes_and_open_sockets_of_a_network() -> None:
    for machine, (column, audit) in MACHINES.items():
        steps = list(struct.iter_unpack("=HBBI", project_seccomp_program(machine)))
        numbers = {name: columns[column] for name, columns in FORBIDDEN.items()}
        own = ("clone", "fork", "vfork", "clone3", "socket", "socketpair", "connect", "bind")
        forbidden = {number for name, number in numbers.items() if name not in own}
        free = {n for n in range(480) if n not in numbers.values()}
        free |= {numbers[name] or 0 for name in ("fork", "vfork", "connect", "bind")}
        for number in (*range(480), 0x40000000, 0xFFFFFFFF):
            if number in forbidden or number >= 0x40000000:
                assert _verdict(steps, number, audit) == 0x00050001
            elif number in free:
                assert _verdict(steps, number, audit) == 0x7FFF0000
        clone, socket = numbers["clone"], numbers["socket"]
        assert clone is not None
        assert socket is not None
        assert _verdict(steps, clone, audit, 0x01200011) == 0x7FFF0000
        for flag in (1 << 17, 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30):
            assert _verdict(steps, clone, audit, flag | 17) == 0x00050001
        assert _verdict(steps, numbers["clone3"] or 0, audit) == 0x00050026
        families = [f for f in range(48) if _verdict(steps, socket, audit, f) == 0x7FFF0000]
        assert families == [1, 2, 10, 16]
        assert _verdict(steps, 1, 0x40000003) == 0x80000000


def _verdict(steps: Sequence[tuple[int, ...]], number: int, audit: int, argument: int = 0) -> int:
    at, held = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            held = {0: number, 4: audit, 16: argument}[operand]
        elif code == 0x06:
            return operand
        else:
            true = {0x15: held == operand, 0x35: held >= operand, 0x45: bool(held & operand)}[code]
            at += if_true if true else if_false
