"""What a model on an Ollama answers, and what asking it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qi_learn.content import texts_within


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    text: str
    done_reason: str
    prompt_tokens: int
    answer_tokens: int
    seconds: float
    """Spent generating: measured by the server, else the whole wait for the answer."""
    calls: tuple[Mapping[str, Any], ...] = ()
    """The calls of tools, in Ollama's form."""

    @property
    def tool_text(self) -> str:
        """The texts in their arguments, at any depth, one behind the other."""
        arguments = [(call.get("function") or {}).get("arguments") for call in self.calls]
        return "\n".join(texts_within(arguments))


@dataclass(frozen=True, slots=True)
class Used:
    """What questions took."""

    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    """Spent generating."""

    def __add__(self, other: Used) -> Used:
        return Used(
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
            self.seconds + other.seconds,
        )


def read_answer(answer: Mapping[str, Any], waited: float) -> Answer:
    """An answer as the server wrote it, after `waited` seconds."""
    message = answer.get("message") or {}
    text = message.get("content", "") if "message" in answer else answer.get("response", "")
    return Answer(
        str(text),
        str(answer.get("done_reason", "")),
        int(answer.get("prompt_eval_count", 0)),
        int(answer.get("eval_count", 0)),
        answer.get("eval_duration", 0) / 1e9 or waited,
        tuple(message.get("tool_calls") or ()),
    )
