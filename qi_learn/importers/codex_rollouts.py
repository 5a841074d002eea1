"""Codex's rollouts: `~/.codex/sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl`.

Lines of `{"timestamp", "type", "payload"}` (codex-rs/protocol). `session_meta` has the session's
id, its directory and the provider, `turn_context` the model; `response_item` is an item of
`/v1/responses`. The end of an answer is where its tokens are counted (`token_usage_record`, before
that `token_count` in an `event_msg`), or where an item of somebody else comes. Read from sessions
of version 0.171 too, which were made here.

The instructions and the tools of a request are not in it, so no question is whole; nor are thoughts
that only their service can read. Not covered: rollouts of 2025 whose lines have no `payload`, and a
conversation that was compacted goes on from its last prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qi_learn.importers.conversation import Conversation, texts_of
from qi_learn.importers.json_lines import (
    JsonLine,
    behind,
    inner,
    is_local,
    json_lines,
    objects,
    regular_files,
    seconds,
)
from qi_learn.importers.json_lines import text_of as text
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood, ToolSign

INJECTED = (
    *("<environment_context>", "<user_instructions>", "<INSTRUCTIONS>", "<turn_aborted>"),
    *("# AGENTS.md instructions", "<skill", "<permissions", "<subagent"),
)
"""How a message begins that the program puts among those of the person."""
DECLINED = ("exec command rejected by user", "patch rejected by user", "rejected by user")
"""What a tool's output says that the person did not allow."""


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """The directory of all sessions."""
    return Path(environment.get("CODEX_HOME") or home / ".codex")


def files(path: Path) -> list[Path]:
    """The rollouts that a path means: those of its sessions, the archived ones too."""
    if not path.is_dir():
        return [path]
    found = path.rglob("rollout-*.jsonl")
    return regular_files(sorted(found, key=lambda file: file.name))


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The turns behind a cursor (bytes), and what the person declined.

    `ended`: whether nothing is written to the file any more; else an answer whose end is not
    certain waits. Raises NotFound if the file cannot be read.
    """
    rollout = _Rollout(behind(after), file.stem)
    for line in json_lines(file):
        if line.value is None or not isinstance(line.value.get("payload"), Mapping):
            if line.end > rollout.since:
                why = line.problem or "a line without a payload: an older form"
                yield NotUnderstood(str(line.end), f"line {line.number}", why)
            continue
        yield from rollout.take(line, line.value, inner(line.value, "payload"))
    if ended:
        yield from rollout.flush()


@dataclass(slots=True)
class _Rollout:
    """A session as far as it is read."""

    since: int
    session: str
    directory: str | None = None
    model: str = "unknown"
    local: bool | None = None
    said: Conversation = field(default_factory=Conversation)
    asked: float | None = None
    answered: float = 0.0
    answer: list[Mapping[str, Any]] = field(default_factory=list)
    begin: int = 0
    """The byte behind the first line of the answer, which names it."""
    end: int = 0
    usage: Mapping[str, Any] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    """By the id of a tool call: the key of its turn."""

    def take(
        self, line: JsonLine, value: Mapping[str, Any], payload: Mapping[str, Any]
    ) -> Iterator[ImportedItem]:
        """Take in one line."""
        ts = seconds(value.get("timestamp"))
        match value.get("type"):
            case "session_meta":
                self.session = text(payload.get("id")) or self.session
                self.directory = text(payload.get("cwd")) or self.directory
                self.local = is_local(payload.get("model_provider"))
            case "turn_context":
                yield from self.flush()
                self.directory = text(payload.get("cwd")) or self.directory
                self.model = text(payload.get("model")) or self.model
            case "token_usage_record":
                self.usage = inner(payload, "usage")
                yield from self.flush()
            case "event_msg" if payload.get("type") == "token_count":
                self.usage = inner(inner(payload, "info"), "last_token_usage")
                yield from self.flush()
            case "event_msg" if payload.get("type") in ("task_complete", "turn_aborted"):
                yield from self.flush()
            case "response_item":
                yield from self._item(line, payload, ts)

    def _item(
        self, line: JsonLine, item: Mapping[str, Any], ts: float | None
    ) -> Iterator[ImportedItem]:
        kind = text(item.get("type"))
        if _is_the_models(item):
            if not self.answer:
                self.begin = line.end
                self.asked = self.asked or ts
            self.answer.append(_readable(item))
            self.answered, self.end = ts or self.answered, line.end
            return
        yield from self.flush()
        if kind.endswith("_call_output"):
            yield from self._sign(line, item, ts)
        self.said.add(item, "prompt" if _is_a_prompt(item) else "other")
        self.asked = ts or self.asked

    def _sign(
        self, line: JsonLine, item: Mapping[str, Any], ts: float | None
    ) -> Iterator[ToolSign]:
        call, output = text(item.get("call_id")), item.get("output")
        said = output if isinstance(output, str) else text(inner(item, "output").get("content"))
        if call in self.calls and said.strip().startswith(DECLINED) and line.end > self.since:
            yield ToolSign(self.calls[call], str(line.end), ts or self.answered, "declined", call)

    def flush(self) -> Iterator[ImportedItem]:
        """The answer, now that all of it is there."""
        answer, self.answer = self.answer, []
        usage, self.usage = self.usage, {}
        if not answer:
            return
        key = f"{self.session}:{self.begin}"
        if self.end > self.since:
            yield self._turn(key, answer, usage)
        self.calls |= {text(i.get("call_id")): key for i in answer if i.get("call_id")}
        said = [item for item in answer if item.get("type") != "reasoning"]
        for number, item in enumerate(said):
            self.said.add(item, "other" if number else "answer")

    def _turn(
        self, key: str, answer: list[Mapping[str, Any]], usage: Mapping[str, Any]
    ) -> ImportedTurn:
        ended = self.answered or self.asked or 0.0
        return ImportedTurn(
            key,
            str(self.end),
            "/v1/responses",
            {"model": self.model, "input": self.said.question()},
            {"status": "completed", "output": answer, "usage": dict(usage)},
            min(self.asked or ended, ended),
            ended,
            self.model,
            local=self.local,
            session=self.session,
            directory=self.directory,
        )


def _is_a_prompt(item: Mapping[str, Any]) -> bool:
    if item.get("type") != "message" or item.get("role") != "user":
        return False
    return not texts_of(objects(item.get("content"))).lstrip().startswith(INJECTED)


def _is_the_models(item: Mapping[str, Any]) -> bool:
    kind = text(item.get("type"))
    if kind == "message":
        return item.get("role") == "assistant"
    return kind == "reasoning" or (kind.endswith("_call") and not kind.endswith("_output"))


def _readable(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item without what only its service can read."""
    return {name: value for name, value in item.items() if name != "encrypted_content"}
