"""A turn becomes an example: the very tokens the model read, and the tokens it should have
answered.

The invariant is train-equals-serve: the prompt is rendered by the server that serves
(`_debug_render_only`), from the redacted messages, and cut into tokens by the served file's own
vocabulary; where the server had counted the prompt's tokens and nothing was redacted, another count
means that this is not what the model read, and the turn is left out. The target is cut apart from
the prompt, as an answer is generated, and its text is never read as special tokens; then comes the
one token that ended the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from qi_learn.dataset.reference_code import SEQUENCE_TOKENS, GenericText
from qi_learn.dataset.select import Learnable
from qi_learn.dataset.target import Skipped, Target
from qi_learn.dataset.tool_calls import Span, argument_spans, asked_with_answer, written_answer
from qi_learn.records import Example, Message, Turn


class Renderer(Protocol):
    """The server that serves (`outside.ollama.Ollama`)."""

    def render(self, endpoint: str, body: Mapping[str, Any]) -> str:
        """The text the model would read for a request to `/api/chat` or `/api/generate`."""
        ...


class Tokenizer(Protocol):
    """The tokenizer of the served file (`outside.llama_cpp.Vocabulary`)."""

    adds_bos: bool
    bos: int
    eos: int

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]: ...

    def prompt_ids(self, rendered: str) -> list[int]: ...

    def pieces(self, ids: Sequence[int]) -> list[bytes]: ...

    def end_of_turn(self) -> int: ...


class RenderCache:
    """Texts the server rendered, kept in one file of JSON lines, so that a cycle that is taken up
    again asks for nothing twice.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._texts: dict[str, str] = (
            dict(_lines(path)) if path is not None and path.exists() else {}
        )

    def text(self, server: Renderer, model: str, digest: str, ask: Mapping[str, Any]) -> str:
        """The prompt of a question for the model; `digest` says which weights and template `model`
        means.
        """
        request = json.dumps([digest, model, ask], sort_keys=True, ensure_ascii=False)
        key = hashlib.sha256(request.encode()).hexdigest()
        if key not in self._texts:
            self._texts[key] = server.render(ask["endpoint"], {"model": model, **ask["body"]})
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as out:
                    out.write(json.dumps([key, self._texts[key]]) + "\n")
        return self._texts[key]


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            key, text = json.loads(line)
        except ValueError:
            continue  # the empty end, or a line that a crash cut off: it is asked for again
        yield key, text


def ask_of(turn: Turn) -> dict[str, Any] | Skipped:
    """The same question for any served model: `{"endpoint": "/api/chat" | "/api/generate", "body":
    {...}}`, without model and sampling options.

    Ollama's own `/v1` routes are the same two underneath; `/v1/completions` goes through the
    template, as there.
    """
    shape = {
        k: turn.request[k]
        for k in ("system", "template", "raw", "suffix", "format", "tools", "think")
        if turn.request.get(k) not in (None, "", [], {})
    }
    if turn.endpoint in ("/api/chat", "/v1/chat/completions"):
        wanted = {k: v for k, v in shape.items() if k in ("format", "tools", "think")}
        return {
            "endpoint": "/api/chat",
            "body": {"messages": [_message(m) for m in turn.messages], **wanted},
        }
    if turn.endpoint in ("/api/generate", "/v1/completions") and [
        m.role for m in turn.messages
    ] == ["prompt"]:
        wanted = {
            k: v
            for k, v in shape.items()
            if k != "tools" and (k != "raw" or turn.endpoint == "/api/generate")
        }
        return {"endpoint": "/api/generate", "body": {"prompt": turn.messages[0].content, **wanted}}
    return Skipped("a kind of request that cannot be asked again")


def _message(message: Message) -> dict[str, Any]:
    extra = {
        k: v for k, v in message.extra.items() if k in ("tool_calls", "tool_name", "thinking") and v
    }
    return {"role": message.role, "content": message.content, **extra}


