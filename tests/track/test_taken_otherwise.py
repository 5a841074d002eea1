"""What was taken is called so however it came there: from the end, elsewhere, several times."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.following import follow_save
from qi_learn.outside import git_call
from qi_learn.workspace.changes import FileSaved
from tests.support.tracked_code import FILE, SUGGESTED, World, with_mean

LONG = (
    "def overdue(bills, today, grace=14):\n"
    '    """Open amounts of overdue bills, by customer."""\n'
    "    amounts = {}\n"
    "    for bill in bills:\n"
    "        late = (today - bill.due).days - grace\n"
    "        if late <= 0 or bill.paid >= bill.total:\n"
    "            continue\n"
    "        rest = bill.total - bill.paid\n"
    "        amounts[bill.customer] = amounts.get(bill.customer, 0) + rest\n"
    "    return amounts\n"
)


def test_the_second_half_may_be_pasted_first(world: World) -> None:
    lines = LONG.splitlines(keepends=True)
    turn = world.ask(LONG)
    world.save("stats.py", with_mean("".join(lines[5:])))
    world.save("stats.py", with_mean(LONG), after=40)
    world.wait(700)
    assert (world.fate(turn).inferred, world.fate(turn).final_text) == ("kept", LONG)


def test_of_equal_answers_the_one_asked_for_in_that_project_is_taken(
    world: World, tmp_path: Path
) -> None:
    other = World(tmp_path / "other", world.store)
    other._count = 100
    other.begin("sums.py", FILE)
    own = other.ask(SUGGESTED)
    world.now = other.now + 30
    newer = world.ask(SUGGESTED)
    other.now = world.now
    other.save("sums.py", with_mean(SUGGESTED))
    other.wait(700)
    assert other.fate(own).inferred == "kept"
    assert other.fate(newer).inferred != "kept"


def test_a_function_that_went_to_a_module_of_its_own_is_kept(world: World) -> None:
    turn = world.ask(LONG)
    world.save("stats.py", with_mean(LONG))
    world.commit()
    world.wait(7200)
    world.save("stats.py", with_mean("from overdue import overdue\n"))
    world.save("overdue.py", f'"""Overdue bills."""\n\n\n{LONG}', after=40)
    world.commit("Split")
    world.wait(700)
    fate = world.fate(turn)
    assert (fate.inferred, fate.file, fate.final_text) == ("kept", "overdue.py", LONG)


def test_so_is_one_whose_new_module_was_saved_first(world: World) -> None:
    turn = world.ask(LONG)
    world.save("stats.py", with_mean(LONG))
    world.commit()
    world.wait(7200)
    world.save("overdue.py", f'"""Overdue bills."""\n\n\n{LONG}')
    world.save("stats.py", with_mean("from overdue import overdue\n"), after=40)
    world.wait(700)
    fate = world.fate(turn)
    assert (fate.inferred, fate.file, fate.final_text) == ("kept", "overdue.py", LONG)


def test_so_is_one_that_went_there_in_a_commit_of_which_no_save_was_seen(world: World) -> None:
    turn = world.ask(LONG)
    world.save("stats.py", with_mean(LONG))
    world.commit()
    world.wait(7200)
    world.repo.write("stats.py", with_mean("from overdue import overdue\n"))
    world.repo.write("overdue.py", f'"""Overdue bills."""\n\n\n{LONG}')
    world.commit("Split")
    world.wait(700)
    fate = world.fate(turn)
    assert (fate.inferred, fate.file, fate.final_text) == ("kept", "overdue.py", LONG)


def test_so_is_one_whose_longest_line_was_changed_on_the_way(world: World) -> None:
    turn = world.ask(LONG)
    world.save("stats.py", with_mean(LONG))
    world.commit()
    world.wait(7200)
    changed = LONG.replace("amounts.get(bill.customer, 0) + rest", "rest")
    world.repo.write("stats.py", with_mean("from overdue import overdue\n"))
    world.repo.write("overdue.py", f'"""Overdue bills."""\n\n\n{changed}')
    world.commit("Split")
    world.wait(700)
    assert (world.fate(turn).fate, world.fate(turn).file) == ("edited", "overdue.py")


def test_what_a_commit_took_away_together_is_looked_for_in_files_that_are_read_once(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Counted by git's own trace."""
    codes = [LONG.replace("overdue", f"overdue_{n}") for n in range(6)]
    turns = [world.ask(code) for code in codes]
    world.save("stats.py", with_mean("\n\n".join(codes)))
    for n in range(6):
        world.save(f"other_{n}.py", f"OTHER = {n}\n")
    world.commit()
    world.wait(7200)
    world.repo.write("stats.py", FILE)
    for n in range(6):
        world.repo.write(f"other_{n}.py", f"OTHER = {n}\nMORE = {n}\n")
    world.repo.write("overdue.py", codes[0])
    world.repo.commit("Split")
    world.repo.git("repack", "-adq")
    trace, environment = tmp_path / "trace", git_call.environment
    told = {"GIT_TRACE": str(trace)}
    monkeypatch.setattr(git_call, "environment", lambda: environment() | told)
    world.head_moved()
    asked = [line for line in trace.read_text().split("\n") if "built-in: git" in line]
    assert sum("other_" in line for line in asked) <= 6, asked
    world.wait(700)
    assert (world.fate(turns[0]).inferred, world.fate(turns[0]).file) == ("kept", "overdue.py")


