"""What commits, reverts, resets, branches and repairs make of suggestions, in real git."""

from __future__ import annotations

import time

import pytest

from tests.support.repository import ENV
from tests.support.tracked_code import AUTHORS, FILE, MARK, SUGGESTED, World, with_mean


def test_a_commit_without_the_code_says_nothing(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    (world.repo.root / "stats.py").write_text(FILE + "other = 1\n")
    world.repo.git("add", "stats.py")
    (world.repo.root / "stats.py").write_text(with_mean(SUGGESTED))
    world.repo.git("commit", "-q", "-m", "Only the other change")
    world.head_moved()
    assert world.fate(turn).state == "placed"


def test_staged_in_part_the_committed_text_is_the_final_one(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.repo.git("add", "stats.py")
    world.save("stats.py", with_mean(AUTHORS))
    world.repo.git("commit", "-q", "-m", "The first draft")
    world.head_moved()
    assert world.fate(turn).final_text == SUGGESTED


def test_revert_reset_and_amend(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    first = world.commit("Mean")
    world.repo.git("commit", "-q", "--amend", "-m", "The mean")
    amended = world.repo.git("rev-parse", "HEAD")
    world.head_moved()
    world.save("stats.py", with_mean(AUTHORS))
    world.repo.git("add", "-A")
    world.repo.git("commit", "-q", "--amend", "--no-edit")
    world.head_moved()
    kept = world.fate(turn)
    assert kept.final_text == AUTHORS
    assert kept.commit not in (first, amended)
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    gone = world.fate(turn)
    assert (gone.state, gone.reverted, gone.final_text, world.feedback(turn).accepted) == (
        "settled",
        True,
        None,
        False,
    )


def test_the_commit_is_the_one_that_brought_the_code_and_only_its_revert_takes_it_back(
    world: World,
) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    brought = world.commit("Mean")
    world.save("stats.py", with_mean(SUGGESTED) + "DEBUG = True\n")
    world.commit("Something of the person's own")
    assert world.fate(turn).commit == brought
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    kept = world.fate(turn)
    assert (kept.reverted, kept.final_text, kept.commit) == (False, SUGGESTED, brought)
    assert world.feedback(turn).accepted is True
    world.wait(86400 + 1)
    assert world.fate(turn).commit == brought
    world.repo.git("revert", "--no-edit", brought)
    world.head_moved()
    assert (world.fate(turn).reverted, world.feedback(turn).accepted) == (True, False)


def test_a_revert_of_an_edit_leaves_the_code_as_it_was_suggested(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Mean")
    edited = SUGGESTED.replace("total = 0", "total = 0.0")
    world.save("stats.py", with_mean(edited))
    world.commit("An edit")
    assert world.fate(turn).final_text == edited
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    kept = world.fate(turn)
    assert (kept.reverted, kept.final_text) == (False, SUGGESTED)
    assert world.feedback(turn).accepted is True


def test_a_revert_to_the_function_that_was_there_before_takes_the_suggested_one_back(
    world: World,
) -> None:
    world.begin("stats.py", with_mean(AUTHORS))
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Whole numbers")
    assert world.feedback(turn).accepted is True
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    assert (world.fate(turn).reverted, world.feedback(turn).accepted) == (True, False)


def test_an_amended_message_gives_the_code_the_new_commit(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Mean")
    world.repo.git("commit", "-q", "--amend", "-m", "The mean")
    world.head_moved()
    assert world.fate(turn).commit == world.repo.git("rev-parse", "HEAD")
    assert world.fate(turn).final_text == SUGGESTED


@pytest.mark.parametrize("seen_gone_first", [True, False])
def test_a_file_renamed_after_a_merge_keeps_its_answers(
    world: World, seen_gone_first: bool
) -> None:
    world.repo.git("checkout", "-q", "-b", "side")
    world.head_moved()
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Mean")
    world.repo.git("checkout", "-q", "main")
    world.repo.git("merge", "-q", "--no-ff", "-m", "Merge", "side")
    world.head_moved()
    world.repo.git("mv", "stats.py", "numbers.py")
    if seen_gone_first:
        (world.repo.root / "stats.py").touch()
        world.delete("stats.py")
        assert world.fate(turn).file == "numbers.py"  # it stands there by now
    world.repo.git("commit", "-q", "-m", "A better name")
    world.head_moved()
    fate = world.fate(turn)
    assert (fate.file, fate.final_text, fate.state) == ("numbers.py", SUGGESTED, "settled")
    assert (fate.reverted, world.feedback(turn).accepted) == (False, True)
    world.save("numbers.py", with_mean(AUTHORS))
    world.commit("Another mean")
    assert world.fate(turn).final_text == AUTHORS


@pytest.mark.parametrize("place", ["private/stats.py", "secrets/stats.py"])
def test_a_file_renamed_to_where_nothing_is_looked_at_keeps_its_fate(
    world: World, place: str
) -> None:
    """Not to be found says nothing then; neither by the person's rules nor by the names."""
    world.repo.write(".qi-learn-ignore", "/private/\n")
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Mean")
    (world.repo.root / place).parent.mkdir()
    world.repo.git("mv", "stats.py", place)
    world.repo.write(place, with_mean(AUTHORS))
    world.commit("Elsewhere")
    fate = world.fate(turn)
    assert (fate.file, fate.state, fate.final_text) == ("stats.py", "settled", SUGGESTED)
    assert world.feedback(turn).accepted is True


def test_a_file_that_is_left_out_later_is_not_read_at_a_commit(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Mean")
    world.repo.write(".qi-learn-ignore", "stats.py\n")
    world.repo.write("stats.py", with_mean(AUTHORS))
    world.commit("Another mean")
    assert world.fate(turn).final_text == SUGGESTED
    world.wait(2 * 86400)  # and the look of the next day leaves it alone too
    assert world.fate(turn).final_text == SUGGESTED
    assert world.feedback(turn).accepted is True


def test_a_hard_reset_takes_back_and_a_soft_one_does_not(world: World) -> None:
    kept, lost = world.ask(SUGGESTED), world.ask(SUGGESTED.replace("mean", "average"))
    base = world.repo.git("rev-parse", "HEAD")
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit()
    world.repo.git("reset", "-q", "--soft", base)
    world.head_moved()
    assert (world.fate(kept).state, world.fate(kept).commit) == ("placed", None)
    commit = world.commit("Again")
    assert (world.fate(kept).commit, world.fate(kept).final_text) == (commit, SUGGESTED)
    world.save("other.py", SUGGESTED.replace("mean", "average"))
    world.commit("Other")
    assert world.feedback(lost).accepted is True
    world.repo.git("reset", "-q", "--hard", commit)
    world.head_moved()
    assert (world.fate(lost).reverted, world.feedback(lost).accepted) == (True, False)
    assert world.feedback(kept).accepted is True


def begun_long_ago(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed so far is older than what is asked, by the clock that git goes by."""
    with monkeypatch.context() as then:
        then.setitem(ENV, "GIT_COMMITTER_DATE", f"@{int(time.time()) - 3600} +0000")
        world.repo.git("commit", "-q", "--amend", "--no-edit")
    world.head_moved()


def whole_file(world: World, text: str) -> str:
    arguments = {"file_path": "stats.py", "content": text}
    call = {"id": "c", "function": {"name": "write_file", "arguments": arguments}}
    return world.ask("", fenced=False, answer_extra={"tool_calls": [call]})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("max(values) - min(values)", "abs(max(values) - min(values))"),
        ('"""The one in the middle."""\n    ordered', '"""The median."""\n    ordered'),
        ('    """The largest minus the smallest."""\n', ""),
    ],
)
def test_a_hard_reset_takes_back_a_whole_file_that_changes_little(
    world: World, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    begun_long_ago(world, monkeypatch)
    text = FILE.replace(old, new)
    assert text != FILE
    turn = whole_file(world, text)
    world.save("stats.py", text)
    world.commit()
    assert world.fate(turn).fate == "kept"
    world.repo.git("reset", "-q", "--hard", "HEAD~1")
    world.head_moved()
    assert (world.fate(turn).fate, world.fate(turn).reverted) == ("rejected", True)
    world.save("other.py", "x = 1\n")
    world.work(3600)
    assert world.fate(turn).fate == "rejected"


def test_a_hard_reset_takes_back_an_edit_whose_lines_stand_elsewhere_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "def a():\n    return 1\n\n\ndef b():\n    return 2\n"
    world.begin("stats.py", text)
    begun_long_ago(world, monkeypatch)
    arguments = {"file_path": "stats.py", "old_string": "return 2", "new_string": "return 1"}
    call = {"id": "c", "function": {"name": "Edit", "arguments": arguments}}
    turn = world.ask("", fenced=False, answer_extra={"tool_calls": [call]})
    world.save("stats.py", text.replace("return 2", "return 1"))
    world.commit()
    assert world.fate(turn).fate == "kept"
    world.repo.git("reset", "-q", "--hard", "HEAD~1")
    world.head_moved()
    world.work(3600)
    assert world.fate(turn).fate == "rejected"


def test_a_hard_reset_to_an_earlier_version_of_it_keeps_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_long_ago(world, monkeypatch)
    text = FILE.replace("max(values) - min(values)", "abs(max(values) - min(values))")
    turn = whole_file(world, text)
    world.save("stats.py", text)
    world.commit()
    world.save("stats.py", text.replace("[len(ordered)", "[int(len(ordered))"))
    world.commit()
    assert world.fate(turn).fate == "edited"
    world.repo.git("reset", "-q", "--hard", "HEAD~1")
    world.head_moved()
    world.work(3600)
    assert world.fate(turn).fate == "kept"


def test_a_hard_reset_to_a_rewritten_branch_that_has_it_takes_nothing_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_long_ago(world, monkeypatch)
    text = FILE.replace("max(values) - min(values)", "abs(max(values) - min(values))")
    turn = whole_file(world, text)
    world.save("stats.py", text)
    world.commit()
    world.repo.git("branch", "theirs")
    world.repo.git("commit", "-q", "--amend", "-m", "Mine")
    world.head_moved()
    world.repo.git("reset", "-q", "--hard", "theirs")
    world.head_moved()
    world.work(3600)
    assert world.fate(turn).fate == "kept"


def test_another_branch_and_a_rebase_do_not_harm_it(world: World) -> None:
    world.repo.git("checkout", "-q", "-b", "side")
    world.head_moved()
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    before = world.commit("Mean")
    world.repo.git("checkout", "-q", "main")
    world.head_moved()
    world.save("stats.py", FILE.replace("max", "highest"))
    world.save("stats.py", FILE.replace(MARK, "def mean(a):\n    return 0\n"))
    world.save("stats.py", FILE)
    world.save("more.py", "x = 1\n")
    world.commit("More")
    assert (world.fate(turn).final_text, world.fate(turn).commit) == (SUGGESTED, before)
    world.repo.git("checkout", "-q", "side")
    world.repo.git("rebase", "-q", "main")
    world.head_moved()
    assert world.fate(turn).commit == world.repo.git("rev-parse", "HEAD") != before
    assert world.fate(turn).final_text == SUGGESTED


def test_commits_nobody_saw_are_found_within_a_day(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit()
    edited = SUGGESTED.replace("total = 0", "total = 0.0")
    (world.repo.root / "stats.py").write_text(with_mean(edited))
    later = world.repo.commit("Unseen")
    world.wait(86000)
    assert world.fate(turn).final_text == SUGGESTED
    world.wait(1000)
    assert (world.fate(turn).final_text, world.fate(turn).commit) == (edited, later)
    (world.repo.root / "stats.py").write_text(FILE.replace(MARK + "\n\n", ""))
    world.repo.commit("Unseen again")
    world.wait(86000)
    assert world.feedback(turn).accepted is True
    world.wait(1000)
    assert (world.feedback(turn).accepted, world.fate(turn).region) == (False, None)
