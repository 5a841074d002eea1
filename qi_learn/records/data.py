"""What is learned from: examples, preferences, and the frozen data set that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Split = Literal["train", "dev", "gate"]


@dataclass(frozen=True, slots=True)
class Recall:
    """Why an earlier example is replayed, and how it has held; cycles are those of the live chain."""

    learned: str
    """The run that learned it; empty where its data set cannot be read any more."""
    replayed: int
    """In how many cycles since."""
    interval: int
    """Cycles between two replays: doubled each time it was still known, 1 again once it was
    forgotten.
    """
    overdue: int
    """Cycles since it was due; below 0: taken before its time, because there was room."""
    forgotten: bool | None
    """Whether the served model had lost it when it was replayed last."""
    nll: float | None
    """Nats per target token then."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training or gate example: what the server rendered, and what should have been answered.

    `prompt_ids` and `target_ids` are token ids of the served model's own tokenizer; `code_mask[i]`
    says whether `target_ids[i]` is code.
    """

    id: str
    """The turn's id; anchors and probes use `anchor:<module>:<n>`."""
    hash: str
    prompt: str
    target: str
    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    code_mask: tuple[bool, ...]
    split: Split = "train"
    weight: float = 1.0
    session: str = ""
    project: str = ""
    domain: str = ""
    learning_type: str = ""
    score: float = 0.0
    kept_code: str = ""
    ask: Mapping[str, Any] = field(default_factory=dict)
    """`{"endpoint": "/api/chat", "body": {...}}`: how to put the same question to a served model.
    """
    checked: bool = True
    """False where nobody could compare the number of prompt tokens with the server's own count
    (none was told, or a secret was taken out).
    """
    liked: bool | None = None
    """Whether the person thought well of the text that is learned: their own correction, their
    rating, else whether they kept the suggestion.
    """
    recall: Recall | None = None
    """Of a replayed example."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference: after one and the same prompt `chosen` rather than `rejected`.

    Of a `reject` no better answer is known: nothing is chosen.
    """

    id: str
    """The turn whose answer is rejected."""
    hash: str
    source: Literal["edit", "fork", "reject"]
    prompt: str
    chosen: str
    rejected: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    chosen_id: str = ""
    """The turn whose kept text is chosen."""
    session: str = ""
    project: str = ""
    distance: float = 0.0
    """Between the two codes: edits over the longer length, 0..1 over code tokens."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen data set. `examples` are new, `replay` come from earlier snapshots, `anchors` are
    generic code shipped by construction.

    `pairs` say of new turns what was preferred; none is of a session that judges or chooses.
    """

    id: str
    created: float
    base_digest: str
    examples: tuple[Example, ...]
    replay: tuple[Example, ...] = ()
    anchors: tuple[Example, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many candidates were left out, by reason."""
    pairs: tuple[Pair, ...] = ()
    yardsticks: tuple[Example, ...] = ()
    """Generic code that is neither trained on nor in the Fisher: on it is measured how far the
    model moved.
    """

    def split(self, name: Split) -> tuple[Example, ...]:
        """The examples of one split, oldest first."""
        return tuple(e for e in self.examples if e.split == name)
