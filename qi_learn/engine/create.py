"""POST /api/create: a model from an uploaded GGUF or from another model.

System text, parameters, license and messages may come on top.

The GGUF is used as it was uploaded, byte for byte. What would change how it answers in a way that
this engine does not have (another template, adapters, quantising) is refused with the reason, never
ignored.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from qi_learn.engine.ask import checked_messages
from qi_learn.engine.blobs import full_or_failed
from qi_learn.engine.lookup import (
    NAMED,
    Engine,
    asked_name,
    engine_of,
    parameters_of,
    read_blob_head,
    template_abilities,
)
from qi_learn.engine.model_store import Layer, ModelStore, parse_digest
from qi_learn.engine.replies import (
    NDJSON,
    Kinds,
    dumps,
    error_text,
    read_body,
    reply,
    status_of,
    stream,
)
from qi_learn.errors import ModelError, NotFound, QiError, ServerError
from qi_learn.outside.gguf import GgufFile, is_gguf
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.ollama_names import ModelName, read_name

_FIELDS: Kinds = {
    **NAMED,
    "stream": (bool, "bool"),
    "from": (str, "string"),
    "files": (dict, "map[string]string"),
    "adapters": (dict, "map[string]string"),
    "quantize": (str, "string"),
    "template": (str, "string"),
    "system": (str, "string"),
    "parameters": (dict, "map[string]interface {}"),
    "messages": (list, "[]api.Message"),
}


async def create(request: web.Request) -> web.StreamResponse:
    """Answer with one status line a step, or with the last one alone if `stream` is false."""
    engine = engine_of(request)
    body = await read_body(request, "CreateRequest", _FIELDS)
    _, name = asked_name(body, required="invalid model name")
    _refuse_unsupported(body)
    checked_messages(body.get("messages", []), "CreateRequest")
    statuses, problem = await asyncio.to_thread(_create, engine, name, body)
    if problem is not None and (not statuses or body.get("stream") is False):
        return reply(
            {"error": error_text(problem)},
            status=status_of(problem),
            content_type="application/json",
        )
    if body.get("stream") is False:
        return reply({"status": statuses[-1]}, content_type="application/json")
    return await stream(request, _lines(statuses, problem), NDJSON)


async def _lines(statuses: Sequence[str], problem: QiError | None) -> AsyncGenerator[bytes, None]:
    for status in statuses:
        yield (dumps({"status": status}) + "\n").encode()
    if problem is not None:
        yield (dumps({"error": error_text(problem)}) + "\n").encode()


def _refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Refuse files outside the store, and what this engine does not do."""
    for file in body.get("files", {}):
        parts = file.split("/")
        if not file or file.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise ServerError("file path must be relative", status=400)
    if body.get("adapters"):
        raise ServerError(
            "the embedded engine takes no adapters: merge the adapter into the GGUF and upload "
            "that",
            status=400,
        )
    if body.get("quantize") or body.get("quantization"):
        raise ServerError(
            "the embedded engine does not quantise: upload a GGUF that is quantised already",
            status=400,
        )


@dataclass(frozen=True, slots=True)
class _Start:
    """What a new model begins with."""

    config: Mapping[str, Any]
    layers: tuple[Layer, ...]
    parameters: Mapping[str, Any]
    template: str | None
    """The GGUF's own chat template."""


def _create(
    engine: Engine, name: ModelName, body: Mapping[str, Any]
) -> tuple[list[str], QiError | None]:
    """Make the model. Returns the statuses it reached, and the problem that ended it."""
    statuses: list[str] = []
    try:
        with engine.store.exclusive():
            _build(engine.store, name, body, statuses.append)
    except QiError as error:
        return statuses, error
    except OSError as error:
        return statuses, full_or_failed(error, engine.store, 0)
    return statuses, None


def _build(
    store: ModelStore, name: ModelName, body: Mapping[str, Any], report: Callable[[str], None]
) -> None:
    """Make the model, and report each status."""
    if body.get("from"):
        start = _from_model(store, str(body["from"]))
    elif body.get("files"):
        start = _from_files(store, body["files"], report)
    else:
        raise ServerError("neither 'from' or 'files' was specified", status=400)
    if body.get("template") and body["template"] != start.template:
        raise ServerError(
            "the embedded engine renders with the GGUF's own chat template and takes no other",
            status=400,
        )
    added = _added(store, body, start.parameters)
    replaced = {layer.kind for layer, _ in added} - {"license"}
    kept = [layer for layer in start.layers if layer.kind not in replaced]
    for layer in kept:
        report(f"using existing layer sha256:{layer.digest}")
    if not body.get("from") and start.template:
        report("using the chat template of the GGUF")
    for layer, was_there in added:
        report(f"{'using existing' if was_there else 'creating new'} layer sha256:{layer.digest}")
    report("writing manifest")
    store.save(name, start.config, [*kept, *(layer for layer, _ in added)])
    report("success")


