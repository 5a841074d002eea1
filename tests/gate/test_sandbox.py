"""The sandbox is tried by breaking out of it: each escape is really attempted by code that runs
inside, and what it came to is looked at outside.

If this machine has no sandbox that works, these tests are skipped with the reason, and nothing is
known of it here. That nothing is run then is tested everywhere (test_sandbox_missing.py).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

import pytest

from qi_learn.errors import ToolMissing
from qi_learn.gate import sandbox as sandbox_module
from qi_learn.gate.sandbox import Sandbox, SandboxRun
from tests.support.escapes import BRIEF, attempt, value

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
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: int = 3\nif __name__ == '__main__':\n    1 / 0"
    )
    assert value(sandbox, code, "A().x") == "3"


def test_the_same_code_gives_the_same_order_every_time(sandbox: Sandbox) -> None:
    names = "list({'alpha', 'beta', 'gamma', 'delta', 'epsilon'})"
    assert len({sandbox.run("", [names]).values for _ in range(4)}) == 1


def test_what_it_prints_is_no_value(sandbox: Sandbox) -> None:
    code = attempt(
        "print('42')",
        "os.write(1, b'42\\n')",
        "sys.stderr.write('x')",
        "sys.__stdout__.write('42\\n')",
        "return 7",
    )
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
            attempt("return os.getpid() < 9 and os.getppid() < 9 and os.getuid() == 65534"),
        )
        == "True"
    )
    assert value(sandbox, attempt(f"os.kill({os.getpid()}, 0)")) == "raises ProcessLookupError"


def test_it_sees_no_answer_of_the_tasks(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter's directory is shown: if the package is installed below it, the package's own
    directory is empty in the sandbox.
    """
    libraries = Path(sys.base_prefix).resolve() / "lib"
    package = next(p for p in libraries.iterdir() if p.is_dir() and p.name.startswith("python"))
    assert value(sandbox, "import os", f"'json' in os.listdir({str(package)!r})") == "True"
    monkeypatch.setattr(sandbox_module, "PACKAGE", package / "json")
    system = sandbox_module._system()
    assert system[system.index("--tmpfs") + 1] == str(package / "json")
    hidden = Sandbox(
        (
            *(sandbox.command[0], *sandbox_module.AS_NOBODY, *sandbox_module.APART),
            *(*system, *sandbox_module._interpreter()),
        ),
        sandbox.seccomp,
    )
    with pytest.raises(ToolMissing, match="does not start"):  # for want of json
        hidden.run("", [])


# --- what it must not do --------------------------------------------------------------------------


def test_it_writes_nowhere(sandbox: Sandbox, tmp_path: Path) -> None:
    paths = [
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
        *(f"open({path!r}, 'w')" for path in paths),
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
            value(sandbox, attempt(f"socket.create_connection(('127.0.0.1', {port}), 2)"))
            == "raises PermissionError"
        )
        assert value(sandbox, attempt("socket.socket(socket.AF_UNIX)")) == "raises PermissionError"
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_the_filter_the_namespace_alone_reaches_no_network(sandbox: Sandbox) -> None:
    """Two walls: each holds on its own."""
    open_filter = Sandbox(sandbox.command, struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert (
            value(open_filter, attempt(f"socket.create_connection(('127.0.0.1', {port}), 2)"))
            == "raises ConnectionRefusedError"
        )


def test_it_starts_no_process(sandbox: Sandbox) -> None:
    """So a fork bomb is over at its first fork, as root too, to whom a limit on processes does not
    apply.
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


def test_it_kills_no_other_process(sandbox: Sandbox) -> None:
    """Its parent is the first process of its own namespace and does not die of it; a process
    outside has no number in here.
    """
    assert (
        value(sandbox, attempt("os.kill(os.getppid(), 9); time.sleep(0.1); return 'alive'"))
        == "'alive'"
    )
    assert value(sandbox, attempt("os.kill(-1, 9)")) == "raises ProcessLookupError"


def test_it_gains_no_rights(sandbox: Sandbox) -> None:
    libc = "libc = ctypes.CDLL(None)\n    return libc.prctl(39, 0, 0, 0, 0)"  # PR_GET_NO_NEW_PRIVS
    assert value(sandbox, attempt(libc)) == "1"
    assert value(sandbox, "import os", "os.setuid(0)") == "raises OSError"
    assert value(sandbox, "import os", "os.chroot('/usr')") == "raises PermissionError"
