"""From a request to an `Ask`: which model, which rendered prompt, which options.

What the model evaluates is exactly `Prompt.render`, which `_debug_render_only` shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qi_learn.engine.formats import Format
from qi_learn.engine.lookup import Engine, parameters_of, preset_messages, read_config
from qi_learn.engine.model_store import Manifest
from qi_learn.engine.replies import BodyError
from qi_learn.engine.sampling import Sampling, grammar_for, sampling_from
from qi_learn.engine.template import render_chat
from qi_learn.errors import ServerError
from qi_learn.outside.llama_cpp import Vocabulary

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


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


def refuse_unsupported(
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


def with_presets(
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


def generate_prompt(
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
        tuple(messages if before else with_presets(engine, manifest, messages)), before=before
    )


def from_v1(body: Mapping[str, Any]) -> dict[str, Any]:
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


def build_ask(
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


def keep_alive_seconds(value: Any) -> float | None:
    """`keep_alive` in seconds: a number, or Go's "10m", "1h30m"; below 0: for ever; None: not said.

    Raises ServerError (400).
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float("inf") if value < 0 else float(value)
    text = value.removeprefix("-") if isinstance(value, str) else ""
    if text != "0" and (not text or _DURATION.sub("", text)):
        raise ServerError(f'time: invalid duration "{value}"', status=400)
    return (
        float("inf")
        if value.startswith("-")
        else sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))
    )
