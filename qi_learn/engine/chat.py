"""The engine's answers that generate text.

They are /api/chat, /api/generate, /v1/chat/completions and /v1/completions: four doors, one way
through. Each turns its request into an `Ask` (ask.py), the model answers it, and the door's own
format writes the pieces down (formats.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from aiohttp import web

from qi_learn.engine.answer_parts import take_apart
from qi_learn.engine.ask import (
    Ask,
    Prompt,
    asked_thinking,
    build_ask,
    checked_messages,
    fitting_ids,
    from_v1,
    generate_prompt,
    keep_alive_seconds,
    refuse_unsupported,
    thinking_from_v1,
    with_presets,
)
from qi_learn.engine.called_tools import checked_tools
from qi_learn.engine.formats import (
    ChatFormat,
    GenerateFormat,
    V1ChatFormat,
    V1CompletionFormat,
)
from qi_learn.engine.generate import AnswerEnd, Piece, generate
from qi_learn.engine.lookup import (
    Engine,
    abilities,
    asked_name,
    engine_of,
    find_model,
    parameters_of,
)
from qi_learn.engine.model_store import Manifest
from qi_learn.engine.models import Loaded
from qi_learn.engine.replies import BodyError, Kinds, read_body, stream
from qi_learn.engine.sampling import sampling_from
from qi_learn.errors import ServerError
from qi_learn.outside.llguidance import refuse_grammar

_COMMON: Kinds = {
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
_V1_COMMON: Kinds = {
    "model": (str, "string"),
    "stream": (bool, "bool"),
    "stream_options": (dict, "openai.StreamOptions"),
    "max_tokens": (int, "int"),
    "temperature": ((int, float), "float64"),
    "top_p": ((int, float), "float64"),
    "seed": (int, "int"),
    "stop": ((str, list), "interface {}"),
    "frequency_penalty": ((int, float), "float64"),
    "presence_penalty": ((int, float), "float64"),
    "response_format": (dict, "openai.ResponseFormat"),
    "top_logprobs": (int, "int"),
}
_V1_CHAT = {
    **_V1_COMMON,
    "messages": (list, "[]openai.Message"),
    "tools": (list, "[]api.Tool"),
    "max_completion_tokens": (int, "int"),
    "logprobs": (bool, "bool"),
}
_V1_COMPLETION = {**_V1_COMMON, "prompt": (str, "string"), "suffix": (str, "string")}


async def chat(request: web.Request) -> web.StreamResponse:
    """POST /api/chat."""
    began, body = time.perf_counter(), await read_body(request, "ChatRequest", _CHAT)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    form = ChatFormat(text)
    messages = checked_messages(body.get("messages", []), "ChatRequest")
    if not messages:
        return await _load_or_unload(engine, manifest, form, body)
    refuse_unsupported(engine, manifest, text, body, messages)
    prompt = _chat_prompt(engine, manifest, messages, body)
    return await _answer(request, engine, build_ask(engine, manifest, prompt, form, body, began))


async def generate_text(request: web.Request) -> web.StreamResponse:
    """POST /api/generate."""
    began, body = time.perf_counter(), await read_body(request, "GenerateRequest", _GENERATE)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    raw = body.get("raw") is True
    form = GenerateFormat(text, tell_context=not raw)
    if not body.get("prompt") and not body.get("suffix"):
        return await _load_or_unload(engine, manifest, form, body)
    refuse_unsupported(engine, manifest, text, body, ())
    if body.get("template"):
        raise ServerError(
            "the embedded engine renders with the GGUF's own chat template and takes no other",
            status=400,
        )
    prompt = generate_prompt(engine, manifest, body, raw=raw)
    return await _answer(request, engine, build_ask(engine, manifest, prompt, form, body, began))


async def v1_chat(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions."""
    began, body = time.perf_counter(), await read_body(request, "ChatCompletionRequest", _V1_CHAT)
    messages = checked_messages(body.get("messages", []), "ChatCompletionRequest", request.path)
    if not messages:
        raise BodyError("[] is too short - 'messages'", status=400)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    refuse_unsupported(engine, manifest, text, body, messages)
    usage = body.get("stream_options", {}).get("include_usage") is True
    body = {**body, **thinking_from_v1(body, abilities(engine, manifest))}
    prompt = _chat_prompt(engine, manifest, messages, body)
    return await _answer(
        request,
        engine,
        build_ask(engine, manifest, prompt, V1ChatFormat(text, usage), from_v1(body), began),
    )


