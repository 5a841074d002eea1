"""What was declined is rejected, unless the same was taken after all."""

from __future__ import annotations

from qi_learn.edits.results import word_of
from qi_learn.store.client_words import keep_word
from qi_learn.store.own_redactor import redactor_of
from tests.support.tracked_code import FILE, World

OLD = "    ordered = sorted(values)\n    return ordered[len(ordered) // 2]\n"
NEW = (
    "    ordered = sorted(values)\n    middle = len(ordered) // 2\n"
    "    if len(ordered) % 2:\n        return ordered[middle]\n"
    "    return (ordered[middle - 1] + ordered[middle]) / 2\n"
)
OTHER = "    return statistics.median(float(value) for value in values if value is not None)\n"


def edit(world: World, new: str, *, call: str = "toolu_1") -> str:
    arguments = {"file_path": "stats.py", "old_string": OLD, "new_string": new}
    calls = [{"id": call, "function": {"name": "Edit", "arguments": arguments}}]
    return world.ask("I edit it.", fenced=False, answer_extra={"tool_calls": calls})


def decline(world: World, turn: str) -> None:
    assert keep_word(world.store, world.fate(turn), "declined", redactor_of(world.store))
    assert world.fate(turn).inferred == "rejected"


def test_it_stays_rejected_if_nothing_comes(world: World) -> None:
    turn = edit(world, NEW)
    decline(world, turn)
    world.save("stats.py", FILE + "\n\nMOST = 5\n")
    world.work(2400)
    assert world.fate(turn).inferred == "rejected"


def test_the_same_text_typed_by_hand_is_kept(world: World) -> None:
    turn = edit(world, NEW)
    decline(world, turn)
    world.save("stats.py", FILE.replace(OLD, NEW))
    world.wait(700)
    assert world.fate(turn).inferred == "kept"


def test_the_same_text_asked_for_once_more_supersedes_it(world: World) -> None:
    first = edit(world, NEW)
    decline(world, first)
    again = edit(world, NEW, call="toolu_2")
    world.save("stats.py", FILE.replace(OLD, NEW))
    world.work(2400)
    assert (world.fate(first).inferred, world.fate(again).inferred) == ("superseded", "kept")


def test_another_text_in_its_place_leaves_it_rejected(world: World) -> None:
    first = edit(world, NEW)
    decline(world, first)
    again = edit(world, OTHER, call="toolu_2")
    world.save("stats.py", FILE.replace(OLD, OTHER))
    world.work(2400)
    assert (world.fate(first).inferred, world.fate(again).inferred) == ("rejected", "kept")


def test_what_was_typed_and_changed_again_is_rejected(world: World) -> None:
    turn = edit(world, NEW)
    decline(world, turn)
    world.save("stats.py", FILE.replace(OLD, NEW))
    world.save("stats.py", FILE.replace(OLD, OTHER), after=60)
    world.wait(700)
    assert world.fate(turn).inferred == "rejected"


def test_calls_that_stood_behind_a_refused_one_were_not_declined() -> None:
    told = "The user doesn't want to take this action right now. STOP what you are doing."
    assert word_of(told) == "failed"
    assert word_of("The user doesn't want to proceed with this tool use.") == "declined"
