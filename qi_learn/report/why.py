"""`qi-learn log --why`: how an answer was found, by which sign its fate is known, and how sure.

A block a paragraph. What was not seen is said to be so: nothing is made of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from qi_learn.daemon.untaken import waiting_answers
from qi_learn.fates import BAD_RATING, GOOD_RATING, refused
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.records import Fate, Feedback, LearningInteraction, Suggestion, Survival
from qi_learn.report.explain import no_such_turn, nothing_yet
from qi_learn.report.words import counted, fitted, one_line
from qi_learn.rundir.progress import span
from qi_learn.settings import CaptureSettings, Settings
from qi_learn.store.database import Store, open_store
from qi_learn.store.feedback import load_interaction
from qi_learn.store.lines_left import survivals_of
from qi_learn.store.seen_turns import newest_stray, newest_turn
from qi_learn.store.short_ids import only_one, turns_named
from qi_learn.workspace.registry import place_of

QUESTION = 100
"""Columns of the question that are shown."""
METHODS = {"lines": "its lines stand there word for word", "tokens": "its code is most like it"}
"""How a place was found, by the word of the matcher; another word is said as it is."""
SAID = {
    "applied": "the client said that it was applied",
    "failed": "the client said that it could not be applied",
    "declined": "the client said that it was declined",
    "accepted": "the client said that it was accepted",
}


@dataclass(frozen=True, slots=True)
class LinesLeft:
    """The share of a suggestion's lines that are from its commit; None if that is not known."""

    lines: int
    """How many it has that are not blank and were not there before."""
    at_commit: float | None
    after_day: float | None
    after_week: float | None


@dataclass(frozen=True, slots=True)
class WhyBlock:
    """One suggestion of an answer, and why its fate is what it is."""

    ordinal: int
    fate: Fate | None
    """None while it is open."""
    inferred: Fate | None
    """The fate without what the person said."""
    found: str
    """Where it was found and how; empty if it was not."""
    sign: str
    """What decides its fate, in words."""
    sure: float | None
    """How certain that is, 0..1; None if nothing is known."""
    left: LinesLeft | None = None
    """What is left of its lines; None if they were not counted."""


@dataclass(frozen=True, slots=True)
class Why:
    """What `qi-learn log --why --json` prints."""

    id: str
    question: str
    project: str | None
    blocks: tuple[WhyBlock, ...]


def why(paths: Paths, settings: Settings, what: str, *, directory: Path | None = None) -> Why:
    """Why the suggestions of an answer have their fates.

    `what`: its id or the beginning of it, or `last`, which is the last that was seen in the
    directory's project. Raises NotFound if there is none, or it could be several.
    """
    if not paths.database.exists():
        raise nothing_yet(None, waiting_answers(paths)) if what == "last" else no_such_turn(what)
    with open_store(paths.database, readonly=True) as store:
        id = _last(paths, store, directory) if what == "last" else _named(store, what)
        interaction, survivals = load_interaction(store, id), survivals_of(store, id)
    left = {ordinal: _left(each) for ordinal, each in survivals.items()}
    asked = interaction.turn.messages
    question = one_line(asked[-1].content[-4 * QUESTION :]) if asked else ""
    return Why(
        id,
        fitted(question, QUESTION),
        interaction.turn.project,
        tuple(
            replace(_block(s, interaction, settings.capture), left=left.get(s.ordinal))
            for s in interaction.suggestions
        ),
    )


def as_text(told: Why) -> str:
    """The lines for a person."""
    lines = [f"turn {told.id}", f"  {'question':10}  {told.question or '(no words)'}"]
    if not told.blocks:
        lines.append(f"  {'fate':10}  it suggests no code: there is nothing to find")
    for block in told.blocks:
        name = f"block {block.ordinal + 1}" if len(told.blocks) > 1 else "its code"
        sure = "" if block.sure is None else f" (sure: {block.sure:.2f})"
        lines.append(f"  {name:10}  {block.fate or 'waiting'}{sure}")
        lines.append(f"  {'found':10}  {block.found or 'in no file that was saved'}")
        lines.append(f"  {'because':10}  {block.sign}")
        if block.left is not None:
            lines.append(f"  {'left':10}  {_in_words(block.left)}")
    return "\n".join(lines)


def _left(survival: Survival) -> LinesLeft | None:
    if survival.at_commit is None:
        return None
    shares = (survival.at_commit, survival.after_day, survival.after_week)
    return LinesLeft(survival.own, *shares)