async def v1_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/completions.

    Like Ollama's, the prompt goes through the chat template as a user's message.
    """
    began, body = time.perf_counter(), await read_body(request, "CompletionRequest", _V1_COMPLETION)
    engine, (text, name) = engine_of(request), asked_name(body)
    manifest = find_model(engine, text, name)
    refuse_unsupported(engine, manifest, text, body, ())
    if not body.get("prompt"):
        raise BodyError("the prompt is empty", status=400)
    usage = body.get("stream_options", {}).get("include_usage") is True
    prompt = generate_prompt(engine, manifest, body, raw=False)
    return await _answer(
        request,
        engine,
        build_ask(engine, manifest, prompt, V1CompletionFormat(text, usage), from_v1(body), began),
    )


def _chat_prompt(
    engine: Engine, manifest: Manifest, messages: list[dict[str, Any]], body: Mapping[str, Any]
) -> Prompt:
    """The prompt of a request with messages, its tools and what it says of thinking."""
    return Prompt(
        tuple(with_presets(engine, manifest, messages)),
        tools=checked_tools(body.get("tools")),
        think=asked_thinking(body),
    )


# --- from an Ask to an answer ---------------------------------------------------------------------


async def _load_or_unload(
    engine: Engine, manifest: Manifest, form: ChatFormat, body: Mapping[str, Any]
) -> web.Response:
    """Answer a request without a question: load the model, or with keep_alive 0 let it go."""
    keep_alive = keep_alive_seconds(body.get("keep_alive"))
    if keep_alive == 0:
        await engine.models.unload(manifest)
        return form.empty("unload")
    options = {**parameters_of(engine.store, manifest), **body.get("options", {})}
    async with engine.models.use(manifest, sampling_from(options).num_ctx, keep_alive):
        return form.empty("load")


async def _answer(request: web.Request, engine: Engine, ask: Ask) -> web.StreamResponse:
    """Answer, for as long as the client is there."""
    with engine.clients.ends_with(request.transport):
        return await _answer_to(request, engine, ask)


async def _answer_to(request: web.Request, engine: Engine, ask: Ask) -> web.StreamResponse:
    """Answer as a stream, as a whole, or with the rendered prompt alone."""
    if ask.render_only and isinstance(ask.form, ChatFormat):
        async with engine.models.use(ask.manifest, ask.sampling.num_ctx, ask.keep_alive) as loaded:
            return ask.form.rendered(
                await loaded.call(lambda: ask.prompt.render(loaded.model.vocabulary))
            )
    if ask.grammar is not None:
        await asyncio.to_thread(refuse_grammar, ask.grammar)
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
    """The chunks of a streamed answer, in the door's own format."""
    async with contextlib.aclosing(_items(engine, ask)) as items:
        async for item, load_seconds in items:
            yield (
                ask.form.end(item, load_seconds, time.perf_counter() - ask.began)
                if isinstance(item, AnswerEnd)
                else ask.form.piece(item)
            )


async def _items(engine: Engine, ask: Ask) -> AsyncGenerator[tuple[Piece | AnswerEnd, float], None]:
    """Pieces and the end as the model's thread makes them, each with the seconds of loading."""
    async with engine.models.use(ask.manifest, ask.sampling.num_ctx, ask.keep_alive) as loaded:
        load_seconds = loaded.load_seconds
        async with contextlib.aclosing(_run(loaded, ask)) as items:
            async for item in items:
                yield item, load_seconds


def _run(loaded: Loaded, ask: Ask) -> AsyncGenerator[Piece | AnswerEnd, None]:
    """The answer, from its rendering on, in the model's own thread."""

    def work(cancelled: threading.Event) -> Iterator[Piece | AnswerEnd]:
        model = loaded.model
        rendered = ask.prompt.render(model.vocabulary)
        marks = ask.prompt.marks(model.vocabulary)
        answer = generate(
            model,
            fitting_ids(rendered, model.vocabulary, model.context),
            ask.sampling,
            cancelled,
            form=loaded.form(ask.grammar),
            logprobs=ask.logprobs,
            shown=marks.texts,
        )
        return take_apart(answer, marks, prompt=rendered)

    return loaded.run(work)
