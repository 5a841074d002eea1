"""What the person does with an answer: drawn by a seed, and true to the history in the end.

The history is never left: whatever is answered, what stands in the file afterwards is what the
history has. So an *accepted* answer is played as one that is the history's text; nothing in it is
the person's. An *edited* one is what stood there before, of a definition that the history changed,
and what the commit changed is the person's; of a new one it is what the live model itself answers.
A *rejected* answer is the same kind of answer, thrown away: the person types the text without
asking again, and nothing is learned from that. What was *written by hand* was never asked for, and
comes to be known by its commit.

An answer of the model's own with no code in it cannot be edited: it is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Literal

from qi_learn.bench.day.forms import FORMS, FormName, FormQuestion, ServedForms
from qi_learn.bench.day.history import WrittenCode
from qi_learn.capture.wire import decode
from qi_learn.code_text import similarity
from qi_learn.fates import inferred_fate
from qi_learn.records import Event, Suggestion, Turn
from qi_learn.track.suggestions import suggestions_of

Draw = Literal["accepted", "edited", "rejected", "by_hand"]
MIXES: Mapping[str, Mapping[Draw, int]] = {
    "usual": {"accepted": 50, "edited": 25, "rejected": 15, "by_hand": 10},
    "trusting": {"accepted": 80, "edited": 10, "rejected": 5, "by_hand": 5},
}
"""Shares in per cent."""
DEALT = 20
"""Fates are dealt in hands of so many, each with the mix's shares; within one it is those that the
history changed that are edited, as far as there are some.
"""
ALIKE = 0.5
"""What stood there before is an answer that is edited if it is so much like the text."""
BETWEEN, LATER = 60.0, 40.0
"""Seconds from one question to the next, and until what became of an answer has settled."""
MODEL = "qi-agent"


@dataclass(frozen=True, slots=True)
class Planned:
    """One definition, how it will be asked for, and what the person means to do."""

    number: int
    code: WrittenCode
    draw: Draw
    question: FormQuestion
    at: float
    """When it is asked for, Unix seconds."""

    @property
    def truth(self) -> str:
        """The piece of an answer that the history has."""
        return self.question.piece(self.code.text)

    @property
    def own_answer(self) -> bool:
        """Whether the live model must be asked to know what it answers."""
        return self.draw in ("edited", "rejected") and self.before() is None

    def suggested(self) -> str | None:
        """The piece that is played as suggested; None if only the model can say, or nobody asks."""
        if self.draw == "accepted":
            return self.truth
        return None if self.draw == "by_hand" else self.before()

    def before(self) -> str | None:
        """The piece that stood there before, if the two are alike."""
        before = self.code.before
        if before is None:
            return None
        piece = self.question.piece(before)
        return piece if piece.strip() and similarity(piece, self.truth) >= ALIKE else None


@dataclass(frozen=True, slots=True)
class Played:
    """A definition with what was answered, and what became of it."""

    planned: Planned
    event: Event
    """What the gateway records."""
    turn: Turn
    suggestions: tuple[Suggestion, ...]
    correction: str | None
    """What was written by hand."""
    suggested: str
    """The piece that was suggested; empty if nobody asked, or there was no code in the answer."""
    draw: Draw
    """What became of it: an answer without code is rejected, whatever was meant."""


def plan(
    written: Sequence[WrittenCode], mix: Mapping[Draw, int], served: ServedForms, *, seed: int
) -> tuple[Planned, ...]:
    """The work in its order: forms in turn, fates dealt by the seed, and times that only rise."""
    random = Random(f"fates {seed}")
    made: list[Planned] = []
    now = 0.0
    for number, code in enumerate(written):
        now = max(code.when, now + BETWEEN)
        form = FORMS[(number + seed) % len(FORMS)]
        made.append(Planned(number, code, "accepted", FormQuestion(form, code, served), now))
    hands = [made[at : at + DEALT] for at in range(0, len(made), DEALT)]
    dealt = [one for hand in hands for one in _dealt(hand, mix, random)]
    return tuple(filter(_reads_back, dealt))


def _dealt(hand: Sequence[Planned], mix: Mapping[Draw, int], random: Random) -> list[Planned]:
    """A hand with its fates: what the history changed is edited first."""
    cards = [draw for draw, share in mix.items() for _ in range(share * DEALT // 100)]
    cards = random.sample(cards, len(cards))[: len(hand)]
    places = random.sample(range(len(hand)), len(hand))
    places.sort(key=lambda place: hand[place].before() is None)
    cards.sort(key=lambda draw: draw != "edited")
    edited = cards.count("edited")
    rest = random.sample(places[edited:], len(places) - edited)
    fates = dict(zip((*places[:edited], *rest), cards, strict=True))
    return [_with_fate(one, fates[place]) for place, one in enumerate(hand)]


def _with_fate(planned: Planned, draw: Draw) -> Planned:
    """What was written by hand has the form of a gap."""
    form: FormName = "fim" if draw == "by_hand" else planned.question.form
    return replace(planned, draw=draw, question=replace(planned.question, form=form))


def _reads_back(planned: Planned) -> bool:
    """Whether the piece is found in its answer: a fence within a comment ends the block before."""
    truth, (_, found) = planned.truth, kept_as_it_was(planned)
    return bool(truth.strip()) and [one.text for one in found] == [truth]


def play(planned: Planned, model: str, own: Callable[[Planned], str]) -> Played:
    """Play one definition with the version `model`; `own`: what the live model itself answers."""
    question, draw = planned.question, planned.draw
    piece = planned.suggested()
    if draw == "by_hand":
        answer = {"response": "", "done": True, "done_reason": "stop"}
    elif piece is None:
        answer = question.answer_as_written(own(planned))
    else:
        answer = question.answer(piece)
    event = _event(planned, model, answer)
    turn = decode(event)
    if draw == "by_hand":
        return Played(planned, event, turn, (), planned.truth, "", draw)
    found = suggestions_of(turn)
    if not found:
        return Played(planned, event, turn, (), None, "", "rejected")
    first = _rejected(found[0], planned) if draw == "rejected" else _kept(found[0], planned)
    others = tuple(replace(each, state="unknown", inferred="unknown") for each in found[1:])
    return Played(planned, event, turn, (first, *others), None, found[0].text, draw)


def piece_in(planned: Planned, text: str) -> str:
    """The piece that a model's own text gives; empty if there is none."""
    answer = planned.question.answer_as_written(text)
    found = suggestions_of(decode(_event(planned, MODEL, answer)))
    return found[0].text if found else ""


