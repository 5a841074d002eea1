"""An edit that only takes a text away: gone: kept; back: rejected; else nothing is told."""

from __future__ import annotations

import time

import pytest

from qi_learn.records import Turn
from qi_learn.track.suggestions import suggestions_of
from tests.support.tracked_code import World
from tests.track.test_exact_followed import BEFORE, edited

CHECK = (
    "    if args and not parser.allow_extra:\n"
    '        parser.fail("Got unexpected extra arguments", args)\n'
)
PART = ", parser"
WITHOUT = {CHECK: BEFORE.replace(CHECK, ""), PART: BEFORE.replace("(args, parser):", "(args):")}
FORMS = pytest.mark.parametrize("old", [CHECK, PART], ids=["lines", "part of a line"])


@pytest.fixture
def work(world: World) -> World:
    world.begin("cli.py", BEFORE)
    return world


@FORMS
def test_a_text_that_is_gone_and_stays_so_was_kept(work: World, old: str) -> None:
    turn = edited(work, old, "")
    assert (work.fate(turn).text, work.fate(turn).old) == ("", old)
    work.save("cli.py", WITHOUT[old])
    placed = work.fate(turn)
    assert (placed.state, placed.file, placed.match_method) == ("placed", "cli.py", "path")
    assert placed.inferred is None
    work.save("cli.py", WITHOUT[old].replace("return rest", "return list(rest)"))
    work.wait(700)
    done = work.fate(turn)
    assert (done.state, done.fate, done.final_text) == ("settled", "kept", "")
    assert (work.feedback(turn).accepted, work.feedback(turn).modified) == (True, False)


@FORMS
def test_a_text_that_was_brought_back_rejects_its_removal(work: World, old: str) -> None:
    turn = edited(work, old, "")
    work.save("cli.py", WITHOUT[old])
    work.save("cli.py", BEFORE)
    work.wait(700)
    done = work.fate(turn)
    assert (done.fate, done.final_text) == ("rejected", None)
    assert work.feedback(turn).accepted is False


@FORMS
def test_undone_and_done_again_it_was_kept(work: World, old: str) -> None:
    turn = edited(work, old, "")
    for text in (WITHOUT[old], BEFORE, WITHOUT[old]):
        work.save("cli.py", text)
    work.wait(700)
    assert work.fate(turn).fate == "kept"


@FORMS
def test_what_nobody_carried_out_is_unknown(work: World, old: str) -> None:
    turn = edited(work, old, "")
    work.save("cli.py", BEFORE.replace("return rest", "return list(rest)"))
    work.save("cli.py", BEFORE.replace("(args, parser):", "(arguments, parser):"))
    work.work(2 * 3600)
    assert (work.fate(turn).state, work.fate(turn).fate) == ("unknown", "unknown")


