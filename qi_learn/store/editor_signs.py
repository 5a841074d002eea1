"""What an editor saw a person do with a completion, given to the turn that made it.

An editor does not know the turn. It tells the file, the time, and by hashes what was put in (or
taken out again) at once, and the line in front of it. The invariant: a sign is given to a turn only
if its completion was asked for at such a place, begins so, and no other turn's does; what fits two
questions says nothing. A sign may be told before its turn is taken in, and then waits a while, in
memory alone: one that is lost with a daemon was unknown before, too.

Not covered: a completion that a client gave out of its own memory after `WITHIN`, and one of which
a secret was taken out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from qi_learn.fim import Gap, find_gap
from qi_learn.record_class import dataclass
from qi_learn.records import Event
from qi_learn.store.client_words import with_word
from qi_learn.store.database import Store
from qi_learn.store.feedback import suggestions_of, update_suggestion
from qi_learn.store.followed import ASKED_TO_GO_ON
from qi_learn.store.shapes import join_request

if TYPE_CHECKING:
    from qi_learn.redact import Redactor

WITHIN = 600.0
"""Seconds after its end in which a completion may be taken."""
WAITS = 20.0
"""Seconds that a sign waits for its turn: the gateway writes one when its connection is known."""
MOST_WAITING, MOST_COMPLETIONS, MOST_TYPED = 200, 100, 120
"""The most signs that wait, the most completions that one is compared with, and the most letters
of one that a person types before they take the rest.
"""
SHORTEST = 3
"""Bytes that were put in from which on they say something."""
_HASH = re.compile(r"[0-9a-f]{64}")
_ENDED = f"""
    SELECT t.id FROM turns t
         JOIN suggestions s ON s.turn_id = t.id AND s.ordinal = 0 AND s.start = 0
    WHERE t.ended BETWEEN :since AND :until AND t.status = 200
          AND {ASKED_TO_GO_ON}
    ORDER BY t.ended DESC, t.id DESC LIMIT :most
"""
_COMPLETION = """
    SELECT t.tip, t.cancelled, t.request, t.shape, q.content AS prompt, m.content AS answer
    FROM turns t JOIN messages m ON m.hash = t.answer
         JOIN messages q ON q.hash = t.tip AND q.role = 'prompt'
    WHERE t.id = ?
"""


@dataclass(frozen=True, slots=True)
class EditorSign:
    """A completion that was taken, or taken and undone, as an editor saw it."""

    ts: float
    said: Literal["accepted", "declined"]
    file: str
    """Absolute."""
    text: str
    """The hash of what was put in."""
    size: int
    """Its bytes."""
    lead: str
    """The hash of what stood in front of it on its line."""
    above: str
    """The hash of the nearest line above that has text, without white space at its ends."""


@dataclass(frozen=True, slots=True)
class _Completion:
    """A completion, and the place at which it was asked for."""

    turn: str
    asked: str
    """Its question."""
    lead: str
    """What stood in front of it on its line."""
    above: str | None
    """The hash of the nearest line above that has text; None if the question has none."""
    answer: str
    cancelled: bool


@dataclass(frozen=True, slots=True)
class _Fit:
    """A completion that a sign may be about."""

    completion: _Completion
    typed: int
    """Letters of it that the person typed."""
    taken: str
    """It as far as it was taken."""


def is_of_editor(event: Event) -> bool:
    """Whether a `sign` event is an editor's: it names a file, and no turn."""
    return event.kind == "sign" and "file" in event.body and "turn" not in event.body


