"""Modelfiles as text: their content, read and written.

The format has no escapes: a text stands bare on its line, in "..." or in \"\"\"...\"\"\", and one
that contains \"\"\" cannot be written and is refused. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn.errors import ModelError
from qi_learn.records import Message

Scalar = int | float | bool | str
Value = Scalar | tuple[str, ...]

ROLES = ("system", "user", "assistant")
_WHOLE = frozenset(
    (
        *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n", "num_ctx", "num_batch"),
        *("num_gpu", "main_gpu", "num_thread", "draft_num_predict"),
    )
)
_REAL = frozenset(
    (
        *("top_p", "min_p", "typical_p", "temperature"),
        *("repeat_penalty", "presence_penalty", "frequency_penalty"),
    )
)
_SWITCH = frozenset(("use_mmap",))
_ONE_TEXT = {
    "TEMPLATE": "template",
    "SYSTEM": "system",
    "RENDERER": "renderer",
    "PARSER": "parser",
    "REQUIRES": "requires",
}


@dataclass(frozen=True, slots=True)
class ModelfileSpec:
    """The content of a Modelfile."""

    source: str = ""
    """Its FROM: a model's name, or the path of a GGUF file."""
    template: str = ""
    """Go template; if empty, the server takes the chat template inside the GGUF file."""
    system: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    license: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""

    def as_create(self) -> dict[str, Any]:
        """The body of `/api/create` but for `model` and `files`; empty fields are left out."""
        body: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("template", "system", "renderer", "parser", "requires")
        }
        body["parameters"] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.parameters.items()
        }
        body["license"] = list(self.license)
        body["messages"] = [{"role": m.role, "content": m.content} for m in self.messages]
        return {name: value for name, value in body.items() if value}


def parse_modelfile(text: str) -> ModelfileSpec:
    """The spec of a Modelfile, ours or one printed by `ollama show --modelfile`.

    ADAPTER, DRAFT and a second FROM are refused: a version is one complete file. Raises ModelError
    with the line for anything it does not know.
    """
    texts: dict[str, str] = {}
    parameters: dict[str, Value] = {}
    licenses: list[str] = []
    messages: list[Message] = []
    for line, word, rest in _instructions(text):
        if word == "FROM":
            if "source" in texts:
                raise _bad(line, "a second FROM; a version is one file")
            texts["source"] = rest
        elif word in _ONE_TEXT:
            texts[_ONE_TEXT[word]] = rest
        elif word == "LICENSE":
            licenses.append(rest)
        elif word == "PARAMETER":
            name, value = _parameter(line, rest)
            add_parameter(parameters, name, value)
        elif word == "MESSAGE":
            messages.append(_message(line, rest))
        else:
            unused = word in ("ADAPTER", "DRAFT")
            what = f"{word} is not used here" if unused else f"the unknown instruction {word}"
            raise _bad(line, what)
    if not texts.get("source"):
        raise ModelError("the Modelfile has no FROM", "Add a line: FROM model.gguf")
    return ModelfileSpec(
        parameters=parameters, license=tuple(licenses), messages=tuple(messages), **texts
    )


def write_modelfile(spec: ModelfileSpec, *, comment: Iterable[str] = ()) -> str:
    """A Modelfile that `ollama create -f` and `parse_modelfile` read.

    The same spec gives the same text. Raises ModelError if it cannot be written.
    """
    lines = [f"# {part}" for text in comment for part in text.splitlines()]
    lines.append(f"FROM {_quoted(spec.source)}")
    lines += [
        f"{word} {_quoted(value)}"
        for word, name in _ONE_TEXT.items()
        if (value := getattr(spec, name))
    ]
    for name, value in sorted(spec.parameters.items()):
        lines += [
            f"PARAMETER {name} {_quoted(_written(one))}"
            for one in (value if isinstance(value, tuple) else (value,))
        ]
    lines += [f"LICENSE {_quoted(text)}" for text in spec.license]
    lines += [f"MESSAGE {m.role} {_quoted(m.content)}" for m in spec.messages]
    return "\n".join(lines) + "\n"


# --- the format -----------------------------------------------------------------------------------


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, instruction in capitals, its unquoted text) for each instruction.

    For MESSAGE and PARAMETER the first word stands before a text that may be quoted.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    at = 0
    while at < len(lines):
        first, line = at + 1, lines[at].lstrip()
        at += 1
        if not line or line.startswith("#"):
            continue
        word, rest = _split(line)
        head = ""
        if word.upper() in ("MESSAGE", "PARAMETER"):
            head, rest = _split(rest)
        while (value := _unquoted(rest.rstrip())) is None:
            if at == len(lines):
                raise _bad(first, "a quotation mark that is not closed")
            rest += "\n" + lines[at]
            at += 1
        yield first, word.upper(), f"{head} {value}" if head else value


def _split(line: str) -> tuple[str, str]:
    word, *rest = line.split(None, 1) or [""]
    return word, rest[0] if rest else ""


def _unquoted(text: str) -> str | None:
    """The text without its quotes; None if the closing quote is still to come."""
    for quote in ('"""', '"'):
        if text.startswith(quote):
            closed = len(text) >= 2 * len(quote) and text.endswith(quote)
            return text[len(quote) : -len(quote)] if closed else None
    return text


def _quoted(text: str) -> str:
    if '"""' in text:
        raise ModelError(
            'a text with """ in it cannot stand in a Modelfile',
            "Take the three quotation marks out of it.",
        )
    bare = text and text == text.strip() and not text.startswith('"') and "\n" not in text
    return text if bare else f'"""{text}"""'


def _parameter(line: int, text: str) -> tuple[str, Value]:
    name, _, value = text.partition(" ")
    try:
        if name in _WHOLE:
            return name, int(value)
        if name in _REAL:
            return name, float(value)
        if name in _SWITCH:
            return name, {"true": True, "false": False}[value.lower()]
    except (ValueError, KeyError) as error:
        raise _bad(line, f"{name} cannot be {value!r}") from error
    if name != "stop":
        raise _bad(line, f"the unknown parameter {name}")
    return name, value


def add_parameter(parameters: dict[str, Value], name: str, value: Value) -> None:
    """Add a value: `stop` collects its values, any other parameter keeps the last one."""
    if name != "stop":
        parameters[name] = value
        return
    before = parameters.get("stop", ())
    assert isinstance(before, tuple)
    parameters["stop"] = (*before, *(value if isinstance(value, tuple) else (str(value),)))


def _message(line: int, text: str) -> Message:
    role, _, content = text.partition(" ")
    if role not in ROLES:
        raise _bad(line, f"a message of the role {role!r}; use {', '.join(ROLES)}")
    return Message(role, content)


def _written(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bad(line: int, what: str) -> ModelError:
    return ModelError(
        f"line {line} of the Modelfile: {what}",
        "See modelfiles/default.Modelfile for what is understood.",
    )
