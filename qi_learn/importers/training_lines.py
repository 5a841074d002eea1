"""Lines of a data set for other trainers as turns: openai, sharegpt and dpo of `export data`.

Such a line is a conversation and its answer, and no more: no id, time, model, session, project or
fate. So a turn has the file's own time, an id made of its words, and nothing is known of what
became of it. Of a preference (`chosen`, `rejected`) the rejected answer is the one that was given,
and the chosen one its correction; where a tool is called, nothing is taken for a correction.

Not covered: what ShareGPT joined into one message stays one, and completions, which none of these
forms has.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qi_learn.importers.json_lines import objects
from qi_learn.importers.json_lines import text_of as text
from qi_learn.records import ImportedTurn, ToolRating

_SENDERS = {"system": "system", "human": "user", "gpt": "assistant", "observation": "tool"}


def items_of(
    value: Mapping[str, Any], cursor: str, written: float
) -> Iterator[ImportedTurn | ToolRating]:
    """The turn in a line; nothing if it is none of these forms. `written`: when its file was.

    Raises ValueError if the conversation does not end with an answer.
    """
    chosen: Mapping[str, Any] | None = None
    asked: Sequence[Mapping[str, Any]]
    answer: Mapping[str, Any]
    if messages := objects(value.get("messages")):
        *asked, answer = messages
    elif shared := objects(value.get("conversations")):
        *asked, answer = _conversation(shared)
    elif rejected := objects(value.get("rejected")):
        asked, answer = objects(value.get("prompt")), rejected[-1]
        chosen = next(iter(objects(value.get("chosen"))[-1:]), None)
    else:
        return
    if not asked or answer.get("role") != "assistant":
        raise ValueError("a conversation that does not end with an answer")
    turn = _turn(value, cursor, written, asked, answer)
    yield turn
    if chosen is None or chosen.get("tool_calls") or answer.get("tool_calls"):
        return
    if correction := text(chosen.get("content")):
        yield ToolRating(turn.key, cursor, written, correction=correction)


def _turn(
    value: Mapping[str, Any],
    cursor: str,
    written: float,
    asked: Sequence[Mapping[str, Any]],
    answer: Mapping[str, Any],
) -> ImportedTurn:
    words = json.dumps(value, sort_keys=True, ensure_ascii=False)
    key = hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()
    tools = objects(value.get("tools"))
    return ImportedTurn(
        key,
        cursor,
        "/v1/chat/completions",
        {"model": "unknown", "messages": list(asked), **({"tools": tools} if tools else {})},
        {"choices": [{"index": 0, "message": dict(answer), "finish_reason": "stop"}]},
        written,
        written,
        "unknown",
        whole=True,
        timed=False,
    )


def _conversation(shared: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A conversation of ShareGPT's as messages. Raises ValueError for a sender it does not have."""
    made: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, entry in enumerate(shared):
        sender, said = text(entry.get("from")), text(entry.get("value"))
        if sender == "function_call":
            calls = _calls(said, number)
            waiting = [call["id"] for call in calls]
            made.append({"role": "assistant", "content": "", "tool_calls": calls})
        elif sender in _SENDERS:
            call = {"tool_call_id": waiting.pop(0)} if sender == "observation" and waiting else {}
            made.append({"role": _SENDERS[sender], "content": said, **call})
        else:
            raise ValueError(f"a message from {sender!r}")
    return made


def _calls(said: str, number: int) -> list[dict[str, Any]]:
    value = json.loads(said)
    return [
        {
            "id": f"call_{number}_{n}",
            "type": "function",
            "function": {
                "name": text(call.get("name")),
                "arguments": json.dumps(call.get("arguments") or {}),
            },
        }
        for n, call in enumerate(objects(value if isinstance(value, list) else [value]))
    ]
