"""The looks that the gate took, as the store knows them from the cycles' events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from qi_learn import codec
from qi_learn.gate.ledger import next_look
from qi_learn.records import Event, Release, Verdict
from qi_learn.store import runs, turns
from qi_learn.store.database import Store
from qi_learn.store.looks import past_looks
from qi_learn.store.releases import apply_release
from tests.support.redacted import as_redacted
from tests.support.stored_turns import a_turn


def verdict(live: str, *, ships: bool = False, **numbers: float) -> Verdict:
    return Verdict(ships, (), (), "none", "nothing", 1.0, live, numbers, ("more sessions",))


def tell(store: Store, run: str, ts: float, **body: object) -> None:
    event = Event(f"E{run}{ts}", "cycle", ts, "cycle", {"run": run, **codec.plain(body)})
    runs.apply_cycle(store, as_redacted(event))


def looked(
    store: Store, run: str, ts: float, given: Verdict | None, examples: Mapping[str, str]
) -> None:
    split = [{"turn": t, "hash": t, "split": s} for t, s in examples.items()]
    tell(store, run, ts, state="snapshotted", started=ts, examples=split)
    if given is not None:
        tell(store, run, ts + 1, state="gated", verdict=given)


def test_every_verdict_is_a_look_at_the_gate_set_of_its_cycle(store: Store) -> None:
    for name in ("T1", "T2", "T3"):
        turns.save_turn(store, as_redacted(a_turn(name, session=f"of {name}")))
    looked(store, "R2", 20.0, verdict("1.0.0", e_value=2.0), {"T1": "train", "T2": "gate"})
    looked(store, "R1", 10.0, verdict("1.0.0"), {"T3": "gate", "T2": "gate", "T1": "dev"})
    looked(store, "R3", 30.0, None, {"T1": "gate"})
    first, second = past_looks(store)
    assert sorted(first.examples) == ["T2", "T3"]
    assert second.examples == ("T2",)
    assert second.sessions == ("of T2",)
    assert second.verdict == verdict("1.0.0", e_value=2.0)


def test_a_verdict_that_another_versions_switch_overtook_stays_a_look(store: Store) -> None:
    turns.save_turn(store, as_redacted(a_turn("T1")))
    overtaken, last = verdict("1.0.0", ships=True, look=1.0), verdict("1.1.0", look=1.0)
    looked(store, "R1", 10.0, overtaken, {"T1": "gate"})
    tell(store, "R1", 12.0, state="gated", verdict=replace(last, earlier=(overtaken,)))
    looks = past_looks(store)
    assert [look.verdict for look in looks] == [overtaken, last]
    assert {look.examples for look in looks} == {("T1",)}
    assert [next_look(looks, live).number for live in ("1.0.0", "1.1.0", "1.2.0")] == [2, 2, 1]


def test_a_cycle_that_goes_on_does_not_look_twice(store: Store) -> None:
    looked(store, "R1", 10.0, verdict("1.0.0"), {})
    looked(store, "R2", 20.0, verdict("1.0.0", ships=True), {})
    assert [look.verdict.ships for look in past_looks(store, but="R2")] == [False]
    assert past_looks(store, but="R9") == past_looks(store)


def test_a_look_says_to_which_version_it_led(store: Store) -> None:
    """Of several verdicts of one cycle the last one did: what was overtaken led nowhere."""
    overtaken, last = verdict("1.0.0", ships=True), verdict("1.1.0", ships=True)
    looked(store, "R1", 10.0, overtaken, {})
    tell(store, "R1", 12.0, state="gated", verdict=replace(last, earlier=(overtaken,)))
    looked(store, "R2", 20.0, verdict("1.2.0"), {})
    release = Release("1.2.0", "q:1.2.0", "0" * 64, 13.0, "1" * 64, parent="1.1.0", run_id="R1")
    body = {"action": "released", "release": codec.plain(release), "alias": "q"}
    apply_release(store, as_redacted(Event("E1", "release", 13.0, "cycle", body)))
    assert [look.version for look in past_looks(store)] == ["", "1.2.0", ""]
