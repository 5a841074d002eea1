"""The sandbox is tried by breaking out of it: each escape is really attempted by code that runs
inside, and what it came to is looked at outside.

Where this machine has no sandbox that works, these tests are skipped with the reason and nothing is
known of it here; that nothing is run then is tested everywhere.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from qi_learn.errors import ToolMissing
from qi_learn.gate import sandbox as sandbox_module
from qi_learn.gate.sandbox import Sandbox, SandboxLimits, SandboxRun, open_sandbox
from qi_learn.gate.sandbox_main import written
from qi_learn.gate.seccomp import FORBIDDEN, MACHINES, seccomp_program
from tests.support.sandboxes import sandbox_or_skip, soon

BRIEF = SandboxLimits(processor=1, seconds=120.0)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return sandbox_or_skip()


def value(sandbox: Sandbox, code: str, check: str = "attempt()") -> str:
    """What one check came to."""
    ran = sandbox.run(code, [check], BRIEF)
    assert len(ran.values) == 1, ran
    return ran.values[0]


def function(*lines: str) -> str:
    return "\n".join(
        [
            "import ctypes, os, socket, sys, threading, time",
            "def attempt():",
            *(f"    {line}" for line in lines),
        ]
    )


# --- it works -------------------------------------------------------------------------------------


def test_code_runs_and_its_values_come_out(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "import math\ndef half(n):\n    return n / 2",
        ["half(3)", "x = half(8); x + 1", "half('a')", "half", "math.floor(2.5)"],
    )
    assert ran == SandboxRun(("1.5", "5", "raises TypeError", "<function>", "2"), 0, False, False)


def test_one_check_does_not_see_the_names_of_another(sandbox: Sandbox) -> None:
    assert sandbox.run("y = 1", ["x = y; x", "x"]).values == ("1", "raises NameError")


@pytest.mark.parametrize(
    "code",
    [
        "def f(:",
        "raise ValueError",
        "import sys\nsys.exit(0)",
        "import os\nos._exit(0)",
        "import numpy",
    ],
)
def test_code_that_fails_has_no_values(sandbox: Sandbox, code: str) -> None:
    assert sandbox.run(code, ["1"], BRIEF).values == ()


def test_everything_of_the_language_works(sandbox: Sandbox) -> None:
    code = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 3\nif __name__ == '__main__':\n    1 / 0"
    assert value(sandbox, code, "A().x") == "3"


def test_the_same_code_gives_the_same_order_every_time(sandbox: Sandbox) -> None:
    names = "list({'alpha', 'beta', 'gamma', 'delta', 'epsilon'})"
    assert len({sandbox.run("", [names]).values for _ in range(4)}) == 1


def test_what_it_prints_is_no_value(sandbox: Sandbox) -> None:
    code = "import os, sys\ndef attempt():\n    print('42')\n    os.write(1, b'42\\n')\n    sys.stderr.write('x')\n    sys.__stdout__.write('42\\n')\n    return 7"
    assert value(sandbox, code) == "7"


# --- what it must not see -------------------------------------------------------------------------


def test_it_sees_no_file_of_the_system(sandbox: Sandbox) -> None:
    paths = (
        "/etc/passwd",
        "/etc/hostname",
        "/proc/self/environ",
        "/proc/1/cmdline",
        "/sys/kernel",
        "/var/log",
        "/tmp",
        "/dev/tty",
        "/dev/shm",
        "/run",
    )
    assert sandbox.run("import os", [f"os.stat({p!r})" for p in paths]).values == (
        "raises FileNotFoundError",
    ) * len(paths)


def test_it_sees_no_file_of_the_user(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "id_ed25519"
    secret.write_text("secret")
    assert value(sandbox, "", f"open({str(secret)!r}).read()") == "raises FileNotFoundError"
    home = Path.home()
    shown = value(
        sandbox, "import os", f"os.path.isdir({str(home)!r}) and os.listdir({str(home)!r})"
    )
    seen = {entry.name for entry in home.iterdir() if f"'{entry.name}'" in shown}
    assert seen <= set(Path(sys.base_prefix).resolve().parts), (
        "nothing but the way to the interpreter"
    )


def test_it_sees_no_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    names = value(sandbox, "import os", "sorted(os.environ)")
    assert "API_TOKEN" not in names
    assert "PATH" not in names
    assert value(sandbox, "import os", "os.environ['HOME']") == "'/nobody'"


def test_it_sees_no_other_process(sandbox: Sandbox) -> None:
    assert (
        value(
            sandbox,
            function("return os.getpid() < 9 and os.getppid() < 9 and os.getuid() == 65534"),
        )
        == "True"
    )
    assert value(sandbox, function(f"os.kill({os.getpid()}, 0)")) == "raises ProcessLookupError"


def test_it_sees_no_answer_of_the_tasks(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the package is installed below the interpreter, which is shown: there its
    directory is empty.
    """
    place = Path(sys.base_prefix).resolve() / "lib"
    package = next(p for p in place.iterdir() if p.is_dir() and p.name.startswith("python"))
    assert value(sandbox, "import os", f"'json' in os.listdir({str(package)!r})") == "True"
    monkeypatch.setattr(sandbox_module, "PACKAGE", package / "json")
    where = sandbox_module._system()
    assert where[where.index("--tmpfs") + 1] == str(package / "json")
    hidden = Sandbox(
        (sandbox.command[0], *sandbox_module._isolation(), *where, *sandbox_module._interpreter()),
        sandbox.seccomp,
    )
    with pytest.raises(ToolMissing, match="does not start"):  # for want of json
        hidden.run("", [])


