"""Another version is installed while the daemon runs: it takes over at an idle moment, and no
request is refused meanwhile.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import qi_learn
from qi_learn.daemon import client
from qi_learn.daemon.hand_over import VARIABLE, hand_over, handed_over, is_handed_over
from qi_learn.daemon.held_port import inheriting
from qi_learn.daemon.lock import locked, take_lock
from qi_learn.outside.installed_version import InstalledVersion
from qi_learn.outside.listening import read_listening
from qi_learn.paths import Paths
from tests.support.command_line import Terminal, wait_until
from tests.support.fake_models_server import FakeModels, gguf
from tests.support.world import World, tiny_base

NEW = "99.1.0"
FAST = (
    "import sys, qi_learn.daemon.renewal as r; r.LOOK_SECONDS, r.QUIET_SECONDS = 0.2, 0.5; "
    "from qi_learn.__main__ import main; sys.argv = ['qi-learn', 'daemon']; main()"
)
"""The daemon's command, less patient: it looks five times a second."""


SERVICE = FAST.replace("'daemon']", "'daemon', '--gateway-service']")


def install(site: Path, version: str, *, package: bool = False, more: str = "") -> None:
    """As an installer does: the old one goes, the files come, and last the list of files.

    `more`: what the other version does besides when it is loaded.
    """
    for old in site.glob("qi_learn-*.dist-info"):
        shutil.rmtree(old)
    if package:
        here = Path(qi_learn.__file__).parent
        shutil.copytree(here, site / "qi_learn", dirs_exist_ok=True)
        shutil.copytree(here.parent / "modelfiles", site / "modelfiles", dirs_exist_ok=True)
        init = site / "qi_learn" / "__init__.py"
        text = init.read_text().replace(qi_learn.__version__, version)
        init.write_text(text + more)
    about = site / f"qi_learn-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qi-learn\nVersion: {version}\n")
    (about / "RECORD").write_text("qi_learn/__init__.py,,\n")


# --- what is installed ---------------------------------------------------------------------------


def test_another_version_is_seen_once_it_is_whole(tmp_path: Path) -> None:
    install(tmp_path, "1.0")
    watch = InstalledVersion([str(tmp_path / "none"), str(tmp_path)], "1.0")
    assert [watch.look() for _ in range(3)] == ["", "", ""]
    shutil.rmtree(tmp_path / "qi_learn-1.0.dist-info")
    assert [watch.look() for _ in range(2)] == ["", ""]
    install(tmp_path, "1.1")
    (tmp_path / "qi_learn-1.1.dist-info" / "RECORD").unlink()
    assert [watch.look() for _ in range(2)] == ["", ""]
    (tmp_path / "qi_learn-1.1.dist-info" / "RECORD").write_text("")
    os.utime(tmp_path)
    assert [watch.look() for _ in range(3)] == ["", "1.1", "1.1"]
    install(tmp_path, "1.0")
    assert watch.look() == ""


def test_the_same_version_installed_again_is_another(tmp_path: Path) -> None:
    install(tmp_path, "1.0")
    watch = InstalledVersion([str(tmp_path)], "1.0")
    time.sleep(0.02)
    install(tmp_path, "1.0")
    assert [watch.look() for _ in range(2)] == ["", "1.0"]


def test_of_an_editable_installation_the_version_counts(tmp_path: Path) -> None:
    def editable() -> None:
        about = tmp_path / "qi_learn-1.0.dist-info"
        (about / "direct_url.json").write_text(
            '{"url": "file:///x", "dir_info": {"editable": true}}'
        )

    install(tmp_path, "1.0")
    editable()
    watch = InstalledVersion([str(tmp_path)], "1.0")
    time.sleep(0.02)
    install(tmp_path, "1.0")
    editable()
    assert [watch.look() for _ in range(3)] == ["", "", ""]


def test_looking_costs_next_to_nothing(tmp_path: Path) -> None:
    install(tmp_path, "1.0")
    watch = InstalledVersion([str(tmp_path)], "1.0")
    began = time.process_time()
    for _ in range(1000):
        watch.look()
    assert time.process_time() - began < 1.0


# --- what is handed over -------------------------------------------------------------------------


def test_the_lock_is_never_free_in_between(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path / "home").ensure()
    lock = take_lock(paths)
    hand_over(lock=os.dup(lock), port=None)
    os.close(lock)
    assert is_handed_over()
    assert locked(paths)
    again = take_lock(paths)
    assert (locked(paths), VARIABLE in os.environ) == (True, False)
    assert not os.get_inheritable(again)
    os.close(again)
    assert not locked(paths)


