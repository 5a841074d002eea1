"""What a version is worth after it shipped: sessions are counted once, and what goes leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from qi_learn import codec
from qi_learn.e_process import ENOUGH, e_process, session_difference
from qi_learn.records import (
    Event,
    Message,
    Monitored,
    MonitoredSession,
    MonitoredText,
    Score,
    Turn,
    VersionPair,
)
from qi_learn.spool import Spool
from qi_learn.store import feedback
from qi_learn.store.candidates import JudgedTurn, save_candidates
from qi_learn.store.database import Store
from qi_learn.store.events import events_of
from qi_learn.store.expiry import expire_texts
from qi_learn.store.forget import HANGING, forget_turns, keep_from_learning
from qi_learn.store.monitored import (
    DueSession,
    apply_monitored,
    due_sessions,
    list_monitored,
    load_monitored,
    went_live,
)
from qi_learn.store.releases import apply_release
from qi_learn.store.runs import apply_cycle
from qi_learn.store.tombstones import Tombstones
from qi_learn.store.turns import save_turn
from tests.support.drained_spool import take
from tests.support.redacted import as_redacted

PAIR = VersionPair("E9", "1.2.0", "1.1.0", 1000.0)
LATER = 9000.0


def kept(
    store: Store, id: str, session: str, at: float, *, key: str = "", own: bool = True
) -> None:
    """A turn over the threshold, with text of the person's own or without."""
    said = (Message("user", f"q{id}"),)
    turn = Turn(id, "/api/chat", "m", "m", said, f"a{id}", at, at + 1, session=session)
    save_turn(store, as_redacted(turn))
    feedback.save_score(store, as_redacted(Score(id, 0.6, 0.5, 0.9, "x")))
    save_candidates(store, [JudgedTurn(id, key or id, "", session, 0.9, at, own)])


def due(store: Store, pair: VersionPair = PAIR, before: float = LATER, **more: Any) -> list[str]:
    given = {"threshold": 0.7, "learned_runs": (), **more}
    return [each.session for each in due_sessions(store, pair, before=before, **given)]


def tell(
    store: Store,
    session: str,
    texts: Mapping[str, tuple[int, float, float]],
    *,
    pair: VersionPair = PAIR,
    at: float = 2000.0,
    read: int = 100,
) -> None:
    """Report a session: of each turn the tokens, and the NLL under both."""
    apply_monitored(store, as_redacted(report(session, texts, pair=pair, at=at, read=read)))


def report(
    session: str,
    texts: Mapping[str, tuple[int, float, float]],
    *,
    pair: VersionPair = PAIR,
    at: float = 2000.0,
    read: int = 100,
) -> Event:
    told = MonitoredSession(
        pair,
        session,
        tuple(MonitoredText(turn, *numbers) for turn, numbers in texts.items()),
        1.1,
        1.0,
        read,
    )
    body = {"action": "monitored", "version": pair.live, "monitored": codec.plain(told)}
    return Event(f"E{session}{at}", "release", at, "cycle", body)


def known(store: Store, pair: VersionPair = PAIR) -> Monitored:
    found = load_monitored(store, pair.id)
    assert found is not None
    return found


def test_sessions_that_are_over_are_due_oldest_first(store: Store) -> None:
    kept(store, "T1", "before", 900.0)
    kept(store, "T2", "b", 1200.0)
    kept(store, "T3", "a", 1100.0)
    kept(store, "T4", "b", 1300.0)
    kept(store, "T5", "new", 8999.5)
    assert due_sessions(store, PAIR, threshold=0.7, learned_runs=(), before=LATER) == (
        DueSession("a", ("T3",)),
        DueSession("b", ("T2", "T4")),
    )
    assert due(store, before=LATER + 10) == ["a", "b", "new"]
    assert due(store, threshold=0.95) == []


def test_what_the_person_did_not_write_and_what_was_learned_is_not_due(store: Store) -> None:
    kept(store, "T1", "a", 1100.0, own=False)
    kept(store, "T2", "b", 1200.0, key="same")
    kept(store, "T3", "c", 1300.0, key="same")
    kept(store, "T4", "d", 1400.0)
    assert due(store) == ["b", "d"]
    examples = [{"turn": "T2", "hash": "h", "split": "gate"}]
    body = {"run": "R1", "state": "snapshotted", "examples": examples}
    apply_cycle(store, as_redacted(Event("E1", "cycle", 1.0, "cycle", body)))
    assert due(store, learned_runs=("R1",)) == ["d"]  # what says the same was learned with it


def test_a_session_is_counted_once(store: Store) -> None:
    kept(store, "T1", "a", 1100.0)
    tell(store, "a", {"T1": (100, 130.0, 100.0)})
    once = known(store)
    kept(store, "T2", "a", 1200.0)  # it was gone on with
    assert due(store) == []
    tell(store, "a", {"T1": (100, 130.0, 100.0), "T2": (100, 900.0, 0.0)}, at=3000.0, read=7)
    again = known(store)
    assert (again.worse, again.texts, again.tokens) == (once.worse, 1, 100)
    assert (once.tokens_read, again.tokens_read) == (100, 107)  # what was read was read


def test_the_evidence_is_that_of_the_sessions_in_the_order_in_which_they_were_counted(
    store: Store,
) -> None:
    said = []
    for n in range(30):
        kept(store, f"T{n}", f"s{n}", 1100.0 + n)
        tell(store, f"s{n}", {f"T{n}": (300, 60.0, 0.0)}, at=2000.0 + n)
        said.append(session_difference([0.2], [300]))
    found = known(store)
    assert (found.sessions, found.texts, found.tokens) == (30, 30, 9000)
    assert found.difference == pytest.approx(0.2)
    worse, better = e_process(said), e_process(-each for each in said)
    assert (found.worse, found.worse_highest) == (worse.now, worse.highest)
    assert (found.better, found.better_highest) == (better.now, better.highest)
    assert found.worse > ENOUGH > 1 > found.better
    assert (found.live_temperature, found.previous_temperature) == (1.1, 1.0)
    assert list_monitored(store, "1.2.0") == [found]
    assert list_monitored(store, "1.1.0") == []


def test_a_text_that_could_not_be_read_is_done_with_and_says_nothing(store: Store) -> None:
    kept(store, "T1", "a", 1100.0)
    tell(store, "a", {"T1": (0, 0.0, 0.0)})
    found = known(store)
    assert (found.sessions, found.texts, found.worse, found.difference) == (0, 0, 1.0, None)
    assert due(store) == []


def test_another_pair_begins_anew(store: Store) -> None:
    kept(store, "T1", "a", 1100.0)
    kept(store, "T2", "b", 5100.0)
    tell(store, "a", {"T1": (100, 130.0, 100.0)})
    back = VersionPair("E10", "1.1.0", "1.0.0", 5000.0)
    assert due(store, back) == ["b"]
    tell(store, "b", {"T2": (100, 100.0, 130.0)}, pair=back)
    assert known(store).worse > 1 > known(store).better
    assert known(store, back).better > 1 > known(store, back).worse


def test_a_pair_begins_when_its_version_went_live_last(store: Store) -> None:
    assert went_live(store, "1.1.0") is None
    for n, (action, version) in enumerate(
        [("base", "1.0.0"), ("released", "1.1.0"), ("released", "1.2.0"), ("retired", "1.1.0")]
    ):
        body = {"action": action, "version": version, "alias": "a"}
        apply_release(store, as_redacted(Event(f"E{n}", "release", 10.0 * n, "cycle", body)))
    assert went_live(store, "1.1.0") == ("E1", 10.0)
    body = {"action": "rolled_back", "version": "1.1.0", "from": "1.2.0"}
    apply_release(store, as_redacted(Event("E8", "release", 80.0, "cli", body)))
    assert went_live(store, "1.1.0") == ("E8", 80.0)
    assert went_live(store, "1.0.0") is None  # live since the beginning: nothing was before it


# --- what goes ------------------------------------------------------------------------------------


def test_a_forgotten_turn_leaves_the_evidence(store: Store) -> None:
    for n, session in enumerate("aab"):
        kept(store, f"T{n}", session, 1100.0 + n)
    tell(store, "a", {"T0": (100, 10.0, 90.0)})
    alone = known(store)
    tell(store, "b", {"T2": (100, 300.0, 90.0)}, at=3000.0)
    assert known(store).worse > alone.worse
    forget_turns(store, Tombstones(store, b"k" * 32), ["T2"], set(), 5.0)
    left = known(store)
    assert (left.worse, left.better, left.sessions) == (alone.worse, alone.better, 1)
    assert left.tokens_read == 200
    assert "monitored_texts" in HANGING  # it is told in the receipt


def test_so_does_one_that_is_never_to_be_learned_from(store: Store) -> None:
    kept(store, "T1", "a", 1100.0)
    tell(store, "a", {"T1": (100, 300.0, 90.0)})
    keep_from_learning(store, ["T1"])
    assert (known(store).sessions, known(store).worse) == (0, 1.0)
    assert due(store) == []
    tell(store, "a", {"T1": (100, 300.0, 90.0)}, at=3000.0)
    assert known(store).sessions == 0


def test_what_was_being_measured_while_it_was_forgotten_does_not_come_back(store: Store) -> None:
    kept(store, "T1", "a", 1100.0)
    kept(store, "T2", "a", 1101.0)
    forget_turns(store, Tombstones(store, b"k" * 32), ["T1"], set(), 5.0)
    tell(store, "a", {"T1": (100, 300.0, 90.0), "T2": (100, 90.0, 90.0)})
    assert known(store).texts == 1
    assert [dict(r)["turn_id"] for r in store.rows("SELECT turn_id FROM monitored_texts")] == ["T2"]


def test_texts_that_expire_leave_the_numbers(store: Store) -> None:
    kept(store, "T1", "a", 1100.0)
    tell(store, "a", {"T1": (100, 300.0, 90.0)})
    before = known(store)
    expire_texts(store, ["T1"], LATER)
    assert known(store) == before
    assert due(store) == []


def test_it_comes_through_the_spool_and_leaves_no_turn_in_its_event(
    store: Store, spool: Spool, spool_dir: Any
) -> None:
    kept(store, "T1", "a", 1100.0)
    for _ in range(2):
        spool.append("release", report("a", {"T1": (100, 300.0, 90.0)}).body)
    spool.append("release", {"action": "monitored", "version": "1.2.0", "monitored": {}})
    spool.close()
    drained = take(store, spool_dir)
    assert known(store).sessions == 1
    assert drained.bad == 1
    assert [e.body for e in events_of(store, "release")] == [
        {"action": "monitored", "version": "1.2.0"}
    ] * 2
