"""An agent's later edit takes an earlier one away: superseded; a person does: rejected."""

from __future__ import annotations

import pytest

from tests.support.tracked_code import World
from tests.track.test_exact_followed import BEFORE, NEW, OLD, edited
from tests.track.test_removals import CHECK

NEXT = "    parser.args = rest\n"
EDITS = pytest.mark.parametrize(
    ("old", "new", "back"),
    [
        (OLD, NEW, (NEW, OLD)),
        (CHECK, "", (NEXT, CHECK + NEXT)),
        (OLD, NEW, None),
        (CHECK, "", None),
    ],
    ids=["edit", "removal", "edit, whole file", "removal, whole file"],
)


def _begun(world: World, old: str, new: str) -> str:
    world.begin("cli.py", BEFORE)
    turn = edited(world, old, new)
    world.save("cli.py", BEFORE.replace(old, new))
    world.now += 20
    return turn


@EDITS
def test_what_a_later_answer_takes_back_is_superseded(
    world: World, old: str, new: str, back: tuple[str, str] | None
) -> None:
    first = _begun(world, old, new)
    if back is None:
        arguments = {"file_path": "cli.py", "content": BEFORE}
        call = {"id": "toolu_2", "function": {"name": "Write", "arguments": arguments}}
        second = world.ask("So.", fenced=False, answer_extra={"tool_calls": [call]})
    else:
        second = edited(world, *back)
    world.save("cli.py", BEFORE)
    world.wait(700)
    assert (world.fate(first).fate, world.fate(second).fate) == ("superseded", "kept")
    world.commit()
    world.wait(700)
    assert (world.fate(first).fate, world.fate(second).fate) == ("superseded", "kept")
    assert world.feedback(first).accepted is None


@EDITS
def test_what_the_person_takes_back_is_rejected(
    world: World, old: str, new: str, back: tuple[str, str] | None
) -> None:
    first = _begun(world, old, new)
    world.save("cli.py", BEFORE)
    world.wait(700)
    assert world.fate(first).fate == "rejected"


def test_what_an_answer_about_another_place_is_saved_with_is_rejected(world: World) -> None:
    first = _begun(world, OLD, NEW)
    other = edited(world, "        return file.read()\n", "        return file.read().strip()\n")
    world.save("cli.py", BEFORE.replace("file.read()", "file.read().strip()"))
    world.wait(700)
    assert (world.fate(first).fate, world.fate(other).fate) == ("rejected", "kept")
