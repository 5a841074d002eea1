"""The engine under bad conditions: full disks, broken uploads, missing files, kills, many models,
and names that move under its readers.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qi_learn import logs
from qi_learn.paths import Paths
from tests.support.engine_questions import HI, chat
from tests.support.engine_server import Server, running_engine
from tests.support.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", seed=1)


def loaded(server: Server) -> list[str]:
    return [m["name"] for m in server.get("/api/ps").json()["models"]]


def upload_head(at: httpx.URL, digest: str, length: int) -> str:
    host = at.netloc.decode()
    request = f"POST /api/blobs/sha256:{digest} HTTP/1.1"
    return f"{request}\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"


def blobs(server: Server) -> set[str]:
    return {p.name for p in (server.models / "blobs").iterdir()}


# --- models come and go ---------------------------------------------------------------------------


def test_three_models_side_by_side_and_the_oldest_makes_room(
    server: Server, tmp_path: Path
) -> None:
    for n in range(4):
        server.create(f"lru-{n}", write_tiny_model(tmp_path / f"{n}.gguf", seed=n + 10))
    for n in (0, 1, 2, 0, 3):
        assert chat(server, f"lru-{n}").status_code == 200
    assert loaded(server) == ["lru-3:latest", "lru-0:latest", "lru-2:latest"]
    assert chat(server, "lru-1").status_code == 200


def test_keep_alive(server: Server, gguf: Path) -> None:
    server.create("keep", gguf)
    chat(server, "keep", keep_alive=0)
    assert "keep:latest" not in loaded(server)
    chat(server, "keep", keep_alive="-1m")
    assert "keep:latest" in loaded(server)
    assert (
        next(m for m in server.get("/api/ps").json()["models"] if m["name"] == "keep:latest")[
            "expires_at"
        ]
        > "2100"
    )
    assert (
        server.post("/api/generate", {"model": "keep", "keep_alive": 0}).json()["done_reason"]
        == "unload"
    )
    assert "keep:latest" not in loaded(server)
    chat(server, "keep", keep_alive="50ms")
    while "keep:latest" in loaded(server):
        time.sleep(0.05)


def test_an_answer_outlives_the_unloading_and_the_deletion_of_its_model(
    server: Server, gguf: Path
) -> None:
    server.create("gone", gguf)
    body = {
        "model": "gone",
        "messages": HI,
        "options": {"temperature": 0, "num_predict": 60, "stop": []},
    }
    body |= {"format": {"type": "array", "items": {"const": "x"}, "minItems": 99}}
    with httpx.stream("POST", f"{server.url}/api/chat", json=body, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert (
            server.post("/api/chat", {"model": "gone", "messages": [], "keep_alive": 0}).json()[
                "done_reason"
            ]
            == "unload"
        )
        assert (
            httpx.request("DELETE", f"{server.url}/api/delete", json={"model": "gone"}).status_code
            == 200
        )
        rest = [json.loads(line) for line in lines]
    assert (rest[-1]["done_reason"], rest[-1]["eval_count"]) == ("length", 60)
    assert chat(server, "gone").status_code == 404


def test_a_loaded_model_is_replaced_by_the_file_its_name_means_now(
    server: Server, tmp_path: Path
) -> None:
    one, two = (write_tiny_model(tmp_path / f"{s}.gguf", seed=s, tied=False) for s in (21, 22))
    server.create("one", one)
    server.create("two", two)
    answers = [chat(server, name).json()["message"]["content"] for name in ("one", "two")]
    assert answers[0] != answers[1]
    server.create("moving", one)
    assert chat(server, "moving").json()["message"]["content"] == answers[0]
    assert server.post("/api/copy", {"source": "two", "destination": "moving"}).status_code == 200
    assert chat(server, "moving").json()["message"]["content"] == answers[1]
    manifests = server.models / "manifests" / "registry.ollama.ai" / "library"
    fresh = manifests / "moving" / ".new"
    fresh.touch(0o600)
    fresh.write_bytes((manifests / "one" / "latest").read_bytes())
    fresh.replace(manifests / "moving" / "latest")  # as deploy does it
    assert chat(server, "moving").json()["message"]["content"] == answers[0]


def test_a_copy_leaves_no_gap(server: Server, gguf: Path) -> None:
    """While the alias is copied over again and again, it is there and whole for every reader."""
    server.create("alias:a", gguf)
    server.create("alias:b", gguf, system="B")
    server.post("/api/copy", {"source": "alias:a", "destination": "alias:live"})
    stop, wrong, asked = threading.Event(), [], []

    def read() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not stop.is_set():
                shown = client.post("/api/show", json={"model": "alias:live"})
                listed = [m["name"] for m in client.get("/api/tags").json()["models"]]
                asked.append(1)
                if shown.status_code != 200 or "alias:live" not in listed:
                    wrong.append(shown.text)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(40):
        assert (
            server.post(
                "/api/copy", {"source": f"alias:{'ab'[n % 2]}", "destination": "alias:live"}
            ).status_code
            == 200
        )
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(asked) > 10


def test_deleting_removes_only_what_nobody_else_uses(server: Server, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", seed=31)
    blob = f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}"
    server.create("share-1", path, system="only here")
    server.create("share-2", path)
    mine = blobs(server)
    httpx.request(
        "DELETE", f"{server.url}/api/delete", json={"model": "share-1"}
    ).raise_for_status()
    assert blob in blobs(server) < mine
    httpx.request(
        "DELETE", f"{server.url}/api/delete", json={"model": "Share-2:LATEST"}
    ).raise_for_status()  # names have no case
    assert blob not in blobs(server)


# --- files that are missing, wrong, too large -----------------------------------------------------


def test_a_missing_blob_is_said_and_harms_nobody_else(
    server: Server, tmp_path: Path, gguf: Path
) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", seed=41)
    server.create("whole", gguf)
    server.create("hole", path)
    (server.models / "blobs" / f"sha256-{hashlib.sha256(path.read_bytes()).hexdigest()}").unlink()
    for answer in (
        chat(server, "hole"),
        chat(server, "hole", stream=True),
        server.post("/api/show", {"model": "hole"}),
    ):
        assert (answer.status_code, "missing from the store" in answer.json()["error"]) == (
            500,
            True,
        )
    assert "hole:latest" in [m["name"] for m in server.get("/api/tags").json()["models"]]
    assert chat(server, "whole").status_code == 200
    httpx.request("DELETE", f"{server.url}/api/delete", json={"model": "hole"}).raise_for_status()


def test_an_unknown_architecture_is_named(server: Server, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", "warpdrive")  # type: ignore[arg-type]
    digest = server.upload(path)
    lines = server.post(
        "/api/create", {"model": "odd", "files": {"m.gguf": digest}}
    ).text.splitlines()
    assert "does not know the architecture 'warpdrive'" in json.loads(lines[-1])["error"]
    whole = server.post(
        "/api/create", {"model": "odd", "files": {"m.gguf": digest}, "stream": False}
    )
    assert (whole.status_code, "warpdrive" in whole.json()["error"]) == (500, True)
    assert chat(server, "odd").status_code == 404


def test_a_cut_file_is_refused(server: Server, gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(gguf.read_bytes()[:-5000])
    lines = server.post(
        "/api/create", {"model": "cut", "files": {"m.gguf": server.upload(cut)}}
    ).text.splitlines()
    assert "cut off" in json.loads(lines[-1])["error"]


def test_a_file_whose_texts_are_no_utf_8_is_refused(
    server: Server, gguf: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf.read_bytes().replace(b"general.name", b"general.n\xffme", 1))
    assert damaged.read_bytes() != gguf.read_bytes()
    lines = server.post(
        "/api/create", {"model": "damaged", "files": {"m.gguf": server.upload(damaged)}}
    ).text.splitlines()
    said = json.loads(lines[-1])["error"]
    assert "no UTF-8" in said
    assert "upload it again" in said
    assert str(tmp_path) not in said


def test_several_files_and_unknown_bases_are_refused(server: Server, gguf: Path) -> None:
    digest = server.upload(gguf)
    lines = server.post(
        "/api/create", {"model": "x", "files": {"a.gguf": digest, "b.gguf": digest}}
    ).text.splitlines()
    assert "exactly one GGUF" in json.loads(lines[-1])["error"]
    answer = server.post("/api/create", {"model": "x", "from": "nowhere"})
    assert (answer.status_code, "not found" in answer.json()["error"]) == (404, True)


def test_a_template_that_is_the_files_own_is_no_change(server: Server, gguf: Path) -> None:
    server.create("own-template", gguf)
    shown = server.post("/api/show", {"model": "own-template"}).json()["template"]
    server.create("own-template-2", gguf, template=shown)
    answer = server.post(
        "/api/create",
        {
            "model": "x",
            "files": {"m.gguf": server.upload(gguf)},
            "template": "{{ .Prompt }}",
            "stream": False,
        },
    )
    assert (answer.status_code, "takes no other" in answer.json()["error"]) == (400, True)


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """No file may grow beyond 200 kB: the upload fails, the engine lives."""
    big = write_tiny_model(tmp_path / "big.gguf")
    assert big.stat().st_size > 200 * 1024
    digest = f"sha256:{hashlib.sha256(big.read_bytes()).hexdigest()}"
    with running_engine(tmp_path, limit=200 * 1024) as server:
        answer = httpx.post(f"{server.url}/api/blobs/{digest}", content=big.read_bytes())
        assert (answer.status_code, "no room for the model" in answer.json()["error"]) == (
            507,
            True,
        )
        assert blobs(server) == set()
        assert server.get("/api/version").status_code == 200


def test_an_upload_broken_off_half_way_leaves_nothing(server: Server, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", seed=51)
    raw = path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    before = blobs(server)
    at = httpx.URL(server.url)
    with socket.create_connection((at.host, at.port or 80)) as link:
        head = upload_head(at, digest, len(raw))
        link.sendall(head.encode() + raw[: len(raw) // 2])
        while blobs(server) == before:
            time.sleep(0.01)  # the temp file is there
    while blobs(server) != before:
        time.sleep(0.01)
    assert httpx.head(f"{server.url}/api/blobs/sha256:{digest}").status_code == 404
    server.create("second-try", path)


def test_what_a_kill_leaves_is_swept_up_at_the_next_start(tmp_path: Path, gguf: Path) -> None:
    raw = gguf.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    with running_engine(tmp_path) as server:
        at = httpx.URL(server.url)
        with socket.create_connection((at.host, at.port or 80)) as link:
            head = upload_head(at, digest, len(raw))
            link.sendall(head.encode() + raw[:1000])
            while not blobs(server):
                time.sleep(0.01)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        assert [name for name in blobs(server) if name.startswith("upload-")]
    with running_engine(tmp_path) as server:
        assert blobs(server) == set()
        server.create("after", gguf)
        assert chat(server, "after").status_code == 200


# --- the process ----------------------------------------------------------------------------------


def test_sigterm_ends_it_cleanly_in_the_middle_of_an_answer(tmp_path: Path, gguf: Path) -> None:
    with running_engine(tmp_path) as server:
        server.create("m", gguf)
        body = {
            "model": "m",
            "messages": HI,
            "format": {"type": "array", "items": {"const": "x"}, "minItems": 9999},
            "options": {"num_ctx": 2048, "stop": []},
        }
        with httpx.stream("POST", f"{server.url}/api/chat", json=body, timeout=60) as answer:
            next(answer.iter_lines())
            server.process.terminate()
            assert server.process.wait(30) == 0
    assert "Traceback" not in (tmp_path / "engine.log").read_text()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    words = ["-m", "qi_learn.engine", "--models", str(tmp_path / "models"), "--ready", str(ready)]
    script = (
        "import os, subprocess, sys, time, pathlib\n"
        f"subprocess.Popen([sys.executable, *{words!r}, '--parent', str(os.getpid())], "
        "stderr=subprocess.DEVNULL)\n"
        f"while not pathlib.Path({str(ready)!r}).exists(): time.sleep(0.02)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    pid = json.loads(ready.read_text())["pid"]
    while _running(pid):
        time.sleep(0.05)


def _running(pid: int) -> bool:
    """Whether the process runs (one that its parent has not collected yet does not)."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_its_log_stays_small_with_nobody_to_cut_it(tmp_path: Path, gguf: Path) -> None:
    """Its daemon may be gone for months, and it may have been started by hand."""
    home = tmp_path / "home"
    own = Paths.under(home).logs / "engine.log"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"an old line\n" * (logs.LIMIT // 12))
    with running_engine(tmp_path, log=own, home=home) as server:
        server.create("m", gguf)
        chat(server, "m")
        assert logs.beside(own, 1).stat().st_size > logs.LIMIT - 2000
        before = own.stat().st_size
        assert 0 < before < 2000
        for _ in range(30):
            assert chat(server, "m", options={"num_predict": 1}).status_code == 200
            assert chat(server, "absent").status_code == 404
        assert own.stat().st_size == before


def test_it_serves_no_other_machine(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "qi_learn.engine",
        "--models",
        str(tmp_path),
        "--host",
        "0.0.0.0",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "not a loopback address" in done.stderr


def test_files_are_private(server: Server, gguf: Path) -> None:
    server.create("private", gguf)
    for path in server.models.rglob("*"):
        assert os.stat(path).st_mode & 0o077 == 0, path