def test_what_was_not_handed_over_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "lock=9999,port=x")
    assert (handed_over("lock"), handed_over("port"), handed_over("port")) == (None, None, None)
    paths = Paths.under(tmp_path / "home").ensure()
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv(VARIABLE, f"lock={other.fileno()}")
        os.close(take_lock(paths))


# --- the whole of it -----------------------------------------------------------------------------


def base_env(server: str, site: Path) -> dict[str, str]:
    return {
        "QI_LEARN__SERVE__BACKEND": "ollama",
        "QI_LEARN__SERVE__BASE": "base:latest",
        "QI_LEARN__SERVE__OLLAMA": server,
        "QI_LEARN__GATEWAY__PORT": "0",
        "QI_LEARN__CAPTURE__UNREGISTERED": "true",
        "PYTHONPATH": str(site),
    }


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Terminal, Path]]:
    """A daemon of an installation of its own, with a gateway, in front of a model."""
    site = tmp_path / "site"
    install(site, qi_learn.__version__, package=True)
    with FakeModels(tmp_path / "ollama") as models:
        parts = {"model": models.put(gguf()), "template": "{{ .Prompt }}", "parameters": {}}
        assert list(models.make("base:latest", parts))
        terminal = Terminal(tmp_path, base_env(models.url, site))
        log = terminal.paths.ensure().logs / "daemon.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", FAST],
                env=terminal.environment(),
                stdout=out,
                stderr=out,
            )
        try:
            wait_until(lambda: client.running(terminal.paths) is not None, 120)
            yield terminal, site
        finally:
            process.terminate()
            process.wait(90)
            client.stop(terminal.paths)


def ask(url: str) -> int:
    body = {"model": "base", "stream": False, "messages": [{"role": "user", "content": "Hi"}]}
    request = urllib.request.Request(f"{url}/api/chat", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=120) as answer:
        return int(answer.status)


def test_it_takes_over_and_no_request_is_refused(running: tuple[Terminal, Path]) -> None:
    terminal, site = running
    before = client.running(terminal.paths)
    assert before is not None
    told: list[str] = []
    over = threading.Event()
    pauses = itertools.cycle((0.1, 0.8, 2.0))

    def go_on_asking() -> None:
        # the mark that the daemon goes by is half a second late: so there are longer pauses
        while not over.wait(next(pauses)):
            try:
                told.append(str(ask(before.gateway)))
            except OSError as error:
                told.append(str(error))

    thread = threading.Thread(target=go_on_asking)
    thread.start()
    try:
        install(site, NEW, package=True)

        def renewed() -> bool:
            now, gateway = (
                client.running(terminal.paths),
                read_listening(terminal.paths.gateway_ready),
            )
            return (now is not None and now.version == NEW) and (
                gateway is not None and gateway.alive and gateway.version == NEW
            )

        wait_until(renewed, 240)
        time.sleep(2)
    finally:
        over.set()
        thread.join()
    after = client.running(terminal.paths)
    assert after is not None
    assert (after.pid, after.gateway) == (before.pid, before.gateway)
    assert set(told) == {"200"}
    assert len(told) >= 3
    status = terminal.process("status")
    assert "nother version" not in status.out
    wait_until(lambda: f"{len(told)} turns" in terminal.process("status").out, 120)


def test_a_request_waits_while_a_gateway_that_died_is_started_again(
    running: tuple[Terminal, Path],
) -> None:
    terminal, _ = running
    gateway = read_listening(terminal.paths.gateway_ready)
    assert gateway is not None
    for _ in range(2):
        os.kill(gateway.pid, signal.SIGKILL)
        assert ask(gateway.url) == 200
        after = read_listening(terminal.paths.gateway_ready)
        assert after is not None
        assert (after.url, after.pid == gateway.pid) == (gateway.url, False)
        gateway = after


def test_what_does_not_start_is_told_and_never_takes_over(running: tuple[Terminal, Path]) -> None:
    terminal, site = running
    before = client.running(terminal.paths)
    assert before is not None
    broken = site.with_name("broken")
    install(site, NEW)  # its files are still those of the version before

    def told() -> str:
        return str(client.call(terminal.paths.socket, {"do": "status"})["other_problem"])

    wait_until(lambda: bool(told()), 120)
    assert not broken.exists()
    said = terminal.process("status").out
    assert f"Version {NEW} is installed and does not start" in said
    now = client.running(terminal.paths)
    assert now is not None
    assert (now.pid, now.version, ask(now.gateway)) == (before.pid, before.version, 200)


