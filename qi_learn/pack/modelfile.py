"""Modelfiles: read and written, and what a model made from a file must be told because it inherits
nothing.

A model that Ollama makes from a GGUF file has no system prompt, parameters, license, messages,
renderer or parser, and a template guessed from the file. All of it is carried over from the base as
the server shows it, so the version answers in the same form. Only where no server knows the base
(the embedded default, a bare GGUF file) a template file of `modelfiles/` says it.

The format has no escapes: a text stands bare on its line, in "..." or in \"\"\"...\"\"\", and one
that contains \"\"\" cannot be written and is refused. Standard library only.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import qi_learn
from qi_learn.errors import ModelError, NotFound
from qi_learn.records import Message

logger = logging.getLogger(__name__)

Scalar = int | float | bool | str
Value = Scalar | tuple[str, ...]

ROLES = ("system", "user", "assistant")
_WHOLE = frozenset(
    (
        "num_keep",
        "seed",
        "num_predict",
        "top_k",
        "repeat_last_n",
        "num_ctx",
        "num_batch",
        "num_gpu",
        "main_gpu",
        "num_thread",
        "draft_num_predict",
    )
)
_REAL = frozenset(
    (
        "top_p",
        "min_p",
        "typical_p",
        "temperature",
        "repeat_penalty",
        "presence_penalty",
        "frequency_penalty",
    )
)
_SWITCH = frozenset(("use_mmap",))
_RETIRED = frozenset(
    (
        "typical_p",
        "penalize_newline",
        "low_vram",
        "f16_kv",
        "logits_all",
        "vocab_only",
        "use_mlock",
        "numa",
        "mirostat",
        "mirostat_tau",
        "mirostat_eta",
    )
)
"""Parameters that some or all servers refuse or ignore by now; an old base may still show them."""
_ONE_TEXT = {
    "TEMPLATE": "template",
    "SYSTEM": "system",
    "RENDERER": "renderer",
    "PARSER": "parser",
    "REQUIRES": "requires",
}
_CARRIED_TEXTS = ("template", "system", "license")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class ModelfileSpec:
    """What a Modelfile says. `source` is its FROM: a model's name, or the path of a GGUF file."""

    source: str = ""
    template: str = ""
    """Go template; empty: the server takes the chat template inside the GGUF file."""
    system: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    license: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""

    def as_create(self) -> dict[str, Any]:
        """The body of `/api/create` but for `model` and `files`; what is empty is left out."""
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


def modelfile_for(base_show: Mapping[str, Any] | None, template_name: str) -> ModelfileSpec:
    """What a version must be told. `base_show`: what `/api/show` says of the base; None: no server
    knows it, and the template file `template_name` says it.

    Raises NotFound where there is no such template, ModelError where the base cannot be carried
    over (it has an adapter or more than one file).
    """
    return read_template(template_name) if base_show is None else _carried_over(base_show)


def read_template(name: str) -> ModelfileSpec:
    """A file of `modelfiles/` (without `.Modelfile`).

    Raises NotFound, and ModelError where it does not parse.
    """
    text = _template_texts().get(name)
    if text is None:
        raise NotFound(
            f"there is no Modelfile template {name!r}",
            f"Use one of: {', '.join(sorted(_template_texts()))}.",
        )
    return parse_modelfile(text)


def parse_modelfile(text: str) -> ModelfileSpec:
    """Reads a Modelfile, ours or one printed by `ollama show --modelfile`. Raises ModelError with
    the line for anything it does not know.

    ADAPTER, DRAFT and a second FROM are refused: a version is one complete file.
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
            _add(parameters, name, value)
        elif word == "MESSAGE":
            messages.append(_message(line, rest))
        else:
            raise _bad(
                line,
                f"{word} is not used here"
                if word in ("ADAPTER", "DRAFT")
                else f"the unknown instruction {word}",
            )
    if not texts.get("source"):
        raise ModelError("the Modelfile has no FROM", "Add a line: FROM model.gguf")
    return ModelfileSpec(
        parameters=parameters, license=tuple(licenses), messages=tuple(messages), **texts
    )


def write_modelfile(spec: ModelfileSpec, *, comment: Iterable[str] = ()) -> str:
    """A Modelfile that `ollama create -f` and `parse_modelfile` read; the same spec gives the same
    text. Raises ModelError where it cannot be written.
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


