"""What tests of a project must not use up, and that nothing of them stays behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.gate.project_environment import ProjectEnvironment
from qi_learn.gate.project_sandbox import ProjectRun, ProjectSandbox
from qi_learn.gate.sandbox import bare_python
from tests.support.project_sandboxes import LIMITS, ran, refused, said
from tests.support.tested_projects import project_sandbox_or_skip


@pytest.fixture(scope="module")
def sandbox() -> ProjectSandbox:
    return project_sandbox_or_skip()


def test_a_fork_bomb_hurts_only_itself(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    before = time.monotonic()
    done = ran(sandbox, tmp_path, bomb, replace(LIMITS, seconds=2, processes=32))
    assert (done.exit_code, done.problem) == (None, "time")
    assert time.monotonic() - before < 20
    assert not _left_behind(str(tmp_path))


def test_a_command_that_takes_every_process_at_once_is_told_of_all_the_same(
    sandbox: ProjectSandbox, tmp_path: Path
) -> None:
    """It leaves none for what watches it, which must run before it does."""
    code = (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        time.sleep(9)\n"
        "        os._exit(0)\nprint('all taken')"
    )
    checkout = tmp_path / "checkout"
    checkout.mkdir(mode=0o755)
    top = tmp_path / "project"
    environment = ProjectEnvironment((*bare_python("-c"), code), ())
    ends = [
        sandbox.run(checkout, top, top, environment, replace(LIMITS, processes=most))
        for most in range(4, 13, 2)
    ]
    assert ends[0].tail.startswith("BlockingIOError")  # it was not begun
    assert {(end.problem, end.exit_code) for end in ends[1:]} <= {("", 0), ("", 1)}


def test_a_hang_ends(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    code = "import time, subprocess\ntime.sleep(600)"
    assert ran(sandbox, tmp_path, code, replace(LIMITS, seconds=1.5)).problem == "time"


def test_what_it_leaves_running_ends_with_it(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n"
        "print('left', flush=True)"
    )
    before = time.monotonic()
    assert said(sandbox, tmp_path, code) == "left"
    assert time.monotonic() - before < 20


def test_a_memory_bomb_hurts_only_itself(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    one = ran(sandbox, tmp_path, "a = bytearray(1 << 31)", replace(LIMITS, memory_each=200 << 20))
    assert (one.exit_code, "MemoryError" in one.tail) == (1, True)
    shared = (
        "import mmap\nkept = []\nwhile True:\n    m = mmap.mmap(-1, 1 << 24)\n"
        "    m.write(b'x' * (1 << 24)); kept.append(m)"
    )
    assert ran(sandbox, tmp_path, shared, replace(LIMITS, memory=150 << 20)).problem == "memory"
    many = (
        "import os, time\nfor _ in range(16):\n    if os.fork() == 0:\n"
        "        a = bytearray(b'x') * (20 << 20)\n        time.sleep(60)\nos.wait()"
    )
    assert ran(sandbox, tmp_path, many, replace(LIMITS, memory=150 << 20)).problem == "memory"


def test_it_fills_no_disk(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    fill = """
for place in ("big", "/tmp/big", "/dev/shm/big"):
    try:
        with open(place, "wb") as file:
            for _ in range(200):
                file.write(b"x" * (1 << 20))
    except OSError as error:
        print(error.errno)
"""
    limits = replace(LIMITS, scratch=8 << 20)
    done = ran(sandbox, tmp_path, fill, limits)
    assert set(done.tail.split()) <= {"27", "28"}  # too large a file, no space
    assert len(done.tail.split()) == 3
    assert shutil.disk_usage(tmp_path).free > 0


def test_of_a_huge_output_the_end_is_kept(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    code = "for n in range(20): print('x' * (1 << 20))\nprint('the end')"
    done = ran(sandbox, tmp_path, code)
    assert (done.exit_code, len(done.tail)) == (0, LIMITS.tail)
    assert done.tail.endswith("the end\n")
    endless = "while True: print('x' * (1 << 16))"
    assert ran(sandbox, tmp_path, endless, replace(LIMITS, output=8 << 20)).problem == "output"


def test_limits_cannot_be_raised(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    attempt = "__import__('resource').setrlimit(6, (4096, 4096))"
    assert said(sandbox, tmp_path, refused(attempt)).startswith("refused")


def test_it_dies_with_what_started_it(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    """The whole sandbox is gone with the process of ours that waits for it."""
    script = f"""
import sys
from pathlib import Path
from qi_learn.gate.project_environment import ProjectEnvironment
from qi_learn.gate.project_sandbox_trial import open_project_sandbox
from qi_learn.gate.sandbox import bare_python
place = Path({str(tmp_path)!r})
(place / "checkout").mkdir(mode=0o755)
code = "import time; print('{tmp_path.name}'); time.sleep(600)"
environment = ProjectEnvironment((*bare_python("-c"), code), ())
print("begun", flush=True)
open_project_sandbox().run(place / "checkout", place / "p", place / "p", environment)
"""
    starts = tmp_path / "starts.py"  # so that the command is in no other command line
    starts.write_text(script)
    start = [sys.executable, "-c", "import runpy, sys; runpy.run_path(sys.argv[1])", str(starts)]
    child = subprocess.Popen(start, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    deadline = time.monotonic() + 20
    while not _left_behind(tmp_path.name, "time.sleep(600)") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _left_behind(tmp_path.name, "time.sleep(600)"), "it runs"
    child.kill()
    child.wait()
    child.stdout.close()
    while _left_behind(tmp_path.name, "time.sleep(600)") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _left_behind(tmp_path.name, "time.sleep(600)")


def _left_behind(*words: str) -> list[str]:
    """Processes of this machine whose command lines have all the words, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if all(word in line for word in words):
                found.append(line)
    return [line for line in found if "bwrap" in line or "/inside.py" in line or "sleep(" in line]


def test_two_at_once_do_not_count_each_others_processes(
    sandbox: ProjectSandbox, tmp_path: Path
) -> None:
    code = (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        time.sleep(2)\n"
        "        os._exit(0)\nprint('ok')\nwhile True:\n    try: os.wait()\n"
        "    except ChildProcessError: break"
    )
    ends: list[ProjectRun] = []
    places = [tmp_path / str(n) for n in range(2)]
    for place in places:
        place.mkdir()

    def one(place: Path) -> None:
        ends.append(ran(sandbox, place, code, replace(LIMITS, processes=20)))

    threads = [threading.Thread(target=one, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [end.exit_code for end in ends] == [0, 0]