def _in_words(left: LinesLeft) -> str:
    shares = (
        ("at its commit", left.at_commit),
        ("a day later", left.after_day),
        ("a week later", left.after_week),
    )
    known = ", ".join(f"{share:.0%} {when}" for when, share in shares if share is not None)
    return f"of {counted(left.lines, 'line')} {known}"


def _last(paths: Paths, store: Store, directory: Path | None) -> str:
    project = None if directory is None else place_of(paths, directory)
    within, now = None if project is None else str(project), time.time()
    last = newest_turn(store, within, before=now) or newest_stray(store, before=now)
    if last is None:
        raise nothing_yet(within, waiting_answers(paths))
    return last


def _named(store: Store, what: str) -> str:
    id = only_one(what, turns_named(store, what))
    if id is None:
        raise no_such_turn(what)
    return id


def _block(
    suggestion: Suggestion, interaction: LearningInteraction, settings: CaptureSettings
) -> WhyBlock:
    said = next(_explicit(interaction.feedback, suggestion), "")
    sign = said or _sign(suggestion, settings)
    return WhyBlock(
        suggestion.ordinal,
        suggestion.fate,
        suggestion.inferred,
        _found(suggestion, interaction),
        sign,
        _sure(suggestion, explicit=bool(said)),
    )


def _sure(suggestion: Suggestion, *, explicit: bool) -> float | None:
    if suggestion.fate in (None, "unknown"):
        return None
    if explicit or refused(suggestion):
        return 1.0
    return suggestion.match_confidence


def _found(suggestion: Suggestion, interaction: LearningInteraction) -> str:
    if suggestion.placed_at is None:
        return ""
    name = f" ({one_line(suggestion.name)})" if suggestion.name else ""
    method = suggestion.match_method or ""
    after = span(max(0.0, suggestion.placed_at - interaction.turn.ended))
    alike = (
        ""
        if suggestion.match_confidence is None
        else f", {suggestion.match_confidence:.0%} alike then"
    )
    place = one_line(suggestion.file or "a file that is not looked at any more")
    how = METHODS.get(method, one_line(method))
    return f"in {place}{name}, {after} after the answer: {how}{alike}"


def _explicit(said: Feedback, suggestion: Suggestion) -> Iterator[str]:
    """What the person said, if it decides."""
    if said.mark is not None:
        yield f"you marked it: {said.mark}"
    elif said.rating is not None and said.rating <= BAD_RATING:
        yield f"you rated it {said.rating} of 5"
    elif said.correction:
        yield "you gave a correction"
    elif (
        said.rating is not None and said.rating >= GOOD_RATING and suggestion.inferred == "rejected"
    ):
        yield f"you rated it {said.rating} of 5, so that it is gone is no rejection"


def _sign(suggestion: Suggestion, settings: CaptureSettings) -> str:
    if refused(suggestion):
        return SAID["declined"]
    if suggestion.sign == "superseded":
        return "another suggestion stands in its place"
    if suggestion.sign == "left_out":
        still = "" if suggestion.state == "settled" else ", and may still get it"
        return f"the place at which it was asked for was saved without it{still}"
    if suggestion.placed_at is None:
        open_still = suggestion.state == "waiting"
        words = (
            "no save has it yet" if open_still else "no save had it, which is no sign of anything"
        )
        return "; ".join(filter(None, (SAID.get(suggestion.said or "", ""), words)))
    if suggestion.state == "unknown":
        return "its file was lost sight of: what became of it is not known"
    if suggestion.state == "placed":
        stands = suggestion.region is not None
        return "it stands there and may still change" if stands else "it went just now"
    return _settled(suggestion, settings)


def _settled(suggestion: Suggestion, settings: CaptureSettings) -> str:
    if suggestion.reverted:
        return "the commit that had it was taken back"
    if suggestion.final_text is None:
        return "its lines were undone or deleted"
    like = suggestion.similarity
    until = (
        f"committed as {suggestion.commit[:10]}"
        if suggestion.commit
        else f"nobody touched it for {span(settings.settle)}"
    )
    if like is None:
        return until
    if like < settings.accepted_similarity:
        return f"its lines were rewritten: {like:.0%} of it is left; {until}"
    left = "as it was suggested" if like >= settings.modified_similarity else f"{like:.0%} alike"
    return f"it stands there, {left}; {until}"
