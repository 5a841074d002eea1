"""Which lines of saved files a suggestion is found in, and which are not taken for it."""

from __future__ import annotations

from qi_learn.store import feedback, turns
from tests.support.tracked_code import FILE, SUGGESTED, World, with_mean


def test_found_within_much_more_that_was_added(world: World) -> None:
    turn = world.ask(SUGGESTED)
    more = "".join(
        f"def other_{n}(x):\n    return [x + {n} for _ in range({n})]\n\n\n" for n in range(40)
    )
    world.save(
        "stats.py",
        FILE
        + more
        + SUGGESTED.replace("total", "subtotal", 1)
        + "\n\n"
        + more.replace("other", "further"),
    )
    placed = world.fate(turn)
    assert (placed.state, placed.name, placed.match_method) == ("placed", "mean", "tokens")
    assert placed.match_confidence is not None
    assert 0.9 < placed.match_confidence < 1
    assert placed.region == SUGGESTED.replace("total", "subtotal", 1).rstrip("\n")


def test_not_placed_when_it_was_there_before_or_is_too_unlike_or_too_short(world: World) -> None:
    same = world.ask(
        "def median(values):\n    ordered = sorted(values)\n    return ordered[len(ordered) // 2]\n"
    )
    unlike = world.ask(
        "def mean(numbers):\n    import statistics\n    return statistics.fmean(numbers)\n"
    )
    short = world.ask("x = mean(values)\n")
    world.save("stats.py", with_mean(SUGGESTED) + "x = mean(values)\n")
    assert [world.fate(t).state for t in (same, unlike, short)] == ["waiting"] * 3


def test_lines_added_before_the_question_do_not_count(world: World) -> None:
    world.save("stats.py", with_mean(SUGGESTED))
    world.now += 5
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED) + "\n\nlast = 1\n")
    assert world.fate(turn).state == "waiting"


def test_the_window_ends(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.work(1900)
    world.save("stats.py", with_mean(SUGGESTED))
    assert (world.fate(turn).state, world.fate(turn).fate) == ("unknown", "unknown")


def test_lunch_does_not_end_the_window(world: World) -> None:
    """Nor does a night in which the machine was suspended, or a clock that jumped ahead."""
    for away in (2 * 3600, 14 * 3600):
        turn = world.ask(SUGGESTED.replace("mean", f"mean_{away}"))
        world.work(600)
        world.wait(away)
        assert world.fate(turn).state == "waiting"
        world.save("stats.py", with_mean(SUGGESTED.replace("mean", f"mean_{away}")))
        assert world.fate(turn).state == "placed"


def test_of_two_answers_the_one_that_was_taken(world: World) -> None:
    first = world.ask(SUGGESTED)
    second = world.ask(SUGGESTED.replace("total = total + value", "total += value"))
    world.save("stats.py", with_mean(SUGGESTED.replace("total = total + value", "total += value")))
    assert (world.fate(first).state, world.fate(second).state) == ("waiting", "placed")


def test_where_the_project_was_unknown_it_is_known_now(world: World) -> None:
    turn = world.ask(SUGGESTED, project=None)
    world.save("stats.py", "x = 1\n")
    world.save("stats.py", with_mean(SUGGESTED))
    assert turns.load_turn(world.store, turn).project == str(world.repo.root)


def test_two_blocks_of_one_answer_in_two_files(world: World) -> None:
    test = "def test_mean():\n    assert mean([1, 2, 3]) == 2\n    assert mean([5]) == 5\n"
    turn = world.ask(f"{SUGGESTED}```\nand its test:\n```python\n{test}")
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("test_stats.py", test.replace("== 5", "== 5.0"))
    world.commit()
    assert [(s.file, s.final_text) for s in feedback.suggestions_of(world.store, turn)] == [
        ("stats.py", SUGGESTED),
        ("test_stats.py", test.replace("== 5", "== 5.0")),
    ]
    told = world.feedback(turn)
    assert (told.accepted, told.modified) == (True, True)
    assert told.final_version == SUGGESTED + "\n" + test.replace("== 5", "== 5.0")


def test_other_languages_are_followed_by_the_lines_around(world: World) -> None:
    before = "package main\n\nfunc first() int {\n\treturn 1\n}\n"
    after = "\nfunc last() int {\n\treturn 9\n}\n"
    code = (
        "func sum(values []int) int {\n\ttotal := 0\n\tfor _, v := range values {\n"
        "\t\ttotal += v\n\t}\n\treturn total\n}\n"
    )
    final = (
        code.replace("total := 0", "var total int")
        .replace("v := range", "each := range")
        .replace("+= v", "+= each")
    )
    world.begin("main.v", before + after)
    turn = world.ask(code)
    world.save("main.v", before + "\n" + code + after)
    world.save(
        "main.v", before.replace("return 1", "return 11") + "\n" + final + after.replace("9", "99")
    )
    world.commit()
    assert (world.fate(turn).final_text, world.fate(turn).name) == (final, None)