def kept_as_it_was(planned: Planned) -> tuple[Turn, tuple[Suggestion, ...]]:
    """The same question with the history's text for its answer, to measure with."""
    turn = decode(_event(planned, MODEL, planned.question.answer(planned.truth)))
    return turn, tuple(_kept(each, planned) for each in suggestions_of(turn))


def _kept(suggestion: Suggestion, planned: Planned) -> Suggestion:
    text = planned.truth
    kept = replace(
        suggestion,
        state="settled",
        file=planned.code.file,
        placed_at=planned.at + LATER / 2,
        settled_at=planned.at + LATER,
        final_text=text,
        region=text,
        similarity=similarity(text, suggestion.text),
        commit=f"{planned.number:040x}",
    )
    return replace(kept, inferred=inferred_fate(kept))


def _rejected(suggestion: Suggestion, planned: Planned) -> Suggestion:
    """Its own place was saved without it."""
    at = planned.at + LATER
    gone = replace(suggestion, state="settled", settled_at=at, sign="left_out")
    return replace(gone, inferred=inferred_fate(gone))


def _event(planned: Planned, model: str, answer: Mapping[str, Any]) -> Event:
    question, at = planned.question, planned.at
    body = {
        "endpoint": question.endpoint,
        "request": json.dumps({"model": MODEL, "stream": False, **question.body}),
        "response": json.dumps(answer),
        "content_type": "application/json; charset=utf-8",
        "model_asked": MODEL,
        "model_answered": model,
        "model_digest": None,
        "status": 200,
        "cancelled": False,
        "session": planned.code.session,
        "started": at,
        "ended": at + 5.0,
    }
    # an id of its own: in a second run the same turn has the same
    return Event(f"{planned.number:026d}", "turn", at, "gateway", body, "model", "/history")
