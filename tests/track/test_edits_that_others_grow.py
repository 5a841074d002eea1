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


CALLED = (
    "def adapter(self, request):\n    if request is None:\n        return None\n"
    "    if not self.matching:\n        subdomain = self.map.default or None\n"
    "    else:\n        subdomain = None\n\n    print(self.server, subdomain)\n"
    "    return self.map.bind(request.environ, subdomain=subdomain)\n"
)
BOUND = "    return self.map.bind("
PRINTED = f"    print(self.server, subdomain)\n{BOUND}"
REWRITTEN = (
    "def adapter(self, request):\n    if request is None:\n        return None\n"
    "    if (trusted := self.trusted) is not None:\n        request.trusted = trusted\n"
    "    request.host = host_of(request.environ, request.trusted)\n    server = self.server\n"
    "    return self.map.bind(request.environ, server=server, subdomain=None)\n"
)


def without_the_print(world: World) -> str:
    world.begin("routes.py", CALLED)
    arguments = {"file_path": "routes.py", "old_string": PRINTED, "new_string": BOUND}
    calls = [{"id": "toolu_1", "function": {"name": "Edit", "arguments": arguments}}]
    turn = world.ask("I edit it.", fenced=False, answer_extra={"tool_calls": calls})
    world.save("routes.py", CALLED.replace(PRINTED, BOUND))
    world.commit()
    return turn


def test_a_line_that_was_taken_out_stays_out_whatever_is_written_around_it(world: World) -> None:
    turn = without_the_print(world)
    world.save("routes.py", REWRITTEN, after=400)
    world.commit()
    assert world.fate(turn).inferred in ("kept", "edited")


def test_a_line_that_was_taken_out_and_is_back_is_a_rejection(world: World) -> None:
    turn = without_the_print(world)
    world.save("routes.py", CALLED, after=400)
    world.commit()
    assert world.fate(turn).inferred == "rejected"