def _from_model(store: ModelStore, text: str) -> _Start:
    """The beginning of a model that is made from another one."""
    name = read_name(text)
    if name is None:
        raise ServerError("invalid model name", status=400)
    try:
        base = store.find(name)
    except NotFound as error:
        raise ServerError(
            f"model '{text}' not found",
            "the embedded engine fetches nothing: create it from a file first",
            status=404,
        ) from error
    config = store.read_json(base.config)
    layers = tuple(
        replace(layer, source=str(base.name)) if layer.kind == "model" else layer
        for layer in base.layers
    )
    weights = store.blob(base.weights.digest)
    if not weights.is_file():
        raise ModelError(
            f"the GGUF of model '{base.name}' is missing from the store", "create it again"
        )
    template = read_blob_head(weights).keys.get("tokenizer.chat_template")
    own = template if isinstance(template, str) else None
    return _Start(config, layers, parameters_of(store, base), own)


def _from_files(
    store: ModelStore, files: Mapping[str, Any], report: Callable[[str], None]
) -> _Start:
    """The beginning of a model that is made from one uploaded GGUF.

    llama.cpp has accepted its architecture and vocabulary by then.
    """
    report("parsing GGUF")
    digests = [parse_digest(str(digest)) for digest in files.values()]
    if len(digests) != 1:
        raise ModelError(
            "the embedded engine takes a model of exactly one GGUF file", "join a split model first"
        )
    digest = digests[0]
    if digest is None:
        raise ModelError("invalid digest format")
    path = store.blob(digest)
    if not path.is_file():
        raise ModelError(f"open {path}: no such file or directory")
    if not is_gguf(path):
        raise ModelError("supplied file was not in GGUF format")  # Ollama's words
    head = read_blob_head(path)
    report("verifying conversion")
    with load_vocabulary(path) as vocabulary:
        insert = ["insert"] if vocabulary.fim() else []
        can = sorted(template_abilities(vocabulary.chat_template or ""), reverse=True)
        config = _config(head, digest, ["completion", *can, *insert])
        stops = _written_controls(vocabulary)
    return _Start(
        config,
        (Layer("model", digest, path.stat().st_size),),
        {"stop": stops} if stops else {},
        vocabulary.chat_template,
    )


def _written_controls(vocabulary: Vocabulary) -> list[str]:
    """The control tokens that the chat template writes, in its order.

    An answer that begins to write one of them is over.
    """
    template = vocabulary.chat_template or ""
    positions = {
        text: template.find(text)
        for token in range(vocabulary.size)
        if vocabulary.is_control(token) and (text := vocabulary.text(token)) in template
    }
    return sorted((text for text in positions if text), key=lambda text: positions[text])


def _config(head: GgufFile, digest: str, capabilities: list[str]) -> dict[str, Any]:
    """The config blob: what Ollama writes into it, and what /api/tags tells without the GGUF."""
    family = head.architecture
    return {
        "model_format": "gguf",
        "model_family": family,
        "model_families": [family],
        "model_type": human_count(head.parameters),
        "file_type": head.quantization,
        "context_length": _number(head, "context_length"),
        "embedding_length": _number(head, "embedding_length"),
        "capabilities": capabilities,
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(
            platform.machine(), platform.machine()
        ),
        "os": platform.system().lower(),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }


def _number(head: GgufFile, key: str) -> int:
    """A whole number that the file says of its architecture; 0 if it does not."""
    value = head.keys.get(f"{head.architecture}.{key}")
    return value if isinstance(value, int) else 0


def human_count(number: int) -> str:
    """A parameter count as Ollama writes it: 134.52M, 7.6B."""
    for size, letter, form in ((1e9, "B", ".1f"), (1e6, "M", ".2f"), (1e3, "K", ".0f")):
        if number >= size:
            return f"{number / size:{form}}".removesuffix(".0").removesuffix(".00") + letter
    return str(number)


def _added(
    store: ModelStore, body: Mapping[str, Any], parameters: Mapping[str, Any]
) -> list[tuple[Layer, bool]]:
    """The layers that the request brings, and whether the blob of each was there."""
    texts: list[tuple[str, str]] = []
    licenses = body.get("license") or []
    texts += [("license", text) for text in ([licenses] if isinstance(licenses, str) else licenses)]
    if body.get("system"):
        texts.append(("system", body["system"]))
    merged = {**parameters, **body.get("parameters", {})}
    if merged and (body.get("parameters") or not body.get("from")):
        texts.append(("params", json.dumps(merged, ensure_ascii=False)))
    if body.get("messages"):
        texts.append(("messages", json.dumps(body["messages"], ensure_ascii=False)))
    return [store.write(kind, str(text).encode()) for kind, text in texts]
