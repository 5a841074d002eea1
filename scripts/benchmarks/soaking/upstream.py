"""The server behind the gateway: it answers each question with its marker in a function."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Upstream(BaseHTTPRequestHandler):
    """Answers each question with its marker in a function, word by word."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        lines = answer_lines(self.path.split("?")[0], body)
        if not lines:
            self.refuse()
            return
        self.send_response(200)
        stream = "application/x-ndjson" if self.path.startswith("/api/") else "text/event-stream"
        self.send_header("Content-Type", stream)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            time.sleep(0.002)
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self) -> None:
        self.refuse()

    def refuse(self) -> None:
        """Answer as Ollama does for a model that it has not."""
        body = b'{"error":"model \'m:latest\' not found"}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the account at the end says what there is to say."""


class Server(ThreadingHTTPServer):
    """The upstream's server; a gateway that was killed is no news to it."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: connections end here as they please."""


def code_of(marker: str) -> str:
    name = marker.replace("-", "_")
    return (
        f"def {name}(prices, rates, limit):\n"
        f"    chosen = [p * r for p, r in zip(prices, rates) if p < limit]\n"
        f"    return sum(chosen) / max(1, len(chosen)) + {abs(hash(marker)) % 9973}\n"
    )


def answer_lines(path: str, body: dict[str, Any]) -> list[bytes]:
    """The pieces of the stream that an endpoint answers with; empty for an unknown one."""
    asked = body.get("prompt") or (body.get("messages") or [{}])[-1].get("content", "")
    marker = str(asked).split()[-1] if asked else ""
    text = f"```python\n{code_of(marker)}```\n"
    pieces = [text[i : i + 24] for i in range(0, len(text), 24)]
    if path in ("/api/chat", "/api/generate"):
        wrap: Callable[[str], dict[str, Any]] = (
            (lambda t: {"message": {"role": "assistant", "content": t}})
            if path == "/api/chat"
            else (lambda t: {"response": t})
        )
        lines = [{"model": "m", "done": False} | wrap(piece) for piece in pieces]
        lines.append({"model": "m", "done": True, "done_reason": "stop"} | wrap(""))
        return [json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines]
    if path == "/v1/chat/completions":
        events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        sent = [f"data: {json.dumps({'model': 'm'} | event)}\n\n".encode() for event in events]
        return [*sent, b"data: [DONE]\n\n"]
    if path == "/v1/messages":
        typed: list[dict[str, Any]] = [
            {"type": "message_start", "message": {"role": "assistant", "model": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        ]
        for piece in pieces:
            delta = {"type": "text_delta", "text": piece}
            typed.append({"type": "content_block_delta", "index": 0, "delta": delta})
        typed += [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        ]
        return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in typed]
    return []


def free_port() -> int:
    """A port that nothing listens on now."""
    with Server(("127.0.0.1", 0), Upstream) as server:
        return int(server.server_address[1])


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of an upstream that serves."""
    server = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
