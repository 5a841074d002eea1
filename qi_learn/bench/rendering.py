"""Questions rendered by the model file's own template, as the embedded engine renders them.

So a benchmark needs no server to know what a model reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qi_learn.errors import ServerError
from qi_learn.outside.chat_template import render_chat, variables_of
from qi_learn.outside.llama_cpp import Vocabulary

_REFUSED = 400


class ByTemplate:
    """The renderer of one vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def render(self, endpoint: str, body: Mapping[str, Any]) -> str:
        """The text that the model would read.

        Raises ServerError for what the engine refuses: tools that the template does not know, a
        gap to fill without tokens for it.
        """
        vocabulary, tools = self._vocabulary, body.get("tools") or ()
        if tools and "tools" not in variables_of(vocabulary.chat_template or ""):
            raise ServerError("this model's template has no tools", status=_REFUSED)
        if suffix := body.get("suffix"):
            return self._around_gap(str(body["prompt"]), str(suffix))
        if endpoint == "/api/generate":
            return str(body["prompt"])
        bos, eos = vocabulary.text(vocabulary.bos), vocabulary.text(vocabulary.eos)
        return render_chat(
            vocabulary.chat_template, body["messages"], bos=bos, eos=eos, tools=tools
        )

    def _around_gap(self, prompt: str, suffix: str) -> str:
        marks = self._vocabulary.fim()
        if marks is None:
            raise ServerError("this model has no tokens for a gap", status=_REFUSED)
        before, after, middle = map(self._vocabulary.text, marks)
        return f"{before}{prompt}{after}{suffix}{middle}"
