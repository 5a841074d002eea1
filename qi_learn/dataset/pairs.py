"""Preferences: what was kept rather than what was suggested, in the very tokens that were served.

*Edits*: a suggestion and the text that stayed in its place, where they differ by at least a
fiftieth and at most seven tenths (beyond that it is a rewrite: something to learn, but no
comparison). *Forks*: one question that was answered twice, where the second answer was kept; that
it was asked again says what the first was worth. *Rejects*: nothing was kept and no better text is
known; those only balance what is kept, and there are never more of them.

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
    ask_of,
    asked,
    content_hash,
    end_token,
    written,
)
from qi_learn.dataset.select import Learnable, liked, unfit
from qi_learn.dataset.target import Skipped, Target, kept_nothing, served_of
from qi_learn.records import Example, Pair, Snapshot
from qi_learn.redact import has_placeholder
from qi_learn.store.database import Store
from qi_learn.store.feedback import load_interaction, rejected_turns
from qi_learn.store.turns import forks, session_of, was_redacted

LEAST, MOST = 0.02, 0.7
"""Edit distance between the two codes, of the longer one's length."""
CAP = 100
"""Pairs of a data set, and rejects: a run compares at most once a step."""


def preferences(
    store: Store,
    candidates: Mapping[str, Learnable],
    fresh: Sequence[Example],
    earlier: Sequence[Snapshot],
    serving: Serving,
    *,
    learned: Set[str] = frozenset(),
    secret: Callable[..., bool] = lambda *texts: False,
) -> tuple[Pair, ...]:
    """The pairs of a data set: of the `fresh` examples that train (`candidates` by their ids), and
    of turns that no data set has.

    `earlier`: the data sets behind the live chain; what they compared is not compared again. Raises
    ServerError where the server does not render.
    """
    train = [e for e in fresh if e.split == "train"]
    closed = {e.session for e in fresh if e.split != "train"} | {
        e.session for s in earlier for e in s.split("gate")
    }
    open_ = [e for e in train if e.session not in closed]
    known = {e.id for e in fresh} | {p.id for s in earlier for p in s.pairs}
    both = {
        p.hash: p
        for p in (
            *_edits(open_, candidates, serving),
            *_forks(store, open_, serving, known, closed),
        )
    }
    clean = [p for p in both.values() if not secret(p.prompt, p.chosen, p.rejected)]
    used = known | {p.id for p in clean}
    turns = (i for i in reversed(rejected_turns(store)) if i not in used and i not in learned)
    lone = (
        p
        for i in turns
        if (p := _reject(store, i, serving, closed)) and not secret(p.prompt, p.rejected)
    )
    return (*clean[-CAP:], *reversed(list(islice(lone, min(CAP, len(train))))))


def _edits(
    train: Sequence[Example], candidates: Mapping[str, Learnable], serving: Serving
) -> Iterator[Pair]:
    for example in train:
        target = candidates[example.id].target
        if target.served is not None and LEAST <= (far := distance(target, target.served)) <= MOST:
            yield from _pair("edit", example, example.id, target.served, far, serving)


def _forks(
    store: Store, train: Sequence[Example], serving: Serving, known: Set[str], closed: Set[str]
) -> Iterator[Pair]:
    groups = {turn: group for group in forks(store) for turn in group}
    for example in train:
        group = groups.get(example.id, ())
        for turn in group[: group.index(example.id)] if group else ():
            if turn not in known and (served := _not_kept(store, turn, example, closed)):
                kept = Target(example.kept_code, ((0, len(example.kept_code)),))
                if (far := distance(kept, served)) >= LEAST:
                    yield from _pair("fork", example, turn, served, far, serving)


def _not_kept(store: Store, turn: str, example: Example, closed: Set[str]) -> Target | None:
    """The earlier answer to the example's question, where nothing of it was kept; None where it is
    no other answer to the same, or was liked.
    """
    other = load_interaction(store, turn)
    if (
        ask_of(other.turn) != example.ask
        or unfit(other.turn)
        or session_of(store, other.turn) in closed
    ):
        return None
    return served_of(other) if kept_nothing(other) and not liked(other.feedback) else None


def _pair(
    source: Literal["edit", "fork"],
    example: Example,
    turn: str,
    served: Target,
    far: float,
    serving: Serving,
) -> Iterator[Pair]:
    answer = written(
        served,
        RenderedPrompt(example.ask, example.prompt, example.prompt_ids, example.checked),
        serving,
    )
    if isinstance(answer, Skipped) or has_placeholder(answer.text) or answer.text == example.target:
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


def _reject(store: Store, turn_id: str, serving: Serving, closed: Set[str]) -> Pair | None:
    known = load_interaction(store, turn_id)
    served, session = served_of(known), session_of(store, known.turn)
    if (
        served is None
        or session in closed
        or unfit(known.turn)
        or not kept_nothing(known)
        or liked(known.feedback) is not False
    ):
        return None
    question = asked(known.turn, serving, redacted=was_redacted(store, turn_id))
    if isinstance(question, Skipped):
        return None
    answer = written(served, question, serving)
    if isinstance(answer, Skipped) or not answer.text.strip() or has_placeholder(answer.text):
        return None
    return Pair(
        id=turn_id,
        hash=content_hash(question.prompt, f"\0{answer.text}"),
        source="reject",
        prompt=question.prompt,
        chosen="",
        rejected=answer.text,
        prompt_ids=question.ids,
        chosen_ids=(),
        rejected_ids=(*answer.ids, end_token(question.ask, serving.vocabulary)),
        session=session,
        project=known.turn.project or "",
    )


def distance(left: Target, right: Target) -> float:
    """Edits between two answers' codes over the longer one's length (of all they say, where one has
    no code).
    """
    both = (left.code, right.code) if left.code and right.code else (left.text, right.text)
    return 1.0 - similarity(*both)
