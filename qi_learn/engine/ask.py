"""From a request to an `Ask`: which model, which rendered prompt, which options.

What the model evaluates is exactly `Prompt.render`, which `_debug_render_only` shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qi_learn.content import contents_of
from qi_learn.engine.answer_parts import TemplateMarks, marks_of
from qi_learn.engine.answer_schema import grammar_for
from qi_learn.engine.called_tools import for_template
from qi_learn.engine.formats import Format
from qi_learn.engine.go_duration import parse_duration
from qi_learn.engine.lookup import (
    Engine,
    abilities,
    parameters_of,
    preset_messages,
    read_config,
)
from qi_learn.engine.model_store import Manifest
from qi_learn.engine.replies import BodyError
from qi_learn.engine.sampling import Sampling, sampling_from
from qi_learn.errors import ServerError
from qi_learn.outside.chat_template import render_chat
from qi_learn.outside.llama_cpp import Vocabulary

_MOST_BEFORE = 1_000_000
_EFFORTS = ("low", "medium", "high")
_LONGEST = 2**53
"""Seconds that are as good as for ever."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is to read.

    Messages for its chat template, a text as it is (`raw`), or the two sides of a gap.
    """

    messages: tuple[Mapping[str, Any], ...] = ()
    raw: str | None = None
    suffix: str | None = None
    before: tuple[int, ...] = ()
    """Tokens of an earlier answer (`context` of /api/generate), in front of the rest."""
    tools: tuple[Mapping[str, Any], ...] = ()
    think: bool | str | None = None
    """Whether to think (or how much); None: as the template does by itself."""

    def marks(self, vocabulary: Vocabulary) -> TemplateMarks:
        """How the parts of the answer are told from each other."""
        if self.raw is not None or vocabulary.chat_template is None:
            return TemplateMarks()
        thinks = self.think is not False
        return marks_of(vocabulary.chat_template, think=thinks, tools=bool(self.tools))

    def render(self, vocabulary: Vocabulary) -> str:
        """The text that is evaluated.

        Raises ServerError if the model cannot be asked this way.
        """
        if self.suffix is not None:
            return self._around_gap(self.suffix, vocabulary)
        if len(self.before) > _MOST_BEFORE:
            raise ServerError(f"context has more than {_MOST_BEFORE:,} tokens", status=400)
        if any(not 0 <= token < vocabulary.size for token in self.before):
            raise ServerError("context has a token that this model does not know", status=400)
        front = b"".join(vocabulary.pieces(self.before)).decode("utf-8", "replace")
        if self.raw is not None:
            return front + self.raw
        return front + render_chat(
            vocabulary.chat_template,
            [for_template(message) for message in self.messages],
            tools=self.tools,
            more=_thinking(self.think),
            bos=vocabulary.text(vocabulary.bos),
            eos=vocabulary.text(vocabulary.eos),
        )

    def _around_gap(self, suffix: str, vocabulary: Vocabulary) -> str:
        """Both sides of the gap that the answer fills, with the model's own tokens around them."""
        fim = vocabulary.fim()
        if fim is None:
            raise ServerError(
                "this model has no tokens for a gap between prompt and suffix", status=400
            )
        before, after, middle = (vocabulary.text(token) for token in fim)
        return f"{before}{self.raw or ''}{after}{suffix}{middle}"


def fitting_ids(rendered: str, vocabulary: Vocabulary, context: int) -> list[int]:
    """The tokens that are evaluated.

    Raises ServerError (400) at once for a text that cannot fit: to count every token of a very long
    one takes minutes.
    """
    if len(rendered) > context and (least := vocabulary.least_tokens(rendered)) > context:
        raise ServerError(
            f"the prompt has at least {least:,} tokens and the context holds {context:,}",
            "shorten it, or raise num_ctx (serve.context)",
            status=400,
        )
    return vocabulary.prompt_ids(rendered)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for text."""

    manifest: Manifest
    prompt: Prompt
    sampling: Sampling
    grammar: str | None
    """What the answer must look like."""
    form: Format
    stream: bool
    keep_alive: float | None
    """Seconds; None if the request does not say."""
    logprobs: int | None
    """How many alternatives to each token are asked for; None: no log-probabilities."""
    render_only: bool
    began: float
    """When the request came, by `time.perf_counter`."""


_BESIDE = ("tool_calls", "tool_call_id", "reasoning")


def checked_messages(
    messages: list[Any], struct: str, endpoint: str = "/api/chat"
) -> list[dict[str, Any]]:
    """Messages with a role and a text each; a content of parts is read as Ollama reads it there.

    Raises BodyError.
    """
    return [made for one in messages for made in _checked_messages(one, struct, endpoint)]


def _checked_messages(message: Any, struct: str, endpoint: str) -> list[dict[str, Any]]:
    field = f"json: cannot unmarshal into Go struct field {struct}.messages"
    if not isinstance(message, dict):
        raise BodyError(f"{field} of type api.Message", status=400)
    content, role = message.get("content"), message.get("role", "")
    content = "" if content is None else content
    in_parts = isinstance(content, list) and endpoint != "/api/chat"
    if not (isinstance(content, str) or in_parts) or not isinstance(role, str):
        raise BodyError(f"{field}.content of type string", status=400)
    for part in content if in_parts else ():
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise ServerError(
                "the embedded engine reads text only: images and sound are not supported",
                status=400,
            )
    texts = [one.text for one in contents_of(endpoint, content)]
    if not texts:  # no parts: only what is beside them makes a message, as in the recording
        texts = [""] if any(message.get(key) for key in _BESIDE) else []
    made: list[dict[str, Any]] = [{"role": role, "content": text} for text in texts]
    if made:
        made[-1] = {**message, **made[-1]}  # what is beside the content goes to the last part
    return made


def refuse_unsupported(
    engine: Engine, manifest: Manifest, text: str, body: Mapping[str, Any], messages: Any
) -> None:
    """Refuse what this engine does not do.

    It is never ignored: an answer without the tools or images would answer another question.
    """
    if body.get("tools") and "tools" not in abilities(engine, manifest):
        raise ServerError(f"{manifest.name.full} does not support tools", status=400)
    if body.get("think") and "thinking" not in abilities(engine, manifest):
        raise ServerError(f'"{text}" does not support thinking', status=400)
    if body.get("images") or any(message.get("images") for message in messages):
        raise ServerError(
            "the embedded engine reads text only: images are not supported", status=400
        )
    capabilities = read_config(engine.store, manifest).get("capabilities", [])
    if body.get("suffix") and "insert" not in capabilities:
        raise ServerError(f"{manifest.name.full} does not support insert", status=400)


def with_presets(
    engine: Engine, manifest: Manifest, messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The request's messages after the model's own.

    The model's own begin with its system text if the request has none.
    """
    system = "".join(engine.store.read_text(layer) for layer in manifest.of_kind("system"))
    first = []
    if system and messages[0]["role"] != "system":
        first = [{"role": "system", "content": system}]
    return [*first, *preset_messages(engine.store, manifest), *messages]


