"""On what the gate reads files, and how it gives way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qi_learn.cycle.reading_device import has_room
from qi_learn.outside.gpu import Device

GIB = 2**30


def gpu(free: int, name: str = "GPU-a") -> Device:
    return Device("cuda", name, 24 * GIB, free * GIB, True, uuid=name)


def test_a_gpu_is_used_if_the_file_fits_beside_what_the_server_may_load() -> None:
    assert has_room([gpu(20)], 6 * GIB, 6 * GIB, {})
    assert not has_room([gpu(11)], 6 * GIB, 6 * GIB, {})
    assert has_room([gpu(11)], 6 * GIB, 6 * GIB, {"GPU-a": 6 * GIB}), "it is loaded already"
    assert has_room([gpu(7)], 6 * GIB, 0, {}), "the server does not use it"


def test_every_gpu_must_have_the_room_and_there_must_be_one() -> None:
    assert not has_room([], 1, 0, {})
    assert not has_room([gpu(20), gpu(5, "GPU-b")], 6 * GIB, 0, {})
    assert has_room([gpu(20), gpu(8, "GPU-b")], 6 * GIB, 0, {})


def test_a_cycle_gives_way_to_whatever_the_user_does(tmp_path: Path) -> None:
    script = (
        "import contextlib, os, sys\n"
        "from qi_learn.cycle.__main__ import NICE, main\n"
        "with contextlib.suppress(FileNotFoundError): main([sys.argv[1]])\n"
        "print(os.nice(0) >= NICE)\n"
    )
    run = [sys.executable, "-c", script, str(tmp_path / "none")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n", done.stderr
