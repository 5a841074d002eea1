"""A model under test.

It is made under a name of its own that no client uses, tried out, and deleted or promoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qi_learn.errors import ServerError, ServerUnreachable
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_names import parse_name
from qi_learn.records import Smoke

TALK = (
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "Say hi."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Count to three."},
)
QUESTIONS = ("Say hi.", "Write a Python function that adds two numbers.", "Name one colour.")
TOKENS, FOR_TWICE = 96, 32
"""Longest answers: enough for the base to end at least one of them by itself, and to tell two apart
that are not the same.
"""


def make_model(
    server: Ollama, model: str, gguf: Path, digest: str, spec: Mapping[str, Any]
) -> None:
    """Make a model from a complete GGUF.

    `digest`: the file's sha256; `spec`: what the model cannot inherit (`outside.ollama.SPEC`).
    Doing it again does no harm.

    Never for a name that is live. Raises ServerError, DiskFull, ModelError.
    """
    server.upload_blob(gguf, digest)
    server.create(model, files={"model.gguf": digest}, spec=spec)


def smoke_test(server: Ollama, model: str, reference: str) -> Smoke:
    """Whether a model answers, stops, repeats itself, and reads a conversation as it must.

    That is exactly as `reference` (a version that serves) does. This is the first rule of the gate.

    A model that the server cannot run is a finding, not an error. Raises ServerUnreachable if the
    server itself is away, ServerError if `reference` does not work.
    """
    expected = _reading(server, reference)
    reference_ends = _ends(server, reference)
    try:
        reading = _reading(server, model)
        ends = _ends(server, model)
        repeats = _repeats(server, model)
    except ServerUnreachable:
        raise
    except ServerError as error:
        return Smoke(
            answers=False, stops=False, same_template=False, same_stops=False, problem=error.what
        )
    return Smoke(
        answers=ends is not None,
        stops=bool(ends) or not reference_ends,
        same_template=reading[0] == expected[0],
        same_stops=reading[1] == expected[1],
        same_twice=repeats or not _repeats(server, reference),
    )


def _reading(server: Ollama, model: str) -> tuple[str, str]:
    """A conversation as the model reads it, and the texts and token that it stops at."""
    text = server.render("/api/chat", {"model": model, "messages": list(TALK)})
    shown = server.show(model)
    stops = sorted(
        line.split(None, 1)[1]
        for line in str(shown.get("parameters", "")).splitlines()
        if line.startswith("stop ")
    )
    end = (shown.get("model_info") or {}).get("tokenizer.ggml.eos_token_id")
    return text, json.dumps([stops, end])


def _ends(server: Ollama, model: str) -> bool | None:
    """Whether the answer to a question ended by itself; None if no question got an answer."""
    answered = None
    for question in QUESTIONS:
        answer = server.ask({"endpoint": "/api/chat", "body": _question(question, TOKENS)}, model)
        if answer.answer_tokens > 0:
            answered = answer.done_reason == "stop"
        if answered:
            break
    return answered


def _repeats(server: Ollama, model: str) -> bool:
    """Whether one question has one greedy answer.

    The first answer does not count: a server that keeps the prompt in memory computes only the
    later ones alike.
    """
    body = _question(QUESTIONS[1], FOR_TWICE)
    _, one, two = (
        server.ask({"endpoint": "/api/chat", "body": body}, model).text for _ in range(3)
    )
    return one == two


def _question(text: str, tokens: int) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": text}],
        "options": {"temperature": 0, "seed": 0, "num_predict": tokens},
    }


def drop_candidates(server: Ollama, alias: str, *, keep: Iterable[str] = ()) -> list[str]:
    """Delete the candidates that runs left behind, except those named in `keep`.

    Returns the names of those deleted (`qi-agent:candidate-...`).
    """
    start = parse_name(alias).tagged("candidate-").key
    kept = {parse_name(name).key for name in keep}
    left = [
        m.name
        for m in server.models()
        if (key := parse_name(m.name).key).startswith(start) and key not in kept
    ]
    for name in left:
        server.delete(name)
    return left
