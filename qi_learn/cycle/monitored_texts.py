"""The kept texts on which two versions are compared, session by session, as far as a night goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from qi_learn.dataset.examples import Serving, example_of
from qi_learn.dataset.select import select_learnables
from qi_learn.dataset.target import Skipped
from qi_learn.errors import NotFound
from qi_learn.gate.budget import shortened, within
from qi_learn.gate.compared_tokens import as_compared
from qi_learn.gate.prompt_cut import NO_MARKS, PromptMarks
from qi_learn.records import Example
from qi_learn.store.database import Store
from qi_learn.store.learnables import LearnableTurns, TurnEvidence, load_turn_evidence
from qi_learn.store.monitored import DueSession

LONGEST_PROMPT = 1024
"""Tokens that a prompt is cut to (which ones: `gate/prompt_cut.py`)."""
Cost = Callable[[Sequence[Example]], int]
"""Tokens that have to be read of both files for these examples."""


@dataclass(frozen=True, slots=True)
class SessionTexts:
    """A session as it is read."""

    session: str
    examples: tuple[Example, ...]
    unread: tuple[str, ...]
    """Its turns (ids) of which there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class SessionEvidence:
    """A session as it is stored."""

    session: str
    turns: tuple[TurnEvidence, ...]


def load_sessions(store: Store, due: Iterable[DueSession]) -> Iterator[SessionEvidence]:
    """The turns of each session; one that went meanwhile is left out."""
    for each in due:
        found = []
        for turn in each.turns:
            try:
                found.append(load_turn_evidence(store, turn))
            except NotFound:
                continue
        yield SessionEvidence(each.session, tuple(found))


def rendered(
    evidence: SessionEvidence,
    serving: Serving,
    *,
    context: int,
    marks: PromptMarks = NO_MARKS,
    give_way: Callable[[], None] = lambda: None,
) -> SessionTexts:
    """The session's texts as examples. `give_way` is called before each is rendered.

    Raises ServerError if the server does not render.
    """
    selection = select_learnables(LearnableTurns(fresh=evidence.turns, learned=()))
    examples: list[Example] = []
    for learnable in selection.learnables:
        give_way()
        example = example_of(learnable, serving)
        if not isinstance(example, Skipped):
            longest = min(context, LONGEST_PROMPT + len(example.target_ids))
            cut = within([example], context=longest, marks=marks)
            examples += as_compared(cut)
    told = tuple(example for example in examples if any(example.person_mask))
    read = {example.id for example in told}
    return SessionTexts(
        evidence.session, told, tuple(t.id for t in evidence.turns if t.id not in read)
    )


def for_a_night(
    sessions: Iterable[SessionTexts],
    cost: Cost,
    *,
    left: int,
    whole: bool,
    marks: PromptMarks = NO_MARKS,
) -> Iterator[SessionTexts]:
    """The first sessions that `left` tokens are enough for.

    If the first alone is too much for a `whole` night, it is cut to what is enough for: else it
    would wait for ever.
    """
    for session in sessions:
        needed = cost(session.examples)
        if needed > left and whole:
            part = shortened(session.examples, left, cost, marks)
            read = {example.id for example in part}
            gone = tuple(e.id for e in session.examples if e.id not in read)
            session, needed = replace(session, examples=part, unread=(*session.unread, *gone)), left
        if needed > left:
            return
        left, whole = left - needed, False
        yield session
