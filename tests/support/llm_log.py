"""A log of simonw/llm, written by `llm` itself with a model that says what it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm
import sqlite_utils


class Told(llm.Model):
    """Answers with the words it was made with."""

    model_id = "told"

    def __init__(self, words: str, raw: dict[str, Any] | None = None) -> None:
        self.words, self.raw = words, raw

    def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any = None
    ) -> Iterator[str]:
        """The answer, with its counts and the raw answer of a server."""
        response.response_json = self.raw
        response.set_usage(input=3, output=2)
        yield self.words


def llm_database(file: Path) -> sqlite_utils.Database:
    """A log that stays open."""
    return sqlite_utils.Database(file)


def log_with_llm(
    database: sqlite_utils.Database,
    asked: str,
    answered: str,
    *,
    conversation: Any = None,
    raw: dict[str, Any] | None = None,
    **more: Any,
) -> Any:
    """Ask and log as `llm prompt` does; the conversation, to go on in."""
    model = Told(answered, raw)
    if conversation is None:
        conversation = model.conversation()
    conversation.model = model
    response: Any = conversation.prompt(asked, stream=False, **more)
    response.text()
    response.log_to_db(database)
    return conversation