def editor_sign(event: Event) -> EditorSign:
    """What an editor told. Raises ValueError if it is not of its form."""
    body = event.body
    said, file, size = body.get("said"), body.get("file"), body.get("bytes")
    if said not in ("accepted", "declined") or not isinstance(file, str):
        raise ValueError(f"a sign of an editor that says {said!r} of {file!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < SHORTEST:
        raise ValueError(f"a sign of {size!r} bytes")
    text, lead, above = (str(body.get(name)) for name in ("text", "lead", "above"))
    if not all(map(_HASH.fullmatch, (text, lead, above))):
        raise ValueError("a sign of an editor without its hashes")
    word = cast(Literal["accepted", "declined"], said)
    return EditorSign(event.ts, word, file, text, size, lead, above)


class EditorSigns:
    """The signs that wait for their turns, by the ids of their events.

    The completions that they are compared with are known as long as one waits.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, EditorSign] = {}
        self._known: dict[str, _Completion | None] = {}
        self._tried: dict[str, list[str]] = {}
        """By sign the turns with which it was compared in vain."""

    def add(self, id: str, sign: EditorSign) -> None:
        """Let a sign wait; the oldest goes if there are too many."""
        self._waiting[id] = sign
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[min(self._waiting, key=lambda one: self._waiting[one].ts)]

    def match(self, store: Store, redactor: Redactor, now: float) -> tuple[str, ...]:
        """Give what can be given, in the order of time; the turns of which something changed."""
        changed = []
        for id, sign in sorted(self._waiting.items(), key=lambda item: item[1].ts):
            turns = _ended_before(store, sign)
            fit = self._fitting(store, sign, turns) if turns != self._tried.get(id) else None
            self._tried[id] = turns
            if fit is not None and _give(store, sign, fit, redactor):
                changed.append(fit.completion.turn)
            if fit is not None or sign.ts < now - WAITS:
                del self._waiting[id]
        if not self._waiting:
            self._known.clear()
            self._tried.clear()
        return tuple(changed)

    def _fitting(self, store: Store, sign: EditorSign, turns: Sequence[str]) -> _Fit | None:
        """The one completion a sign is about; of one question asked twice the newest answer.

        One that was asked for exactly there goes before one of which the person typed a part.
        """
        found = []
        for turn in turns:
            completion = self._completion(store, turn)
            if completion is not None and completion.above in (None, sign.above):
                found += [_Fit(completion, *part) for part in _parts(completion, sign)]
        least = min((fit.typed for fit in found), default=0)
        nearest = [fit for fit in found if fit.typed == least]
        return nearest[0] if len({fit.completion.asked for fit in nearest}) == 1 else None

    def _completion(self, store: Store, turn: str) -> _Completion | None:
        if turn not in self._known:
            try:
                self._known[turn] = _load(store, turn)
            except (ValueError, TypeError, LookupError):  # a damaged row: it holds no other up
                self._known[turn] = None
        return self._known[turn]


def _ended_before(store: Store, sign: EditorSign) -> list[str]:
    """The turns of the completions that may be meant, newest first."""
    values = {"since": sign.ts - WITHIN, "until": sign.ts + 1.0, "most": MOST_COMPLETIONS}
    return [str(row["id"]) for row in store.rows(_ENDED, values)]


def _load(store: Store, turn: str) -> _Completion | None:
    """A completion. Raises ValueError, TypeError or LookupError if its row is damaged."""
    row = store.row(_COMPLETION, (turn,))
    if row is None:
        return None
    suffix = join_request(store.conn, row["request"], row["shape"]).get("suffix")
    gap = find_gap(row["prompt"]) or Gap(row["prompt"], suffix if isinstance(suffix, str) else "")
    *lines, lead = gap.prefix.split("\n")
    above = next((_hash(line.strip()) for line in reversed(lines) if line.strip()), None)
    return _Completion(turn, row["tip"], lead, above, row["answer"], bool(row["cancelled"]))


def _parts(completion: _Completion, sign: EditorSign) -> Iterator[tuple[int, str]]:
    """How many letters were typed, and the answer up to where it was taken, if they fit a sign."""
    answer, lead = completion.answer, completion.lead
    first = answer.split("\n", 1)[0]
    for typed in range(min(len(first), MOST_TYPED) + 1):
        if _hash(lead + answer[:typed]) != sign.lead:
            continue
        rest = answer[typed:]
        for bare in (rest, rest.lstrip()):  # some clients leave out the white space it begins with
            data = bare.encode("utf-8", "surrogatepass")[: sign.size]
            if len(data) == sign.size and hashlib.sha256(data).hexdigest() == sign.text:
                end = len(answer) - len(bare) + len(data.decode("utf-8", "replace"))
                yield typed, answer[:end]
                return


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _give(store: Store, sign: EditorSign, fit: _Fit, redactor: Redactor) -> bool:
    """Store what was seen with the turn's completion; whether that changed it.

    From then on it names the file, so that it is found there however short it is. One that its
    client stopped reading ends where it was taken.
    """
    (suggestion, *_) = suggestions_of(store, fit.completion.turn)
    seen = replace(suggestion, path=suggestion.path or sign.file)
    if fit.completion.cancelled and sign.said == "accepted" and suggestion.placed_at is None:
        seen = replace(seen, text=fit.taken, end=len(fit.taken))
    return update_suggestion(store, redactor.clean(with_word(seen, sign.said)))
