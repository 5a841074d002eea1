"""How the engine reads requests and writes answers: JSON, errors and streams as Ollama's.

Everywhere else in the engine an error is a `ServerError` with a status. Only here it gets a form:
`{"error": text}` for Ollama's own routes, OpenAI's object below /v1, Anthropic's for /v1/messages.
Texts and forms are those of the recordings in tests/support/recordings, made with a real Ollama.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiohttp import web

from qi_learn.errors import (
    DiskFull,
    ModelError,
    NotFound,
    QiError,
    ServerError,
    StoreError,
    ToolMissing,
)

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
_GO_KINDS = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}


Kinds = Mapping[str, tuple[type | tuple[type, ...], str]]
"""The fields of a request's body: the type of each, and Go's name of it."""


class BodyError(ServerError):
    """The request's body is missing, not JSON, or not of the right shape."""


def dumps(value: Any) -> str:
    """JSON on one line, with Go's escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def now_text() -> str:
    """The time as Ollama writes it: UTC with nanoseconds."""
    return stamp_text(time.time_ns())


def stamp_text(nanoseconds: int) -> str:
    """A moment (Unix time) as Ollama writes it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f"{rest:09d}".rstrip("0")
    return (
        datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
        + (f".{fraction}" if fraction else "")
        + "Z"
    )


def reply(
    value: Any, *, status: int = 200, content_type: str = JSON, end: str = ""
) -> web.Response:
    """One JSON answer."""
    return web.Response(
        body=(dumps(value) + end).encode(), status=status, headers={"Content-Type": content_type}
    )


def reply_v1(value: Any, *, status: int = 200) -> web.Response:
    """One JSON answer below /v1: no charset, a newline at the end."""
    return reply(value, status=status, content_type="application/json", end="\n")


def reply_error(path: str, error: QiError) -> web.Response:
    """An error in the form of the path it happened on."""
    status, text = status_of(error), error_text(error)
    if not path.startswith("/v1/"):
        return reply({"error": text}, status=status)
    kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
    if path == "/v1/messages":
        return reply_v1({"type": "error", "error": {"type": kind, "message": text}}, status=status)
    body = {"error": {"message": text, "type": kind, "param": None, "code": None}}
    return (
        reply(body, status=status)
        if isinstance(error, BodyError)
        else reply_v1(body, status=status)
    )


def error_text(error: QiError) -> str:
    """What happened and what to do, on one line."""
    return str(error).replace("\n", "; ")


def status_of(error: QiError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, ServerError):
        return error.status or 500
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


_STATUSES: tuple[tuple[type[QiError], int], ...] = (
    (NotFound, 404),
    (DiskFull, 507),
    (ModelError, 500),
    (StoreError, 500),
    (ToolMissing, 501),
)


async def read_body(request: web.Request, struct: str, kinds: Kinds) -> dict[str, Any]:
    """The JSON object of a request, without nulls.

    `kinds` is as in `{"model": (str, "string")}`; other fields pass unchecked. Raises BodyError in
    Go's words (`struct` is Go's name of the object's type).
    """
    raw = await request.read()
    if not raw.strip():
        raise BodyError("missing request body", status=400)
    try:
        # of a text, not of bytes: Python would take a byte order mark and UTF-16, Go takes neither
        value = json.loads(raw.decode("utf-8", "surrogatepass"), parse_constant=_no_number)
        if b"\\ud" in raw.lower():  # perhaps half a character, which Go reads as U+FFFD
            text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
            value = json.loads(text.decode("utf-16", "replace"))
    except json.JSONDecodeError as error:
        raise BodyError(_json_problem(error), status=400) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, too long a number, too deep
        raise BodyError(f"the body is not JSON: {error}", status=400) from error
    if not isinstance(value, dict):
        raise BodyError(
            f"json: cannot unmarshal {_kind(value)} into Go value of type api.{struct}", status=400
        )
    for name, (kind, go) in kinds.items():
        item = value.get(name)
        if item is not None and not _is_a(item, kind):
            field = f"{struct}.{name} of type {go}"
            raise BodyError(
                f"json: cannot unmarshal {_kind(item)} into Go struct field {field}", status=400
            )
    return {name: item for name, item in value.items() if item is not None}


def _no_number(word: str) -> float:
    """Refuse what Python takes for a number and JSON does not: NaN and the infinities."""
    raise ValueError(f"{word} is no number")


def _is_a(item: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value has one of the types; unlike in Python, a bool is no int."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return isinstance(item, kinds) and (bool in kinds or not isinstance(item, bool))


def _kind(value: Any) -> str:
    """Go's name of the kind of a JSON value."""
    return _GO_KINDS.get(type(value), "null")


def _json_problem(error: json.JSONDecodeError) -> str:
    """Go's words for a text that ends too early, ours for the rest."""
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    return f"invalid character {error.doc[error.pos]!r} at position {error.pos}: {error.msg}"


async def stream(
    request: web.Request, items: AsyncGenerator[bytes, None], content_type: str
) -> web.StreamResponse:
    """Send each item as one HTTP chunk.

    An error before the first item becomes the answer's status, a later one the last line of the
    stream. However this ends (the client hangs up, the task is cancelled), `items` is closed, so
    that their maker stops.
    """
    async with contextlib.aclosing(items):
        first = await anext(items)
        response = web.StreamResponse(headers={"Content-Type": content_type})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(first)
        try:
            async for item in items:
                await response.write(item)
        except QiError as error:
            line = dumps({"error": error_text(error)})
            await response.write(
                (f"data: {line}\n\n" if content_type == SSE else f"{line}\n").encode()
            )
        await response.write_eof()
        return response
