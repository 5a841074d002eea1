"""The few lines of systemd's protocol, against real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from qi_learn.outside import systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@qi-learn-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hears:
        hears.bind(f"\0{name[1:]}" if abstract else name)
        hears.settimeout(30)
        assert systemd.notify(systemd.READY, {"NOTIFY_SOCKET": name})
        assert hears.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket"])
def test_without_systemd_nothing_happens(address: str) -> None:
    assert systemd.notify(systemd.ALIVE, {"NOTIFY_SOCKET": address}) is False


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_a_socket_for_another_process_is_not_taken(env: dict[str, str]) -> None:
    assert systemd.given_socket(env) is None
