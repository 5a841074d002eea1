"""A store with turns in it, and a loopback server that renders as Ollama does: what the data set's
tests stand on.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from qi_learn.records import (
    Feedback,
    LearningInteraction,
    Message,
    Outcome,
    Score,
    Suggestion,
    Turn,
)
from qi_learn.store import feedback
from qi_learn.store.database import Store
from qi_learn.store.turns import save_turn
from tests.support.redacted import as_before

START = 1_790_000_000.0
ANSWER = "Here it is:\n```python\ndef area(r):\n    return 3 * r\n```\nDone."
CODE = "def area(r):\n    return 3 * r\n"


def turn(n: int = 0, *, answer: str = ANSWER, question: str | None = None, **more: Any) -> Turn:
    """A chat turn, the n-th of its day, one minute apart."""
    asked = (Message("user", question or f"Write function {n}."),)
    values: dict[str, Any] = {
        "session": "s",
        "project": "/p",
        "done_reason": "stop",
        "messages": asked,
        **more,
    }
    at = START + 60 * n
    return Turn(
        id=f"turn-{n:04d}",
        endpoint=values.pop("endpoint", "/api/chat"),
        model_asked="m",
        model_answered=values.pop("model_answered", "m:v1"),
        answer=answer,
        started=at,
        ended=at + 5,
        **values,
    )


def suggestion(
    of: Turn, text: str = CODE, *, final: str | None = None, ordinal: int = 0, **more: Any
) -> Suggestion:
    """A settled suggestion whose kept text is `final`."""
    start = of.answer.index(text)
    values = {
        "state": "settled",
        "settled_at": of.ended + 60,
        "final_text": final,
        "file": "a.py",
        **more,
    }
    return Suggestion(
        turn_id=of.id,
        ordinal=ordinal,
        text=text,
        start=start,
        end=start + len(text),
        language="python",
        **values,
    )


def interaction(
    of: Turn,
    *suggestions: Suggestion,
    correction: str | None = None,
    target_text: str | None = None,
    score: float = 0.8,
) -> LearningInteraction:
    verdict = Score(
        turn_id=of.id,
        suggestion_score=0.5,
        confidence=0.5,
        target_score=score,
        target_text=target_text,
    )
    return LearningInteraction(
        of,
        suggestions,
        Feedback(correction=correction),
        Outcome(),
        "code_generation",
        "simple",
        "web",
        (),
        verdict,
    )


def keep(
    store: Store,
    of: Turn,
    *suggestions: Suggestion,
    score: float = 0.8,
    domain: str = "web",
    redacted: bool = False,
) -> None:
    """Stores a turn with what became of it."""
    save_turn(store, as_before(of), redacted=redacted)
    feedback.save_suggestions(store, as_before(suggestions))
    feedback.save_classes(store, of.id, "code_generation", "simple", domain, as_before([]))
    text = next((s.final_text for s in suggestions if s.final_text), of.answer)
    feedback.save_score(
        store,
        as_before(
            Score(
                turn_id=of.id,
                suggestion_score=0.5,
                confidence=0.5,
                target_score=score,
                target_text=text,
            )
        ),
    )


def work(store: Store, sessions: dict[str, int], *, first: int = 0, **more: Any) -> None:
    """So many kept turns in each session, in this order; each with a text of its own."""
    n = first
    for session, count in sessions.items():
        for _ in range(count):
            t = turn(n, session=session)
            keep(store, t, suggestion(t, final=f"def area_{n}(r):\n    return {n} * r\n"), **more)
            n += 1


def agreed(store: Store, sessions: dict[str, int], *, first: int) -> None:
    """The same of turns whose code was kept as it was."""
    n = first
    for session, count in sessions.items():
        for _ in range(count):
            code = f"def area_{n}(r):\n    return {n} * r\n"
            t = turn(n, session=session, answer=ANSWER.replace(CODE, code))
            keep(store, t, suggestion(t, code, final=code))
            n += 1


# --- a server that renders ------------------------------------------------------------------------


class RenderingServer(ThreadingHTTPServer):
    """Answers `_debug_render_only` with ChatML, as Ollama does for SmolLM2; counts what it was
    asked.
    """

    asked: list[tuple[str, dict[str, Any]]]
    url: str


class _Rendering(BaseHTTPRequestHandler):
    server: RenderingServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        assert body["_debug_render_only"] is True
        text = json.dumps(
            {
                "model": body["model"],
                "done": False,
                "_debug_info": {"rendered_template": rendered(self.path, body)},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def rendered(path: str, body: dict[str, Any]) -> str:
    if path == "/api/generate":
        if body.get("raw"):
            return str(body["prompt"])
        if body.get("suffix"):
            return f"<|fim_prefix|>{body['prompt']}<|fim_suffix|>{body['suffix']}<|fim_middle|>"
        if body.get("template"):
            return str(body["template"]).replace("{{ .Prompt }}", body["prompt"])
        system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        return rendered(
            "/api/chat", {"messages": [*system, {"role": "user", "content": body["prompt"]}]}
        )
    parts = [
        f"<|im_start|>{m['role']}\n{m['content']}{_calls(m)}<|im_end|>\n" for m in body["messages"]
    ]
    tools = (
        f"<|im_start|>system\nTools: {json.dumps(body['tools'])}<|im_end|>\n"
        if body.get("tools")
        else ""
    )
    return tools + "".join(parts) + "<|im_start|>assistant\n"


def _calls(message: dict[str, Any]) -> str:
    calls = [
        {"name": c["function"]["name"], "arguments": c["function"]["arguments"]}
        for c in message.get("tool_calls", [])
    ]
    return "".join(f"<tool_call>\n{json.dumps(c)}\n</tool_call>" for c in calls)


@contextmanager
def rendering_server() -> Iterator[RenderingServer]:
    server = RenderingServer(("127.0.0.1", 0), _Rendering)
    server.asked, server.url = [], f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
