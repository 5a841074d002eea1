"""A GGUF's own chat template: messages in, the text that the model reads out.

Templates come with model files, so they run in Jinja's immutable sandbox: no attribute of Python's
internals, no change of what they are given. The variables and functions are those that templates
are written for (`transformers`): messages, bos_token, eos_token, add_generation_prompt,
raise_exception, strftime_now, tojson.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from qi_learn.errors import ServerError


def variables_of(template: str) -> frozenset[str]:
    """The variables that a template asks for; none if it cannot be read."""
    import jinja2
    from jinja2 import meta

    try:
        return frozenset(meta.find_undeclared_variables(_environment().parse(template)))
    except (jinja2.TemplateError, RecursionError):
        return frozenset()


def render_chat(
    template: str | None,
    messages: Sequence[Mapping[str, Any]],
    *,
    bos: str,
    eos: str,
    tools: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> str:
    """The rendered prompt, up to the assistant's first word. `more`: variables of some templates.

    Raises ServerError if the template is absent or wrong, or refuses the messages.
    """
    import jinja2
    import jinja2.ext

    if template is None:
        raise ServerError(
            "this model has no chat template", "ask /api/generate with raw instead", status=400
        )
    try:
        return str(
            _environment()
            .from_string(template)
            .render(
                messages=[dict(message) for message in messages],
                bos_token=bos,
                eos_token=eos,
                add_generation_prompt=True,
                tools=[dict(tool) for tool in tools] or None,
                documents=None,
                **(more or {}),
            )
        )
    except jinja2.TemplateError as error:  # SecurityError is one of them
        raise ServerError(f"template error: {error}", status=500) from error
    except (
        TypeError,
        ValueError,
        KeyError,
        AttributeError,
        ArithmeticError,
        LookupError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ServerError(f"template error: {type(error).__name__}: {error}", status=500) from error


def _environment() -> Any:
    """The sandbox, with the functions that templates are written for."""
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks the assistant's text for trainers. Here its content passes."""

        tags = {"generation"}  # noqa: RUF012 - the name and kind that Jinja asks for

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value, indent=None, **_: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment
