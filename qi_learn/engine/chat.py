"""The engine's answers that generate text: /api/chat, /api/generate, /v1/chat/completions,
/v1/completions.

Four doors, one way through: each turns its request into an `Ask` (which model, which rendered
prompt, which options), the model answers it, and the door's own format writes the pieces down
(engine_formats). What the model evaluates is exactly `Ask.prompt`, which `_debug_render_only`
shows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from qi_learn.engine.formats import (
    ChatFormat,
    Format,
    GenerateFormat,
    V1ChatFormat,
    V1CompletionFormat,
)
from qi_learn.engine.generate import AnswerEnd, Piece, generate
from qi_learn.engine.library import (
    Engine,
    asked_name,
    engine_of,
    find_model,
    keep_alive_seconds,
    parameters_of,
    preset_messages,
    read_config,
)
from qi_learn.engine.model_store import Manifest
from qi_learn.engine.models import Loaded
from qi_learn.engine.replies import BodyError, read_body, stream
from qi_learn.engine.sampling import Sampling, grammar_for, sampling_from
from qi_learn.engine.template import render_chat
from qi_learn.errors import ServerError
from qi_learn.outside.llama_cpp import Vocabulary

_COMMON: dict[str, tuple[type | tuple[type, ...], str]] = {
    "model": (str, "string"),
    "stream": (bool, "bool"),
    "options": (dict, "map[string]interface {}"),
    "logprobs": (bool, "bool"),
    "top_logprobs": (int, "int"),
    "_debug_render_only": (bool, "bool"),
}
_CHAT = {**_COMMON, "messages": (list, "[]api.Message"), "tools": (list, "api.Tools")}
_GENERATE = {
    **_COMMON,
    **dict.fromkeys(("prompt", "suffix", "system", "template"), (str, "string")),
    "raw": (bool, "bool"),
    "images": (list, "[]api.ImageData"),
    "context": (list, "[]int"),
}
_V1_COMMON: dict[str, tuple[type | tuple[type, ...], str]] = {
    "model": (str, "string"),
    "stream": (bool, "bool"),
    "stream_options": (dict, "openai.StreamOptions"),
    "max_tokens": (int, "int"),
    "temperature": ((int, float), "float64"),
    "top_p": ((int, float), "float64"),
    "seed": (int, "int"),
    "stop": ((str, list), "interface {}"),
}
_V1_CHAT = {
    **_V1_COMMON,
    "messages": (list, "[]openai.Message"),
    "tools": (list, "[]api.Tool"),
    "max_completion_tokens": (int, "int"),
    "logprobs": (bool, "bool"),
}
_V1_COMPLETION = {**_V1_COMMON, "prompt": (str, "string"), "suffix": (str, "string")}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model shall read: messages for its chat template, or a text as it is (`raw`), or the
    two sides of a gap.
    """

    messages: tuple[Mapping[str, Any], ...] = ()
    raw: str | None = None
    suffix: str | None = None
    before: tuple[int, ...] = ()
    """Tokens of an earlier answer (`context` of /api/generate) in front of it."""

    def render(self, vocabulary: Vocabulary) -> str:
        """The text that is evaluated.

        Raises ServerError where the model cannot be asked this way.
        """
        front = b"".join(vocabulary.pieces(self.before)).decode("utf-8", "replace")
        if self.suffix is not None:
            fim = vocabulary.fim()
            if fim is None:
                raise ServerError(
                    "this model has no tokens for a gap between prompt and suffix", status=400
                )
            before, after, middle = (vocabulary.text(token) for token in fim)
            return f"{before}{self.raw or ''}{after}{self.suffix}{middle}"
        if self.raw is not None:
            return front + self.raw
        return front + render_chat(
            vocabulary.chat_template,
            self.messages,
            bos=vocabulary.text(vocabulary.bos),
            eos=vocabulary.text(vocabulary.eos),
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for text."""

    manifest: Manifest
    prompt: Prompt
    sampling: Sampling
    form: Format
    stream: bool
    keep_alive: float | None
    logprobs: int | None
    render_only: bool
    began: float


async def chat(request: web.Request) -> web.StreamResponse:
    """POST /api/chat."""
    began, body = time.perf_counter(), await read_body(request, "ChatRequest", _CHAT)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    form = ChatFormat(text)
    messages = checked_messages(body.get("messages", []), "ChatRequest")
    if not messages:
        return await _load_or_unload(engine, manifest, form, body)
    _refuse(engine, manifest, text, body, messages)
    prompt = Prompt(tuple(_with_presets(engine, manifest, messages)))
    return await _answer(request, engine, _ask(engine, manifest, prompt, form, body, began))


async def generate_text(request: web.Request) -> web.StreamResponse:
    """POST /api/generate."""
    began, body = time.perf_counter(), await read_body(request, "GenerateRequest", _GENERATE)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    raw = body.get("raw") is True
    form = GenerateFormat(text, tell_context=not raw)
    if not body.get("prompt") and not body.get("suffix"):
        return await _load_or_unload(engine, manifest, form, body)
    _refuse(engine, manifest, text, body, ())
    if body.get("template"):
        raise ServerError(
            "the embedded engine renders with the GGUF's own chat template and takes no other",
            status=400,
        )
    prompt = _generate_prompt(engine, manifest, body, raw=raw)
    return await _answer(request, engine, _ask(engine, manifest, prompt, form, body, began))


async def v1_chat(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions."""
    began, body = time.perf_counter(), await read_body(request, "ChatCompletionRequest", _V1_CHAT)
    messages = checked_messages(body.get("messages", []), "ChatCompletionRequest")
    if not messages:
        raise BodyError("[] is too short - 'messages'", status=400)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    _refuse(engine, manifest, text, body, messages)
    usage = body.get("stream_options", {}).get("include_usage") is True
    prompt = Prompt(tuple(_with_presets(engine, manifest, messages)))
    return await _answer(
        request,
        engine,
        _ask(engine, manifest, prompt, V1ChatFormat(text, usage), _from_v1(body), began),
    )


async def v1_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/completions.

    Like Ollama's, the prompt goes through the chat template as a user's message.
    """
    began, body = time.perf_counter(), await read_body(request, "CompletionRequest", _V1_COMPLETION)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    _refuse(engine, manifest, text, body, ())
    if not body.get("prompt"):
        raise BodyError("the prompt is empty", status=400)
    usage = body.get("stream_options", {}).get("include_usage") is True
    prompt = _generate_prompt(engine, manifest, body, raw=False)
    return await _answer(
        request,
        engine,
        _ask(engine, manifest, prompt, V1CompletionFormat(text, usage), _from_v1(body), began),
    )


# --- from a request to an Ask ---------------------------------------------------------------------


def checked_messages(messages: list[Any], struct: str) -> list[dict[str, Any]]:
    """Messages with a role and a text each; OpenAI's lists of text parts are joined.

    Raises BodyError.
    """
    checked = []
    for message in messages:
        if not isinstance(message, dict):
            raise BodyError(
                f"json: cannot unmarshal into Go struct field {struct}.messages of type "
                "api.Message",
                status=400,
            )
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(_part_text(part) for part in content)
        if not isinstance(content, str) or not isinstance(message.get("role", ""), str):
            raise BodyError(
                f"json: cannot unmarshal into Go struct field {struct}.messages.content of type "
                "string",
                status=400,
            )
        checked.append({**message, "role": message.get("role", ""), "content": content})
    return checked


def _part_text(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise ServerError(
        "the embedded engine reads text only: images and sound are not supported", status=400
    )


def _refuse(
    engine: Engine, manifest: Manifest, text: str, body: Mapping[str, Any], messages: Any
) -> None:
    """What this engine does not do is refused, never ignored: an answer without the tools or images
    would be an answer to another question.
    """
    if body.get("tools"):
        raise ServerError(f"{manifest.name.full} does not support tools", status=400)
    if body.get("think"):
        raise ServerError(f'"{text}" does not support thinking', status=400)
    if body.get("images") or any(message.get("images") for message in messages):
        raise ServerError(
            "the embedded engine reads text only: images are not supported", status=400
        )
    if body.get("suffix") and "insert" not in read_config(engine.store, manifest).get(
        "capabilities", []
    ):
        raise ServerError(f"{manifest.name.full} does not support insert", status=400)


def _with_presets(
    engine: Engine, manifest: Manifest, messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The model's system text and messages in front, where the request has no system text of its
    own.
    """
    system = "".join(engine.store.read_text(layer) for layer in manifest.of_kind("system"))
    first = (
        [{"role": "system", "content": system}]
        if system and messages[0]["role"] != "system"
        else []
    )
    return [*first, *preset_messages(engine.store, manifest), *messages]


def _generate_prompt(
    engine: Engine, manifest: Manifest, body: Mapping[str, Any], *, raw: bool
) -> Prompt:
    text, suffix = body.get("prompt", ""), body.get("suffix")
    if raw or suffix:
        return Prompt(raw=text, suffix=suffix or None)
    before = tuple(token for token in body.get("context", []) if isinstance(token, int))
    messages = [{"role": "user", "content": text}]
    if body.get("system"):
        messages.insert(0, {"role": "system", "content": body["system"]})
    return Prompt(
        tuple(messages if before else _with_presets(engine, manifest, messages)), before=before
    )


def _from_v1(body: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's fields as Ollama's; its defaults are temperature 1 and top_p 1."""
    stop, limit, form = (
        body.get("stop"),
        body.get("max_tokens", body.get("max_completion_tokens")),
        body.get("response_format"),
    )
    options: dict[str, Any] = {
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
        "num_predict": limit,
    }
    options |= {"stop": [stop] if isinstance(stop, str) else stop}
    options |= {
        name: body[name]
        for name in ("seed", "frequency_penalty", "presence_penalty")
        if name in body
    }
    asked = {
        "stream": body.get("stream", False),
        "options": options,
        "logprobs": body.get("logprobs"),
        "top_logprobs": body.get("top_logprobs"),
    }
    if isinstance(form, dict) and form.get("type") == "json_object":
        asked["format"] = "json"
    elif isinstance(form, dict) and form.get("type") == "json_schema":
        asked["format"] = (form.get("json_schema") or {}).get("schema")
    return asked


def _ask(
    engine: Engine,
    manifest: Manifest,
    prompt: Prompt,
    form: Format,
    body: Mapping[str, Any],
    began: float,
) -> Ask:
    options = {
        **parameters_of(engine.store, manifest),
        **{k: v for k, v in body.get("options", {}).items() if v is not None},
    }
    sampling = sampling_from(options, grammar_for(body.get("format")))
    top = body.get("top_logprobs") or 0
    if not 0 <= top <= 20:
        raise ServerError("top_logprobs must be between 0 and 20", status=400)
    wanted = top if body.get("logprobs") else None
    stream_it = body.get("stream", True) is not False
    return Ask(
        manifest,
        prompt,
        sampling,
        form,
        stream_it,
        keep_alive_seconds(body.get("keep_alive")),
        wanted,
        body.get("_debug_render_only") is True,
        began,
    )


# --- from an Ask to an answer ---------------------------------------------------------------------


async def _load_or_unload(
    engine: Engine, manifest: Manifest, form: ChatFormat, body: Mapping[str, Any]
) -> web.Response:
    """A request without a question: loads the model, or with keep_alive 0 lets it go."""
    keep_alive = keep_alive_seconds(body.get("keep_alive"))
    if keep_alive == 0:
        await engine.models.unload(manifest)
        return form.empty("unload")
    num_ctx = sampling_from(
        {**parameters_of(engine.store, manifest), **body.get("options", {})}
    ).num_ctx
    async with engine.models.use(manifest, num_ctx, keep_alive):
        return form.empty("load")


async def _answer(request: web.Request, engine: Engine, ask: Ask) -> web.StreamResponse:
    if ask.render_only and isinstance(ask.form, ChatFormat):
        async with engine.models.use(ask.manifest, ask.sampling.num_ctx, ask.keep_alive) as loaded:
            return ask.form.rendered(ask.prompt.render(loaded.model.vocabulary))
    if ask.stream:
        return await stream(request, _chunks(engine, ask), ask.form.content_type)
    pieces: list[Piece] = []
    async with contextlib.aclosing(_items(engine, ask)) as items:
        async for item, load_seconds in items:
            if isinstance(item, AnswerEnd):
                return ask.form.whole(pieces, item, load_seconds, time.perf_counter() - ask.began)
            pieces.append(item)
    raise ServerError("the answer was broken off", status=499)


async def _chunks(engine: Engine, ask: Ask) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(_items(engine, ask)) as items:
        async for item, load_seconds in items:
            yield (
                ask.form.end(item, load_seconds, time.perf_counter() - ask.began)
                if isinstance(item, AnswerEnd)
                else ask.form.piece(item)
            )


async def _items(engine: Engine, ask: Ask) -> AsyncGenerator[tuple[Piece | AnswerEnd, float], None]:
    """Pieces and the end as the model's thread makes them, each with the seconds that loading took."""
    async with engine.models.use(ask.manifest, ask.sampling.num_ctx, ask.keep_alive) as loaded:
        load_seconds = loaded.load_seconds
        prompt = loaded.model.vocabulary.prompt_ids(ask.prompt.render(loaded.model.vocabulary))
        async with contextlib.aclosing(_run(loaded, prompt, ask)) as items:
            async for item in items:
                yield item, load_seconds


def _run(loaded: Loaded, prompt: list[int], ask: Ask) -> AsyncGenerator[Piece | AnswerEnd, None]:
    return loaded.run(
        lambda cancelled: generate(
            loaded.model, prompt, ask.sampling, cancelled, logprobs=ask.logprobs
        )
    )
