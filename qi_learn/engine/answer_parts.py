"""An answer taken apart: what the model thought, what it says, which tools it calls.

The marks between them are the chat template's own: a template that writes `<think>` or
`<tool_call>` belongs to a model that answers so. Text leaves as soon as it cannot be the beginning
of a mark. What looks like a tool call and cannot be read as one stays what it is: text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from qi_learn.engine.called_tools import read_calls
from qi_learn.engine.generate import AnswerEnd, Piece, TokenLogprob, ToolCall, overlap

_THOUGHTS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
)
_CALLS = (("<tool_call>", "</tool_call>"), ("[TOOL_CALLS]", ""), ("<|python_tag|>", ""))
"""How tool calls begin and end; without an end, the rest of the answer is calls."""


@dataclass(frozen=True, slots=True)
class TemplateMarks:
    """How the parts of an answer are told from each other."""

    thought: tuple[str, str] | None = None
    call: tuple[str, str] | None = None
    bare_calls: bool = False
    """Whether an answer that is JSON from its beginning may be a call."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Every mark, for a tokenizer that knows some of them as one token."""
        return tuple(text for pair in (self.thought, self.call) if pair for text in pair if text)


def thought_marks(template: str) -> tuple[str, str] | None:
    """What is around the thoughts of a model with this template; None if it does not think."""
    return next((pair for pair in _THOUGHTS if pair[1] in template), None)


def marks_of(template: str, *, think: bool, tools: bool) -> TemplateMarks:
    """The marks of a template, as far as the request has a use for them."""
    call = next((pair for pair in _CALLS if pair[0] in template), None) if tools else None
    return TemplateMarks(
        thought_marks(template) if think else None,
        call,
        tools and (call is None or call[0] == "<|python_tag|>"),
    )


def take_apart(
    items: Iterator[Piece | AnswerEnd], marks: TemplateMarks, *, prompt: str
) -> Iterator[Piece | AnswerEnd]:
    """The pieces of an answer with each part in its place. `prompt`: what it is the answer to."""
    if not marks.texts and not marks.bare_calls:
        yield from items
        return
    parts = _Parts(marks)
    if marks.thought and prompt.rstrip().endswith(marks.thought[0]):
        parts.inside = "thought"  # the template has begun to think for the model
    for item in items:
        if isinstance(item, Piece):
            yield from parts.add(item)
            continue
        yield from parts.finish()
        yield replace(item, calls=bool(parts.count))


@dataclass(slots=True)
class _Parts:
    """The answer so far."""

    marks: TemplateMarks
    inside: str = ""
    """`thought`, `call`, `json` (what may be a call without marks), or empty for plain text."""
    held: str = ""
    count: int = 0
    """Calls so far."""
    begun: bool = False
    """Whether plain text was sent."""
    trim: bool = False
    """Whether white space that follows belongs to a mark."""
    logprobs: tuple[TokenLogprob, ...] = field(default=())

    def add(self, piece: Piece) -> Iterator[Piece]:
        """What can be sent once more text is there."""
        self.held += piece.text
        self.logprobs += piece.logprobs
        while True:
            if self.trim:
                self.held = self.held.lstrip()
                self.trim = not self.held
            before = (self.inside, len(self.held))
            yield from self._step()
            if (self.inside, len(self.held)) == before or not self.held:
                return

    def finish(self) -> Iterator[Piece]:
        """What is left at the end of the answer."""
        if self.inside in ("call", "json"):
            yield from self._calls(self.held)
        elif self.held:
            yield self._said(self.held)
        self.held = ""

    def _step(self) -> Iterator[Piece]:
        """Send what is certain, up to the next mark."""
        if self.inside == "json":
            return
        if not self.inside and not self.begun:
            start = self.held.lstrip()[:1]
            if not start:
                return
            if self.marks.bare_calls and start in "{[":
                self.inside = "json"
                return
        mark = self._next_mark()
        if mark is None:
            if self.inside == "call":
                return
            if sure := self._sure():
                yield self._said(self.held[:sure])
                self.held = self.held[sure:]
            return
        at, text = mark
        front, self.held = self.held[:at], self.held[at + len(text) :]
        yield from self._pass_mark(front, text)

    def _pass_mark(self, front: str, text: str) -> Iterator[Piece]:
        """Send what is in front of a mark, and go on behind it."""
        if self.inside == "call":
            yield from self._calls(front)
            self.inside, self.trim = "", True
            return
        front = front.rstrip() if self.inside == "thought" else front
        if front.strip():
            yield self._said(front)
        opened, closed = self.marks.thought or ("", "")
        self.inside = "thought" if text == opened else "" if text == closed else "call"
        self.trim = True

    def _awaited(self) -> tuple[str, ...]:
        """The marks that would end the present part."""
        thought, call = self.marks.thought, self.marks.call
        if self.inside == "thought":
            return (thought[1],) if thought else ()
        if self.inside == "call":
            return (call[1],) if call and call[1] else ()
        opening = (thought[0],) if thought and not self.begun else ()
        return (*opening, *((call[0],) if call else ()))

    def _next_mark(self) -> tuple[int, str] | None:
        """Where the next mark is; a thought only begins where the answer does."""
        found = [(self.held.find(text), text) for text in self._awaited()]
        if self.marks.thought and not self.inside:
            opening = self.marks.thought[0]
            found = [f for f in found if f[1] != opening or not self.held[: f[0]].strip()]
        return min((one for one in found if one[0] >= 0), default=None)

    def _sure(self) -> int:
        """How many characters cannot belong to a mark."""
        doubtful = max((overlap(self.held, text) for text in self._awaited()), default=0)
        sure = len(self.held) - doubtful
        return len(self.held[:sure].rstrip()) if self.inside == "thought" else sure

    def _said(self, text: str) -> Piece:
        logprobs, self.logprobs = self.logprobs, ()
        if self.inside == "thought":
            return Piece("", logprobs, thinking=text)
        self.begun = True
        return Piece(text, logprobs)

    def _calls(self, text: str) -> Iterator[Piece]:
        """The calls that a text has; the text itself, marks and all, if it has none."""
        calls = read_calls(text)
        logprobs, self.logprobs = self.logprobs, ()
        if calls is None:
            mark = self.marks.call if self.inside == "call" else None
            self.begun = True
            yield Piece(f"{mark[0]}{text}{mark[1]}" if mark else text, logprobs)
            return
        numbered = tuple(
            ToolCall(name, arguments, self.count + at) for at, (name, arguments) in enumerate(calls)
        )
        self.count += len(numbered)
        yield Piece("", logprobs, calls=numbered)
