"""The seccomp program, walked through by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from qi_learn.gate.seccomp import FORBIDDEN, MACHINES, seccomp_program


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


def _verdict(steps: Sequence[tuple[int, ...]], number: int, audit: int) -> int:
    at, held = 0, 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            held = {0: number, 4: audit}[operand]
        elif code == 0x06:
            return operand
        else:
            at += if_true if (held == operand if code == 0x15 else held >= operand) else if_false