@dataclass(frozen=True, slots=True)
class Serving:
    """Who writes a text as the model reads it, and who cuts it into tokens."""

    server: Renderer
    model: str
    """The name under which the server renders (a version, or the alias)."""
    digest: str
    vocabulary: Tokenizer
    rendered: RenderCache


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A question as the model reads it."""

    ask: Mapping[str, Any]
    prompt: str
    ids: tuple[int, ...]
    checked: bool
    """Its tokens were counted by the server that answered it."""


@dataclass(frozen=True, slots=True)
class RenderedTarget:
    """An answer as the model writes it."""

    text: str
    spans: tuple[Span, ...]
    ids: tuple[int, ...]


def asked(turn: Turn, serving: Serving, *, redacted: bool) -> RenderedPrompt | Skipped:
    """The question of a turn. Raises ServerError where the server does not render."""
    ask = ask_of(turn)
    if isinstance(ask, Skipped):
        return ask
    prompt = serving.rendered.text(serving.server, serving.model, serving.digest, ask)
    ids = serving.vocabulary.prompt_ids(prompt)
    checkable = turn.prompt_tokens is not None and not redacted
    if checkable and turn.prompt_tokens != len(ids):
        return Skipped("the model read another prompt (its tokens were counted)")
    return RenderedPrompt(ask, prompt, tuple(ids), checkable)


def written(target: Target, question: RenderedPrompt, serving: Serving) -> RenderedTarget | Skipped:
    """An answer to a question, without the token that ends it.

    Raises ServerError where the server does not render.
    """
    vocabulary, text, spans = serving.vocabulary, target.text, target.spans
    if target.calls:
        ask = question.ask
        end = vocabulary.pieces([vocabulary.end_of_turn()])[0].decode()
        chat = ask["endpoint"] == "/api/chat"
        whole = (
            serving.rendered.text(
                serving.server,
                serving.model,
                serving.digest,
                asked_with_answer(ask, text, target.calls),
            )
            if chat
            else ""
        )
        found = written_answer(question.prompt, whole, end)
        if found is None:
            return Skipped("the server does not show how it writes this tool call")
        text, spans = found, argument_spans(found, target.arguments)
    ids = target_tokens(text, vocabulary)
    return (
        RenderedTarget(text, spans, tuple(ids))
        if ids is not None
        else Skipped("the answer cannot be cut into tokens exactly")
    )


def example_of(candidate: Learnable, serving: Serving) -> Example | Skipped:
    """The example of a turn. Raises ServerError where the server does not render."""
    interaction, target, vocabulary = candidate.interaction, candidate.target, serving.vocabulary
    question = asked(interaction.turn, serving, redacted=candidate.redacted)
    if isinstance(question, Skipped):
        return question
    answer = written(target, question, serving)
    if isinstance(answer, Skipped):
        return answer
    return Example(
        id=candidate.id,
        hash=content_hash(question.prompt, answer.text),
        prompt=question.prompt,
        target=answer.text,
        prompt_ids=question.ids,
        target_ids=(*answer.ids, end_token(question.ask, vocabulary)),
        code_mask=(*code_mask(answer.text, answer.spans, vocabulary.pieces(answer.ids)), False),
        session=candidate.session,
        project=interaction.turn.project or "",
        domain=interaction.domain,
        learning_type=interaction.learning_type,
        score=candidate.score,
        kept_code=target.code,
        ask=question.ask,
        checked=question.checked,
        liked=candidate.liked,
    )


def end_token(ask: Mapping[str, Any], vocabulary: Tokenizer) -> int:
    """The token that ends the answer: the turn's, or, where no template was at work (raw, fill in
    the middle), the model's own.
    """
    untemplated = (ask["body"].get("raw") or ask["body"].get("suffix")) and vocabulary.eos >= 0
    return vocabulary.eos if untemplated else vocabulary.end_of_turn()


def content_hash(prompt: str, target: str) -> str:
    """What makes two examples the same: sha256 of prompt and target, hex."""
    return hashlib.sha256(f"{prompt}\0{target}".encode()).hexdigest()


def target_tokens(text: str, vocabulary: Tokenizer) -> list[int] | None:
    """The tokens whose pieces are exactly `text`; None where there are none.

    A vocabulary that puts a space before every text (SentencePiece) would begin the answer with a
    space nobody wrote; there the tokens are taken from behind a line feed.
    """
    wanted = text.encode()
    ids = vocabulary.tokenize(text, add_special=False, parse_special=False)
    if b"".join(vocabulary.pieces(ids)) == wanted:
        return ids
    ids = vocabulary.tokenize("\n" + text, add_special=False, parse_special=False)
    pieces = vocabulary.pieces(ids)
    for lead in range(1, min(4, len(ids))):
        if b"".join(pieces[:lead]).strip() == b"" and b"".join(pieces[lead:]) == wanted:
            return ids[lead:]
    return None


def code_mask(text: str, spans: Sequence[Span], pieces: Sequence[bytes]) -> tuple[bool, ...]:
    """For each piece (together they are the text in UTF-8) whether any byte of it is code; `spans`
    are in characters.
    """
    ranges = [(len(text[:start].encode()), len(text[:end].encode())) for start, end in spans]
    ends = list(accumulate(map(len, pieces)))
    return tuple(
        any(max(start, at - len(piece)) < min(end, at) for start, end in ranges)
        for piece, at in zip(pieces, ends, strict=True)
    )


def generic_examples(texts: Sequence[GenericText], vocabulary: Tokenizer) -> tuple[Example, ...]:
    """Plain text as examples of 96 tokens: the first token (after the beginning-of-text token,
    where there is one) is given, the others are the target.
    """
    return tuple(_generic(text, vocabulary) for text in texts)


def _generic(text: GenericText, vocabulary: Tokenizer) -> Example:
    start = [vocabulary.bos] if vocabulary.adds_bos and vocabulary.bos >= 0 else []
    ids = [*start, *vocabulary.tokenize(text.text, add_special=False, parse_special=False)][
        :SEQUENCE_TOKENS
    ]
    given = len(start) + 1
    prompt, target = (
        b"".join(vocabulary.pieces(part)).decode("utf-8", "replace")
        for part in (ids[:given], ids[given:])
    )
    return Example(
        id=text.id,
        hash=content_hash(prompt, target),
        prompt=prompt,
        target=target,
        prompt_ids=tuple(ids[:given]),
        target_ids=tuple(ids[given:]),
        code_mask=(True,) * (len(ids) - given),
        session=text.module,
        domain="general",
        learning_type="code_generation",
        kept_code=target,
    )
