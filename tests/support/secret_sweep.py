"""Secrets through every path that writes, and a search for them in every file of a home.

The secrets are those of the labelled set that the rules know in each form in which a path carries
them: as they are, as JSON within a text, in one line and quoted for a shell.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from qi_learn.redact import Redactor
from tests.support.fake_ollama import Received, Step, stream, whole
from tests.support.secret_vectors import Vector, remains, vectors

REDACTOR = Redactor(b"k" * 32)  # our own rules alone
BUNDLE = 16
TYPED = 160
"""Characters of the longest text that is typed at a terminal: a line of it has 4096."""
PIECE = 23
"""Characters of one chunk of a streamed answer: every secret is cut at least once."""


@dataclass(frozen=True)
class Bundle:
    """Texts with secrets, as one text, as one line, and as a function of Python's."""

    number: int
    vectors: tuple[Vector, ...]

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for vector in self.vectors for secret in vector.secrets)

    @property
    def text(self) -> str:
        return "\n\n".join(vector.text for vector in self.vectors)

    @property
    def code(self) -> str:
        n = self.number
        lines = [
            f"def note_{n}(first, second):",
            f"    start_{n} = first + second",
            "    text = '''",
        ]
        rest = ["'''", f"    return send_{n}(start_{n}, text, first, second, retries={n})"]
        return "\n".join([*lines, self.text, *rest]) + "\n"

    @property
    def line(self) -> str:
        return " ".join(quoted(vector) for vector in self.vectors)

    @property
    def typed(self) -> tuple[str, ...]:
        """Those of the texts that one would type, half of them on each line."""
        words = [quoted(vector) for vector in self.vectors if len(vector.text) < TYPED]
        words = [word for word in words if "\t" not in word]
        half = len(words) // 2
        return " ".join(words[:half]), " ".join(words[half:])


def quoted(vector: Vector) -> str:
    """The text as one word of a command line."""
    return shlex.quote(one_line(vector.text))


def one_line(text: str) -> str:
    return " ".join(text.split("\n"))


@cache
def bundles(most: int | None = None) -> tuple[Bundle, ...]:
    """The secrets that are brought through, or the first of them.

    To find all takes seconds: no module asks for them on import, as every process that tests
    imports every module.
    """
    one_by_one = (vector for vector in vectors() if vector.secrets and _known(vector))
    known = list(islice(one_by_one, None if most is None else most * BUNDLE))
    return tuple(
        Bundle(number, tuple(known[at : at + BUNDLE]))
        for number, at in enumerate(range(0, len(known), BUNDLE))
    )


def secrets_of(bundles: Iterable[Bundle]) -> set[str]:
    return {secret for bundle in bundles for secret in bundle.secrets}


def _known(vector: Vector) -> bool:
    text = vector.text
    forms = (
        text,
        json.dumps({"path": "a.py", "content": text}),
        json.dumps({"a": json.dumps({"content": text})}),
        f"echo {quoted(vector)}",
        f"pytest 0 {quoted(vector)} {quoted(vector)} 'db.secret = 1'",
        one_line(text),
    )
    return not any(remains(s, REDACTOR.text(form)) for form in forms for s in vector.secrets)


# --- what is looked for ---------------------------------------------------------------------------


def pieces(secret: str) -> set[bytes]:
    """What of a secret is looked for: each line, as it is and as JSON has it."""
    lines = [line.strip() for line in secret.replace("\\n", "\n").split("\n")]
    texts = {line for line in lines if len(line) >= 8} or {secret}
    return {form.encode() for text in texts for form in (text, json.dumps(text)[1:-1])}


def search(root: Path, secrets: Iterable[str]) -> dict[str, list[str]]:
    """The secrets that stand in a file's bytes, or in a name, below a directory: by file."""
    wanted = {secret: pieces(secret) for secret in secrets}
    found: dict[str, list[str]] = {}
    for path in sorted(root.rglob("*")):
        data = path.name.encode() + b"\n" + (path.read_bytes() if path.is_file() else b"")
        here = [secret for secret, forms in wanted.items() if any(form in data for form in forms)]
        if here:
            found[str(path.relative_to(root))] = here
    return found


# --- answers of a server --------------------------------------------------------------------------


