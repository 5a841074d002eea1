"""What tests of a project must not be able to do: to reach out, to use up, to change what is here.

Each attack is a test file or a module of the project, run by pytest in the sandbox.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.errors import ToolMissing
from qi_learn.gate.project_environment import ProjectEnvironment, Shown, environment_of
from qi_learn.gate.project_sandbox import (
    ProjectLimits,
    ProjectRun,
    ProjectSandbox,
    open_project_sandbox,
)
from qi_learn.gate.sandbox import bare_python
from tests.support.tested_projects import PYTEST, QUICK, project_sandbox_or_skip

LIMITS = QUICK.limits


@pytest.fixture(scope="module")
def sandbox() -> ProjectSandbox:
    return project_sandbox_or_skip()


def ran(
    sandbox: ProjectSandbox, tmp_path: Path, code: str, limits: ProjectLimits = LIMITS
) -> ProjectRun:
    """Run Python code in the scratch copy of a checkout with one file."""
    checkout = tmp_path / "checkout"
    checkout.mkdir(mode=0o755, exist_ok=True)
    (checkout / "a.py").write_text("A = 1\n")
    top = tmp_path / "project"
    environment = ProjectEnvironment((*bare_python("-c"), code), ())
    return sandbox.run(checkout, top, top, environment, limits)


def said(sandbox: ProjectSandbox, tmp_path: Path, code: str) -> str:
    return ran(sandbox, tmp_path, code).tail.strip()


def refused(attempt: str) -> str:
    return f"""
import os, socket, subprocess, ctypes, sys
try:
    {attempt}
except (OSError, ValueError) as error:
    print("refused", type(error).__name__)
else:
    print("done")
"""


# --- what it sees ---------------------------------------------------------------------------------


def test_the_command_runs_in_a_copy_at_the_place_of_the_project(
    sandbox: ProjectSandbox, tmp_path: Path
) -> None:
    code = "import os; print(os.getcwd(), sorted(os.listdir('.')), open('a.py').read().strip())"
    assert said(sandbox, tmp_path, code) == f"{tmp_path / 'project'} ['a.py'] A = 1"


def test_what_it_writes_is_gone_with_it(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    code = "open('a.py', 'w').write('B'); open('b', 'w').write('x'); open('/tmp/c', 'w'); print(1)"
    assert said(sandbox, tmp_path, code) == "1"
    assert (tmp_path / "checkout" / "a.py").read_text() == "A = 1\n"
    assert not (tmp_path / "project").exists()
    assert not Path("/tmp/c").exists()


def test_it_reads_nothing_of_the_home(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    secret = tmp_path / ".ssh" / "id_ed25519"
    secret.parent.mkdir()
    secret.write_text("a key")
    places = [str(secret), "/etc/shadow", "/root/.ssh", str(Path.home() / ".bashrc"), "/home"]
    code = f"import os; print([os.path.exists(p) for p in {places!r}])"
    assert said(sandbox, tmp_path, code) == str([False] * len(places))


def test_it_has_none_of_our_environment(
    sandbox: ProjectSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "of the person")
    code = "import os; print(os.environ.get('API_TOKEN'), os.environ['HOME'])"
    assert said(sandbox, tmp_path, code) == "None /tmp/home"


def test_a_link_out_of_the_checkout_leads_nowhere(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (tmp_path / "checkout").mkdir(mode=0o755)
    (tmp_path / "checkout" / "link").symlink_to(secret)
    (tmp_path / "checkout" / "up").symlink_to("..")
    code = "import os; print(os.path.islink('link'), os.path.exists('link'), os.listdir('up'))"
    assert said(sandbox, tmp_path, code) == "True False ['project']"
    assert said(sandbox, tmp_path, refused("open('link', 'w')")) in (
        "refused PermissionError",
        "refused OSError",
    )
    assert secret.read_text() == "x"


def test_what_is_shown_within_the_project_hides_nothing_beside_it(
    sandbox: ProjectSandbox, tmp_path: Path
) -> None:
    """A virtual environment that lies deep in the project, as in a repository of several."""
    (tmp_path / "venv").mkdir(mode=0o755)
    (tmp_path / "venv" / "installed").write_text("x")
    (tmp_path / "checkout" / "parts" / "one" / "src").mkdir(mode=0o755, parents=True)
    (tmp_path / "checkout" / "parts" / "one" / "venv").write_text("committed in its place")
    (tmp_path / "checkout" / "parts" / "one" / "src" / "b.py").write_text("B = 1\n")
    (tmp_path / "checkout" / "parts" / "c.py").write_text("C = 1\n")
    top = tmp_path / "project"
    code = (
        "import os; print(sorted(os.listdir('.')), os.listdir('venv'), os.listdir('src'), "
        "sorted(os.listdir('..'))); "
        "open('src/new', 'w'); open('../new', 'w')"
    )
    shown = (Shown(tmp_path / "venv", top / "parts" / "one" / "venv"),)
    environment = ProjectEnvironment((*bare_python("-c"), code), shown)
    done = sandbox.run(tmp_path / "checkout", top, top / "parts" / "one", environment, LIMITS)
    assert (done.exit_code, done.tail.strip()) == (
        0,
        "['src', 'venv'] ['installed'] ['b.py'] ['c.py', 'one']",
    )


# --- what it must not reach -----------------------------------------------------------------------


def test_it_writes_nowhere_else(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    places = ["/usr/mine", "/mine", "/etc/mine", "/checkout/a.py", "/inside.py", "/dev/mine"]
    attempts = "".join(refused(f"open({place!r}, 'w')") for place in places)
    lines = said(sandbox, tmp_path, attempts).splitlines()
    assert [line.split()[0] for line in lines] == ["refused"] * len(places)


def test_it_reaches_no_network_but_its_own(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        attempt = f"socket.create_connection(('127.0.0.1', {port}), 2)"
        assert said(sandbox, tmp_path, refused(attempt)) == "refused ConnectionRefusedError"
    outside = "socket.create_connection(('192.0.2.1', 80), 2)"
    assert said(sandbox, tmp_path, refused(outside)).startswith("refused")
    own = (
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
        "c = socket.create_connection(s.getsockname()); print('connected')"
    )
    assert said(sandbox, tmp_path, own) == "connected"


def test_it_gets_no_way_into_the_kernel_or_up(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    attempts = [
        "socket.socket(socket.AF_VSOCK)",
        "socket.socket(socket.AF_ALG)",
        "socket.socket(socket.AF_PACKET)",
        "socket.socketpair(socket.AF_VSOCK)",
        "os.setuid(0)",
        "os.chroot('.')",
        "os.memfd_create('m')",
        "os.setresgid(0, 0, 0)",
    ]
    lines = said(sandbox, tmp_path, "".join(map(refused, attempts))).splitlines()
    assert [line.split()[0] for line in lines] == ["refused"] * len(attempts)


def test_it_gets_no_namespace_of_its_own(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    """Neither by unshare nor by clone or clone3."""
    code = """