def generate_prompt(
    engine: Engine, manifest: Manifest, body: Mapping[str, Any], *, raw: bool
) -> Prompt:
    """The prompt of a request that has no messages."""
    text, suffix = body.get("prompt", ""), body.get("suffix")
    if raw or suffix:
        return Prompt(raw=text, suffix=suffix or None)
    before = tuple(token for token in body.get("context", []) if isinstance(token, int))
    messages = [{"role": "user", "content": text}]
    if body.get("system"):
        messages.insert(0, {"role": "system", "content": body["system"]})
    if not before:
        messages = with_presets(engine, manifest, messages)
    return Prompt(tuple(messages), before=before, think=asked_thinking(body))


def asked_thinking(body: Mapping[str, Any]) -> bool | str | None:
    """What a request says of thinking. Raises ServerError (400) for what it cannot say."""
    think = body.get("think")
    if think is None or isinstance(think, bool) or think in _EFFORTS:
        return think
    raise ServerError(
        f'invalid think value: {json.dumps(think)} (must be "high", "medium", "low", true, or '
        "false)",
        status=400,
    )


def _thinking(think: bool | str | None) -> dict[str, Any]:
    """The variables by which templates are told to think or not."""
    if think is None:
        return {}
    effort = {"reasoning_effort": think} if isinstance(think, str) else {}
    return {"enable_thinking": bool(think), "thinking": bool(think), **effort}


def from_v1(body: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's fields as Ollama's; the defaults are OpenAI's: temperature 1 and top_p 1."""
    stop = body.get("stop", [])
    options = {
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
        "num_predict": body.get("max_tokens", body.get("max_completion_tokens")),
        "stop": [stop] if isinstance(stop, str) else [s for s in stop if isinstance(s, str)],
    }
    same = ("seed", "frequency_penalty", "presence_penalty")
    options |= {name: body[name] for name in same if name in body}
    return {
        "stream": body.get("stream", False),
        "options": options,
        "logprobs": body.get("logprobs"),
        "top_logprobs": body.get("top_logprobs"),
        "format": _format_from_v1(body.get("response_format")),
    }


def thinking_from_v1(body: Mapping[str, Any], can: frozenset[str]) -> dict[str, Any]:
    """OpenAI's `reasoning_effort` as Ollama's `think`; nothing for a model that does not think."""
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    effort = body.get("reasoning_effort", effort)
    if effort is None or "thinking" not in can:
        return {}
    return {"think": False if effort == "none" else effort}


def _format_from_v1(form: Any) -> Any:
    """OpenAI's `response_format` as Ollama's `format`; None for text."""
    kind = form.get("type") if isinstance(form, dict) else None
    if kind == "json_object":
        return "json"
    wanted = (form.get("json_schema") or {}) if kind == "json_schema" else {}
    if not isinstance(wanted, dict):
        raise ServerError("response_format.json_schema must be an object", status=400)
    return wanted.get("schema")


def build_ask(
    engine: Engine,
    manifest: Manifest,
    prompt: Prompt,
    form: Format,
    body: Mapping[str, Any],
    began: float,
) -> Ask:
    """The request for text, with the model's own options under the request's."""
    given = {name: value for name, value in body.get("options", {}).items() if value is not None}
    options = {**parameters_of(engine.store, manifest), **given}
    alternatives = body.get("top_logprobs") or 0
    if not 0 <= alternatives <= 20:
        raise ServerError("top_logprobs must be between 0 and 20", status=400)
    return Ask(
        manifest=manifest,
        prompt=prompt,
        sampling=sampling_from(options),
        grammar=grammar_for(body.get("format")),
        form=form,
        stream=body.get("stream", True) is not False,
        keep_alive=keep_alive_seconds(body.get("keep_alive")),
        logprobs=alternatives if body.get("logprobs") else None,
        render_only=body.get("_debug_render_only") is True,
        began=began,
    )


def keep_alive_seconds(value: Any) -> float | None:
    """`keep_alive` in seconds, from a number or Go's "10m", "1h30m".

    Below 0 means for ever, None that the request does not say. Raises ServerError (400).
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float("inf") if value < 0 else float(min(value, _LONGEST))
    if not isinstance(value, str):
        raise ServerError(f'time: invalid duration "{value}"', status=400)
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ServerError(str(error), status=400) from error
    return float("inf") if seconds < 0 else seconds
