"""What happened with an answer, and what it was worth: a turn, its suggestions, their fate, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

LearningType = Literal["code_generation", "problem_solving", "architecture", "debugging"]
Complexity = Literal["simple", "medium", "complex"]
SuggestionState = Literal["waiting", "placed", "settled"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    A raw prompt (generate, completions) is one message with the role `prompt`.
    """

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else shapes the text the model reads: tool calls, tool name, thinking.

    Never image bytes.
    """


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its answer, decoded from what went through the gateway."""

    id: str
    endpoint: str
    """`/api/chat`, `/api/generate`, `/v1/chat/completions`, `/v1/completions`, `/v1/responses` or
    `/v1/messages`.
    """
    model_asked: str
    model_answered: str
    messages: tuple[Message, ...]
    answer: str
    started: float
    ended: float
    model_digest: str | None = None
    answer_extra: Mapping[str, Any] = field(default_factory=dict)
    """Thinking and tool calls of the answer."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Sampling options as sent."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """The other fields that shape the rendered text: system, template, raw, suffix, format, tools,
    think.
    """
    status: int = 200
    cancelled: bool = False
    complete: bool = True
    """False where the stream ended before its last object."""
    done_reason: str | None = None
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    session: str | None = None
    project: str | None = None
    commit: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    """R2's projectContext and codebaseSnapshot: language, frameworks, test framework, branch,
    files.
    """


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A code block, tool edit or completion of a turn, and what became of it (contracts 5)."""

    turn_id: str
    ordinal: int
    text: str
    start: int
    """Where the text starts in the turn's answer (characters)."""
    end: int
    language: str | None = None
    state: SuggestionState = "waiting"
    file: str | None = None
    name: str | None = None
    """Qualified name of the syntax node that holds it (`Table.add_row`), where it parses."""
    before: tuple[str, ...] = ()
    """Up to three lines before the region, to find it again where there is no name."""
    after: tuple[str, ...] = ()
    region: str | None = None
    """The region's text when it was last seen."""
    similarity: float | None = None
    """Of the region to the suggestion, now: 0..1 over code tokens."""
    placed_at: float | None = None
    touched_at: float | None = None
    settled_at: float | None = None
    final_text: str | None = None
    commit: str | None = None
    """The commit that settled it."""
    reverted: bool = False
    match_method: str | None = None
    match_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Feedback:
    """R2's UserFeedback, explicit and implicit; every field may be unknown."""

    rating: int | None = None
    correction: str | None = None
    comment: str | None = None
    accepted: bool | None = None
    modified: bool | None = None
    final_version: str | None = None
    time_to_accept: float | None = None
    match_method: str | None = None
    match_confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """R2's OutcomeMetrics; every field may be unknown."""

    compiles: bool | None = None
    tests_pass: bool | None = None
    deployed: bool | None = None
    performance_change: float | None = None
    """Relative: 0.1 is ten per cent faster than the last run of the same command."""
    bug_introduced: bool | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One run of a command through `qi-learn run`."""

    id: str
    ts: float
    project: str
    kind: Literal["compile", "test", "deploy", "bench", "other"]
    command: str
    exit_code: int
    seconds: float
    failed: int | None = None
    """Failed tests or errors, where the output says."""
    passed: int | None = None
    commit: str | None = None
    value: float | None = None
    """Of a `bench` that ended well: the processor seconds it took, all its processes together.

    Lower is better.
    """


@dataclass(frozen=True, slots=True)
class Signal:
    """One known piece of evidence in a score."""

    name: str
    value: float
    weight: float
    reason: str


@dataclass(frozen=True, slots=True)
class Score:
    """The two scores of one turn (contracts 6), with their reasons."""

    turn_id: str
    suggestion_score: float | None
    confidence: float
    target_score: float | None
    target_text: str | None
    signals: tuple[Signal, ...] = ()
    target_reasons: tuple[str, ...] = ()
    scored_at: float = 0.0


@dataclass(frozen=True, slots=True)
class LearningInteraction:
    """Everything known of one turn: R2's record, field for field."""

    turn: Turn
    suggestions: tuple[Suggestion, ...]
    feedback: Feedback
    outcome: Outcome
    learning_type: LearningType
    complexity: Complexity
    domain: str
    tools_used: tuple[str, ...]
    score: Score | None = None
