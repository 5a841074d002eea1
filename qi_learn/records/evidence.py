"""What happened to an answer, and what it was worth: a turn, its suggestions, their fate, scores.

R2 names the learning specification whose records (`LearningInteraction`, `UserFeedback`,
`OutcomeMetrics`) are kept here field for field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal

from qi_learn.record_class import dataclass

LearningType = Literal["code_generation", "problem_solving", "architecture", "debugging"]
"""The kind of work a turn asked for (`score/classify.py`)."""
Complexity = Literal["simple", "medium", "complex"]
"""The size of that work."""
SuggestionState = Literal["waiting", "placed", "settled", "unknown"]
"""A suggestion waits until its text stands in a file, is placed from then on, and settled when it
is committed or was left alone for long enough. One that waited longer than the window, and of which
nothing can be said, is unknown.
"""
Fate = Literal["kept", "edited", "rejected", "superseded", "unknown"]
"""What became of a suggestion (contracts 5). Rejected has a positive sign; superseded: another one
stands in its place; unknown: nothing can be said.
"""
Said = Literal["applied", "failed", "declined", "accepted"]
"""What a client said of an edit: it was made, it could not be made, the person did not want it, the
person took it.
"""
Sign = Literal["left_out", "superseded"]
"""What was seen of a suggestion that stands in no file: its own place was saved without it, or with
another suggestion in it.
"""
Mark = Literal["kept", "edited", "rejected", "ignore"]
"""What a person says became of an answer (`qi-learn mark`)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    A raw prompt (generate, completions) is one message with the role `prompt`.
    """

    role: str
    """`system`, `user`, `assistant`, `tool`, or `prompt`."""
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The other fields that shape the text the model reads: tool calls, tool name, thinking.

    Never image bytes.
    """


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its answer, decoded from what went through the gateway."""

    id: str
    """ULID, given by the gateway or by a client that sent one."""
    endpoint: str
    """`/api/chat`, `/api/generate`, `/v1/chat/completions`, `/v1/completions`, `/v1/responses` or
    `/v1/messages`.
    """
    model_asked: str
    """The name the client asked for."""
    model_answered: str
    """The name of the model that answered; another one if the request was routed."""
    messages: tuple[Message, ...]
    """The conversation of the request, oldest first."""
    answer: str
    """The text of the answer, as it was served."""
    started: float
    """When the request arrived."""
    ended: float
    """When its last byte was sent."""
    model_digest: str | None = None
    """Digest of the model that answered, if the gateway knew it."""
    answer_extra: Mapping[str, Any] = field(default_factory=dict)
    """Thinking and tool calls of the answer."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Sampling options as sent."""
    request: Mapping[str, Any] = field(default_factory=dict)
    """The other fields that shape the rendered text: system, template, raw, suffix, format, tools,
    think.
    """
    status: int = 200
    """HTTP status of the answer."""
    cancelled: bool = False
    """Whether the client left before the end."""
    complete: bool = True
    """False if the stream ended before its last object."""
    done_reason: str | None = None
    """Why the model stopped, as the server reported it: `stop`, `length`, ..."""
    prompt_tokens: int | None = None
    """Tokens of the prompt, as the server counted them."""
    answer_tokens: int | None = None
    """Tokens of the answer, as the server counted them."""
    session: str | None = None
    """The turns of one session are never split between training and gate."""
    project: str | None = None
    """Directory of the project it belongs to."""
    commit: str | None = None
    """The project's newest commit then."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """R2's projectContext and codebaseSnapshot: language, frameworks, test framework, branch,
    files.
    """
    client: str | None = None
    """The program that asked, as it calls itself: `aider/0.86`."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A code block, tool edit or completion of a turn, and what became of it (contracts 5)."""

    turn_id: str
    ordinal: int
    """Its number in the turn's answer, from 0."""
    text: str
    """The text that was suggested."""
    start: int
    """Position in the turn's answer at which the text starts (characters)."""
    end: int
    """Position at which it ends; both are -1 for text in a tool call."""
    language: str | None = None
    """As the fence of its block names it."""
    state: SuggestionState = "waiting"
    file: str | None = None
    """The file in which it was found, relative to its project: in a linked working tree that lies
    elsewhere it begins with `..`.
    """
    name: str | None = None
    """Qualified name of the syntax node that holds it (`Table.add_row`), if the file parses."""
    before: tuple[str, ...] = ()
    """Up to three lines before the region, to find it again if there is no name."""
    after: tuple[str, ...] = ()
    """Up to three lines after the region, for the same use."""
    region: str | None = None
    """The region's text when it was last seen."""
    similarity: float | None = None
    """Of the region to the suggestion, now: 0..1 over code tokens."""
    placed_at: float | None = None
    """When it was first found in a file."""
    touched_at: float | None = None
    """When its region last changed; while it waits, when a save in its project passed it by."""
    settled_at: float | None = None
    """When what stands in its place became the final version."""
    final_text: str | None = None
    """The text of its region when it settled; None if it was gone, or is not settled."""
    commit: str | None = None
    """The commit that settled it."""
    reverted: bool = False
    """Whether the commit that holds it was taken back."""
    match_method: str | None = None
    """How its place was found."""
    match_confidence: float | None = None
    """How certain that is, 0..1."""
    looked_at: float | None = None
    """When it was last looked at again after the commit that settled it."""
    path: str | None = None
    """The file that it edits, as its tool or its diff names it; None if nothing names one."""
    old: str | None = None
    """The text that it replaces there, as its tool or its diff has it; None if nothing says it."""
    call: str | None = None
    """The id of the tool call that makes it."""
    said: Said | None = None
    """What the client said next of that call."""
    sign: Sign | None = None
    inferred: Fate | None = None
    """What became of it by what was seen alone; None while that is open."""
    fate: Fate | None = None
    """What became of it with what the person said, which beats what was inferred; None while that
    is open.
    """
    lead: str = ""
    """What stands in front of it on the first of its lines, if it is a part of a line."""
    trail: str = ""
    """What stands behind it on the last of its lines."""
    repaired_by: str | None = None
    """The commit that says it repairs something, and removed lines that its commit brought."""
    head: tuple[str, ...] = ()
    """The imports that it begins with, if they stand elsewhere in the file than its region."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """R2's UserFeedback, explicit and implicit; every field may be unknown."""

    rating: int | None = None
    """1 to 5, given by the person."""
    correction: str | None = None
    """What the person would have had in the answer's place."""
    comment: str | None = None
    accepted: bool | None = None
    """Whether something of the answer was kept."""
    modified: bool | None = None
    """Whether what was kept differs from what was suggested."""
    final_version: str | None = None
    """The kept texts, one after the other."""
    time_to_accept: float | None = None
    """From the end of the answer to the first save that holds some of it."""
    match_method: str | None = None
    """How it was found to belong to the turn."""
    match_confidence: float | None = None
    """How certain that is, 0..1."""
    mark: Mark | None = None
    """What the person said became of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """R2's OutcomeMetrics; every field may be unknown."""

    compiles: bool | None = None
    tests_pass: bool | None = None
    deployed: bool | None = None
    performance_change: float | None = None
    """Relative: 0.1 is ten per cent faster than the last run of the same command."""
    bug_introduced: bool | None = None
    """Whether a later fix blames the commit that holds it."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """One run of a command, as `qi-learn run`, a shell's hook or the pytest plug-in tells it."""

    id: str
    """The event's id."""
    ts: float
    """When it ended."""
    project: str
    """Directory of the project in which it ran."""
    kind: Literal["compile", "test", "deploy", "bench", "other"]
    command: str
    """The command line, quoted as a shell takes it."""
    exit_code: int
    """128 + n if signal n ended it."""
    seconds: float
    """How long it took, at most: of an agent's command the time since it was called for."""
    failed: int | None = None
    """Failed tests or errors, if the output says."""
    passed: int | None = None
    """Passed tests, if the output says."""
    commit: str | None = None
    """The project's newest commit then."""
    value: float | None = None
    """Of a `bench` that ended well: the processor seconds it took, all its processes together.

    Lower is better.
    """
    cwd: str | None = None
    """The directory in which it ran."""
    interrupted: bool | None = None
    """Whether the person ended it by Ctrl-C, if that was seen."""
    tests: tuple[str, ...] | None = None
    """The files of the tests that ran, seen from `cwd`; None if that is unknown."""
    loaded: tuple[str, ...] | None = None
    """The other files of the project that took part, seen from `cwd`; None if that is unknown."""
    failing: tuple[str, ...] | None = None
    """What failed, each by a name that is the same from run to run; None if that is unknown."""
    covered: tuple[tuple[str, tuple[int, ...], tuple[int, ...] | None], ...] | None = None
    """By file, seen from `cwd`, the lines that its tests ran and, if known, those they did not:
    first and last of each range in turn. None if it left no report of that.
    """


