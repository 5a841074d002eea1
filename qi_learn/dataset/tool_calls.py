"""Answers that call tools: the kept texts in the arguments, as the served template writes them.

Only the server knows what a tool call looks like to its model, so the text is taken from the
server: the conversation is rendered once as it was asked, and once with the answer and a further
message behind it. What lies between the prompt and the end of that turn is what should have been
generated. If the template refuses that message, or the second text does not begin with the first
(Mistral's moves the tools to the last of the user's messages), the further message is what a tool
returned; if that does not help, the turn is not used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qi_learn.content import texts_within
from qi_learn.records import LearningInteraction, Suggestion

Call = dict[str, Any]
"""`{"function": {"name": ..., "arguments": {...}}}`."""
Span = tuple[int, int]
"""Start and end in a text (characters)."""
FOLLOWING = ("user", "tool")
"""Roles from which the further message may be, tried in turn."""


def calls_of(turn_extra: Mapping[str, Any]) -> list[Call]:
    """The tool calls of an answer in Ollama's form (OpenAI's has the arguments as a text).

    Raises ValueError if one cannot be read.
    """
    calls: list[Call] = []
    for call in turn_extra.get("tool_calls") or ():
        function = call.get("function") or {}
        arguments = function.get("arguments") or {}
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        if not function.get("name") or not isinstance(arguments, dict):
            raise ValueError("a tool call without a name or with arguments that are no object")
        calls.append({"function": {"name": function["name"], "arguments": arguments}})
    return calls


def suggested(interaction: LearningInteraction, calls: Sequence[Call]) -> list[Suggestion]:
    """The suggestions that are an argument of these calls, or a text within one."""
    texts = {text for call in calls for text in texts_within(call["function"]["arguments"])}
    return [s for s in interaction.suggestions if s.text in texts]


def with_arguments(calls: Sequence[Call], kept: Mapping[str, str]) -> list[Call]:
    """The calls with kept texts (by the suggested text) in the place of their arguments."""

    def replaced(value: Any) -> Any:
        if isinstance(value, str):
            return kept.get(value, value)
        if isinstance(value, Mapping):
            return {name: replaced(inner) for name, inner in value.items()}
        return [replaced(inner) for inner in value] if isinstance(value, list | tuple) else value

    functions = [call["function"] for call in calls]
    return [
        {"function": {"name": f["name"], "arguments": replaced(f["arguments"])}} for f in functions
    ]


def asked_with_answer(
    ask: Mapping[str, Any], content: str, calls: Sequence[Call], role: str = "user"
) -> dict[str, Any]:
    """The question with its answer and a further message behind it, from `role`.

    The message makes the template close the answer's turn. Which role can follow is the template's
    matter: most take a user's message, some only what the first tool returned.
    """
    named = [{**call, "id": _id(number)} for number, call in enumerate(calls)]
    answer = {"role": "assistant", "content": content, "tool_calls": named}
    after = {"role": role, "content": "."}
    if role == "tool":
        after |= {"tool_call_id": _id(0), "tool_name": calls[0]["function"]["name"]}
    messages = [*ask["body"]["messages"], answer, after]
    return {"endpoint": ask["endpoint"], "body": {**ask["body"], "messages": messages}}


def _id(number: int) -> str:
    """The id of an answer's call, the same in every rendering.

    Mistral's templates write ids, and take none but of nine letters and digits.
    """
    return f"call{number:05d}"


def written_answer(prompt: str, whole: str, end: str) -> str | None:
    """The text between the prompt and the end of the answer's turn.

    None if `whole` does not continue the prompt, or nothing ends the turn.
    """
    if not whole.startswith(prompt) or (stop := whole.find(end, len(prompt))) < 0:
        return None
    return whole[len(prompt) : stop]


@dataclass(frozen=True, slots=True)
class ArgumentPlace:
    """Where an argument's text stands in a written answer."""

    code: str
    start: int
    form: Callable[[str], str]
    """How each character of it is written there."""

    def at(self, position: int) -> int:
        """The place of a position in the text; one behind its end is what closes it."""
        return self.start + len(self.form(self.code[:position])) + max(0, position - len(self.code))

    @property
    def span(self) -> Span:
        """All of it."""
        return self.start, self.at(len(self.code))


def argument_places(text: str, codes: Sequence[str]) -> tuple[ArgumentPlace | None, ...]:
    """Where the argument texts stand in a written answer, in order; None for one that is not found.

    The answer has them escaped as JSON, also as Go does it.
    """
    places: list[ArgumentPlace | None] = []
    at = 0
    for code in codes:
        hits = [
            ArgumentPlace(code, start, form)
            for form in _FORMS
            if code and (start := text.find(form(code), at)) >= 0
        ]
        first = min(hits, key=lambda place: place.span, default=None)
        places.append(first)
        at = first.span[1] if first else at
    return tuple(places)


def argument_spans(text: str, codes: Sequence[str]) -> tuple[Span, ...]:
    """The positions of the argument texts in a written answer; one that is not found has none."""
    return tuple(place.span for place in argument_places(text, codes) if place is not None)


def _plain(code: str) -> str:
    return json.dumps(code, ensure_ascii=False)[1:-1]


def _ascii(code: str) -> str:
    return json.dumps(code)[1:-1]


def _go(code: str) -> str:
    plain = _plain(code)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


_FORMS = (_plain, _ascii, _go)
