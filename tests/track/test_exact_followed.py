"""An edit that was placed exactly is its own lines, wherever they go: never the function around."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.tracked_code import World

BEFORE = textwrap.dedent('''\
    """A command line."""


    def load(path):
        with open(path) as file:
            return file.read()


    def parse(args, parser):
        """Take the arguments apart."""
        rest = []
        parser.prepare(args)
        for option in parser.options:
            value = option.consume(args)
            parser.values[option.name] = value
        if args and not parser.allow_extra:
            parser.fail("Got unexpected extra arguments", args)
        parser.args = rest
        return rest
    ''')
OLD = (
    "def parse(args, parser):\n"
    '    """Take the arguments apart."""\n'
    "    rest = []\n"
    "    parser.prepare(args)\n"
)
NEW = (
    "def parse(args, parser):\n"
    '    """Take the arguments apart; without any the help is shown, if it is wanted."""\n'
    "    if not args and parser.no_args_is_help and not parser.resilient:\n"
    "        raise NoArgsIsHelp(parser, parser.describe(), parser.command_path)\n"
    "    rest = list(reversed(args))\n"
    "    parser.prepare(args, strict=parser.strict, width=parser.width)\n"
)
AFTER = BEFORE.replace(OLD, NEW)


def edited(world: World, old: str = OLD, new: str = NEW, file: str = "cli.py") -> str:
    arguments = {"file_path": file, "old_string": old, "new_string": new}
    call = {"id": "toolu_1", "function": {"name": "Edit", "arguments": arguments}}
    more: dict[str, Any] = {"fenced": False, "answer_extra": {"tool_calls": [call]}}
    return world.ask("I edit it.", **more)


def committed(world: World) -> None:
    world.commit()


def renamed(world: World) -> None:
    world.commit()
    world.repo.git("mv", "cli.py", "main.py")
    world.commit("Move it")


def renamed_and_saved(world: World) -> None:
    (world.repo.root / "cli.py").unlink()
    world.save("main.py", AFTER)
    world.commit("Move it")


def undone_and_redone(world: World) -> None:
    world.save("cli.py", BEFORE)
    world.save("cli.py", AFTER)


def moved_down(world: World) -> None:
    world.save("cli.py", AFTER.replace("def load", "import sys\n\n\ndef load"))
    world.commit()


def squashed(world: World) -> None:
    base = world.repo.git("rev-parse", "HEAD")
    world.commit()
    world.repo.git("reset", "-q", "--soft", base)
    world.head_moved()
    world.commit("Squashed")


def reverted_twice(world: World) -> None:
    world.commit()
    for _ in range(2):
        world.repo.git("revert", "--no-edit", "HEAD")
        world.head_moved()


def unseen(world: World) -> None:
    """The next save comes when the text before it is not known any more."""
    world.save("cli.py", AFTER.replace("file.read()", "file.read().strip()"), restarted=True)


@pytest.mark.parametrize(
    "later",
    [
        committed,
        renamed,
        renamed_and_saved,
        undone_and_redone,
        moved_down,
        squashed,
        reverted_twice,
        unseen,
    ],
)
def test_an_edit_from_a_header_on_stays_its_own_lines(
    world: World, later: Callable[[World], None]
) -> None:
    world.begin("cli.py", BEFORE)
    turn = edited(world)
    world.save("cli.py", AFTER)
    later(world)
    world.work(3600)
    fate = world.fate(turn)
    assert (fate.region or "").split("\n") == NEW.rstrip("\n").split("\n")
    assert (fate.similarity, fate.fate) == (1.0, "kept")


def test_lines_below_that_are_like_the_next_ones_of_an_edit_are_not_of_it(world: World) -> None:
    before = "func a() {\n\tif x {\n\t\tone()\n\t}\n}\n\nfunc b() {\n\tif y {\n\t\ttwo()\n\t}\n}\n"
    old, new = "\t\tone()\n\t}\n", "\t\tif z {\n\t\t\tdone()\n\t\t}\n\t}\n"
    world.begin("a.go", before)
    turn = edited(world, old, new, "a.go")
    world.save("a.go", before.replace(old, new))
    world.commit()
    assert world.fate(turn).final_text == new
    assert world.fate(turn).fate == "kept"


def test_what_is_changed_in_an_edit_later_is_compared_without_the_rest_of_the_function(
    world: World,
) -> None:
    world.begin("cli.py", BEFORE)
    turn = edited(world)
    world.save("cli.py", AFTER)
    own = NEW.replace("reversed(args)", "args")
    world.save("cli.py", BEFORE.replace(OLD, own), after=60.0)
    world.commit()
    assert world.fate(turn).final_text == own
    assert world.fate(turn).fate == "edited"


def test_an_edit_that_only_takes_lines_out_is_kept_though_none_of_its_lines_is_new(
    world: World,
) -> None:
    one = "def {0}(x):\n    # Slowly.\n    wait(x)\n    return done(x)\n"
    before = "\n\n".join(one.format(name) for name in "abc")
    world.begin("waits.py", before)
    old = "def b(x):\n    # Slowly.\n    wait(x)\n    return done(x)\n"
    new = "def b(x):\n    return done(x)\n"
    turn = edited(world, old, new, "waits.py")
    after = before.replace(old, new)
    world.save("waits.py", after)
    assert world.fate(turn).state == "placed"
    world.save("waits.py", "import time\n\n\n" + after)
    world.save("waits.py", "import time\nimport os\n\n\n" + after)
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("kept", new)


def test_a_short_edit_that_only_takes_lines_out_is_kept_where_its_line_stands_twice(
    world: World,
) -> None:
    before = "def a(x):\n    return done(x)\n\n\ndef b(x):\n    wait(x)\n    return done(x)\n"
    world.begin("waits.py", before)
    old, new = "    wait(x)\n    return done(x)\n", "    return done(x)\n"
    turn = edited(world, old, new, "waits.py")
    after = before.replace(old, new)
    world.save("waits.py", after)
    assert world.fate(turn).state == "placed"
    world.save("waits.py", "import time\n\n\n" + after)
    world.commit()
    assert world.fate(turn).fate == "kept"


def test_an_edit_that_only_takes_lines_out_is_taken_back_with_them(world: World) -> None:
    before = "def a(x):\n    return done(x)\n\n\ndef b(x):\n    wait(x)\n    return done(x)\n"
    world.begin("waits.py", before)
    old, new = "    wait(x)\n    return done(x)\n", "    return done(x)\n"
    turn = edited(world, old, new, "waits.py")
    world.save("waits.py", before.replace(old, new))
    world.save("waits.py", before, after=60.0)
    world.work(3600)
    assert world.fate(turn).fate == "rejected"


def test_an_edit_of_a_comment_is_kept_where_that_comment_stands_twice(world: World) -> None:
    before = "# Fast.\ndef a(x):\n    return 1\n\n\n# Slow.\ndef b(x):\n    return 2\n"
    world.begin("waits.py", before)
    turn = edited(world, "# Slow.", "# Fast.", "waits.py")
    after = before.replace("# Slow.", "# Fast.")
    world.save("waits.py", after)
    world.save("waits.py", "import time\n\n\n" + after)
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("kept", "# Fast.")


WAITS = {
    "waits.py": (
        "def wait(x):\n    total = first(x)\n    sleep(total)\n    return done(total, x)\n",
        "def wait(x):\n    total = first(x)\n    pause(total, 2)\n    return done(total, x)\n",
    ),
    "waits.js": (
        "class A {\n  wait(x) {\n    const t = first(x);\n    return sleep(t, x, 1);\n  }\n}\n",
        "class A {\n  wait(x) {\n    const t = first(x);\n    return pause(t, x, 2);\n  }\n}\n",
    ),
}


@pytest.mark.parametrize("as_edit", [True, False])
@pytest.mark.parametrize("file", list(WAITS))
def test_a_whole_function_that_is_undone_is_not_found_under_its_name_again(
    world: World, file: str, as_edit: bool
) -> None:
    before, after = WAITS[file]
    world.begin(file, f"// Waits.\n\n{before}" if file.endswith("js") else f"x = 1\n\n\n{before}")
    text = (world.repo.root / file).read_text()
    old, new = (each.removeprefix("class A {\n").removesuffix("}\n}\n") for each in (before, after))
    old, new = (each + ("}\n" if file.endswith("js") else "") for each in (old, new))
    turn = edited(world, old, new, file) if as_edit else world.ask(new)
    world.save(file, text.replace(old, new))
    assert world.fate(turn).state == "placed"
    world.save(file, text, after=60.0)
    world.work(3600)
    assert world.fate(turn).fate == "rejected"