# --- what a server shows --------------------------------------------------------------------------


def _carried_over(show: Mapping[str, Any]) -> ModelfileSpec:
    """From the fields of `/api/show`; renderer and parser stand only in its `modelfile`, looked up
    after everything else is taken out of that text.
    """
    messages = tuple(
        Message(str(m.get("role", "")), str(m.get("content", "")))
        for m in show.get("messages") or ()
    )
    template = str(show.get("template") or "")
    rest = str(show.get("modelfile", ""))
    for text in sorted(
        [*(str(show.get(name) or "") for name in _CARRIED_TEXTS), *(m.content for m in messages)],
        key=len,
        reverse=True,
    ):
        rest = rest.replace(text, "") if len(text) > 1 else rest
    lines = [line.partition(" ") for line in rest.splitlines()]
    for word, why in (("ADAPTER", "carries an adapter"), ("DRAFT", "carries a draft model")):
        if any(line[0] == word for line in lines):
            raise ModelError(
                f"the base {why}, which a packed file cannot hold",
                "Use the plain model as the base.",
            )
    if sum(line[0] == "FROM" for line in lines) > 1:
        raise ModelError(
            "the base has more than one model file (a projector?)", "Use a base for text alone."
        )
    found = {word: value.strip() for word, _, value in lines if word in ("RENDERER", "PARSER")}
    return ModelfileSpec(
        template=""
        if "{%" in template
        else template,  # Jinja is the file's own, and comes with the file; a server takes Go templates only
        system=str(show.get("system") or ""),
        parameters=_shown_parameters(str(show.get("parameters") or "")),
        license=(str(show["license"]),) if show.get("license") else (),
        messages=messages,
        renderer=found.get("RENDERER", ""),
        parser=found.get("PARSER", ""),
        requires=str(show.get("requires") or ""),
    )


def _shown_parameters(text: str) -> dict[str, Value]:
    """Lines of a name and a Go literal (`%-30s %#v`): a quoted text, a number, true or false."""
    parameters: dict[str, Value] = {}
    for line in text.splitlines():
        name, _, literal = line.strip().partition(" ")
        if name in _RETIRED:
            logger.warning("the base's parameter %s is left out: servers have retired it", name)
            continue
        try:
            literal = literal.strip()
            value = (
                ast.literal_eval(literal) if literal.startswith('"') else json.loads(literal)
            )  # Go and Python write escapes alike
        except (ValueError, SyntaxError) as error:
            raise ModelError(
                f"the base's parameter {name} cannot be read: {literal}",
                "Report this with the server's version.",
            ) from error
        _add(parameters, name, value)
    return parameters


# --- the format -----------------------------------------------------------------------------------


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """(line number, instruction in capitals, its unquoted text).

    For MESSAGE and PARAMETER the first word stands before a text that may be quoted.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    at = 0
    while at < len(lines):
        first, line = at + 1, lines[at].strip()
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
    """The text without its quotes; None where the closing quote is still to come."""
    for quote in ('"""', '"'):
        if text.startswith(quote):
            return (
                text[len(quote) : -len(quote)]
                if len(text) >= 2 * len(quote) and text.endswith(quote)
                else None
            )
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


def _add(parameters: dict[str, Value], name: str, value: Value) -> None:
    """`stop` collects its values; any other parameter is overwritten by its last line."""
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


def _template_texts() -> dict[str, str]:
    """The shipped templates by name: inside the installed package, or beside it in a checkout."""
    inside = resources.files(qi_learn).joinpath("modelfiles")
    folder = inside if inside.is_dir() else Path(qi_learn.__file__).parent.parent / "modelfiles"
    files = (
        [
            f
            for f in folder.iterdir()
            if f.name.endswith(".Modelfile") and _FILE_NAME.fullmatch(f.name)
        ]
        if folder.is_dir()
        else []
    )
    return {f.name.removesuffix(".Modelfile"): f.read_text(encoding="utf-8") for f in files}