def test_one_that_another_file_of_the_commit_had_before_is_rejected(world: World) -> None:
    world.begin("overdue.py", f'"""Overdue bills."""\n\n\n{LONG}')
    turn = world.ask(LONG)
    world.save("stats.py", with_mean(LONG))
    world.commit()
    world.wait(7200)
    world.repo.write("stats.py", FILE)
    world.repo.write("overdue.py", f'"""Bills that are overdue."""\n\n\n{LONG}')
    world.commit("One copy is enough")
    world.wait(700)
    assert world.fate(turn).inferred == "rejected"


def test_what_is_replaced_and_nowhere_else_is_rejected(world: World) -> None:
    turn = world.ask(LONG)
    world.save("stats.py", with_mean(LONG))
    world.save("stats.py", with_mean("from overdue import overdue\n"), after=60)
    world.save("overdue.py", "def overdue(bills):\n    return []\n", after=40)
    world.wait(700)
    assert world.fate(turn).inferred == "rejected"


def test_a_project_that_went_as_a_whole_says_nothing(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    text = world.repo.root / "stats.py"
    history = world.histories[text]
    shutil.rmtree(world.repo.root)
    world.now += 20
    told = FileSaved(str(world.repo.root), text, "", history.record(world.now, ""))
    follow_save(world.store, told, history, world.settings, world.now)
    world.wait(700)
    assert world.fate(turn).inferred != "rejected"


def edited(world: World, *edits: dict[str, Any]) -> str:
    calls = [
        {"id": f"call_{n}", "function": {"name": "Edit", "arguments": edit}}
        for n, edit in enumerate(edits)
    ]
    return world.ask("I edit it.", fenced=False, answer_extra={"tool_calls": calls})


def test_one_answer_puts_the_same_line_to_several_places(world: World) -> None:
    diff = (
        "```diff\n--- a/stats.py\n+++ b/stats.py\n"
        '@@ -6,3 +6,4 @@\n def median(values):\n     """The one in the middle."""\n'
        "+    # checked by hand\n     ordered = sorted(values)\n"
        '@@ -14,3 +15,4 @@\n def spread(values):\n     """The largest minus the smallest."""\n'
        "+    # checked by hand\n     return max(values) - min(values)\n```\n"
    )
    turn = world.ask(diff, fenced=False)
    note = "    # checked by hand\n"
    text = FILE
    for place in ("    ordered = sorted(values)\n", "    return max(values) - min(values)\n"):
        text = text.replace(place, note + place)
    world.save("stats.py", text)
    world.wait(700)
    assert [world.fate(turn, n).inferred for n in range(2)] == ["kept", "kept"]


def test_a_line_that_goes_on_in_the_next_is_the_same_at_the_end(world: World) -> None:
    old = "    memcpy(row.hl, saved, row.size); \\\n    saved = NULL; \\\n"
    new = "    memcpy(row.hl, saved, row.size); \\\n    free(saved); \\\n    saved = NULL; \\\n"
    before = f"#define CLEAR do {{ \\\n{old}}} while (0)\n"
    world.begin("kilo.c", before)
    turn = edited(world, {"file_path": "kilo.c", "old_string": old, "new_string": new})
    world.save("kilo.c", before.replace(old, new))
    world.wait(700)
    assert (world.fate(turn).similarity, world.fate(turn).inferred) == (1.0, "kept")
