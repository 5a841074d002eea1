"""Claude Code's transcripts: `~/.claude/projects/<directory>/<session>.jsonl`.

One line a message, as the session went on (as versions 1 and 2 write it; the format is not
documented, and sessions of 1.0.120 that were made here are read). The members used: `type` (`user`,
`assistant`; all others are not of a conversation), `uuid`, `parentUuid`, `timestamp`, `sessionId`,
`cwd`, `isSidechain`, `agentId`, and `message` as `/v1/messages` has it. Each block of an answer has
a line of its own, with one `message.id`; results of tools may stand between them. A prompt whose
parent is not the newest line goes back to there.

The system prompt and the tools are not in it, so no question is whole. Not covered: what a hook
wrote into a prompt, and answers that are errors of the service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn.importers.conversation import Conversation, texts_of
from qi_learn.importers.json_lines import (
    JsonLine,
    behind,
    inner,
    json_lines,
    objects,
    regular_files,
    seconds,
)
from qi_learn.importers.json_lines import text_of as text
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood, Said, ToolSign
from qi_learn.refusals import CLAUDE_DECLINED

FAILED = "<tool_use_error>"
"""How the result of a tool begins that could not do what it was to; older versions have no mark."""
NO_PROMPTS = ("[Request interrupted by user", "<command-name>", "<local-command-", "Caveat: ")
"""How a message of the person's begins that the program wrote."""


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """The directory of all transcripts."""
    return Path(environment.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "projects"


def files(path: Path) -> list[Path]:
    """The transcripts that a path means."""
    return regular_files(sorted(path.rglob("*.jsonl"))) if path.is_dir() else [path]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The turns behind a cursor (bytes), and what the person declined or a tool could not do.

    `ended`: whether nothing is written to the file any more; else an answer whose end is not
    certain waits. Raises NotFound if the file cannot be read.
    """
    threads: dict[str, _Thread] = {}
    since = behind(after)
    for line in json_lines(file):
        if line.value is None:
            if line.end > since:
                yield NotUnderstood(str(line.end), f"line {line.number}", line.problem)
            continue
        if line.value.get("type") not in ("user", "assistant"):
            continue
        if not isinstance(line.value.get("message"), Mapping):
            if line.end > since:
                yield NotUnderstood(str(line.end), f"line {line.number}", "no message in it")
            continue
        thread = threads.setdefault(_thread_of(line.value), _Thread(since))
        yield from thread.take(line)
    for thread in threads.values():
        if ended or thread.is_answered:
            yield from thread.flush()


def _thread_of(value: Mapping[str, Any]) -> str:
    session = text(value.get("sessionId"))
    if value.get("isSidechain") is not True:
        return session
    return f"{session}/{text(value.get('agentId')) or 'side'}"


@dataclass(slots=True)
class _Answer:
    """The blocks of an answer so far."""

    id: str
    """As the server named it: some give all their answers one name."""
    key: str
    lines: list[Mapping[str, Any]]
    end: int
    blocks: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Thread:
    """One conversation of a file: the session's own, or that of an agent in it."""

    since: int
    said: Conversation = field(default_factory=Conversation)
    places: dict[str, int] = field(default_factory=dict)
    """By the id of a line: how many messages there were behind it."""
    asked: float | None = None
    """When the newest thing was said to the model."""
    calls: dict[str, str] = field(default_factory=dict)
    """By the id of a tool call: the key of its turn."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many answers had an id."""
    answer: _Answer | None = None
    results: list[tuple[JsonLine, Mapping[str, Any]]] = field(default_factory=list)
    """What came for the answer that is not at its end yet."""

    @property
    def is_answered(self) -> bool:
        """Whether the newest answer says itself that it is at its end."""
        return self.answer is not None and bool(_message(self.answer.lines[-1]).get("stop_reason"))

    def take(self, line: JsonLine) -> Iterator[ImportedItem]:
        """Take in one line with a message."""
        value = line.value or {}
        message = _message(value)
        if value["type"] == "assistant":
            if value.get("isApiErrorMessage") is True or message.get("model") == "<synthetic>":
                return
            key = text(message.get("id")) or text(value.get("uuid"))
            ended = self.is_answered and bool(self.results)
            if self.answer is None or self.answer.id != key or ended:
                yield from self.flush()
                self.counts[key] += 1
                name = key if self.counts[key] == 1 else f"{key}#{self.counts[key]}"
                self.answer = _Answer(key, name, [], line.end)
            self.answer.lines.append(value)
            self.answer.blocks += objects(message.get("content"))
            self.answer.end = line.end
        elif _results(message):
            self.results.append((line, value))
            if self.answer is None:
                yield from self.flush()
        else:
            yield from self.flush()
            self._ask(value, message)

    def _ask(self, value: Mapping[str, Any], message: Mapping[str, Any]) -> None:
        parent = text(value.get("parentUuid"))
        if not parent:
            self.said.cut(0)
        elif (place := self.places.get(parent)) is not None and place < len(self.said.messages):
            self.said.cut(place)
        written = _words(message).lstrip().startswith(NO_PROMPTS)
        meta = value.get("isMeta") is True or written
        self._say(value, {"role": "user", "content": message.get("content")}, meta=meta)

    def _say(
        self, value: Mapping[str, Any], message: Mapping[str, Any], *, meta: bool = False
    ) -> None:
        self.said.add(message, "other" if meta else "prompt")
        self.places[text(value.get("uuid"))] = len(self.said.messages)
        self.asked = seconds(value.get("timestamp")) or self.asked

    def flush(self) -> Iterator[ImportedItem]:
        """The answer, now that all of it is there, and what its tools told."""
        answer, self.answer = self.answer, None
        if answer is not None and answer.blocks:
            if answer.end > self.since:
                yield self._turn(answer)
            calls = (block for block in answer.blocks if block.get("type") == "tool_use")
            self.calls |= {text(call.get("id")): answer.key for call in calls}
            self.said.add({"role": "assistant", "content": answer.blocks}, "answer")
            for each in answer.lines:
                self.places[text(each.get("uuid"))] = len(self.said.messages)
        for line, value in self.results:
            yield from self._signs(line, value, max(line.end, answer.end if answer else 0))
            self.said.add({"role": "user", "content": _message(value).get("content")}, "other")
            self.places[text(value.get("uuid"))] = len(self.said.messages)
            self.asked = seconds(value.get("timestamp")) or self.asked
        self.results.clear()

    def _turn(self, answer: _Answer) -> ImportedTurn:
        last = answer.lines[-1]
        message = _message(last)
        model = text(message.get("model")) or "unknown"
        ended = seconds(last.get("timestamp")) or self.asked or 0.0
        first = seconds(answer.lines[0].get("timestamp")) or ended
        started = first if self.asked is None else min(self.asked, first)
        return ImportedTurn(
            answer.key,
            str(answer.end),
            "/v1/messages",
            {"model": model, "messages": self.said.question()},
            {
                "type": "message",
                "model": model,
                "content": answer.blocks,
                "stop_reason": message.get("stop_reason"),
                "usage": dict(inner(message, "usage")),
            },
            started,
            ended,
            model,
            local=False if model.startswith("claude") else None,
            session=_thread_of(last) or None,
            directory=text(last.get("cwd")) or None,
        )

    def _signs(self, line: JsonLine, value: Mapping[str, Any], cursor: int) -> Iterator[ToolSign]:
        if line.end <= self.since:
            return
        ts = seconds(value.get("timestamp")) or self.asked or 0.0
        for result in _results(_message(value)):
            call = text(result.get("tool_use_id"))
            said = _said(result)
            if call in self.calls and said is not None:
                yield ToolSign(self.calls[call], str(cursor), ts, said, call)


def _message(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return inner(value, "message")


def _results(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [b for b in objects(message.get("content")) if b.get("type") == "tool_result"]


def _said(result: Mapping[str, Any]) -> Said | None:
    """What a result says of its call: that the person declined it, or that the tool failed."""
    if result.get("is_error") is not True:
        return None
    words = _words(result).lstrip()
    if words.startswith(CLAUDE_DECLINED):
        return "declined"
    return "failed" if words.startswith(FAILED) else None


def _words(value: Mapping[str, Any]) -> str:
    content = value.get("content")
    return content if isinstance(content, str) else texts_of(objects(content))
