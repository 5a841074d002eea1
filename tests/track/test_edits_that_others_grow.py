"""An edit whose lines stand is taken, whatever later edits put between and around them."""

from __future__ import annotations

from tests.support.tracked_code import World

BEFORE = "from os import (\n    getcwd,\n    path,\n)\n\nLIMIT = 5\n"
OLD, NEW = "    path,\n)\n", "    path,\n    walk,\n)\n"
MORE = "".join(f"    {name},  # for later\n" for name in ("scandir", "stat", "unlink", "utime"))


def imported(world: World) -> str:
    world.begin("tree.py", BEFORE)
    arguments = {"file_path": "tree.py", "old_string": OLD, "new_string": NEW}
    calls = [{"id": "toolu_1", "function": {"name": "Edit", "arguments": arguments}}]
    turn = world.ask("I edit it.", fenced=False, answer_extra={"tool_calls": calls})
    world.save("tree.py", BEFORE.replace(OLD, NEW))
    return turn


def test_lines_of_others_between_its_own_are_no_rejection(world: World) -> None:
    turn = imported(world)
    grown = BEFORE.replace(OLD, NEW).replace("    walk,\n", f"    walk,\n{MORE}")
    world.save("tree.py", grown, after=400)
    world.commit()
    assert world.fate(turn).inferred in ("kept", "edited")


def test_what_it_only_repeated_may_be_changed(world: World) -> None:
    turn = imported(world)
    changed = BEFORE.replace(OLD, NEW).replace("    path,\n", "    path as place_of_a_file,\n")
    changed = changed.replace("    walk,\n", f"    walk,\n{MORE}")
    world.save("tree.py", changed, after=400)
    world.commit()
    assert world.fate(turn).inferred in ("kept", "edited")


def test_without_the_line_that_it_brought_it_is_rejected(world: World) -> None:
    turn = imported(world)
    world.save("tree.py", BEFORE.replace(OLD, f"    path,\n{MORE})\n"), after=400)
    world.commit()
    assert world.fate(turn).inferred == "rejected"
