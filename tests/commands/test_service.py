"""`qi-learn daemon install`: the units as systemd itself judges them, the agents as property lists,
and what is asked of `systemctl` (a small program that notes it).
"""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from qi_learn.commands import service
from qi_learn.commands.service_units import Place, ServiceFile, systemd_units
from qi_learn.errors import EXIT_TRY_AGAIN, SettingsError
from qi_learn.outside.user_units import unit_directory
from qi_learn.paths import Paths
from qi_learn.settings import GatewaySettings, Settings
from tests.support.command_line import OFFLINE, Terminal
from tests.support.daemon_process import free_port

UNITS = ("qi-learn.service", "qi-learn-gateway.service", "qi-learn-gateway.socket")


def text_of(files: tuple[ServiceFile, ...], name: str) -> str:
    return next(file.text for file in files if file.name == name)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal with a `systemctl` that only notes what it is asked; it fails if told to."""
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "systemctl"
    script.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n'
        f'if [ -e {tmp_path}/broken ]; then echo "no bus" >&2; exit 1; fi\n'
        f'if [ -e {tmp_path}/refuses ] && [ "$2" = enable ]; then\n'
        '  echo "Created symlink /a -> /b." >&2; echo "Job for qi-learn.service failed." >&2\n'
        "  exit 1\nfi\n"
    )
    script.chmod(0o755)
    port = {"QI_LEARN__GATEWAY__PORT": str(free_port())}
    return Terminal(tmp_path, OFFLINE | port | {"PATH": f"{tools}:/usr/bin:/bin"})


def asked(terminal: Terminal) -> list[str]:
    file = terminal.root / "asked"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("home", ["home", "a home with 100% $igns"])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, home: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units are not held against it")
    paths = Paths.under(tmp_path / home)
    place = Place(Path("/bin/sh"), paths, {"QI_LEARN_HOME": str(tmp_path / home)})
    for file in systemd_units(place, Settings()):
        (tmp_path / file.name).write_text(file.text)
    said = subprocess.run(
        ["systemd-analyze", "--user", "verify", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    about_us = [line for line in said.stderr.splitlines() if "qi-learn" in line]
    assert (said.returncode, about_us) == (0, []), said.stderr


def test_systemd_finds_what_is_wrong(tmp_path: Path) -> None:
    """The test above can fail."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units are not held against it")
    place = Place(Path("/no/such/python"), Paths.under(tmp_path), {})
    (tmp_path / UNITS[0]).write_text(text_of(systemd_units(place, Settings()), UNITS[0]))
    said = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(tmp_path / UNITS[0])],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert "/no/such/python" in said.stderr


@pytest.mark.parametrize(
    ("host", "listens"), [("localhost", "127.0.0.1:11435"), ("::1", "[::1]:11435")]
)
def test_the_port_is_held_by_the_socket(tmp_path: Path, host: str, listens: str) -> None:
    place = Place(Path("/bin/sh"), Paths.under(tmp_path), {})
    files = systemd_units(place, Settings(gateway=GatewaySettings(host=host)))
    assert f"ListenStream={listens}\n" in text_of(files, UNITS[2])
    assert "--gateway-service" in text_of(files, UNITS[0])
    for unit in UNITS[:2]:
        assert "Type=notify\n" in text_of(files, unit)
        assert "WatchdogSec=" in text_of(files, unit)
    with pytest.raises(SettingsError, match="port of its own"):
        systemd_units(place, Settings(gateway=GatewaySettings(port=0)))


def test_install_start_stop_and_uninstall(terminal: Terminal) -> None:
    directory = terminal.root / ".config" / "systemd" / "user"
    dry = terminal.process("daemon", "install", "--dry-run")
    assert (dry.code, [name for name in UNITS if name not in dry.out]) == (0, [])
    assert not directory.exists()

    done = terminal.process("daemon", "install")
    assert done.code == 0
    assert sorted(p.name for p in directory.iterdir()) == sorted(UNITS)
    home = f"Environment=QI_LEARN_HOME={terminal.root / 'home'}\n"
    assert all(home in (directory / name).read_text() for name in UNITS[:2])
    assert asked(terminal) == [
        "--user show --property=Version",
        "--user daemon-reload",
        "--user enable --now qi-learn-gateway.socket qi-learn.service",
    ]

    assert terminal.process("daemon", "uninstall", "--dry-run").out.count("Would") == 3
    assert terminal.process("daemon", "uninstall").code == 0
    assert list(directory.iterdir()) == []
    assert asked(terminal)[3:] == [
        "--user disable --now qi-learn.service qi-learn-gateway.socket qi-learn-gateway.service",
        "--user daemon-reload",
    ]
    assert "No service is installed" in terminal.process("daemon", "uninstall").out


