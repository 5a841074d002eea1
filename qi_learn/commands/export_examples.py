"""`qi-learn export data --format openai|sharegpt|dpo FILE`: examples for other trainers.

They are the turns over the quality threshold, each text once, with the answer that is to be
learned: as it was served, with the kept code in its place. Whether a version has learned them or
not makes no difference. The forms, as their makers describe them:

* `openai`: `{"messages": [...], "tools": [...]}`, what fine-tuning of chat models takes
  (platform.openai.com/docs/guides/supervised-fine-tuning);
* `sharegpt`: `{"conversations": [{"from", "value"}]}`, from `system`, `human`, `gpt`,
  `function_call` or `observation`, a person and the model in turns (LLaMA-Factory, data/README.md);
* `dpo`: `{"prompt": [...], "chosen": [...], "rejected": [...]}`, conversations as TRL's trainers
  take them (huggingface.co/docs/trl/dataset_formats): what was kept against what was suggested in
  its place, or against an earlier answer to the same question of which nothing was kept.

Completions have no place in them: they are counted, and left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qi_learn.commands.export import write_lines
from qi_learn.commands.export_turns import as_line, refuse_nothing
from qi_learn.dataset.pairs import LEAST, MOST, distance
from qi_learn.dataset.select import Learnable, liked, lost_a_secret, select_learnables, unfit
from qi_learn.dataset.target import Target, passed_over, served_of
from qi_learn.paths import Paths
from qi_learn.records import Message
from qi_learn.redact import Redactor
from qi_learn.settings import Settings
from qi_learn.store.database import Store, open_store
from qi_learn.store.everything import one_moment
from qi_learn.store.learnables import Evidence, load_evidence

ExampleFormat = Literal["openai", "sharegpt", "dpo"]
COMPLETION = "a completion, which has no place in this form"
NO_PAIR = "nothing to compare it with"


@dataclass(frozen=True, slots=True)
class ExampleReport:
    """What was written, and what was not."""

    written: int
    left_out: Mapping[str, int]
    """By reason."""


def export_examples(
    paths: Paths, settings: Settings, file: Path, form: ExampleFormat
) -> ExampleReport:
    """Write the examples, or the pairs of them.

    Raises NotFound if nothing was recorded or the file is there already, StoreError if the database
    cannot be read, OSError if there is no room.
    """
    redactor = refuse_nothing(paths, file)
    left: Counter[str] = Counter()
    with open_store(paths.database, readonly=True) as store, one_moment(store):
        lines = _lines(store, settings.train.quality_threshold, form, redactor, left)
        written = write_lines(file, lines)
    return ExampleReport(written, dict(left))


def _lines(
    store: Store, threshold: float, form: ExampleFormat, redactor: Redactor, left: Counter[str]
) -> Iterator[str]:
    evidence = load_evidence(store, threshold=threshold, learned=frozenset(), earlier=())
    selection = select_learnables(evidence.learnable)
    left.update(selection.dropped)
    for learnable in selection.learnables:
        if any(message.role == "prompt" for message in learnable.interaction.turn.messages):
            left[COMPLETION] += 1
            continue
        values = _values(learnable, form, evidence)
        if not values:
            left[NO_PAIR] += 1
        yield from (as_line(value, redactor) for value in values)


def _values(
    learnable: Learnable, form: ExampleFormat, evidence: Evidence
) -> Sequence[Mapping[str, Any]]:
    turn = learnable.interaction.turn
    asked, answer = chat_messages(turn.messages), answer_message(learnable.target)
    if form == "openai":
        tools = turn.request.get("tools")
        return [{"messages": [*asked, answer], **({"tools": tools} if tools else {})}]
    if form == "sharegpt":
        return [{"conversations": shared_conversation([*asked, answer])}]
    return [
        {"prompt": asked, "chosen": [answer], "rejected": [answer_message(other)]}
        for other in _rejected(learnable, evidence)
    ]


def _rejected(learnable: Learnable, evidence: Evidence) -> Iterator[Target]:
    """What was not kept in the place of the answer."""
    served = learnable.target.served
    if served is not None and LEAST <= distance(learnable.target, served) <= MOST:
        yield served
    for turn in evidence.earlier_answers.get(learnable.id, ()):
        other = turn.interaction
        if unfit(other.turn) or not passed_over(other) or liked(other.feedback):
            continue
        said = served_of(other)
        if said and not lost_a_secret(said) and distance(learnable.target, said) >= LEAST:
            yield said


# --- messages -------------------------------------------------------------------------------------


def chat_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A conversation as `/v1/chat/completions` has it; a call without an id gets one."""
    made: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number, message in enumerate(messages):
        role = "system" if message.role == "developer" else message.role
        entry: dict[str, Any] = {"role": role, "content": message.content}
        if calls := _calls(message.extra.get("tool_calls"), f"call_{number}"):
            entry["tool_calls"] = calls
            waiting = [call["id"] for call in calls]
        if role == "tool":
            given = message.extra.get("tool_call_id")
            id = str(given) if given else waiting[0] if waiting else f"call_{number}"
            waiting = [other for other in waiting if other != id]
            entry["tool_call_id"] = id
        made.append(entry)
    return made


def answer_message(target: Target) -> dict[str, Any]:
    """An answer as a message."""
    calls = _calls(target.calls, "call_answer")
    message: dict[str, Any] = {"role": "assistant", "content": target.text}
    return {**message, "tool_calls": calls} if calls else message


def _calls(calls: Any, name: str) -> list[dict[str, Any]]:
    return [
        {
            "id": str(call.get("id") or f"{name}_{n}"),
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": _as_text(call["function"].get("arguments")),
            },
        }
        for n, call in enumerate(calls or ())
    ]


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments or {})


def shared_conversation(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Messages in ShareGPT's form: after the system's a person and the model in turns."""
    made: list[dict[str, str]] = []
    for message in messages:
        for sender, value in _said(message):
            side = _SIDES.get(sender)
            if made and side is not None and _SIDES.get(made[-1]["from"]) == side:
                joined = f"{made[-1]['value']}\n\n{value}"
                made[-1] = {"from": sender, "value": joined}
            else:
                made.append({"from": sender, "value": value})
    return made


_SIDES = {"human": 0, "observation": 0, "gpt": 1, "function_call": 1}


def _said(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    role, calls = message["role"], message.get("tool_calls") or ()
    if message["content"] or not calls:
        senders = {"user": "human", "assistant": "gpt", "tool": "observation"}
        yield senders.get(role, "system"), str(message["content"])
    if calls:
        made = [
            {
                "name": call["function"]["name"],
                "arguments": json.loads(call["function"]["arguments"] or "{}"),
            }
            for call in calls
        ]
        yield "function_call", json.dumps(made[0] if len(made) == 1 else made, ensure_ascii=False)
