"""Events as the gateway writes them for one exchange."""

from __future__ import annotations

import json
from typing import Any

from qi_learn.records import Event

NDJSON, SSE, JSON = "application/x-ndjson", "text/event-stream", "application/json; charset=utf-8"


def turn_event(
    endpoint: str, request: Any, response: str, content_type: str = JSON, **more: Any
) -> Event:
    text = request if isinstance(request, str) else json.dumps(request)
    body = {
        "endpoint": endpoint,
        "request": text,
        "response": response,
        "content_type": content_type,
        "model_asked": "m",
        "status": 200,
        **more,
    }
    return Event("01T", "turn", 50.0, "gateway", body, "model", "/p")
