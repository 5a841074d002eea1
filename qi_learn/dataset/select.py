"""Which turns may be learned: good enough evidence, complete answers, each text once.

The quality filter is the target score against `quality_threshold` (contracts 6). What is left out
is counted by reason, so that `explain` can say where the data went. Turns that a version of the
live chain has learned, and turns that say the same as one of those, are not counted at all: they
are done.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from qi_learn.dataset.target import Skipped, Target, target_of
from qi_learn.records import Feedback, LearningInteraction, Turn
from qi_learn.redact import has_placeholder
from qi_learn.settings import Settings
from qi_learn.store.database import Store
from qi_learn.store.feedback import load_interaction, scored_turns
from qi_learn.store.turns import session_of, was_redacted

GOOD_RATING, BAD_RATING = 4, 2


@dataclass(frozen=True, slots=True)
class Learnable:
    """A turn that may become an example, with the answer to learn."""

    interaction: LearningInteraction
    target: Target
    key: str
    """Same for two turns with the same question and the same kept answer, but for white space that
    means nothing.
    """
    session: str
    redacted: bool
    """Something was taken out of the turn's texts before they were stored."""

    @property
    def id(self) -> str:
        return self.interaction.turn.id

    @property
    def score(self) -> float:
        score = self.interaction.score
        return score.target_score or 0.0 if score else 0.0

    @property
    def liked(self) -> bool | None:
        return liked(self.interaction.feedback)

    @property
    def group(self) -> tuple[str, str]:
        return self.interaction.domain, self.interaction.learning_type


@dataclass(frozen=True, slots=True)
class Selection:
    """Candidates, oldest first, and how many turns over the threshold were left out, by reason."""

    candidates: tuple[Learnable, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


def candidates(store: Store, settings: Settings, *, learned: Set[str]) -> Selection:
    """What there is to learn: distinct examples over the quality threshold that no live version has
    learned.

    `learned` holds the turn ids in the snapshots behind the live chain.
    """
    ids = [
        i
        for i in scored_turns(store, threshold=settings.train.quality_threshold)
        if i not in learned
    ]
    seen = {
        c.key
        for i in _same_question(store, ids, learned)
        if isinstance(c := _candidate(store, i), Learnable)
    }
    found: list[Learnable] = []
    dropped: Counter[str] = Counter()
    for turn_id in ids:
        candidate = _candidate(store, turn_id)
        if isinstance(candidate, Skipped):
            dropped[candidate.reason] += 1
        elif candidate.key in seen:
            dropped["says the same as another"] += 1
        else:
            seen.add(candidate.key)
            found.append(candidate)
    return Selection(tuple(found), dict(dropped))


def liked(feedback: Feedback) -> bool | None:
    """What the person made of the text that would be learned; None where nobody knows."""
    if feedback.correction:
        return True  # their own words, whatever they thought of ours
    if feedback.rating is None:
        return feedback.accepted
    return (
        True if feedback.rating >= GOOD_RATING else False if feedback.rating <= BAD_RATING else None
    )


def _same_question(store: Store, ids: Sequence[str], learned: Set[str]) -> list[str]:
    """The learned turns that were asked the same, word for word, as one of `ids`: only those need
    be looked at again, however many were learned.
    """
    sql = """
        SELECT DISTINCT old.id FROM turns new JOIN turns old ON old.tip = new.tip
        WHERE new.id IN (SELECT value FROM json_each(?)) AND old.id IN (SELECT value FROM json_each(?)) ORDER BY old.id
    """
    return [
        row["id"] for row in store.rows(sql, (json.dumps(list(ids)), json.dumps(sorted(learned))))
    ]


def _candidate(store: Store, turn_id: str) -> Learnable | Skipped:
    interaction = load_interaction(store, turn_id)
    turn = interaction.turn
    if reason := unfit(turn):
        return Skipped(reason)
    target = target_of(interaction)
    if isinstance(target, Skipped):
        return target
    if has_placeholder(target.text) or has_placeholder(json.dumps(target.calls)):
        return Skipped("a secret was taken out of the answer")
    return Learnable(
        interaction,
        target,
        _key(turn, target),
        session_of(store, turn),
        was_redacted(store, turn_id),
    )


def unfit(turn: Turn) -> str:
    """Why no answer to this turn could be learned, whatever it is worth; empty where one can."""
    if turn.status != 200 or turn.cancelled or not turn.complete:
        return "the answer did not arrive whole"
    if any(
        name.endswith((":cloud", "-cloud")) for name in (turn.model_asked, turn.model_answered)
    ) or turn.answer_extra.get("remote_host"):
        return "a cloud model answered"
    if turn.answer_extra.get("thinking"):
        return "the model thought aloud before it answered"
    return ""


def _key(turn: Turn, target: Target) -> str:
    question = [[m.role, " ".join(m.content.split()), _plain(m.extra)] for m in turn.messages]
    shape = _plain({k: turn.request.get(k) for k in ("system", "template", "raw", "suffix")})
    answer = "\n".join(line.rstrip() for line in target.text.strip().split("\n"))
    return hashlib.sha256(
        json.dumps([question, shape, answer, target.calls], ensure_ascii=False).encode()
    ).hexdigest()


def _plain(value: Mapping[str, object]) -> str:
    return json.dumps(
        {k: v for k, v in sorted(value.items()) if v},
        ensure_ascii=False,
        sort_keys=True,
        default=str,
    )
