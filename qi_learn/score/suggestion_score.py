"""How good was the suggestion (R2's assessor), with every known signal and its reason.

Beside it, the target score.

The score is the weighted mean over the *known* signals, all in [0, 1] (contracts 6). A signal that
was not seen is left out, so that an unrated answer is not a badly rated one. The confidence,
1 - exp(-sum of known weights / 3), says how much was known.

Pure, and cheap: what costs something was found out before (`answer_facts`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from qi_learn.records import AnswerFacts, Feedback, Outcome, Scorable, Score, Signal
from qi_learn.score.next_message import names_of, what_it_says
from qi_learn.score.target_score import score_target
from qi_learn.settings import ScoreSettings as Weights

CORRECTNESS = {"compiles": 0.4, "tests_pass": 0.4, "deployed": 0.2}


def score_turn(
    scorable: Scorable, weights: Weights, now: float, *, domain_share: float | None = None
) -> Score:
    """Both scores of a turn from everything known of it now.

    `domain_share`: the share of the project's turns in this turn's domain; None if it is unknown.
    """
    signals = tuple(_signals(scorable, weights, domain_share))
    weight = sum(s.weight for s in signals)
    suggestion = sum(s.value * s.weight for s in signals) / weight if weight else None
    target = score_target(
        scorable.answer, scorable.suggestions, scorable.feedback, scorable.outcome, suggestion
    )
    return Score(
        scorable.turn_id,
        suggestion,
        1 - math.exp(-weight / 3),
        target.score,
        target.text,
        signals,
        target.reasons,
        now,
    )


def _signals(scorable: Scorable, weights: Weights, domain_share: float | None) -> Iterator[Signal]:
    yield from _feedback(scorable.feedback, weights)
    yield from _outcome(scorable.outcome, weights)
    yield from _quality(scorable.facts, weights)
    yield from _relevance(scorable.facts, weights)
    yield from _next_message(scorable, weights)
    if domain_share is not None:
        yield Signal(
            "domain",
            domain_share,
            weights.domain,
            f"{domain_share:.0%} of the project's turns are in {scorable.domain}",
        )


def _feedback(feedback: Feedback, weights: Weights) -> Iterator[Signal]:
    if feedback.rating is not None:
        yield Signal("rating", feedback.rating / 5, weights.rating, f"rated {feedback.rating} of 5")
    if feedback.accepted is not None:
        yield Signal(
            "accepted",
            float(feedback.accepted),
            weights.accepted,
            "kept" if feedback.accepted else "not kept",
        )
    if feedback.modified is not None:
        yield Signal(
            "unmodified",
            0.5 if feedback.modified else 1.0,
            weights.unmodified,
            "edited" if feedback.modified else "kept as it was",
        )


def _outcome(outcome: Outcome, weights: Weights) -> Iterator[Signal]:
    seen = {
        name: getattr(outcome, name) for name in CORRECTNESS if getattr(outcome, name) is not None
    }
    if seen:
        value = sum(CORRECTNESS[name] for name, good in seen.items() if good) / sum(
            CORRECTNESS[name] for name in seen
        )
        reason = ", ".join(
            f"{name.replace('_', ' ')}: {'yes' if good else 'no'}" for name, good in seen.items()
        )
        yield Signal("correctness", value, weights.correctness, reason)
    if outcome.performance_change is not None:
        change = outcome.performance_change
        reason = f"{abs(change):.0%} {'faster' if change >= 0 else 'slower'} than before"
        yield Signal("efficiency", min(1.0, max(0.0, 0.5 + change)), weights.efficiency, reason)


def _quality(facts: AnswerFacts, weights: Weights) -> Iterator[Signal]:
    if facts.parses is False:
        yield Signal("quality", 0.0, weights.quality, "does not parse")
    elif facts.parses and facts.findings is not None:  # else no linter looked further: unknown
        findings, lines = facts.findings, max(1, facts.lines)
        reason = f"parses; {findings} linter finding{'s' if findings != 1 else ''} in {lines} lines"
        yield Signal("quality", max(0.0, 1 - findings / (lines / 10)), weights.quality, reason)


def _relevance(facts: AnswerFacts, weights: Weights) -> Iterator[Signal]:
    """The share of the code's names that the project used before the turn, as a signal."""
    if facts.names_used is not None and facts.names:
        reason = f"{facts.names_used} of its {facts.names} names were in use in the project"
        yield Signal("relevance", facts.names_used / facts.names, weights.relevance, reason)


def _next_message(scorable: Scorable, weights: Weights) -> Iterator[Signal]:
    """What the person wrote next: weak, and no fate."""
    if scorable.reply is None or not weights.next_message:
        return
    says = what_it_says(scorable.reply, names_of(scorable.suggestions))
    if says is not None:
        reason = f"the next message says that it {'worked' if says == 'worked' else 'did not work'}"
        yield Signal("next_message", float(says == "worked"), weights.next_message, reason)
