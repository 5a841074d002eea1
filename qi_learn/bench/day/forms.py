"""How a definition is asked for: in chat, at a gap in a file, or of an agent that edits the file.

One question as its client sends it, and an answer as the server gives it, in Ollama's own routes. A
gap is `suffix` where the base has tokens for it, else what editors send to a model without them:
the text in front, raw. An agent has a tool that edits where the base's template knows tools, else
it answers with SEARCH/REPLACE blocks, as aider has models do.

The part of an answer that stands in the file afterwards is its `piece`: the definition, what
follows its header, or what replaces the old text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qi_learn.bench.day.history import WrittenCode
from qi_learn.code_text import indentation, reindent
from qi_learn.outside.chat_template import variables_of
from qi_learn.outside.llama_cpp import Vocabulary

FormName = Literal["chat", "fim", "agent"]
FORMS: tuple[FormName, ...] = ("chat", "fim", "agent")
_TOOL: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "Edit",
        "description": "Replaces a text in a file.",
        "parameters": {
            "type": "object",
            "properties": {
                name: {"type": "string"} for name in ("file_path", "old_string", "new_string")
            },
            "required": ["file_path", "old_string", "new_string"],
        },
    },
}
_BLOCKS = (
    "You edit files. Answer with one SEARCH/REPLACE block and nothing else: the file's path, then "
    "in a fence <<<<<<< SEARCH, the lines to replace, =======, the new lines, >>>>>>> REPLACE."
)
_EXCERPT = 600
"""Characters of the file that an agent is shown in front of the place."""


@dataclass(frozen=True, slots=True)
class ServedForms:
    """What the base knows beside chat."""

    gaps: bool
    tools: bool

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> ServedForms:
        """Those of a file."""
        template = vocabulary.chat_template or ""
        return cls(vocabulary.fim() is not None, "tools" in variables_of(template))


@dataclass(frozen=True, slots=True)
class FormQuestion:
    """One question, without the model's name."""

    form: FormName
    code: WrittenCode
    served: ServedForms

    @property
    def endpoint(self) -> str:
        """The route that is asked."""
        return "/api/generate" if self.form == "fim" else "/api/chat"

    @property
    def body(self) -> dict[str, Any]:
        """What is sent there."""
        if self.form == "fim":
            return self._gap()
        if self.form == "chat":
            return {"messages": [{"role": "user", "content": self._asked_in_chat()}]}
        told = {"role": "user", "content": self._asked_of_an_agent()}
        if self.served.tools:
            return {"messages": [told], "tools": [_TOOL]}
        return {"messages": [{"role": "system", "content": _BLOCKS}, told]}

    def piece(self, text: str) -> str:
        """What of a definition's text an answer gives."""
        if self.form == "chat":
            return reindent(text, "")
        if self.form == "fim":
            return "".join(text.splitlines(keepends=True)[self.code.header :])
        return text if self.code.before is not None else self._anchor() + text

    def answer(self, piece: str) -> dict[str, Any]:
        """The server's answer that gives this piece."""
        if self.form == "fim":
            return _ended({"response": piece})
        if self.form == "chat":
            return _said(f"```{self.code.language}\n{piece}```")
        if not self.served.tools:
            return _said(
                f"{self.code.file}\n```{self.code.language}\n<<<<<<< SEARCH\n{self._replaced()}"
                f"=======\n{piece}>>>>>>> REPLACE\n```"
            )
        arguments = {
            "file_path": self.code.file,
            "old_string": self._replaced(),
            "new_string": piece,
        }
        return _said("", [{"function": {"name": "Edit", "arguments": arguments}}])

    def answer_as_written(self, text: str) -> dict[str, Any]:
        """The server's answer with a text that a model wrote itself."""
        return _ended({"response": self._wanted(text)}) if self.form == "fim" else _said(text)

    def _wanted(self, text: str) -> str:
        """As much of a completion as an editor takes: to the end of the definition.

        That is where a line stands no deeper than its header; a closing bracket belongs to it.
        """
        margin = len(indentation(self.code.text))
        taken: list[str] = []
        for line in text.splitlines(keepends=True):
            depth = len(line) - len(line.lstrip())
            if line.strip() and depth <= margin:
                return "".join((*taken, line) if line.strip()[0] in ")]}" else taken)
            taken.append(line)
        return "".join(taken)

    def _gap(self) -> dict[str, Any]:
        before = self.code.above + self._header()
        if self.served.gaps and self.code.below.strip():
            return {"prompt": before, "suffix": self.code.below}
        return {"prompt": before, "raw": True}

    def _header(self) -> str:
        return "".join(self.code.text.splitlines(keepends=True)[: self.code.header])

    def _asked_in_chat(self) -> str:
        code = self.code
        wanted = "Answer with all of it in one code block, no explanation."
        if code.before is None:
            return (
                f"File {code.file}: write `{code.name}`.\n{code.why}\n\n"
                f"{reindent(self._header(), '')}\n{wanted}"
            )
        return (
            f"File {code.file}: change `{code.name}`.\n{code.why}\n\n```{code.language}\n"
            f"{reindent(code.before, '')}```\n{wanted}"
        )

    def _asked_of_an_agent(self) -> str:
        code = self.code
        shown = code.above[-_EXCERPT:].partition("\n")[2] + (code.before or "")
        verb = "Write" if code.before is None else "Change"
        return (
            f"{code.file}\n```{code.language}\n{shown}```\n{verb} `{code.name}`: {code.why}\n"
            f"{self._header() if code.before is None else ''}"
        )

    def _replaced(self) -> str:
        """The text that an edit replaces: the definition as it was, or the line in front of it."""
        return self.code.before if self.code.before is not None else self._anchor()

    def _anchor(self) -> str:
        """The last lines in front of a new definition, from one that is not blank on."""
        lines = self.code.above.splitlines(keepends=True)
        at = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].strip()), len(lines))
        return "".join(lines[at:])


def _said(content: str, calls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    return _ended({"message": {**message, "tool_calls": calls} if calls else message})


def _ended(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "done": True, "done_reason": "stop"}
