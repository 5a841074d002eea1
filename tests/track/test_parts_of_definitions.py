"""An answer that is a part of a function stays that part: what stood there was not suggested."""

from __future__ import annotations

import textwrap

import pytest

from tests.support.tracked_code import World

BEFORE = textwrap.dedent('''\
    """Files that are sent."""

    import os


    def send(path, name, kind=None):
        """Send a file to whoever asked for it."""
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            while chunk := file.read(65536):
                yield chunk
        log("%s was sent: %d bytes of %s", name, size, kind or "some kind")
        forget(path, after=size)


    class Queue:
        """What waits."""

        def __init__(self, most):
            self.most = most
            self.items = []

        def put(self, item):
            """Let one more wait, if there is room."""
            if len(self.items) >= self.most:
                raise Full(self.most, item)
            self.items.append(item)
    ''')
SIGNATURE = (
    "def send(\n    path: os.PathLike[str] | str | BinaryIO,\n    name: str | None,\n"
    "    kind: str | None = None,\n) -> Iterator[bytes]:\n"
)
HEAD = (
    "class Queue(Waiting[Item], Sized, Iterable[Item]):\n"
    '    """What waits, oldest first, and is as long as that."""\n'
)
WITH_SIGNATURE = BEFORE.replace("def send(path, name, kind=None):\n", SIGNATURE)
WITH_HEAD = BEFORE.replace('class Queue:\n    """What waits."""\n', HEAD)
BOTH = pytest.mark.parametrize(
    ("part", "after"), [(SIGNATURE, WITH_SIGNATURE), (HEAD, WITH_HEAD)], ids=["signature", "head"]
)


def taken(world: World, part: str, after: str) -> str:
    """The turn of a part that was put into its place."""
    world.begin("send.py", BEFORE)
    turn = world.ask(part)
    world.save("send.py", after)
    assert world.fate(turn).region == part.rstrip("\n")
    return turn


@BOTH
def test_it_is_kept_when_it_is_committed(world: World, part: str, after: str) -> None:
    turn = taken(world, part, after)
    world.commit()
    assert (world.fate(turn).inferred, world.fate(turn).final_text) == ("kept", part)


@BOTH
def test_it_is_kept_when_something_else_of_the_file_changes(
    world: World, part: str, after: str
) -> None:
    turn = taken(world, part, after)
    world.save("send.py", f"# ours\n{after}\n\nMOST = 5\n")
    world.save("send.py", f"# ours\n{after}\n\nMOST = 6\n", restarted=True)
    world.wait(700)
    assert (world.fate(turn).inferred, world.fate(turn).final_text) == ("kept", part)


@BOTH
def test_it_is_taken_when_the_line_behind_it_is_changed(
    world: World, part: str, after: str
) -> None:
    turn = taken(world, part, after)
    changed = after.replace('    """Send a file to whoever', '    """Send one file to whoever')
    changed = changed.replace("def __init__(self, most):", "def __init__(self, most: int) -> None:")
    world.save("send.py", changed)
    world.commit()
    assert world.fate(turn).inferred in ("kept", "edited")


def test_what_is_typed_on_behind_a_beginning_belongs_to_it(world: World) -> None:
    world.begin("send.py", BEFORE)
    begun = "def forget(path, after):\n    if after > LIMIT and path.exists():\n"
    turn = world.ask(begun, closed=False)
    world.save("send.py", f"{BEFORE}\n\n{begun}")
    whole = f"{begun}        path.unlink()\n    return after\n"
    world.save("send.py", f"{BEFORE}\n\n{whole}")
    world.commit()
    assert world.fate(turn).final_text == whole
