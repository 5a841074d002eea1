"""Whatever is not routed passes byte for byte in both directions: every route, target, framing,
encoding and content.
"""

from __future__ import annotations

import gzip
import json
import string
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.exchanges import ENDPOINTS, end_to_end, same_answer
from tests.support.fake_ollama import FakeOllama, GatewayProcess, Step, ask, chunk, head

PATHS = (*ENDPOINTS, "/api/show", "/api/embed", "/v1/embeddings", "/v9/chat", "/", "/x/%2e%2F;y")
QUERIES = st.just("") | st.text(string.ascii_letters + "=&%/?:@!$'()*+,;-._~[]", max_size=20).map(
    lambda text: f"?{text}"
)
CONTENTS = st.binary(max_size=200) | st.builds(
    lambda name, text: json.dumps({"model": name, "prompt": text}).encode(),
    st.sampled_from(["else", "qi-agent:v1.1.0", "é", ""]),
    st.text(max_size=40),
)
ENCODINGS = st.sampled_from([None, "gzip", "deflate", "br", "identity"])
KINDS = st.sampled_from(
    ["application/json", "application/x-ndjson", "text/event-stream", "image/png"]
)


@st.composite
def cut(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """The body in pieces, none of them empty."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(body) - 1)), max_size=4)))
    ends = [*[c for c in cuts if c < len(body)], len(body)]
    return [body[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), path=st.sampled_from(PATHS), query=QUERIES, body=CONTENTS, answer=CONTENTS)
def test_what_is_not_routed_passes_byte_for_byte(
    fake: FakeOllama,
    routed: GatewayProcess,
    data: st.DataObject,
    path: str,
    query: str,
    body: bytes,
    answer: bytes,
) -> None:
    asked_in, answered_in = data.draw(ENCODINGS), data.draw(ENCODINGS)
    target = f"{data.draw(st.sampled_from(['', '/', '/.']))}{path}{query}"
    headers: dict[str, str] = {} if asked_in is None else {"Content-Encoding": asked_in}
    sent = gzip.compress(body) if asked_in == "gzip" and data.draw(st.booleans()) else body
    if data.draw(st.booleans()):
        headers["Transfer-Encoding"] = "chunked"
        sent = b"".join(map(chunk, data.draw(cut(sent)))) + b"0\r\n\r\n"
    fake.play(_answer(data, answer, answered_in))
    method = data.draw(st.sampled_from(["POST", "POST", "PUT"]))
    direct = ask(fake.url, method, target, sent, headers)
    through = ask(routed.url, method, target, sent, headers)
    same_answer(direct, through)
    first, second = fake.received
    assert first.line == second.line == f"{method} {target} HTTP/1.1"
    assert first.body == second.body
    assert _kept(first.headers) == _kept(second.headers)


def _kept(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    """The headers that pass: a body that came in chunks may go on with its length."""
    return [h for h in end_to_end(headers) if h[0].lower() != "content-length"]


def _answer(data: st.DataObject, body: bytes, encoding: Any) -> list[Step]:
    headers = [("Content-Type", data.draw(KINDS)), ("X-Odd", "a, b")]
    if encoding is not None:
        headers.append(("Content-Encoding", encoding))
        body = gzip.compress(body) if encoding == "gzip" and data.draw(st.booleans()) else body
    status = data.draw(st.sampled_from(["200 OK", "404 Not Found", "500 Odd"]))
    if data.draw(st.booleans()):
        length = ("Content-Length", str(len(body)))
        return [head(f"HTTP/1.1 {status}", *headers, length) + body]
    opening = head(f"HTTP/1.1 {status}", *headers, ("Transfer-Encoding", "chunked"))
    return [opening, *map(chunk, data.draw(cut(body))), b"0\r\n\r\n"]
