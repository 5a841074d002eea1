"""What the gateway does with each route, and which routes the engine answers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from qi_learn.engine.app import REFUSED, build_app
from qi_learn.engine.lookup import Engine
from qi_learn.engine.model_store import ModelStore
from qi_learn.engine.models import LoadedModels
from qi_learn.gateway.endpoint import INFERENCE, NEED_A_MODEL
from qi_learn.gateway.guard import MANAGEMENT

from .markdown import table

SERVED: Mapping[str, str] = {
    "/": "the words `Ollama is running`, which clients look for",
    "/api/version": "the version of Ollama whose API this is, and ours",
    "/api/status": "that there is no cloud",
    "/qi-learn/build": "the llama.cpp that answers, which Ollama does not tell",
    "/api/tags": "the models",
    "/api/ps": "the models in memory",
    "/api/show": "one model: parameters, template, metadata",
    "/api/create": "a model from uploaded files or from another model",
    "/api/copy": "another name for a model, renamed into place",
    "/api/delete": "a name is deleted; files that no name needs go with it",
    "/api/blobs/{digest}": "is the file there (HEAD); take it in (POST)",
    "/api/chat": "an answer in a conversation; with no messages: load or unload",
    "/api/generate": "an answer to a prompt, `raw` too; with no prompt: load or unload",
    "/v1/chat/completions": "the same as `/api/chat`, in OpenAI's form",
    "/v1/completions": "the same as `/api/generate`, in OpenAI's form",
    "/v1/models": "the models, in OpenAI's form",
    "/v1/models/{name}": "one model, in OpenAI's form",
}
"""What the engine answers on a route."""


def gateway(_root: Path) -> str:
    """Which routes are recorded, routed, held and closed to web pages."""
    rows = [
        *(_row(f"POST {path}", path in INFERENCE, True, True) for path in sorted(NEED_A_MODEL)),
        *(_row(path, False, False, False) for path in MANAGEMENT),
        ("everything else", "no", "no", "yes"),
    ]
    head = (
        "route",
        "recorded, and may be routed",
        "waits while a cycle holds the GPU",
        "open to pages",
    )
    return table(head, rows)


def _row(route: str, *answers: bool) -> tuple[str, ...]:
    return (f"`{route}`", *("yes" if answer else "no" for answer in answers))


def engine(_root: Path) -> str:
    """The engine's routes, from its own router. Raises LookupError if one is not explained."""
    with tempfile.TemporaryDirectory() as directory:
        store = ModelStore(Path(directory))
        app = build_app(Engine(store, LoadedModels(store, 2048, None)))
        methods: dict[str, list[str]] = {}
        for route in app.router.routes():
            path = route.resource.canonical if route.resource else ""
            methods.setdefault(path, []).append(route.method)
    if unlike := set(methods) ^ {*SERVED, *REFUSED}:
        raise LookupError(f"routes without words, or words without a route: {sorted(unlike)}")
    rows = [(f"`{path}`", ", ".join(sorted(methods[path])), said) for path, said in SERVED.items()]
    refused = [(f"`{path}`", str(status), words) for path, (status, words) in REFUSED.items()]
    return "\n\n".join(
        (
            table(("route", "methods", "answer"), rows),
            "Refused, in the engine's own words:",
            table(("route", "status", "reason"), refused),
        )
    )
