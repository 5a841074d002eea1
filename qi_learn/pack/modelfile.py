"""The Modelfile of a version: everything that a model made from a file does not inherit.

A model that Ollama makes from a GGUF file has no system prompt, parameters, license, messages,
renderer or parser, and a template guessed from the file. All of it is carried over from the base as
the server shows it, so the version answers in the same form. Only if no server knows the base (the
embedded default, a bare GGUF file), it comes from a template file of `modelfiles/`.
"""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import qi_learn
from qi_learn.errors import ModelError, NotFound
from qi_learn.pack.modelfile_text import ModelfileSpec, Value, add_parameter, parse_modelfile
from qi_learn.records import Message

logger = logging.getLogger(__name__)

_RETIRED = frozenset(
    (
        *("typical_p", "penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only"),
        *("use_mlock", "numa", "mirostat", "mirostat_tau", "mirostat_eta"),
    )
)
"""Parameters that some or all servers refuse or ignore by now; an old base may still show them."""
_CARRIED_TEXTS = ("template", "system", "license")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def modelfile_for(base_show: Mapping[str, Any] | None, template_name: str) -> ModelfileSpec:
    """The spec to create a version with.

    `base_show`: what `/api/show` answers for the base. If it is None, no server knows the base, and
    the template file `template_name` is the spec.

    Raises NotFound if there is no such template, ModelError if the base cannot be carried over (it
    has an adapter or more than one file).
    """
    return read_template(template_name) if base_show is None else _carried_over(base_show)


def read_template(name: str) -> ModelfileSpec:
    """The spec of a file of `modelfiles/`, named without `.Modelfile`.

    Raises NotFound, and ModelError if it does not parse.
    """
    templates = _template_texts()
    if (text := templates.get(name)) is None:
        raise NotFound(
            f"there is no Modelfile template {name!r}",
            f"Use one of: {', '.join(sorted(templates))}.",
        )
    return parse_modelfile(text)


# --- what a server shows --------------------------------------------------------------------------


def _carried_over(show: Mapping[str, Any]) -> ModelfileSpec:
    """The spec from the fields of `/api/show`; only its `modelfile` has renderer and parser."""
    messages = tuple(
        Message(str(m.get("role", "")), str(m.get("content", "")))
        for m in show.get("messages") or ()
    )
    template = str(show.get("template") or "")
    if "{%" in template:  # Jinja comes with the file; a server takes Go templates only
        template = ""
    lines = _instruction_lines(show, messages)
    _refuse_what_a_file_cannot_hold(lines)
    named = {word: value.strip() for word, value in lines if word in ("RENDERER", "PARSER")}
    return ModelfileSpec(
        template=template,
        system=str(show.get("system") or ""),
        parameters=_shown_parameters(str(show.get("parameters") or "")),
        license=(str(show["license"]),) if show.get("license") else (),
        messages=messages,
        renderer=named.get("RENDERER", ""),
        parser=named.get("PARSER", ""),
        requires=str(show.get("requires") or ""),
    )


def _instruction_lines(
    show: Mapping[str, Any], messages: Sequence[Message]
) -> list[tuple[str, str]]:
    """First word and rest of each line of the shown Modelfile.

    The texts that the server shows apart are taken out of it first: a line of theirs could look
    like an instruction.
    """
    rest = str(show.get("modelfile", ""))
    texts = [
        *(str(show.get(name) or "") for name in _CARRIED_TEXTS),
        *(m.content for m in messages),
    ]
    for text in sorted(texts, key=len, reverse=True):
        rest = rest.replace(text, "") if len(text) > 1 else rest
    parts = (line.partition(" ") for line in rest.splitlines())
    return [(word, value) for word, _, value in parts]


def _refuse_what_a_file_cannot_hold(lines: Sequence[tuple[str, str]]) -> None:
    words = [word for word, _ in lines]
    for word, why in (("ADAPTER", "carries an adapter"), ("DRAFT", "carries a draft model")):
        if word in words:
            raise ModelError(
                f"the base {why}, which a packed file cannot hold",
                "Use the plain model as the base.",
            )
    if words.count("FROM") > 1:
        raise ModelError(
            "the base has more than one model file (a projector?)", "Use a base for text alone."
        )


def _shown_parameters(text: str) -> dict[str, Value]:
    """The parameters, from lines of a name and a Go literal (`%-30s %#v`).

    A literal is a quoted text, a number, true or false.
    """
    parameters: dict[str, Value] = {}
    for line in text.splitlines():
        name, _, literal = line.strip().partition(" ")
        if name in _RETIRED:
            logger.warning("the base's parameter %s is left out: servers have retired it", name)
            continue
        literal = literal.strip()
        try:  # Go and Python write escapes alike
            value = ast.literal_eval(literal) if literal.startswith('"') else json.loads(literal)
        except (ValueError, SyntaxError) as error:
            raise ModelError(
                f"the base's parameter {name} cannot be read: {literal}",
                "Report this with the server's version.",
            ) from error
        add_parameter(parameters, name, value)
    return parameters


# --- shipped templates ----------------------------------------------------------------------------


def _template_texts() -> dict[str, str]:
    """The shipped templates by name: inside the installed package, or beside it in a checkout."""
    installed = resources.files(qi_learn).joinpath("modelfiles")
    checkout = Path(qi_learn.__file__).parent.parent / "modelfiles"
    directory = installed if installed.is_dir() else checkout
    if not directory.is_dir():
        return {}
    return {
        file.name.removesuffix(".Modelfile"): file.read_text(encoding="utf-8")
        for file in directory.iterdir()
        if file.name.endswith(".Modelfile") and _FILE_NAME.fullmatch(file.name)
    }
