"""A turn becomes an example: the tokens the model read, and those it should have answered.

The invariant is train-equals-serve: the prompt is rendered by the server that serves
(`_debug_render_only`), from the redacted messages, and cut into tokens by the served file's own
vocabulary. If the server had counted the prompt's tokens and nothing was redacted, another count
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

from qi_learn.dataset.authorship import written_spans
from qi_learn.dataset.line_ends import like_the_prompt
from qi_learn.dataset.reference_code import SEQUENCE_TOKENS, GenericText
from qi_learn.dataset.repeatable_request import ask_of
from qi_learn.dataset.select import Learnable
from qi_learn.dataset.target import Skipped, Target
from qi_learn.dataset.tool_calls import (
    FOLLOWING,
    Span,
    argument_spans,
    asked_with_answer,
    written_answer,
)
from qi_learn.errors import ServerError
from qi_learn.records import Example, Turn


class Renderer(Protocol):
    """The server that serves (`outside/ollama.py`)."""

    def render(self, endpoint: str, body: Mapping[str, Any]) -> str:
        """The text that the model would read for a request to `/api/chat` or `/api/generate`."""
        ...


class Tokenizer(Protocol):
    """The tokenizer of the served file (`outside/llama_cpp.py`)."""

    adds_bos: bool
    """Whether a prompt starts with the beginning-of-text token."""
    bos: int
    """The beginning-of-text token; below 0 if there is none."""
    eos: int
    """The end-of-text token; below 0 if there is none."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """The tokens of a text."""
        ...

    def prompt_ids(self, rendered: str) -> list[int]:
        """The tokens of a rendered prompt, special ones included."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes that each token stands for."""
        ...

    def end_of_turn(self) -> int:
        """The token with which the served template ends an answer."""
        ...


_REFUSED = (400, 500)
"""With which a server says that a template does not take a conversation."""


class RenderCache:
    """Texts that the server rendered, so that a resumed cycle asks for nothing twice.

    They are kept in a file of JSON lines, if a path is given.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._texts: dict[str, str] = (
            dict(_lines(path)) if path is not None and path.exists() else {}
        )

    def text(self, server: Renderer, model: str, digest: str, ask: Mapping[str, Any]) -> str:
        """The prompt of a question to the model.

        `digest` says which weights and template `model` means.
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
            continue  # the empty end, or a line that a crash cut off: it is rendered again
        yield key, text


