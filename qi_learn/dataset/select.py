"""Which turns may be learned: good enough evidence, complete answers, each text once.

The quality filter is the target score against `quality_threshold` (contracts 6), applied when the
turns are loaded (`store/learnables.py`). What is left out is counted by reason, so that `explain`
can say what became of the data. Turns that a version of the live chain has learned, and turns that
say the same as one of those, are not counted at all: they are done.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from qi_learn.dataset.authorship import persons_part
from qi_learn.dataset.target import Skipped, Target, taken_early, target_of
from qi_learn.fates import BAD_RATING, GOOD_RATING
from qi_learn.records import Feedback, LearningInteraction, Turn
from qi_learn.redact import has_placeholder
from qi_learn.store.candidates import JudgedTurn
from qi_learn.store.learnables import LearnableTurns, TurnEvidence


@dataclass(frozen=True, slots=True)
class Learnable:
    """A turn that may become an example, with the answer to learn."""

    interaction: LearningInteraction
    target: Target
    key: str
    """The same for two turns with the same question and the same kept answer, apart from white
    space without meaning.
    """
    session: str
    redacted: bool
    """Whether something was taken out of the turn's texts before they were stored."""

    @property
    def id(self) -> str:
        """The turn's id."""
        return self.interaction.turn.id

    @property
    def score(self) -> float:
        """The target score; 0 if the turn was never scored."""
        score = self.interaction.score
        return score.target_score or 0.0 if score else 0.0

    @property
    def own(self) -> bool:
        """Whether the person wrote or changed something of the answer to learn."""
        return bool(persons_part(self.target))

    @property
    def liked(self) -> bool | None:
        """The person's opinion of the text to be learned; None if it is not known."""
        return liked(self.interaction.feedback)

    @property
    def group(self) -> tuple[str, str]:
        """The kind of work: domain and learning type."""
        return self.interaction.domain, self.interaction.learning_type


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be learned, oldest first, and the number of turns left out, by reason."""

    learnables: tuple[Learnable, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)


def select_learnables(turns: LearnableTurns) -> Selection:
    """The distinct examples among turns over the threshold, none of them learned before.

    Of those that say the same it is the first in which the person wrote something, if there is one.
    """
    done = {
        learnable.key
        for turn in turns.learned
        if isinstance(learnable := _learnable(turn), Learnable)
    }
    selected: dict[str, Learnable] = {}
    dropped: Counter[str] = Counter()
    for turn in turns.fresh:
        learnable = _learnable(turn)
        if isinstance(learnable, Skipped):
            dropped[learnable.reason] += 1
            continue
        before = selected.get(learnable.key)
        if learnable.key in done or before is not None:
            dropped["says the same as another"] += 1
        if learnable.key not in done and (before is None or (learnable.own and not before.own)):
            selected.pop(learnable.key, None)  # its place is that of the turn it is made from
            selected[learnable.key] = learnable
    return Selection(tuple(selected.values()), dict(dropped))


def judged(turn: TurnEvidence) -> JudgedTurn:
    """What an example made from a turn would be known by, or why there can be none."""
    learnable = _learnable(turn)
    score = turn.interaction.score
    key, reason, own = (
        (None, learnable.reason, False)
        if isinstance(learnable, Skipped)
        else (learnable.key, "", learnable.own)
    )
    return JudgedTurn(
        turn.id,
        key,
        reason,
        turn.session,
        (score.target_score or 0.0) if score else 0.0,
        turn.interaction.turn.started,
        own,
    )


def liked(feedback: Feedback) -> bool | None:
    """The person's opinion of the text to be learned; None if it is not known."""
    if feedback.mark is not None:
        return {"kept": True, "edited": True, "rejected": False}.get(feedback.mark)
    if feedback.correction:
        return True  # their own words, whatever they thought of ours
    if feedback.rating is None:
        return feedback.accepted
    if feedback.rating >= GOOD_RATING:
        return True
    return False if feedback.rating <= BAD_RATING else None


def unfit(turn: Turn) -> str:
    """Reason why no answer to this turn can be learned, whatever it is worth; empty if one can."""
    if turn.status != 200 or turn.cancelled or not turn.complete:
        return "the answer did not arrive whole"
    if any(
        name.endswith((":cloud", "-cloud")) for name in (turn.model_asked, turn.model_answered)
    ) or turn.answer_extra.get("remote_host"):
        return "a cloud model answered"
    if turn.answer_extra.get("thinking"):
        return "the model thought aloud before it answered"
    return _unfit_import(turn)


def _unfit_import(turn: Turn) -> str:
    """Why the answer in another program's log cannot be learned.

    Of a turn that no model answered (a commit of the person's own) only a correction is learned.
    """
    told = turn.request.get("imported")
    if not isinstance(told, Mapping) or not (turn.answer or turn.answer_extra):
        return ""
    if told.get("local") is not True:
        return "imported, and not known to be a local model's answer"
    return "" if told.get("whole") is True else "imported, and its log has not the whole question"


def lost_a_secret(answer: Target) -> bool:
    """Whether a secret was taken out of the answer: then it is not what was written."""
    return has_placeholder(answer.text) or has_placeholder(json.dumps(answer.calls))


def _learnable(turn: TurnEvidence) -> Learnable | Skipped:
    interaction = turn.interaction
    asked = interaction.turn
    if taken_early(interaction):
        asked = replace(asked, cancelled=False, complete=True)
    if reason := unfit(asked):
        return Skipped(reason)
    target = target_of(interaction)
    if isinstance(target, Skipped):
        return target
    if lost_a_secret(target):
        return Skipped("a secret was taken out of the answer")
    key = _key(interaction.turn, target)
    return Learnable(interaction, target, key, turn.session, turn.redacted)


def _key(turn: Turn, target: Target) -> str:
    question = [[m.role, " ".join(m.content.split()), _plain(m.extra)] for m in turn.messages]
    shape = _plain({k: turn.request.get(k) for k in ("system", "template", "raw", "suffix")})
    answer = "\n".join(line.rstrip() for line in target.text.strip().split("\n"))
    parts = json.dumps([question, shape, answer, target.calls], ensure_ascii=False)
    return hashlib.sha256(parts.encode()).hexdigest()


def _plain(value: Mapping[str, object]) -> str:
    """The set fields as JSON, the same for the same content."""
    fields = {k: v for k, v in sorted(value.items()) if v}
    return json.dumps(fields, ensure_ascii=False, sort_keys=True, default=str)