# --- what it must not do --------------------------------------------------------------------------


def test_it_writes_nowhere(sandbox: Sandbox, tmp_path: Path) -> None:
    places = [
        "mine",
        "/mine",
        "/usr/mine",
        "/inside.py",
        "/dev/mine",
        sys.base_prefix + "/mine",
        str(tmp_path / "mine"),
    ]
    others = [
        "mkdir('d')",
        "symlink('/etc', 'link')",
        "link('/inside.py', 'link')",
        "chmod('/usr', 0o777)",
        "mkfifo('pipe')",
        "remove('/inside.py')",
    ]
    attempts = [
        *(f"open({place!r}, 'w')" for place in places),
        *(f"os.{other}" for other in others),
    ]
    ran = sandbox.run("import os", attempts, BRIEF)
    assert {
        a: v for a, v in zip(attempts, ran.values, strict=True) if not v.startswith("raises")
    } == {}
    assert not (tmp_path / "mine").exists()


def test_it_reaches_no_network(sandbox: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        assert (
            value(sandbox, function(f"socket.create_connection(('127.0.0.1', {port}), 2)"))
            == "raises PermissionError"
        )
        assert value(sandbox, function("socket.socket(socket.AF_UNIX)")) == "raises PermissionError"
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_the_filter_the_namespace_alone_reaches_no_network(sandbox: Sandbox) -> None:
    """Two walls: each holds on its own."""
    open_filter = Sandbox(sandbox.command, struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (
            value(open_filter, function(f"socket.create_connection(('127.0.0.1', {port}), 2)"))
            == "raises ConnectionRefusedError"
        )


def test_it_starts_no_process(sandbox: Sandbox) -> None:
    """So a fork bomb is over at its first fork; as root too, for whom a limit on processes means
    nothing.
    """
    spawning = (
        "os.posix_spawn('/usr/bin/true', ['true'], {})",
        "import subprocess; subprocess.run(['/usr/bin/true'])",
    )
    fork, thread, *spawned = sandbox.run(
        "import os",
        [
            "[os.fork() for _ in iter(int, 1)]",
            "import threading; threading.Thread(target=print).start()",
            *spawning,
        ],
    ).values
    assert (fork, thread) == ("raises PermissionError", "raises RuntimeError")
    assert set(spawned) <= {"raises PermissionError", "raises OSError"}


def test_it_kills_nobody_else(sandbox: Sandbox) -> None:
    """Its parent is the first process of its own namespace and does not die of it; whoever is
    outside has no number here.
    """
    assert (
        value(sandbox, function("os.kill(os.getppid(), 9); time.sleep(0.1); return 'alive'"))
        == "'alive'"
    )
    assert value(sandbox, function("os.kill(-1, 9)")) == "raises ProcessLookupError"


def test_it_gains_no_rights(sandbox: Sandbox) -> None:
    libc = "libc = ctypes.CDLL(None)\n    return libc.prctl(39, 0, 0, 0, 0)"  # PR_GET_NO_NEW_PRIVS
    assert value(sandbox, function(libc)) == "1"
    assert value(sandbox, "import os", "os.setuid(0)") == "raises OSError"
    assert value(sandbox, "import os", "os.chroot('/usr')") == "raises PermissionError"


# --- what it must not use up ----------------------------------------------------------------------


def test_an_endless_loop_ends(sandbox: Sandbox) -> None:
    ran = sandbox.run("", ["1", "sum(iter(int, 1))"], BRIEF)
    assert (ran.values, ran.timed_out) == (("1",), False)
    assert ran.exit_code in (128 + signal.SIGXCPU, 128 + signal.SIGKILL)


def test_the_signal_of_the_limit_cannot_be_ignored(sandbox: Sandbox) -> None:
    ran = sandbox.run(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", [], BRIEF
    )
    assert ran.exit_code == 128 + signal.SIGKILL


def test_who_only_sleeps_ends_too(sandbox: Sandbox) -> None:
    ran = sandbox.run("import time", ["time.sleep(60)"], SandboxLimits(seconds=soon(sandbox)))
    assert (ran.values, ran.timed_out) == ((), True)


@pytest.mark.parametrize(
    "code",
    [
        "'x' * (1 << 30)",
        "[bytearray(1 << 20) for _ in range(1000)]",
        "import mmap\nkept = [mmap.mmap(-1, 1 << 24) for _ in range(100)]",
        "def deeper(n):\n    return [n, deeper(n + 1)]\nimport "
        "sys\nsys.setrecursionlimit(10**9)\ndeeper(0)",
    ],
)
def test_a_memory_bomb_hurts_only_itself(sandbox: Sandbox, code: str) -> None:
    assert sandbox.run(code, ["1"], BRIEF).values == ()


def test_limits_cannot_be_raised(sandbox: Sandbox) -> None:
    raising = (
        "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    )
    assert value(sandbox, "import resource", raising) in (
        "raises ValueError",
        "raises PermissionError",
    )
    limits = "[resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in ('AS', 'CPU', 'FSIZE', 'NOFILE', 'NPROC', 'CORE')]"
    found = value(sandbox, "import resource", limits)
    assert found == written([(256 << 20, 256 << 20), (1, 1), (0, 0), (32, 32), (0, 0), (0, 0)])


def test_endless_output_ends_and_is_cut(sandbox: Sandbox) -> None:
    """Also where it is written to where the values go."""
    ran = sandbox.run("import os\nwhile True:\n    os.write(3, b'x' * 4096)", ["1"], BRIEF)
    assert ran.truncated
    assert sum(map(len, ran.values)) <= SandboxLimits().output


def test_it_opens_only_some_files(sandbox: Sandbox) -> None:
    assert value(sandbox, "", "len([open('/inside.py') for _ in range(100)])") == "raises OSError"


def test_nothing_is_left_behind(sandbox: Sandbox) -> None:
    thread = threading.Thread(
        target=sandbox.run,
        args=("import time", ["time.sleep(60)"], SandboxLimits(seconds=soon(sandbox))),
    )
    thread.start()
    found = _family(os.getpid())
    thread.join()
    _until(lambda: not any(map(_alive, found)))


def test_it_dies_with_who_started_it(sandbox: Sandbox) -> None:
    script = (
        "from qi_learn.gate.sandbox import *\nopen_sandbox().run('import time', ['time.sleep(60)'])"
    )
    owner = subprocess.Popen([sys.executable, "-c", script])
    try:
        found = _family(owner.pid)
    finally:
        owner.kill()
        owner.wait()
    _until(lambda: not any(map(_alive, found)))


def _family(pid: int) -> list[str]:
    """The sandbox below a process, waited for: bwrap, the first process of its namespace, the
    program.
    """
    found: list[str] = []

    def complete() -> bool:
        found[:] = _below(str(pid))
        return sum(b"/inside.py" in _read(Path(f"/proc/{p}/cmdline")) for p in found) >= 3

    _until(complete)
    return found


def _below(pid: str) -> list[str]:
    children = [
        child
        for place in Path(f"/proc/{pid}/task").glob("*/children")
        for child in _read(place).decode().split()
    ]
    return [*children, *(later for child in children for later in _below(child))]


def _alive(pid: str) -> bool:
    return b"/inside.py" in _read(Path(f"/proc/{pid}/cmdline"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def _until(holds: Callable[[], bool], *, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- cheating -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import builtins\nbuiltins.eval = lambda *a: 42\nbuiltins.isinstance = lambda *a: True",
        "import sys\nsys.modules['__main__'].written = lambda v: '42'",
        "class Equal:\n    def __eq__(self, other): return True\n    def __repr__(self): return "
        "'41'\ndef answer(): return Equal()",
        "import os\nos.write(3, b'passed\\nTrue\\n1\\n')\nos._exit(0)",
        "def answer(): return str(AssertionError)",
    ],
)
def test_who_does_not_know_the_answer_cannot_give_it(sandbox: Sandbox, code: str) -> None:
    """What is expected never enters: whatever is overwritten in there, the text must be the one
    that is known only outside.
    """
    assert sandbox.run(code, ["answer()"], BRIEF).values != ("41",)


# --- where there is none --------------------------------------------------------------------------


def without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None) -> None:
    """A PATH with a bwrap of our own, or with none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bwrap").chmod(0o755)


linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in MACHINES,
    reason="another reason is given there",
)


@linux
def test_without_bubblewrap_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(tmp_path, monkeypatch, None)
    with pytest.raises(ToolMissing, match="bubblewrap is not installed") as raised:
        open_sandbox()
    assert "apt install bubblewrap" in raised.value.hint


@linux
def test_a_bubblewrap_that_is_forbidden_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(
        tmp_path, monkeypatch, "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    )
    with pytest.raises(ToolMissing, match="setting up uid map: Permission denied") as raised:
        open_sandbox()
    assert "AppArmor" in raised.value.hint


@linux
def test_one_that_shuts_nothing_off_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs the program, in the open."""
    inside = Path(sandbox_module.__file__).with_name("sandbox_main.py")
    without(tmp_path, monkeypatch, f"exec {sys.executable} {inside}")
    with pytest.raises(ToolMissing, match="does not shut off"):
        open_sandbox()


def test_the_filter_is_a_filter_for_every_machine() -> None:
    """Walked through by hand for every number: forbidden ones are refused, others allowed, those of
    another machine kill.
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


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (2, 2.0),
        (0.1 + 0.2, 0.3),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ({3, 1, 2}, {1, 2, 3}),
        ([{1: (2,)}], [{1: (2.0,)}]),
        ("a\nb", "a\nb"),
    ],
)
def test_equal_values_are_written_alike_in_one_line(left: object, right: object) -> None:
    assert written(left) == written(right)
    assert "\n" not in written(left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1], (1,)),
        (1, "1"),
        ("", None),
        (b"a", "a"),
        ({}, set()),
        (True, 1),
        (0.3, 0.31),
        ([[]], []),
    ],
)
def test_others_are_not(left: object, right: object) -> None:
    assert written(left) != written(right)