def test_a_text_that_gave_way_to_another_says_nothing(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", BEFORE.replace(CHECK, "    parser.check(args)\n"))
    assert work.fate(turn).state == "waiting"


def test_a_removal_in_a_file_of_another_name_says_nothing(work: World) -> None:
    work.begin("other.py", BEFORE)
    turn = edited(work, CHECK, "", file="other.py")
    work.save("cli.py", WITHOUT[CHECK])
    assert work.fate(turn).state == "waiting"


def test_a_file_that_was_emptied_or_deleted_says_nothing(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", "")
    work.delete("cli.py")
    assert work.fate(turn).state == "waiting"


def test_placed_it_is_followed_without_knowing_the_text_before(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    work.save("cli.py", WITHOUT[CHECK].replace("rest = []", "rest = list()"), restarted=True)
    assert work.fate(turn).region == ""
    work.save("cli.py", BEFORE, restarted=True)
    work.wait(700)
    assert work.fate(turn).fate == "rejected"


def test_the_first_and_the_last_lines_of_a_file(work: World) -> None:
    head, foot = '"""A command line."""\n', "    return rest\n"
    first, last = edited(work, head, ""), edited(work, foot, "")
    work.save("cli.py", BEFORE.removeprefix(head).removesuffix(foot))
    work.wait(700)
    assert [work.fate(turn).fate for turn in (first, last)] == ["kept", "kept"]


def test_a_commit_settles_it_and_its_revert_rejects_it(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    commit = work.commit("Allow them")
    done = work.fate(turn)
    assert (done.state, done.fate, done.commit) == ("settled", "kept", commit)
    work.save("cli.py", WITHOUT[CHECK].replace("return rest", "return list(rest)"))
    work.commit("Another")
    assert (work.fate(turn).fate, work.fate(turn).commit) == ("kept", commit)
    work.repo.git("revert", "--no-edit", commit)
    work.head_moved()
    assert (work.fate(turn).fate, work.fate(turn).reverted) == ("rejected", True)


def test_a_commit_of_another_part_of_the_file_says_nothing(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    work.repo.write("cli.py", BEFORE.replace("return rest", "return list(rest)"))
    work.repo.git("add", "cli.py")
    work.repo.write("cli.py", WITHOUT[CHECK].replace("return rest", "return list(rest)"))
    work.repo.git("commit", "-qm", "A part")
    work.head_moved()
    assert (work.fate(turn).state, work.fate(turn).inferred) == ("placed", None)


def test_a_hard_reset_takes_it_back(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    work.commit("Allow them")
    work.repo.git("reset", "-q", "--hard", "HEAD^")
    work.head_moved()
    assert (work.fate(turn).fate, work.fate(turn).reverted) == ("rejected", True)


def test_committed_it_is_looked_at_again_days_later(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    commit = work.commit("Allow them")
    work.wait(90000)
    assert (work.fate(turn).fate, work.fate(turn).commit) == ("kept", commit)
    work.repo.write("cli.py", BEFORE)
    work.repo.commit("Unseen")
    work.wait(90000)
    assert work.fate(turn).fate == "rejected"


def test_of_two_equal_places_nothing_is_told(work: World) -> None:
    twice = BEFORE + BEFORE.replace('"""A command line."""\n', "")
    work.begin("twice.py", twice)
    turn = edited(work, CHECK, "", file="twice.py")
    work.save("twice.py", twice.replace(CHECK, "", 1))
    assert work.fate(turn).state == "waiting"


PRINTS = "def a(x):\n    y = x\n    print(y)\n    return y\n"
SILENT = PRINTS.replace("    print(y)\n", "")


@pytest.mark.parametrize(
    "text",
    [
        f"{SILENT}\n\n{PRINTS.replace('def a', 'def b')}",
        f"{PRINTS.replace('def a', 'def b')}\n\n{SILENT}",
        f"{SILENT}\n\n{PRINTS}",
    ],
    ids=["behind it", "before it", "in a copy"],
)
def test_the_same_lines_in_another_place_bring_nothing_back(work: World, text: str) -> None:
    work.begin("a.py", PRINTS)
    turn = edited(work, "    print(y)\n", "", file="a.py")
    work.save("a.py", SILENT)
    work.save("a.py", text)
    work.wait(700)
    assert work.fate(turn).fate == "kept"
    work.save("a.py", PRINTS)
    work.wait(700)
    assert work.fate(turn).fate == "rejected"


def test_it_is_followed_where_its_file_is_renamed(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    work.commit()
    work.repo.git("mv", "cli.py", "command.py")
    work.commit("Rename")
    assert (work.fate(turn).fate, work.fate(turn).file) == ("kept", "command.py")
    work.save("command.py", BEFORE)
    work.wait(700)
    assert work.fate(turn).fate == "rejected"


def test_on_another_branch_it_is_not_here_and_not_undone(work: World) -> None:
    turn = edited(work, CHECK, "")
    work.save("cli.py", WITHOUT[CHECK])
    work.commit()
    work.repo.git("checkout", "-q", "-b", "older", "HEAD~1")
    work.head_moved()
    work.save("cli.py", f"{BEFORE}\n# Of the older branch.\n")
    work.commit()
    work.wait(700)
    assert work.fate(turn).fate == "kept"
    work.repo.git("checkout", "-q", "main")
    work.head_moved()
    work.wait(700)
    assert work.fate(turn).fate == "kept"


def test_a_sign_that_stands_in_thousands_of_lines_takes_no_time(work: World) -> None:
    calls = [f"    call_{n}(a, b_{n})" for n in range(4000)]
    text = "\n".join(("def calls(a):", *calls)) + "\n"
    work.begin("calls.py", text)
    turn = edited(work, ",", "", file="calls.py")
    started = time.monotonic()
    work.save("calls.py", text.replace("call_3999(a,", "other(a,"))
    assert time.monotonic() - started < 3
    assert work.fate(turn).state == "waiting"
    work.save("calls.py", text.replace("call_7(a,", "call_7(a"))
    assert work.fate(turn).state == "placed"
    work.save("calls.py", text)
    assert time.monotonic() - started < 9
    work.wait(700)
    assert work.fate(turn).fate == "rejected"


# --- which edits are removals ---------------------------------------------------------------------

DIFF = "```diff\n--- a/tax.py\n+++ b/tax.py\n@@ -1,3 +1,2 @@\n import os\n-RATE = 1\n x = 2\n```\n"


def made_of(answer: str, **extra: object) -> list[tuple[str | None, str | None, str]]:
    turn = Turn("T", "/api/chat", "m", "m", (), answer, 1.0, 2.0, answer_extra=extra)
    return [(s.path, s.old, s.text) for s in suggestions_of(turn)]


def test_a_diff_with_lines_that_only_go_is_one_if_it_names_its_file() -> None:
    assert made_of(DIFF) == [("tax.py", "RATE = 1\n", "")]
    assert made_of("```diff\n import os\n-RATE = 1\n x = 2\n```\n") == []


def test_a_call_that_replaces_a_text_by_nothing_is_one() -> None:
    arguments = {"file_path": "tax.py", "old_string": "RATE = 1", "new_string": ""}
    call = {"id": "c1", "function": {"name": "Edit", "arguments": arguments}}
    assert made_of("", tool_calls=[call]) == [("tax.py", "RATE = 1", "")]


def test_an_empty_file_or_a_blank_text_is_none() -> None:
    for arguments in (
        {"file_path": "tax.py", "content": ""},
        {"file_path": "tax.py", "old_string": " \n", "new_string": ""},
    ):
        name = "Write" if "content" in arguments else "Edit"
        call = {"id": "c1", "function": {"name": name, "arguments": arguments}}
        assert made_of("", tool_calls=[call]) == []
