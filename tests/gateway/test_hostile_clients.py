"""An address with a password is refused; what a model writes never hides its turn."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from qi_learn.errors import SettingsError
from qi_learn.settings_file import load_settings
from tests.support.fake_ollama import (
    FakeOllama,
    GatewayProcess,
    ask,
    chunk,
    gateway_command,
    gateway_environment,
    head,
    whole,
)


def test_an_address_with_a_password_is_refused_without_showing_it(tmp_path: Path) -> None:
    command = gateway_command("http://bob:hunter2@127.0.0.1:9", tmp_path / "ready.json")
    done = subprocess.run(
        command, env=gateway_environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "serve.ollama" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_the_settings_refuse_an_address_with_a_password_without_showing_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    for good in ("http://127.0.0.1:11434", "https://host/a@b", "http://[::1]:1/?x=a@b"):
        file.write_text(f'[serve]\nollama = "{good}"\n')
        assert load_settings(file, env={}).serve.ollama == good
    for bad in ("http://bob:hunter2@127.0.0.1:9", "http://:hunter2@[::1]", "hunter2@host"):
        file.write_text(f'[serve]\nollama = "{bad}"\n')
        with pytest.raises(SettingsError) as caught:
            load_settings(file, env={})
        assert "serve.ollama" in caught.value.what
        assert "hunter2" not in caught.value.what + caught.value.hint


def test_a_tool_call_that_speaks_of_loading_is_a_turn(
    fake: FakeOllama, routed: GatewayProcess
) -> None:
    routed.turns()
    for words in ({"done_reason": "load"}, {"_debug_info": 1}):
        call = {"function": {"name": "w", "arguments": words}}
        value = {"message": {"role": "assistant", "tool_calls": [call]}, "done": True}
        fake.play(whole(json.dumps(value, separators=(",", ":")).encode()))
        ask(routed.url, "POST", "/api/chat", {"model": "x", "messages": []})
    assert len(routed.turns(2)) == 2


def test_a_load_within_a_stream_is_no_turn(fake: FakeOllama, routed: GatewayProcess) -> None:
    routed.turns()
    opening = head("HTTP/1.1 200 OK", ("Transfer-Encoding", "chunked"))
    line = b'{"model":"x","done":true,"done_reason":"load"}\n'
    fake.play([opening, chunk(line), b"0\r\n\r\n"])
    ask(routed.url, "POST", "/api/chat", {"model": "x", "messages": []})
    assert routed.turns(1, 0.5) == []
