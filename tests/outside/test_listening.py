"""A process is found again by its file, and no other one is taken for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qi_learn.outside.listening import announce, birth, find, read_listening


def test_it_is_found_while_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        announce(file, url, upstream="http://127.0.0.1:9")
        found = find(file)
        assert found is not None
        assert (found.url, found.pid, found.upstream) == (url, os.getpid(), "http://127.0.0.1:9")
    assert find(file) is None, "the process is there, its port is not"


def test_a_number_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    with socket.create_server(("127.0.0.1", 0)) as server:
        announce(file, f"http://127.0.0.1:{server.getsockname()[1]}")
        said = json.loads(file.read_text())
        file.write_text(json.dumps(said | {"birth": "1@another boot"}))
        assert find(file) is None
        file.write_text(json.dumps(said | {"birth": ""}))
        assert find(file) is None, "of an older version, which says no birth"


def test_a_process_that_has_ended_has_no_birth() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = birth(child.pid)
    assert born
    assert birth(child.pid) == born != birth(os.getpid())
    child.kill()
    child.communicate()
    assert birth(child.pid) == ""


@pytest.mark.parametrize("said", ["", "{", "[]", "3", "null", '{"url": "x"}', '{"pid": "y"}'])
def test_what_is_not_understood_is_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / "ready").write_text(said)
    assert read_listening(tmp_path / "ready") is None
    assert read_listening(tmp_path / "none") is None