@dataclass(frozen=True, slots=True)
class Serving:
    """The server that renders a text as the model reads it, and the tokenizer that cuts it."""

    server: Renderer
    model: str
    """The name under which the server renders (a version, or the alias)."""
    digest: str
    """sha256 (hex) of the base's GGUF: whose template and tokenizer these are."""
    vocabulary: Tokenizer
    rendered: RenderCache


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A question as the model reads it."""

    ask: Mapping[str, Any]
    """The request that puts it (`ask_of`)."""
    prompt: str
    """Its text."""
    ids: tuple[int, ...]
    """Its tokens."""
    checked: bool
    """Whether the server that answered it counted the same number of tokens."""


@dataclass(frozen=True, slots=True)
class RenderedTarget:
    """An answer as the model writes it."""

    text: str
    spans: tuple[Span, ...]
    """The code in it (characters)."""
    ids: tuple[int, ...]
    """Its tokens, without the one that ends it."""


def render_prompt(turn: Turn, serving: Serving, *, redacted: bool) -> RenderedPrompt | Skipped:
    """The question of a turn, rendered. Raises ServerError if the server does not render."""
    ask = ask_of(turn)
    if isinstance(ask, Skipped):
        return ask
    prompt = serving.rendered.text(serving.server, serving.model, serving.digest, ask)
    ids = serving.vocabulary.prompt_ids(prompt)
    checkable = turn.prompt_tokens is not None and not redacted
    if checkable and turn.prompt_tokens != len(ids):
        return Skipped("the model read another prompt (its tokens were counted)")
    return RenderedPrompt(ask, prompt, tuple(ids), checkable)


def render_target(
    target: Target, question: RenderedPrompt, serving: Serving
) -> RenderedTarget | Skipped:
    """An answer to a question, rendered, without the token that ends it.

    Raises ServerError if the server does not render.
    """
    text, spans = like_the_prompt(target.text, target.spans, question.ask)
    if target.calls:
        rendered = _with_calls(target, question, serving)
        if rendered is None:
            return Skipped("the server does not show how it writes this tool call")
        text, spans = rendered, argument_spans(rendered, target.arguments)
    ids = target_tokens(text, serving.vocabulary)
    if ids is None:
        return Skipped("the answer cannot be cut into tokens exactly")
    return RenderedTarget(text, spans, tuple(ids))


def _with_calls(target: Target, question: RenderedPrompt, serving: Serving) -> str | None:
    """The answer with its tool calls as the server writes them; None if it does not show that."""
    if question.ask["endpoint"] != "/api/chat":
        return None
    vocabulary = serving.vocabulary
    end = vocabulary.pieces([vocabulary.end_of_turn()])[0].decode()
    for role in FOLLOWING:
        ask = asked_with_answer(question.ask, target.text, target.calls, role)
        try:
            whole = serving.rendered.text(serving.server, serving.model, serving.digest, ask)
        except ServerError as error:
            if error.status not in _REFUSED:
                raise
            continue
        if (answer := written_answer(question.prompt, whole, end)) is not None:
            return answer
    return None


def example_of(learnable: Learnable, serving: Serving) -> Example | Skipped:
    """The example of a turn. Raises ServerError if the server does not render."""
    interaction, target = learnable.interaction, learnable.target
    vocabulary = serving.vocabulary
    question = render_prompt(interaction.turn, serving, redacted=learnable.redacted)
    if isinstance(question, Skipped):
        return question
    answer = render_target(target, question, serving)
    if isinstance(answer, Skipped):
        return answer
    pieces = vocabulary.pieces(answer.ids)
    own = written_spans(target, answer.text, question.ask)
    return Example(
        id=learnable.id,
        hash=content_hash(question.prompt, answer.text),
        prompt=question.prompt,
        target=answer.text,
        prompt_ids=question.ids,
        target_ids=(*answer.ids, end_token(question.ask, vocabulary)),
        code_mask=(*code_mask(answer.text, answer.spans, pieces), False),
        session=learnable.session,
        project=interaction.turn.project or "",
        domain=interaction.domain,
        learning_type=interaction.learning_type,
        score=learnable.score,
        kept_code=target.code,
        ask=question.ask,
        checked=question.checked,
        liked=learnable.liked,
        person_mask=() if own is None else (*code_mask(answer.text, own, pieces), False),
    )


def end_token(ask: Mapping[str, Any], vocabulary: Tokenizer) -> int:
    """The token that ends the answer: the template's, or the model's own if none was used.

    No template is used for a raw prompt and for fill in the middle.
    """
    untemplated = (ask["body"].get("raw") or ask["body"].get("suffix")) and vocabulary.eos >= 0
    return vocabulary.eos if untemplated else vocabulary.end_of_turn()


def content_hash(prompt: str, target: str) -> str:
    """What makes two examples the same: sha256 of prompt and target, hex."""
    return hashlib.sha256(f"{prompt}\0{target}".encode()).hexdigest()


def target_tokens(text: str, vocabulary: Tokenizer) -> list[int] | None:
    """The tokens whose pieces are exactly `text`; None if there are none.

    A vocabulary that puts a space before every text (SentencePiece) would begin the answer with a
    space that is not in it; in that case the tokens are taken from behind a line feed.
    """
    encoded = text.encode()
    ids = vocabulary.tokenize(text, add_special=False, parse_special=False)
    if b"".join(vocabulary.pieces(ids)) == encoded:
        return ids
    ids = vocabulary.tokenize("\n" + text, add_special=False, parse_special=False)
    pieces = vocabulary.pieces(ids)
    for lead in range(1, min(4, len(ids))):
        if b"".join(pieces[:lead]).strip() == b"" and b"".join(pieces[lead:]) == encoded:
            return ids[lead:]
    return None


def code_mask(text: str, spans: Sequence[Span], pieces: Sequence[bytes]) -> tuple[bool, ...]:
    """For each piece (together they are the text in UTF-8) whether any byte of it is in a span.

    `spans` are in characters: those of the code, or of what the person wrote.
    """
    ranges = [(len(text[:start].encode()), len(text[:end].encode())) for start, end in spans]
    ends = list(accumulate(map(len, pieces)))
    return tuple(
        any(max(start, at - len(piece)) < min(end, at) for start, end in ranges)
        for piece, at in zip(pieces, ends, strict=True)
    )


def generic_examples(texts: Sequence[GenericText], vocabulary: Tokenizer) -> tuple[Example, ...]:
    """Plain text as examples of 96 tokens.

    The first token (after the beginning-of-text token, if there is one) is the prompt, the others
    are the target.
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