import ctypes
c = ctypes.CDLL(None, use_errno=True)
print(c.unshare(0x10000000), ctypes.get_errno(), end=" ")
print(c.syscall(56 if __import__('platform').machine() == 'x86_64' else 220,
                ctypes.c_ulong(0x10000011), 0, 0, 0, 0), ctypes.get_errno(), end=" ")
print(c.syscall(435, 0, 0), ctypes.get_errno())
"""
    assert said(sandbox, tmp_path, code) == "-1 1 -1 1 -1 38"


def test_the_program_that_tells_the_end_can_be_neither_killed_nor_looked_into(
    sandbox: ProjectSandbox, tmp_path: Path
) -> None:
    code = """
import os, signal
os.kill(1, signal.SIGKILL)
for place in ("/proc/1/mem", "/proc/1/fd/3", "/proc/1/environ"):
    try:
        open(place, "r+b")
    except OSError as error:
        print(type(error).__name__)
"""
    done = ran(sandbox, tmp_path, code)
    assert (done.exit_code, done.tail.split()) == (0, ["PermissionError"] * 3)


# --- what it must not use up ----------------------------------------------------------------------


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
from qi_learn.gate.project_sandbox import open_project_sandbox
from qi_learn.gate.sandbox import bare_python
place = Path({str(tmp_path)!r})
(place / "checkout").mkdir(mode=0o755)
code = "import time; print('{tmp_path.name}'); time.sleep(600)"
environment = ProjectEnvironment((*bare_python("-c"), code), ())
print("begun", flush=True)
open_project_sandbox().run(place / "checkout", place / "p", place / "p", environment)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    deadline = time.monotonic() + 20
    while not _left_behind(tmp_path.name, "time.sleep(600)") and time.monotonic() < deadline:
        time.sleep(0.1)
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
            if all(word in line for word in words) and "subprocess.PIPE" not in line:
                found.append(line)
    return [line for line in found if "bwrap" in line or "/inside.py" in line or "sleep(" in line]


# --- a machine without one ------------------------------------------------------------------------


def test_a_bubblewrap_that_is_forbidden_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_sandbox_or_skip()
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'No permissions' >&2; exit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="No permissions"):
        open_project_sandbox()


def test_one_that_shuts_nothing_off_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one shows the whole machine and its network."""
    sandbox = project_sandbox_or_skip()
    (tmp_path / "bwrap").write_text(
        '#!/bin/sh\nset -- $(printf "%s\\n" "$@" | grep -v -e --unshare-net)\n'
        f'exec {sandbox.bwrap} "$@"\n'
    )
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(ToolMissing):
        open_project_sandbox()


# --- what it needs of the machine -----------------------------------------------------------------


def test_nothing_is_shown_that_is_a_home_or_above_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib" / "python3.12").mkdir(parents=True)
    (tmp_path / "lib" / "python3.12" / "os.py").write_text("")
    (tmp_path / "bin" / "python3").write_text("")
    command = replace(PYTEST, interpreter=str(tmp_path / "bin" / "python3"))
    assert environment_of(command, tmp_path / "p", tmp_path / "p") == (
        f"it would have to see {tmp_path}"
    )


def test_a_tool_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    command = replace(PYTEST, tool="make", argv=("make", "test"))
    assert environment_of(command, tmp_path, tmp_path) == (
        "its tests are run by a tool whose environment is not known"
    )


def test_nothing_here_changes_while_it_runs(sandbox: ProjectSandbox, tmp_path: Path) -> None:
    """A `conftest.py` that deletes all it can."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("of the person")
    before = hashlib.sha256((kept / "file").read_bytes()).hexdigest()
    places = ["/checkout", "/tmp", str(tmp_path), str(kept), "."]
    code = f"import shutil; [shutil.rmtree(place, True) for place in {places!r}]; print(1)"
    assert said(sandbox, tmp_path, code) == "1"
    assert hashlib.sha256((kept / "file").read_bytes()).hexdigest() == before
    assert (tmp_path / "checkout" / "a.py").exists()


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
