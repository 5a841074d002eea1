"""Preferences: what was kept rather than what was suggested, in the very tokens that were served.

*Edits*: a suggestion and the text that stayed in its place, if they differ by at least a fiftieth
and at most seven tenths (beyond that it is a rewrite: something to learn, but no comparison).
*Forks*: one question that a person asked again, if the second answer was kept, and the first was
not found in a file by the end of its window or has gone: both say what it was worth. *Rejects*:
nothing was kept and no better text is known; those only balance what is kept, and there are never
more of them.

The invariant: a pair is of turns that train, or that no data set has; none of its sessions chooses
or judges, now or in an earlier gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import Literal

from qi_learn.code_text import similarity
from qi_learn.dataset.examples import (
    RenderedPrompt,
    Serving,
    content_hash,
    end_token,
    render_prompt,
    render_target,
)
from qi_learn.dataset.repeatable_request import ask_of
from qi_learn.dataset.select import Learnable, liked, lost_a_secret, unfit
from qi_learn.dataset.target import Skipped, Target, kept_nothing, passed_over, served_of
from qi_learn.records import Example, LearningInteraction, Pair, Snapshot
from qi_learn.store.learnables import Evidence, TurnEvidence

LEAST, MOST = 0.02, 0.7
"""Edit distance between the two codes, relative to the longer one's length."""
CAP = 100
"""Pairs of a data set, and rejects: a run compares at most once a step."""


def preferences(
    fresh: Sequence[Example],
    learnables: Sequence[Learnable],
    evidence: Evidence,
    earlier: Sequence[Snapshot],
    serving: Serving,
    *,
    secret: Callable[..., bool] = lambda *texts: False,
) -> tuple[Pair, ...]:
    """The pairs of a data set: of `fresh` examples that train, and of turns that no data set has.

    `learnables` say what was served in the place of the fresh examples. `earlier`: the data sets
    behind the live chain; what they compared is not compared again. Raises ServerError if the
    server does not render.
    """
    closed = _closed_sessions(fresh, earlier)
    train = [e for e in fresh if e.split == "train"]
    open_ = [e for e in train if e.session not in closed]
    compared = {e.id for e in fresh} | {p.id for s in earlier for p in s.pairs}
    pairs = (
        *_edits(open_, {learnable.id: learnable.target for learnable in learnables}, serving),
        *_forks(open_, evidence.earlier_answers, serving, compared, closed),
    )
    distinct = {p.hash: p for p in pairs}.values()
    clean = [p for p in distinct if not secret(p.prompt, p.chosen, p.rejected)]
    compared |= {p.id for p in clean}
    rejects = (
        p
        for turn in evidence.rejected
        if turn.id not in compared
        and (p := _reject(turn, serving, closed))
        and not secret(p.prompt, p.rejected)
    )
    return (*clean[-CAP:], *reversed(list(islice(rejects, min(CAP, len(train))))))


def _closed_sessions(fresh: Sequence[Example], earlier: Sequence[Snapshot]) -> set[str]:
    """The sessions that choose or judge now, or judged in an earlier data set."""
    judged = {e.session for s in earlier for e in s.split("gate")}
    return judged | {e.session for e in fresh if e.split != "train"}


def _edits(
    train: Sequence[Example], targets: Mapping[str, Target], serving: Serving
) -> Iterator[Pair]:
    for example in train:
        target = targets[example.id]
        if target.served is not None:
            yield from _pair("edit", example, target, example.id, target.served, serving)


def _forks(
    train: Sequence[Example],
    earlier_answers: Mapping[str, Sequence[TurnEvidence]],
    serving: Serving,
    compared: Set[str],
    closed: Set[str],
) -> Iterator[Pair]:
    for example in train:
        for turn in earlier_answers.get(example.id, ()):
            if turn.id not in compared and (served := _not_kept(turn, example, closed)):
                kept = Target(example.kept_code, ((0, len(example.kept_code)),))
                yield from _pair("fork", example, kept, turn.id, served, serving)


def _not_kept(turn: TurnEvidence, example: Example, closed: Set[str]) -> Target | None:
    """The earlier answer to the example's question, if nothing of it was kept.

    None if it is no other answer to the same question, or was liked.
    """
    other = turn.interaction
    if other.feedback.mark == "ignore":
        return None
    if ask_of(other.turn) != example.ask or unfit(other.turn) or turn.session in closed:
        return None
    return served_of(other) if passed_over(other) and not liked(other.feedback) else None


def _pair(
    source: Literal["edit", "fork"],
    example: Example,
    kept: Target,
    turn: str,
    served: Target,
    serving: Serving,
) -> Iterator[Pair]:
    """The pair of an example and what a turn served in its place.

    Nothing if the two are too alike, an edit is a rewrite, or what was served cannot be written.
    """
    far = distance(kept, served)
    if far < LEAST or (source == "edit" and far > MOST) or lost_a_secret(served):
        return
    question = RenderedPrompt(example.ask, example.prompt, example.prompt_ids, example.checked)
    answer = render_target(served, question, serving)
    if isinstance(answer, Skipped) or answer.text == example.target:
        return
    yield Pair(
        id=turn,
        hash=content_hash(example.prompt, f"{example.target}\0{answer.text}"),
        source=source,
        prompt=example.prompt,
        chosen=example.target,
        rejected=answer.text,
        prompt_ids=example.prompt_ids,
        chosen_ids=example.target_ids,
        rejected_ids=(*answer.ids, end_token(example.ask, serving.vocabulary)),
        chosen_id=example.id,
        session=example.session,
        project=example.project,
        distance=far,
    )


def _reject(turn: TurnEvidence, serving: Serving, closed: Set[str]) -> Pair | None:
    """The answer as something not to say; None if it was liked, kept, or cannot be rendered."""
    interaction = turn.interaction
    served = served_of(interaction)
    if (
        served is None
        or turn.session in closed
        or unfit(interaction.turn)
        or not _rejected(interaction)
        or lost_a_secret(served)
    ):
        return None
    question = render_prompt(interaction.turn, serving, redacted=turn.redacted)
    if isinstance(question, Skipped):
        return None
    answer = render_target(served, question, serving)
    if isinstance(answer, Skipped) or not answer.text.strip():
        return None
    return Pair(
        id=turn.id,
        hash=content_hash(question.prompt, f"\0{answer.text}"),
        source="reject",
        prompt=question.prompt,
        chosen="",
        rejected=answer.text,
        prompt_ids=question.ids,
        chosen_ids=(),
        rejected_ids=(*answer.ids, end_token(question.ask, serving.vocabulary)),
        session=turn.session,
        project=interaction.turn.project or "",
    )


def _rejected(interaction: LearningInteraction) -> bool:
    """Whether the whole answer was rejected: the person said so, or each part has a sign of it.

    Where something of it is not known, none of it is to be trained against.
    """
    said = interaction.feedback
    if liked(said) is not False:
        return False
    if said.mark == "rejected":
        return True
    fates = {s.fate for s in interaction.suggestions}
    signs = "rejected" in fates and fates <= {"rejected", "superseded"}
    return kept_nothing(interaction) and (said.rating is not None or signs)


def distance(left: Target, right: Target) -> float:
    """Edits between two answers' codes over the longer one's length.

    If one has no code, between their whole texts.
    """
    both = (left.code, right.code) if left.code and right.code else (left.text, right.text)
    return 1.0 - similarity(*both)
