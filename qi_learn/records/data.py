"""What is learned from: examples, preferences, and the frozen data set that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from itertools import pairwise
from typing import Any, Literal

from qi_learn.record_class import dataclass

Split = Literal["train", "dev", "gate"]
"""What an example is for: to be learned, to choose by while learning, to judge by afterwards."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Why an earlier example is replayed, and how well it has held.

    Cycles are those of the live chain.
    """

    learned: str
    """The run that learned it; empty if its data set can no longer be read."""
    replayed: int
    """The number of cycles since that replayed it."""
    interval: int
    """Cycles between two replays: doubled each time it was still known, 1 again once it was
    forgotten.
    """
    overdue: int
    """Cycles since it was due; below 0 if it was taken early, because there was room."""
    forgotten: bool | None
    """Whether the served model had lost it when it was last measured."""
    nll: float | None
    """Nats per target token then."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training or gate example: what the server rendered, and what should have been answered.

    Token ids are those of the served model's own tokenizer.
    """

    id: str
    """The turn's id; anchors, probes and yardsticks use `anchor:<module>:<n>` and the like."""
    hash: str
    """sha256 (hex) of prompt and target: what makes two examples the same."""
    prompt: str
    """The text that the model reads."""
    target: str
    """The text that it should write."""
    prompt_ids: tuple[int, ...]
    target_ids: tuple[int, ...]
    """The target's tokens, then the one that ends the answer (generic code has no such end)."""
    code_mask: tuple[bool, ...]
    """For each of `target_ids`, whether it is code."""
    split: Split = "train"
    weight: float = 1.0
    """Factor of its loss; the mean over the training split is 1."""
    session: str = ""
    project: str = ""
    domain: str = ""
    learning_type: str = ""
    score: float = 0.0
    """The turn's target score."""
    kept_code: str = ""
    """The target's code alone, block after block."""
    ask: Mapping[str, Any] = field(default_factory=dict)
    """`{"endpoint": "/api/chat", "body": {...}}`: the request that puts the same question to a
    served model.
    """
    checked: bool = True
    """Whether the number of prompt tokens was compared with the server's own count; it cannot be if
    there was none, or a secret was taken out.
    """
    liked: bool | None = None
    """Whether the person thought well of the text that is learned: their own correction, their
    rating, else whether they kept the suggestion.
    """
    recall: Recall | None = None
    """Why it is replayed; None unless it is."""
    person_mask: tuple[bool, ...] = ()
    """For each of `target_ids`, whether the person wrote or changed it; empty if that is not known
    (generic code, data sets of before this was recorded).
    """

    @property
    def person_wrote(self) -> bool:
        """Whether the person wrote or changed something of the target; false if not known."""
        return any(self.person_mask)

    @property
    def compared_mask(self) -> tuple[bool, ...]:
        """Of the person's tokens those that versions are compared on: not where they began.

        Why: `gate/compared_tokens.py`.
        """
        return tuple(own and before for before, own in pairwise((False, *self.person_mask)))

    @property
    def can_judge(self) -> bool:
        """Whether versions can be compared on it."""
        return any(self.compared_mask)


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference: `chosen` rather than `rejected`, after one and the same prompt.

    For a `reject` no better answer is known: nothing is chosen.
    """

    id: str
    """Id of the turn that gave the rejected answer."""
    hash: str
    """sha256 (hex) of prompt and both answers: what makes two pairs the same."""
    source: Literal["edit", "fork", "reject"]
    """`edit`: a suggestion and what it was edited to. `fork`: two answers to one question.
    `reject`: an answer of which nothing was kept.
    """
    prompt: str
    chosen: str
    """The kept answer; empty for a `reject`."""
    rejected: str
    """The answer as it was served."""
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]
    chosen_id: str = ""
    """Id of the turn that gave the kept text; empty for a `reject`."""
    session: str = ""
    project: str = ""
    distance: float = 0.0
    """Edits between the two codes over the longer one's length: 0..1 over code tokens."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen data set: everything that one run learns from and is judged by."""

    id: str
    """The run's id."""
    created: float
    base_digest: str
    """sha256 (hex) of the base's GGUF, whose tokenizer cut the texts."""
    examples: tuple[Example, ...]
    """New examples of all splits, oldest first."""
    replay: tuple[Example, ...] = ()
    """Training examples of earlier snapshots, the most due first."""
    anchors: tuple[Example, ...] = ()
    """Generic code, the same by construction on every machine."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """The number of texts that were left out, by reason."""
    pairs: tuple[Pair, ...] = ()
    """What was preferred in new turns; none is of a session that judges or chooses."""
    yardsticks: tuple[Example, ...] = ()
    """Generic code that is neither trained on nor in the Fisher; it measures how far the model
    moved.
    """

    def split(self, name: Split) -> tuple[Example, ...]:
        """The examples of one split, oldest first."""
        return tuple(e for e in self.examples if e.split == name)
