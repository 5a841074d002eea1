"""A later answer that repeats what stands there, and brings more: both are taken."""

from __future__ import annotations

import pytest

from tests.support.tracked_code import AUTHORS, FILE, MARK, SUGGESTED, World

MODE = "def mode(values):\n    counts = Counter(values)\n    return counts.most_common(1)[0][0]\n"
BOTH = f"{SUGGESTED}\n\n{MODE}"


def written(world: World, content: str) -> str:
    arguments = {"path": "means.py", "content": content}
    calls = [{"id": f"call_{len(content)}", "function": {"name": "write", "arguments": arguments}}]
    turn = world.ask("I write it.", fenced=False, answer_extra={"tool_calls": calls})
    world.save("means.py", content)
    world.wait(30)
    return turn


def test_a_file_that_is_written_again_with_more_in_it(world: World) -> None:
    first, second = written(world, SUGGESTED), written(world, BOTH)
    world.commit()
    assert [world.fate(turn).fate for turn in (first, second)] == ["kept", "kept"]


def test_a_file_that_is_written_again_otherwise_takes_the_others_place(world: World) -> None:
    first, second = written(world, SUGGESTED), written(world, f"{AUTHORS}\n\n{MODE}")
    world.commit()
    assert [world.fate(turn).fate for turn in (first, second)] == ["superseded", "kept"]


def test_a_chats_whole_file_with_what_was_pasted_before(world: World) -> None:
    world.begin("stats.py", FILE)
    first = world.ask(SUGGESTED)
    with_it = FILE.replace(MARK, SUGGESTED)
    world.save("stats.py", with_it)
    world.wait(30)
    whole = f"{with_it}\n\n{MODE}"
    second = world.ask(whole)
    world.save("stats.py", whole)
    world.commit()
    assert [world.fate(turn).fate for turn in (first, second)] == ["kept", "kept"]


def test_what_the_person_made_of_it_stays_the_persons(world: World) -> None:
    first = written(world, SUGGESTED)
    mine = SUGGESTED.replace("total = total + value", "total += float(value or 0)")
    world.save("means.py", mine)
    world.wait(30)
    second = written(world, f"{mine}\n\n{MODE}")
    world.commit()
    assert [world.fate(turn).fate for turn in (first, second)] == ["edited", "kept"]


def test_the_same_answer_once_more_is_credited_once(world: World) -> None:
    first, second = written(world, SUGGESTED), written(world, SUGGESTED)
    world.save("means.py", f"{SUGGESTED}\n\n{MODE}")
    world.commit()
    assert world.fate(first).fate == "kept"
    assert world.fate(second).placed_at is None


@pytest.mark.parametrize("how", ["reset", "revert"])
def test_a_file_that_is_as_it_was_once_the_later_one_is_undone_by_git(
    world: World, how: str
) -> None:
    mended = SUGGESTED.replace("total = total + value", "total = total + float(value)")
    first = written(world, SUGGESTED)
    world.commit()
    second = written(world, f"{mended}\n\n{MODE}")
    world.commit()
    assert [world.fate(turn).fate for turn in (first, second)] == ["superseded", "kept"]
    if how == "reset":
        world.repo.git("reset", "-q", "--hard", "HEAD~1")
    else:
        world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    assert [world.fate(turn).fate for turn in (first, second)] == ["kept", "rejected"]
