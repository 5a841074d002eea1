"""Which examples decide, and which choose the scale.

Fresh work (gate), earlier work (old) and code in general (general) decide; dev chooses the scale.

The invariant: one snapshot gives the same examples in the same order, so that every model is
measured on the same tokens and differences can be paired (what is left out to save tokens:
`budget`). Nothing that this cycle trains on is in the old suite, nor another part of a session that
it trains on.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
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
    """The newest work, never trained on; looked at once per cycle.

    Of what was kept as it was at most as much as of what the person wrote something of, taken
    evenly: it says nothing of how well a model suits them, and costs as much to measure.
    """
    held_out = snapshot.split("gate")
    own = [e for e in held_out if e.can_judge]
    kept = evenly([e for e in held_out if not e.can_judge], len(own) or len(held_out))
    chosen = {e.id for e in (*own, *kept)}
    return tuple(e for e in held_out if e.id in chosen)


def old_suite(
    snapshot: Snapshot, earlier: Sequence[Snapshot], *, limit: int = OLD_LIMIT
) -> tuple[Example, ...]:
    """Gate examples of earlier cycles on the same base, at most `limit`.

    `earlier`: oldest first; every cycle has the same share. Each example is there once, and none
    that this snapshot trains on. A session that goes on over a cycle may be learned now: then none
    of its examples is there, because what is next to them was seen. A snapshot of another base is
    left out: its token ids mean other tokens.
    """
    here = (*snapshot.examples, *snapshot.replay)
    trained = {e.hash for e in (*here, *snapshot.anchors)}
    sessions = {e.session for e in here if e.split != "gate" and e.session}
    sets = [
        _unseen(gate_suite(old), trained, sessions)
        for old in reversed(earlier)
        if old.base_digest == snapshot.base_digest
    ]
    in_turns = [e for turn in zip_longest(*sets) for e in turn if e is not None]
    return tuple(_once(in_turns))[:limit]


def cycles_of(examples: Sequence[Example], earlier: Sequence[Snapshot]) -> dict[str, str]:
    """For each example's id the run whose fresh work it was, the newest of them.

    `earlier`: oldest first.
    """
    runs = {e.id: old.id for old in earlier for e in old.split("gate")}
    return {e.id: runs[e.id] for e in examples if e.id in runs}


def _unseen(examples: Sequence[Example], trained: Set[str], sessions: Set[str]) -> list[Example]:
    return [e for e in examples if e.hash not in trained and e.session not in sessions]


def _once(examples: Sequence[Example]) -> Iterator[Example]:
    seen: set[str] = set()
    for example in examples:
        if example.hash not in seen:
            seen.add(example.hash)
            yield example


def with_few_shots(
    snapshot: Snapshot, questions: Sequence[Example], *, room: int
) -> tuple[Example, ...]:
    """The questions, each with the two training examples before it that were asked most alike.

    They are what a person would look up and put into the prompt instead of training. A question has
    `room` tokens in all; one that leaves none for an example is left out.
    """
    shots = likest_shots(snapshot.split("train"), questions, room=room)
    return tuple(
        replace(question, ask=with_shots(question.ask, own))
        for question, own in zip(questions, shots, strict=True)
        if own
    )


def likest_shots(
    examples: Sequence[Example], questions: Sequence[Example], *, room: int
) -> list[list[Example]]:
    """For each question the two examples that were asked most alike, the most alike last.

    Each question has `room` tokens in all; of one that leaves none for an example there are none.
    """
    train = [e for e in examples if _question(e.ask)]
    words = [_words(e) for e in train]
    seen_in = Counter(word for own in words for word in own)
    weight = {word: math.log(1 + len(train) / count) for word, count in seen_in.items()}
    chosen = []
    for question in questions:
        asked = _words(question)
        alike = [_alike(asked, own, weight) for own in words]
        order = sorted(range(len(train)), key=lambda i: (-alike[i], -i))
        ranked = [train[i] for i in order if train[i].ask["endpoint"] == question.ask["endpoint"]]
        chosen.append(_fitting(ranked, room - len(question.prompt_ids)))
    return chosen


def _fitting(ranked: Sequence[Example], room: int) -> list[Example]:
    """The first `SHOTS` that fit together, the most alike last: next to the question."""
    shots: list[Example] = []
    for example in ranked:
        cost = len(example.prompt_ids) + len(example.target_ids)
        if len(shots) < SHOTS and cost <= room:
            shots.append(example)
            room -= cost
    return shots[::-1]


def _words(example: Example) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", _question(example.ask).lower()))


def _alike(asked: Set[str], other: Set[str], weight: Mapping[str, float]) -> float:
    """The cosine between two questions by their words; one that is in every question says least."""
    shared, sizes = (
        sum(weight.get(word, 0.0) ** 2 for word in words) for words in (asked & other, other)
    )
    return shared / math.sqrt(sizes) if sizes else 0.0


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
