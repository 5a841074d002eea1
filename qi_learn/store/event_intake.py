"""One event into the store: the rows that its kind prescribes, without secrets, once.

The invariant: what is of something forgotten, or was seen in a pause, leaves no row but its id. A
rating of a turn that is not there yet is kept, and given to the turn when it comes (`ingest`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from qi_learn import codec
from qi_learn.records import Became, CommandResult, Event, Suggestion, Turn
from qi_learn.storable import storable_value
from qi_learn.store import monitored
from qi_learn.store.client_words import Hear, hear
from qi_learn.store.command_results import save_command
from qi_learn.store.command_times import last_calls, since_called
from qi_learn.store.database import Store
from qi_learn.store.editor_signs import EditorSigns, editor_sign, is_of_editor
from qi_learn.store.events import drop_turn_event, save_event
from qi_learn.store.expiry import mark_textless
from qi_learn.store.feedback import save_suggestions
from qi_learn.store.known_chains import KnownChains
from qi_learn.store.outcome_evidence import mark_joined
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.ratings import drop_ratings_of, keep_rating, match_rating
from qi_learn.store.releases import apply_release
from qi_learn.store.reply_turns import note_reply
from qi_learn.store.returning import JOINED, became_of, keep_became, of_turn, rating_event
from qi_learn.store.runs import apply_cycle
from qi_learn.store.sessions import session_of
from qi_learn.store.spool_positions import SpoolFiles
from qi_learn.store.tombstones import Tombstones
from qi_learn.store.tool_signs import apply_sign, without_text
from qi_learn.store.turns import is_another, save_messages, save_turn

TIDY_SECONDS = 60.0
"""Seconds between two looks at what has grown old."""
_SEEN_BESIDE = ("outcome", "git", "hook", "edit")
"""Kinds of events that tell what a person did: those of a pause are not kept."""
Decode = Callable[[Event], Turn]
Suggest = Callable[[Turn], tuple[Suggestion, ...]]
Outcomes = Callable[[Event], tuple[Event, ...]]
Ran = Callable[[Turn], tuple[CommandResult, ...]]


class DrainMemory:
    """What one drain leaves to the next: it only saves work, and may be lost at any time."""

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        paused: Callable[[float, float], bool] = lambda _first, _last: False,
    ) -> None:
        """`paused`: whether recording was paused in a part of a time."""
        self.paused = paused
        self.redactor = redactor_of(store)
        self.chains = KnownChains(self.redactor)
        self.files = SpoolFiles(monotonic)
        self.tombstones = Tombstones(store)
        self.signs = EditorSigns()
        self._monotonic = monotonic
        self._tidied = float("-inf")

    def time_to_tidy(self) -> bool:
        """Whether it is `TIDY_SECONDS` since this was last true."""
        now = self._monotonic()
        if now - self._tidied < TIDY_SECONDS:
            return False
        self._tidied = now
        return True


@dataclass(slots=True)
class EventIntake:
    """What storing a line needs, and the counts of what was stored."""

    store: Store
    memory: DrainMemory
    decode: Decode
    suggest: Suggest
    say: Hear
    outcomes: Outcomes
    ran: Ran
    now: float
    known: int
    """How many turns there were before."""
    count: int = 0
    bad: int = 0
    repeated: int = 0
    forgotten: int = 0
    turns: list[str] = field(default_factory=list)


def take_event(intake: EventIntake, event: Event) -> None:
    """Store an event, if it is new.

    Raises ValueError, or what a decoder or a statement raises, if it is not of its form.
    """
    if intake.memory.tombstones.takes(event):
        return
    if event.kind in _SEEN_BESIDE and intake.memory.paused(event.began, event.ts):
        return
    store = intake.store
    event = replace(event, project=storable_value(event.project))
    turn = became = seen = None
    if is_of_editor(event):
        if intake.memory.paused(event.ts, event.ts):
            return
        seen = editor_sign(event)
    if event.kind == "turn":
        turn, became = intake.decode(event), became_of(event)
        event = replace(event, body={})
    if forgotten := intake.memory.tombstones.holds_event(event):
        event = replace(event, body={}, project=None)
    clean, kept = intake.memory.redactor.clean(event), _kept(event)
    row = clean if kept is event else intake.memory.redactor.clean(kept)
    if not save_event(store, row, taken=intake.now):
        if turn is not None and is_another(store, turn):
            raise ValueError(f"the id {turn.id} was used for another turn before")
        intake.repeated += 1
        return
    if forgotten:
        intake.forgotten += 1
    elif turn is not None:
        _take_turn(intake, turn, became)
    elif event.kind == "rating":
        keep_rating(store, clean, known=intake.known)
    elif event.kind == "outcome":
        save_command(store, intake.memory.redactor.clean(_command(store, event)))
        if event.body.get(JOINED) is True:
            mark_joined(store, [event.id])
    elif event.kind == "cycle":
        apply_cycle(store, clean)
    elif event.kind == "release" and event.body.get("action") == monitored.ACTION:
        monitored.apply_monitored(store, clean)
    elif event.kind == "release":
        apply_release(store, clean)
    elif seen is not None:
        intake.memory.signs.add(event.id, seen)
    elif event.kind == "sign":
        apply_sign(store, clean, intake.memory.redactor)
    intake.count += 1  # git, hook and edit events are kept as they came


def _kept(event: Event) -> Event:
    """The event as its row has it: without what is needed only until it is joined or counted."""
    if event.kind == "release" and event.body.get("action") == monitored.ACTION:
        event = replace(event, body={k: v for k, v in event.body.items() if k != monitored.ACTION})
    if "covered" in event.body:
        event = replace(event, body={k: v for k, v in event.body.items() if k != "covered"})
    return without_text(event)


def _take_turn(intake: EventIntake, decoded: Turn, became: Became | None) -> None:
    store, redactor = intake.store, intake.memory.redactor
    clean = intake.memory.chains.redacted(store, decoded)
    turn = clean.turn.value
    tombstones = intake.memory.tombstones
    again = tombstones.sends_left_out(decoded, clean.known[0])
    if again or tombstones.holds_turn(turn, clean.came, *clean.known):
        intake.forgotten += 1
        drop_turn_event(store, turn.id, sent_again=again)
        drop_ratings_of(store, turn.id)
        return
    marks = tombstones.marks_of(clean.came, clean.known[0])
    known = save_messages(store, clean.turn, known=clean.known, marks=marks)
    told = None if became is None else turn.session
    session = redactor.clean(told or session_of(store, turn, known[1]))
    whole = clean.turn.having(session=session)
    changed = clean.changed or (became is not None and became.redacted)
    if not save_turn(store, whole, redacted=changed, known=known, marks=marks):
        return
    if not (turn.messages or turn.answer):
        mark_textless(store, turn.id, intake.now)
    intake.turns.append(turn.id)
    if became is None or not became.suggestions:
        save_suggestions(store, redactor.clean(intake.suggest(turn)))
    if became is None:
        hear(store, whole.value, intake.say, redactor)
    note_reply(store, whole.value, known[1])
    calls = last_calls(turn)
    ran = [since_called(store, command, calls) for command in intake.ran(turn)]
    for command in ran:
        save_command(store, redactor.clean(command))
    if became is not None:
        mark_joined(store, [command.id for command in ran])
        _take_what_became(intake, turn, of_turn(became, turn.id, turn.project))


def _take_what_became(intake: EventIntake, turn: Turn, became: Became) -> None:
    """Store what came back with a turn; its score last, as all else marks the turn."""
    store, clean = intake.store, intake.memory.redactor.clean(became)
    save_suggestions(store, clean.part("suggestions"))
    for given in became.ratings:
        take_event(intake, rating_event(turn.id, given, "import-jsonl"))
        match_rating(store, given.id)
    keep_became(store, turn.id, clean)


def _command(store: Store, event: Event) -> CommandResult:
    names = (
        *("kind", "command", "exit_code", "seconds", "failed", "passed", "commit", "value"),
        *("cwd", "interrupted", "tests", "loaded", "failing", "covered"),
    )
    fields = {name: event.body[name] for name in names if name in event.body}
    named = {"id": event.id, "ts": event.ts, "project": event.project or ""}
    command = codec.build(CommandResult, {**named, **fields})
    if "call" not in event.body or command.seconds > 0:
        return command
    call = event.body["call"]
    return since_called(store, command, [call] if isinstance(call, str) and call else ())
