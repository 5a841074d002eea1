"""Who may speak to the gateway, and how it starts and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.fake_ollama import (
    FakeOllama,
    GatewayProcess,
    a_gateway,
    ask,
    connect,
    gateway_command,
    gateway_environment,
    read_answer,
    whole,
)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    with FakeOllama() as fake:
        fake.play(whole(b"{}"))
        yield fake


@pytest.fixture(scope="module")
def gateway(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    settings = {"allowed_hosts": "host.docker.internal", "allowed_origins": "https://mine.example"}
    with a_gateway(fake.url, tmp_path_factory.mktemp("guard"), settings) as gateway:
        yield gateway


def status(
    fake: FakeOllama, gateway: GatewayProcess, method: str, path: str, headers: dict[str, str]
) -> int:
    """The status of an answer, which is 403 only if the request did not reach the upstream."""
    fake.play(whole(b"{}"))
    answer = ask(
        gateway.url,
        method,
        path,
        b"{}" if method == "POST" else None,
        {name: value.format(port=gateway.port) for name, value in headers.items()},
    )
    code = int(answer.status.split()[1])
    assert (code == 403) == (fake.received == [])
    if code == 403:
        assert "qi-learn" in answer.json["error"]
    return code


OURS = [
    "127.0.0.1:{port}",
    "localhost:{port}",
    "LocalHost:{port}",
    "[::1]:{port}",
    "127.0.0.1",
    "localhost:1",
    "[::1]",
    "0.0.0.0:{port}",
    "0.0.0.0",
    "host.docker.internal",
    "host.docker.internal:{port}",
]
THEIRS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1:",
    "localhost:x",
    "localhost:123456",
    "127.0.0.1:{port}@evil.example",
    "0.0.0.0.evil.example:{port}",
    "localhost.evil.example:{port}",
    "x.localhost:{port}",
    "10.0.0.1:{port}",
    "",
]


@pytest.mark.parametrize("host", OURS)
def test_loopback_names_and_configured_ones_are_answered(
    fake: FakeOllama, gateway: GatewayProcess, host: str
) -> None:
    assert status(fake, gateway, "GET", "/api/tags", {"Host": host}) == 200


@pytest.mark.parametrize("host", THEIRS)
def test_every_other_host_is_refused(fake: FakeOllama, gateway: GatewayProcess, host: str) -> None:
    for path in ("/api/tags", "/api/chat", "/v1/models", "/unknown"):
        assert status(fake, gateway, "POST", path, {"Host": host}) == 403


@pytest.mark.parametrize(
    "from_a_page",
    [
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "image"},
    ],
)
def test_no_page_gets_in_by_the_address_of_every_interface(
    fake: FakeOllama, gateway: GatewayProcess, from_a_page: dict[str, str]
) -> None:
    headers = {"Host": "0.0.0.0:{port}", **from_a_page}
    assert status(fake, gateway, "POST", "/api/chat", headers) == 403


@pytest.mark.parametrize("path", ["//api/delete", "/api/./create", "/api/%63opy", "/api/pull/"])
def test_no_page_changes_models_by_another_spelling_of_the_path(
    fake: FakeOllama, gateway: GatewayProcess, path: str
) -> None:
    headers = {"Origin": "http://localhost:3000"}
    assert status(fake, gateway, "POST", path, headers) == 403


def test_a_request_without_a_host_is_refused(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(b"{}"))
    with connect(gateway.url) as link:
        link.sendall(b"GET /api/tags HTTP/1.0\r\n\r\n")
        assert read_answer(link).status.split()[1] == "403"
    assert fake.received == []


LOCAL = [
    "http://localhost:3000",
    "https://127.0.0.1",
    "http://[::1]:5173",
    "vscode-webview://abc",
    "app://obsidian.md",
    "tauri://localhost",
    "https://mine.example",
]


@pytest.mark.parametrize("origin", LOCAL)
def test_local_pages_and_webviews_may_ask_but_not_change_models(
    fake: FakeOllama, gateway: GatewayProcess, origin: str
) -> None:
    assert (
        status(
            fake, gateway, "POST", "/api/chat", {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        )
        == 200
    )
    assert (
        status(
            fake,
            gateway,
            "OPTIONS",
            "/api/chat",
            {"Origin": origin, "Access-Control-Request-Method": "POST"},
        )
        == 200
    )
    for path in (
        "/api/create",
        "/api/push",
        "/api/pull",
        "/api/delete",
        "/api/copy",
        "/api/blobs/sha256:0",
        "/api/del%65te",
        "/api/create?x=1",
    ):
        assert status(fake, gateway, "POST", path, {"Origin": origin}) == 403
    assert status(fake, gateway, "OPTIONS", "/api/delete", {"Origin": origin}) == 403


FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost.evil.example",
    "http://localhost:3000.evil.example",
    "https://mine.example.evil",
    "",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_other_pages_are_refused(fake: FakeOllama, gateway: GatewayProcess, origin: str) -> None:
    for method, path in (
        ("GET", "/api/tags"),
        ("POST", "/api/chat"),
        ("OPTIONS", "/api/chat"),
        ("POST", "/unknown"),
    ):
        assert status(fake, gateway, method, path, {"Origin": origin}) == 403


def test_pages_that_hide_their_origin_are_refused_and_tools_are_not(
    fake: FakeOllama, gateway: GatewayProcess
) -> None:
    assert status(fake, gateway, "GET", "/api/tags", {"Sec-Fetch-Site": "cross-site"}) == 403
    assert status(fake, gateway, "GET", "/api/tags", {"Sec-Fetch-Site": "none"}) == 200
    assert status(fake, gateway, "POST", "/api/create", {}) == 200


def test_a_whole_url_is_not_passed_on(fake: FakeOllama, gateway: GatewayProcess) -> None:
    fake.play(whole(b"{}"))
    answer = ask(
        gateway.url,
        "GET",
        "http://elsewhere.example/api/tags",
        None,
        {"Host": f"127.0.0.1:{gateway.port}"},
    )
    assert answer.status.split()[1] in ("400", "403")
    assert fake.received == []


@pytest.mark.parametrize(
    "raw",
    [
        (
            b"POST /api/chat HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        (
            b"POST /api/chat HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n"
            b"Content-Length: 6\r\n\r\nhello!"
        ),
        b"POST /api/chat HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n",
        b"POST /api/chat HTTP/1.1\r\nHost: evil.example\r\nHost: {host}\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : {host}\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
def test_ambiguous_requests_do_not_reach_the_upstream(
    fake: FakeOllama, gateway: GatewayProcess, raw: bytes
) -> None:
    fake.play(whole(b"{}"))
    with connect(gateway.url) as link:
        link.sendall(raw.replace(b"{host}", f"127.0.0.1:{gateway.port}".encode()))
        assert read_answer(link).status.split()[1] in ("400", "403")
    assert fake.received == []


def run_gateway(
    upstream: str, home: Path, settings: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    command = gateway_command(upstream, home / "ready.json")
    return subprocess.run(
        command,
        env=gateway_environment(home, settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=home,
    )


def test_an_address_that_others_can_reach_is_refused(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::"):
        refused = run_gateway("http://127.0.0.1:1", tmp_path, {"host": host})
        assert refused.returncode == 2
        assert "loopback" in refused.stderr
    assert not (tmp_path / "ready.json").exists()


def test_a_taken_port_and_a_circle_are_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = run_gateway("http://127.0.0.1:1", tmp_path, {"port": port})
        assert (refused.returncode, "gateway.port" in refused.stderr) == (2, True)
    circle = run_gateway(f"http://localhost:{port}", tmp_path, {"port": port})
    assert (circle.returncode, "itself" in circle.stderr) == (2, True)
    wrong = run_gateway("ollama", tmp_path)
    assert (wrong.returncode, "no address" in wrong.stderr) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(fake: FakeOllama, tmp_path: Path, number: signal.Signals) -> None:
    with a_gateway(fake.url, tmp_path) as gateway, connect(gateway.url):
        gateway.process.send_signal(number)
        assert gateway.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            connect(gateway.url)


def test_it_listens_on_ipv6_loopback_too(fake: FakeOllama, tmp_path: Path) -> None:
    with a_gateway(fake.url, tmp_path, {"host": "::1"}) as gateway:
        assert urlsplit(gateway.url).hostname == "::1"
        fake.play(whole(b"{}"))
        assert ask(gateway.url, "GET", "/api/tags").status.split()[1] == "200"


def test_it_leaves_with_the_process_that_started_it(fake: FakeOllama, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    code = f"""
import os, subprocess, sys, time
child = subprocess.Popen({gateway_command(fake.url, ready)!r} + ["--parent", str(os.getpid())])
print(child.pid, flush=True)
while not os.path.exists({str(ready)!r}): time.sleep(0.01)
"""
    parent = subprocess.run(
        [sys.executable, "-c", code],
        env=gateway_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    pid = int(parent.stdout)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if (
            Path(f"/proc/{pid}/stat").exists()
            and Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        ):
            return  # gone, and no parent here to collect it
        time.sleep(0.05)
    pytest.fail("the gateway outlived its parent")
