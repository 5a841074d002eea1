"""What a request says of the edits of earlier answers, stored with their suggestions.

A client sends the results of its tools with its next request. The invariant: only answers that the
request goes on from are concerned, and a word that is stored is not asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from qi_learn.fates import inferred_fate
from qi_learn.records import Message, Said, Suggestion, Turn
from qi_learn.redact import Redactor
from qi_learn.store.command_times import call_ids
from qi_learn.store.database import Store
from qi_learn.store.feedback import suggestions_of, update_suggestion

Hear = Callable[[Sequence[Suggestion], Message, Sequence[Message]], Mapping[int, Said]]
"""What messages say of an answer's suggestions, by their ordinal."""
ANSWERS = 8
"""The last answers in a request of which it is asked, and the last turns that may be one of them:
clients send everything again and again.
"""
_NAMED = """
    SELECT DISTINCT s.turn_id FROM json_each(?) AS c CROSS JOIN suggestions s ON s.call = c.value
    WHERE s.said IS NULL
"""
_UNNAMED = f"""
    SELECT id FROM (
        SELECT * FROM (SELECT id, ended FROM turns WHERE session = :session AND ended <= :until
                       ORDER BY ended DESC LIMIT {ANSWERS})
        UNION
        SELECT * FROM (SELECT id, ended FROM turns WHERE project = :project AND ended <= :until
                       ORDER BY ended DESC LIMIT {ANSWERS})
    ) AS t
    WHERE id <> :id AND EXISTS (
        SELECT 1 FROM suggestions s WHERE s.turn_id = t.id AND s.said IS NULL
        AND s.path IS NOT NULL AND (s.call IS NULL OR s.call GLOB '#*')
    )
    ORDER BY ended DESC
"""
_ANSWER = """
    SELECT m.content, m.extra FROM turns t JOIN messages m ON m.hash = t.answer WHERE t.id = ?
"""


def hear(store: Store, turn: Turn, say: Hear, redactor: Redactor) -> None:
    """Store what the request of a turn, which is stored, says of earlier suggestions.

    What the person declined is rejected by that alone.
    """
    answers = [n for n, message in enumerate(turn.messages) if message.role == "assistant"]
    if not answers:
        return
    recent = turn.messages[answers[-ANSWERS:][0] :]
    for turn_id in _concerned(store, turn, recent):
        row = store.row(_ANSWER, (turn_id,))
        if row is None:
            continue
        answer = Message("assistant", row["content"], json.loads(row["extra"] or "{}"))
        suggestions = suggestions_of(store, turn_id)
        words = say(suggestions, answer, recent)
        for suggestion in suggestions:
            word = words.get(suggestion.ordinal)
            if word is not None and suggestion.said is None:
                keep_word(store, suggestion, word, redactor)


def _concerned(store: Store, turn: Turn, recent: Sequence[Message]) -> Iterable[str]:
    """The turns whose answers may be among the messages, and that still wait for a word."""
    ids = [id for message in recent if message.role == "assistant" for id in call_ids(message)]
    named = [row[0] for row in store.rows(_NAMED, (json.dumps(ids),))] if ids else []
    about = {"session": turn.session, "project": turn.project, "until": turn.started + 0.001}
    others = [row[0] for row in store.rows(_UNNAMED, {**about, "id": turn.id})]
    return dict.fromkeys((*named, *others))


def keep_word(store: Store, suggestion: Suggestion, word: Said, redactor: Redactor) -> bool:
    """Store what was said of a suggestion's edit; whether that changed it."""
    return update_suggestion(store, redactor.clean(with_word(suggestion, word)))


def with_word(suggestion: Suggestion, word: Said) -> Suggestion:
    """A suggestion of which something was said.

    To be declined decides by itself what became of it, and so does to be accepted if no file says
    anything (any more).
    """
    heard = replace(suggestion, said=word)
    decides = "declined" in (word, suggestion.said) or suggestion.state == "unknown"
    return replace(heard, inferred=inferred_fate(heard)) if decides else heard