@dataclass(frozen=True, slots=True)
class Signal:
    """One known piece of evidence in a score."""

    name: str
    value: float
    """0..1; more is better."""
    weight: float
    """Its share in the weighted mean, before division by all weights."""
    reason: str
    """The evidence in words."""


@dataclass(frozen=True, slots=True)
class Score:
    """The two scores of one turn (contracts 6), with their reasons."""

    turn_id: str
    suggestion_score: float | None
    """How good the answer was, 0..1; None if no signal is known."""
    confidence: float
    """In the suggestion score: 0 without signals, towards 1 with many."""
    target_score: float | None
    """How good the evidence is that the text may be learned, 0..1; None if it is not known yet."""
    target_text: str | None
    """The text that the target score is about."""
    signals: tuple[Signal, ...] = ()
    """What the suggestion score is made of."""
    target_reasons: tuple[str, ...] = ()
    """What the target score is made of, in words."""
    scored_at: float = 0.0


@dataclass(frozen=True, slots=True)
class LearningInteraction:
    """Everything known of one turn: R2's record, field for field."""

    turn: Turn
    suggestions: tuple[Suggestion, ...]
    """In the order of the answer."""
    feedback: Feedback
    outcome: Outcome
    learning_type: LearningType
    complexity: Complexity
    domain: str
    """The field of the work: `web`, `data`, ...; empty if it is not known."""
    tools_used: tuple[str, ...]
    """Names of the tools that the answer called."""
    score: Score | None = None
    """None if the turn was never scored."""
