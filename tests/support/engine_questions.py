"""Questions to an engine: to its model `tiny`, or to one that is named."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.engine_server import Server

HI = [{"role": "user", "content": "Say hi."}]
GREEDY = {"temperature": 0, "num_predict": 16}
FEW = {"temperature": 0, "num_predict": 4}


def ask(server: Server, path: str = "/api/chat", /, **body: Any) -> dict[str, Any]:
    question = {"messages": HI} if path == "/api/chat" else {}
    answer = server.post(path, {"model": "tiny", "stream": False, **question, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def said(server: Server, **body: Any) -> str:
    return str(ask(server, **body)["message"]["content"])


def chat(server: Server, model: str, **more: object) -> httpx.Response:
    return server.post(
        "/api/chat", {"model": model, "messages": HI, "options": FEW, "stream": False, **more}
    )