def test_without_a_systemd_that_answers_nothing_is_changed(terminal: Terminal) -> None:
    (terminal.root / "broken").touch()
    said = terminal.process("daemon", "install")
    assert (said.code, said.out) == (1, "")
    assert "nothing was changed: systemd does not answer (no bus)" in said.err
    assert "qi-learn daemon start" in said.err
    assert not (terminal.root / ".config" / "systemd").exists()
    assert not terminal.paths.logs.exists()


def test_a_service_that_systemd_no_longer_answers_for_is_told(terminal: Terminal) -> None:
    assert terminal.process("daemon", "install").code == 0
    (terminal.root / "broken").touch()
    started = terminal.process("daemon", "start")
    assert (started.code, "systemctl --user start" in started.err) == (3, True)
    assert "`qi-learn daemon uninstall`, then `qi-learn daemon start`" in started.err
    doctor = terminal.process("doctor")
    assert "MEND  Daemon and gateway are services of systemd, which does not answer: no bus" in (
        doctor.out
    )
    gone = terminal.process("daemon", "uninstall")
    assert "Not done (no bus). Type: systemctl --user disable --now" in gone.out
    assert gone.out.endswith(
        "Nothing runs now. `qi-learn daemon start` starts the daemon without a service.\n"
    )


def test_what_fails_half_way_leaves_what_ran_before(terminal: Terminal) -> None:
    assert terminal.process("daemon", "start").code == 0
    try:
        (terminal.root / "refuses").touch()
        said = terminal.process("daemon", "install")
        assert said.code == 1
        assert "failed (Job for qi-learn.service failed). The daemon that ran before runs" in (
            said.err
        )
        assert list((terminal.root / ".config" / "systemd" / "user").iterdir()) == []
        assert terminal.process("daemon", "status").out.startswith("daemon    running")
    finally:
        terminal.process("daemon", "stop")


def test_on_a_full_disk_what_runs_is_not_stopped(terminal: Terminal, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    full = Terminal(small_disk, terminal.env)
    assert full.process("daemon", "start").code == 0
    try:
        with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        said = full.process("daemon", "install")
        assert (said.code, said.out) == (EXIT_TRY_AGAIN, "")
        assert said.err.startswith("qi-learn: Nothing was stopped, what runs goes on. The disk")
        assert said.err.rstrip().endswith("Then: `qi-learn daemon install`.")
        assert full.qi("daemon", "status").code == 0
    finally:
        full.process("daemon", "stop")


def test_another_homes_service_is_not_asked(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.process("daemon", "install").code == 0
    env = {"HOME": str(terminal.root)}
    directory = unit_directory(env, "linux")
    assert directory.parts[-2:] == ("systemd", "user")
    written = {"XDG_CONFIG_HOME": str(terminal.root / ".config")}
    assert service.manages(terminal.paths, written)
    assert not service.manages(Paths.under(tmp_path / "another"), written)


def test_the_agents_of_launchd_are_property_lists(tmp_path: Path) -> None:
    """They were never loaded: no test runs on macOS."""
    env = {"QI_LEARN_HOME": str(tmp_path / "home")}
    files = service.service_files(Paths.under(tmp_path / "home"), Settings(), env, "darwin")
    agents = [plistlib.loads(file.text.encode()) for file in files]
    assert [agent["Label"] for agent in agents] == ["qi-learn", "qi-learn-gateway"]
    assert [agent["KeepAlive"] for agent in agents] == [{"SuccessfulExit": False}, True]
    assert agents[0]["ProgramArguments"][-3:] == ["qi_learn", "daemon", "--gateway-service"]
    assert agents[1]["ProgramArguments"][-1] == str(tmp_path / "home" / "state" / "gateway.ready")
    assert all(agent["EnvironmentVariables"] == env for agent in agents)
