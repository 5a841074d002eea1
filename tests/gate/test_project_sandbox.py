"""What tests of a project must not be able to do: to see, to reach out, to change what is here.

Each attack is a test file or a module of the project, run by pytest in the sandbox.
"""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from qi_learn.errors import ToolMissing
from qi_learn.gate.project_environment import ProjectEnvironment, Shown
from qi_learn.gate.project_sandbox import (
    ProjectSandbox,
)
from qi_learn.gate.project_sandbox_trial import open_project_sandbox
from qi_learn.gate.sandbox import bare_python
from tests.support.project_sandboxes import LIMITS, ran, refused, said
from tests.support.tested_projects import project_sandbox_or_skip


@pytest.fixture(scope="module")
def sandbox() -> ProjectSandbox:
    return project_sandbox_or_skip()


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