def test_a_stop_while_the_other_version_is_tried_is_no_renewal(
    running: tuple[Terminal, Path], tmp_path: Path
) -> None:
    terminal, site = running
    before = client.running(terminal.paths)
    assert before is not None
    tried = tmp_path / "tried"
    slow = f"import time; open({os.fspath(tried)!r}, 'w').close(); time.sleep(3)\n"
    install(site, NEW, package=True, more=slow)
    wait_until(tried.exists, 120)
    os.kill(before.pid, signal.SIGTERM)
    wait_until(lambda: not locked(terminal.paths), 60)
    assert client.listening(terminal.paths) == {}


def test_the_engine_is_made_anew_too_and_requests_wait_for_it(tmp_path: Path) -> None:
    """The embedded engine: the gateway comes back only once the engine answers again."""
    pytest.importorskip("llama_cpp")
    site = tmp_path / "site"
    install(site, qi_learn.__version__, package=True)
    world = World.make(tmp_path / "home", tiny_base(tmp_path), None)
    env = world.env | {"PYTHONPATH": str(site)}
    with (world.paths.logs / "daemon.log").open("ab") as out:
        process = subprocess.Popen([sys.executable, "-P", "-c", FAST], env=env, stderr=out)
    try:
        wait_until(lambda: client.running(world.paths) is not None or process.poll() is not None)
        state = client.running(world.paths)
        assert state is not None
        wait_until(lambda: world.paths.deploy.exists(), 240)
        world.assert_answers(state.gateway)
        before = client.listening(world.paths)
        install(site, NEW, package=True)
        told = []

        def renewed() -> bool:
            time.sleep(0.8)  # between two requests it is idle
            told.append(world.assert_answers(state.gateway).status_code)
            versions = {there.version for there in client.listening(world.paths).values()}
            return versions == {NEW}

        wait_until(renewed, 240)
        assert set(told) == {200}
        after = client.listening(world.paths)
        assert {name: there.url for name, there in after.items()} == {
            name: there.url for name, there in before.items()
        }
        assert not any(there.alive for there in before.values())
    finally:
        process.terminate()
        process.wait(90)
        client.stop(world.paths)


class System:
    """What systemd does for the gateway: it holds the port, and starts it again when it ends."""

    def __init__(self, terminal: Terminal) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._terminal = terminal
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep)
        self.starts = 0

    def __enter__(self) -> System:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join()
        self._socket.close()

    def _keep(self) -> None:
        ready = str(self._terminal.paths.gateway_ready)
        command = [sys.executable, "-P", "-m", "qi_learn.gateway", "--ready", ready]
        fd = self._socket.fileno()
        while not self._over.is_set():
            self.starts += 1
            env = self._terminal.environment()
            self._process = subprocess.Popen(inheriting(fd, command), env=env, pass_fds=(fd,))
            self._process.wait()


def test_a_gateway_that_is_a_service_is_left_to_the_system(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, qi_learn.__version__, package=True)
    with FakeModels(tmp_path / "ollama") as models:
        parts = {"model": models.put(gguf()), "template": "{{ .Prompt }}", "parameters": {}}
        assert list(models.make("base:latest", parts))
        terminal = Terminal(tmp_path, base_env(models.url, site))
        terminal.paths.ensure()
        with System(terminal) as system:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", SERVICE], env=terminal.environment()
            )
            try:
                wait_until(lambda: client.running(terminal.paths) is not None, 120)
                install(site, NEW, package=True)
                told = []

                def renewed() -> bool:
                    time.sleep(0.8)
                    told.append(ask(system.url))
                    now = client.running(terminal.paths)
                    gateway = read_listening(terminal.paths.gateway_ready)
                    versions = {now and now.version, gateway and gateway.version}
                    return versions == {NEW}

                wait_until(renewed, 240)
                assert set(told) == {200}
                assert (system.starts, process.poll()) == (2, None)
            finally:
                process.terminate()
                process.wait(90)


def test_status_says_that_another_version_waits(running: tuple[Terminal, Path]) -> None:
    terminal, site = running
    state = client.running(terminal.paths)
    assert state is not None
    over = threading.Event()

    def keep_it_busy() -> None:
        while not over.wait(0.1):
            ask(state.gateway)

    thread = threading.Thread(target=keep_it_busy)
    thread.start()
    try:
        install(site, NEW, package=True)
        wait_until(
            lambda: bool(client.call(terminal.paths.socket, {"do": "status"})["other_version"]), 120
        )
        said = terminal.process("status").out
    finally:
        over.set()
        thread.join()
    assert f"Another version is installed ({NEW})" in said
    assert "restarts when idle" in said
