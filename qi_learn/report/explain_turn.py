"""A turn explained: what was asked and answered, what became of it, and what it is worth.

What happened comes first and in words; the two scores follow with what they are made of. The
records behind the words are in `--json`.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.fates import refused
from qi_learn.records import Feedback, LearningInteraction, Outcome, Score, Suggestion, Turn
from qi_learn.report.words import clock, fitted, one_line
from qi_learn.rundir.progress import span
from qi_learn.settings import CaptureSettings, Settings
from qi_learn.store.turn_lines import fate_word

LONGEST = 400
"""Columns of a question that are shown."""
MOST_LINES = 12
"""Lines of an answer or a kept text that are shown."""
WIDEST = 200
"""Columns of such a line."""
FATES = {
    None: "it suggests no code",
    "kept": "kept as it was",
    "edited": "kept, and edited",
    "rejected": "not kept",
    "superseded": "another suggestion was taken in its place",
    "unknown": "not known",
}
OUTCOMES = (
    ("compiles", "it compiles", "it does not compile"),
    ("tests_pass", "its tests pass", "its tests fail"),
    ("deployed", "it was deployed", "its deployment failed"),
    ("bug_introduced", "a later fix blames it", "no fix has blamed it"),
)
"""What is known of a text that was kept: the field, and what it means if true and if false."""


def turn_lines(interaction: LearningInteraction, settings: Settings) -> Iterator[str]:
    """The lines on a turn."""
    turn = interaction.turn
    kind = interaction.learning_type.replace("_", " ")
    yield f"  {'asked':10}  {clock(turn.started)}, project {one_line(turn.project or 'unknown')}"
    yield f"  {'question':10}  {fitted(one_line(_question(turn)), LONGEST)}"
    yield f"  {'kind':10}  {kind}, {interaction.complexity}{_domain(interaction.domain)}"
    yield f"  {'answered':10}  {_answered(turn)}"
    yield from _text("answer", turn.answer)
    yield from _what_became(interaction, settings.capture)
    if interaction.score is None:
        yield f"  {'worth':10}  not scored yet"
    else:
        yield from _score(interaction.score, settings.train.quality_threshold)


def _question(turn: Turn) -> str:
    """The newest thing that was asked: the last message, or of a raw prompt its end."""
    return turn.messages[-1].content[-4 * LONGEST :] if turn.messages else ""


def _domain(domain: str) -> str:
    return f", domain {domain}" if domain else ""


def _answered(turn: Turn) -> str:
    asked = one_line(turn.model_asked)
    by = one_line(turn.model_answered)
    routed = "" if asked == by else f" (asked for {asked})"
    amiss = (
        "; the client left before its end"
        if turn.cancelled
        else f"; it failed with status {turn.status}"
        if turn.status != 200
        else ""
        if turn.complete
        else "; it broke off"
    )
    return f"by {by}{routed} in {span(max(0.0, turn.ended - turn.started))}{amiss}"


def _text(name: str, text: str) -> Iterator[str]:
    """A text of several lines below its name, cut where it is long."""
    lines = text.strip("\n").expandtabs(4).split("\n") if text.strip() else []
    if not lines:
        return
    yield f"  {name}"
    for line in lines[:MOST_LINES]:
        yield f"    | {fitted(line, WIDEST)}".rstrip()
    if len(lines) > MOST_LINES:
        yield f"    | (and {len(lines) - MOST_LINES} lines more; --json has them)"


# --- what became of it ----------------------------------------------------------------------------


def _what_became(interaction: LearningInteraction, settings: CaptureSettings) -> Iterator[str]:
    feedback, suggestions = interaction.feedback, interaction.suggestions
    states = [suggestion.state for suggestion in suggestions]
    word = fate_word([suggestion.fate for suggestion in suggestions])
    open_still = word == "unknown" and {"waiting", "placed"} & set(states)
    yield f"  {'fate':10}  {'not known yet' if open_still else FATES[word]}"
    for suggestion in suggestions:
        name = f"block {suggestion.ordinal + 1}" if len(suggestions) > 1 else "its code"
        yield f"  {name:10}  {_place(suggestion, settings)}"
    if feedback.accepted and feedback.modified and feedback.final_version:
        yield from _text("kept text", feedback.final_version)
    if said := ", ".join(_said(feedback)):
        yield f"  {'you':10}  {said}"
    if feedback.correction:
        yield from _text("correction", feedback.correction)
    if known := ", ".join(_outcome(interaction.outcome)):
        yield f"  {'outcome':10}  {known}"


def _place(suggestion: Suggestion, settings: CaptureSettings) -> str:
    """Where a suggestion is, and how much of it is left."""
    if suggestion.sign == "superseded":
        return "another suggestion stands in its place"
    if suggestion.sign == "left_out" and suggestion.state == "settled":
        return "its own place was saved without it"
    if refused(suggestion):
        return "it was declined"
    if suggestion.state == "waiting":
        return "not seen in a file yet"
    if suggestion.state == "unknown" or suggestion.file is None:
        return "not seen in any file while one looked: what became of it is not known"
    name = f" ({one_line(suggestion.name)})" if suggestion.name else ""
    parts = [_likeness(suggestion, f"in {one_line(suggestion.file)}{name}", settings)]
    parts += [f"committed as {suggestion.commit[:10]}"] if suggestion.commit else []
    parts += ["the commit was reverted"] if suggestion.reverted else []
    parts += ["it may still change"] if suggestion.state == "placed" else []
    return ", ".join(parts)


def _likeness(suggestion: Suggestion, place: str, settings: CaptureSettings) -> str:
    gone = suggestion.state == "settled" and suggestion.final_text is None
    like = 0.0 if gone else suggestion.similarity
    if like is None:
        return f"stands {place}"
    if like >= settings.modified_similarity:
        return f"stands {place} as it was suggested"
    if like >= settings.accepted_similarity:
        return f"stands {place}, edited ({like:.0%} of it is left)"
    return f"was {place} and is gone" if not like else f"was {place}, rewritten since"


def _said(feedback: Feedback) -> Iterator[str]:
    if feedback.rating is not None:
        yield f"rated it {feedback.rating} of 5"
    if feedback.mark is not None:
        yield f"marked it as {'one to ignore' if feedback.mark == 'ignore' else feedback.mark}"
    if feedback.comment:
        yield f'said "{one_line(feedback.comment)}"'


def _outcome(outcome: Outcome) -> Iterator[str]:
    for field, yes, no in OUTCOMES:
        if (value := getattr(outcome, field)) is not None:
            yield yes if value else no
    if change := outcome.performance_change:
        yield f"{abs(change):.0%} {'faster' if change > 0 else 'slower'} than before"


# --- what it is worth -----------------------------------------------------------------------------


def _score(score: Score, threshold: float) -> Iterator[str]:
    worth = "unknown" if score.suggestion_score is None else f"{score.suggestion_score:.2f}"
    yield f"  suggestion score {worth} (confidence {score.confidence:.2f}):"
    yield from (
        f"    {signal.name} {signal.value:.2f}, weight {signal.weight:g}: {one_line(signal.reason)}"
        for signal in score.signals
    )
    target = (
        f"unknown{':' if score.target_reasons else ''}"
        if score.target_score is None
        else f"{score.target_score:.2f} (threshold {threshold:g})"
    )
    yield f"  target score {target}"
    yield from (f"    {one_line(reason)}" for reason in score.target_reasons)
