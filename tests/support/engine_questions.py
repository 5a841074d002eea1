"""Questions to an engine that has the model `tiny`."""

from __future__ import annotations

from typing import Any

from tests.support.engine_server import Server

HI = [{"role": "user", "content": "Say hi."}]
GREEDY = {"temperature": 0, "num_predict": 16}


def ask(server: Server, path: str = "/api/chat", /, **body: Any) -> dict[str, Any]:
    question = {"messages": HI} if path == "/api/chat" else {}
    answer = server.post(path, {"model": "tiny", "stream": False, **question, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def said(server: Server, **body: Any) -> str:
    return str(ask(server, **body)["message"]["content"])
