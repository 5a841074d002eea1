"""Which examples decide, and which choose the scale.

Fresh work (gate), earlier work (old) and code in general (general) decide; dev chooses the scale.

The invariant: one snapshot gives the same examples in the same order, so that every model is
measured on the same tokens and differences can be paired (what is left out to save tokens:
`budget`). Nothing that this cycle trains on is in the old suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from qi_learn.records import Example, Snapshot
from qi_learn.stats import evenly

OLD_LIMIT = 200
SHOTS = 2
QUESTIONS = 100
"""Answers per model: enough to see one in fifty go wrong, and minutes rather than hours if a large
model answers slowly.
"""


def gate_suite(snapshot: Snapshot) -> tuple[Example, ...]:
    """The newest work, never trained on; looked at once per cycle."""
    return snapshot.split("gate")


def old_suite(
    snapshot: Snapshot, earlier: Sequence[Snapshot], *, limit: int = OLD_LIMIT
) -> tuple[Example, ...]:
    """Gate examples of earlier cycles on the same base, at most `limit`.

    `earlier`: oldest first; every cycle has the same share. Each example is there once, and none
    that this snapshot trains on. A snapshot of another base is left out: its token ids mean other
    tokens.
    """
    trained = {e.hash for e in (*snapshot.examples, *snapshot.replay, *snapshot.anchors)}
    sets = [
        _unseen(old.split("gate"), trained)
        for old in reversed(earlier)
        if old.base_digest == snapshot.base_digest
    ]
    in_turns = [e for turn in zip_longest(*sets) for e in turn if e is not None]
    return tuple(_once(in_turns))[:limit]


def _unseen(examples: Sequence[Example], trained: set[str]) -> list[Example]:
    return [e for e in examples if e.hash not in trained]


def _once(examples: Sequence[Example]) -> Iterator[Example]:
    seen: set[str] = set()
    for example in examples:
        if example.hash not in seen:
            seen.add(example.hash)
            yield example


def choose_questions(examples: Sequence[Example], *, limit: int = QUESTIONS) -> tuple[Example, ...]:
    """The examples whose questions are put to the served models: all, or `limit` taken evenly."""
    return evenly(examples, limit)


def few_shots(snapshot: Snapshot, *, room: int) -> tuple[Example, ...]:
    """The two newest training examples that together take at most `room` tokens.

    They are what a person might put into the prompt instead of training.
    """
    shots: list[Example] = []
    for example in reversed(snapshot.split("train")):
        cost = len(example.prompt_ids) + len(example.target_ids)
        if cost <= room and _question(example.ask):
            shots.append(example)
            room -= cost
        if len(shots) == SHOTS:
            break
    return tuple(reversed(shots))


def with_shots(ask: Mapping[str, Any], shots: Sequence[Example]) -> Mapping[str, Any]:
    """The question with the shots before it, as a person would put them there.

    They are earlier turns of the conversation, or text before the prompt.
    """
    body = dict(ask["body"])
    if ask["endpoint"] == "/api/chat":
        body["messages"] = _with_turns(list(body.get("messages", [])), shots)
    else:
        before = "".join(f"{_question(s.ask)}\n{s.target}\n\n" for s in shots)
        body["prompt"] = before + str(body.get("prompt", ""))
    return {**ask, "body": body}


def _with_turns(
    messages: Sequence[Mapping[str, Any]], shots: Sequence[Example]
) -> list[Mapping[str, Any]]:
    """The messages with a turn for each shot, behind the system prompt."""
    after = next((i for i, m in enumerate(messages) if m.get("role") != "system"), len(messages))
    turns = [
        message
        for shot in shots
        for message in (
            {"role": "user", "content": _question(shot.ask)},
            {"role": "assistant", "content": shot.target},
        )
    ]
    return [*messages[:after], *turns, *messages[after:]]


def _question(ask: Mapping[str, Any]) -> str:
    """The last message of the user, or the prompt of a raw completion."""
    body = ask.get("body", {})
    by_user = [
        str(m.get("content", "")) for m in body.get("messages", []) if m.get("role") == "user"
    ]
    return by_user[-1] if by_user else str(body.get("prompt", ""))