def cut(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def _events(events: Iterable[object], *, end: bytes = b"") -> Sequence[Step]:
    """Server-sent events, named if they have a type."""

    def one(event: object) -> bytes:
        named = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        return f"{named}data: {json.dumps(event)}\n\n".encode()

    return stream([*map(one, events), *([end] if end else [])], "text/event-stream")


def answered(path: str, text: str) -> Sequence[Step]:
    """A streamed answer with this text, and a tool call that writes it, as each dialect has it."""
    written = {"file_path": "notes.py", "content": text}
    arguments = json.dumps(written)
    if path == "/api/chat":
        said = [{"role": "assistant", "content": part} for part in cut(text)]
        call = {"role": "assistant", "content": "", "tool_calls": [{"function": {
            "name": "write_file", "arguments": written}}]}  # fmt: skip
        return _lines([{"message": each} for each in [*said, call]])
    if path == "/api/generate":
        return _lines([{"response": part} for part in cut(text)])
    if path == "/v1/completions":
        parts = [{"choices": [{"index": 0, "text": part}]} for part in cut(text)]
        return _events([{"model": "m", **part} for part in parts], end=b"data: [DONE]\n\n")
    if path == "/v1/chat/completions":
        deltas: list[dict[str, object]] = [{"content": part} for part in cut(text)]
        deltas += [
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}
            for function in (
                {"name": "write_file", "arguments": arguments[:40]},
                {"arguments": arguments[40:]},
            )
        ]
        choices: list[dict[str, object]] = [{"index": 0, "delta": delta} for delta in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
        return _events(
            [{"model": "m", "object": "chat.completion.chunk", "choices": [c]} for c in choices],
            end=b"data: [DONE]\n\n",
        )
    if path == "/v1/messages":
        return _events(_anthropic(text, arguments))
    return _events(_responses(text, arguments))


def _lines(parts: Iterable[dict[str, object]]) -> Sequence[Step]:
    done: dict[str, object] = {
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 5,
        "eval_count": 7,
    }
    lines = [{"model": "m", "done": False, **part} for part in parts] + [{"model": "m", **done}]
    return stream([json.dumps(line).encode() + b"\n" for line in lines])


def _anthropic(text: str, arguments: str) -> Iterator[dict[str, object]]:
    head = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
    yield {"type": "message_start", "message": {**head, "usage": {"input_tokens": 5}}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for part in cut(text):
        yield _delta(0, {"type": "text_delta", "text": part})
    yield {"type": "content_block_stop", "index": 0}
    tool = {"type": "tool_use", "id": "t1", "name": "write_file", "input": {}}
    yield {"type": "content_block_start", "index": 1, "content_block": tool}
    for part in cut(arguments):
        yield _delta(1, {"type": "input_json_delta", "partial_json": part})
    yield {"type": "content_block_stop", "index": 1}
    stop = {"stop_reason": "tool_use"}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}}
    yield {"type": "message_stop"}


def _delta(index: int, delta: dict[str, object]) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _responses(text: str, arguments: str) -> Iterator[dict[str, object]]:
    yield {"type": "response.created", "response": {"model": "m", "status": "in_progress"}}
    for part in cut(text):
        yield {"type": "response.output_text.delta", "output_index": 0, "delta": part}
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    call = {"type": "function_call", "name": "write_file", "arguments": arguments, "call_id": "c"}
    whole_answer = {"model": "m", "status": "completed", "output": [message, call]}
    yield {"type": "response.completed", "response": whole_answer}


# --- requests of a client -------------------------------------------------------------------------


def asked(path: str, model: str, text: str) -> dict[str, object]:
    """A request of the dialect with the text wherever it takes one."""
    parameters = {"type": "object", "properties": {"path": {"description": text}}}
    function = {"name": "write_file", "description": text, "parameters": parameters}
    tools = [{"type": "function", "function": function}]
    written = {"path": "a.py", "content": text}
    call = {"id": "c1", "type": "function", "function": {
        "name": "write_file", "arguments": json.dumps(written)}}  # fmt: skip
    body: dict[str, object] = {"model": model, "stream": True}
    if path == "/api/generate":
        return body | {"prompt": text, "suffix": text, "system": text, "options": {"stop": [text]}}
    if path == "/v1/completions":
        return body | {"prompt": text, "suffix": text, "stop": [text]}
    if path == "/v1/responses":
        return body | {"instructions": text, "input": [
            {"role": "user", "content": [{"type": "input_text", "text": text}]},
            {"type": "function_call", "call_id": "c", "name": "write_file",
             "arguments": json.dumps(written)},
            {"type": "function_call_output", "call_id": "c", "output": text}]}  # fmt: skip
    if path == "/v1/messages":
        return body | {"system": [{"type": "text", "text": text}], "max_tokens": 50, "messages": [
            {"role": "user", "content": [{"type": "text", "text": text}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t", "name": "write_file", "input": written}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": text}]}]}  # fmt: skip
    own = call if path == "/v1/chat/completions" else {"function": {
        "name": "write_file", "arguments": written}}  # fmt: skip
    content: object = [{"type": "text", "text": text}] if path.startswith("/v1") else text
    return body | {"tools": tools, "messages": [
        {"role": "system", "content": text},
        {"role": "user", "content": content},
        {"role": "assistant", "content": "", "tool_calls": [own]},
        {"role": "tool", "content": text, "tool_call_id": "c1", "tool_name": "write_file"},
    ]}  # fmt: skip


DIALECTS = (
    *("/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions", "/v1/messages"),
    "/v1/responses",
)


class Answering:
    """What the server answers: the text that is to come, a refusal with it, or its own list."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.text = ""
        self.refuses = False

    def __call__(self, request: Received) -> Sequence[Step]:
        path = request.line.split()[1].partition("?")[0]
        if path == "/api/tags":
            models = [{"name": self.model, "model": self.model, "digest": "ab" * 32, "size": 1}]
            return whole(json.dumps({"models": models}).encode())
        if path == "/api/version":
            return whole(b'{"version": "0.33.0"}')
        if self.refuses:
            refusal = json.dumps({"error": f"cannot: {self.text}"}).encode()
            return whole(refusal, status="HTTP/1.1 500 Internal Server Error")
        if path in DIALECTS:
            return answered(path, self.text)
        return whole(b"{}")
