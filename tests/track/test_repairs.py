"""A bug is blamed on a suggestion by git's own blame, and only by a commit that says it repairs."""

from __future__ import annotations

import pytest

from qi_learn.outside.git_history import CommitSaid
from qi_learn.store import feedback
from qi_learn.track.repairs import is_repair
from tests.support.repository import ENV
from tests.support.tracked_code import SUGGESTED, World, with_mean

MENDED = SUGGESTED.replace("len(values)", "(len(values) or 1)")
FIX = "fix: mean of nothing"


@pytest.fixture(autouse=True)
def commits_have_the_time_of_the_world(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the test moves the world's clock, and it is ahead of the machine's."""
    monkeypatch.setitem(ENV, "GIT_AUTHOR_DATE", f"{int(world.now) + 3600} +0000")


def blamed(world: World, turn: str) -> bool | None:
    return feedback.load_outcome(world.store, turn).bug_introduced


def kept(world: World) -> str:
    """A suggestion that was pasted and committed; its turn."""
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Mean")
    return turn


def mend(world: World, message: str, code: str = MENDED) -> str:
    world.save("stats.py", with_mean(code))
    return world.commit(message)


@pytest.mark.parametrize(
    ("message", "repairs"),
    [
        (FIX, True),
        ("fix(stats)!: mean of nothing", True),
        ("Fix(stats): mean", True),
        ("bugfix: mean of nothing", True),
        ("Mean of nothing\n\nFixes #12", True),
        ("Mean of nothing, fixes acme/stats#12", True),
        ("Mean of nothing\n\nFixes https://github.com/acme/stats/issues/12", True),
        ('Mean\n\nFixes: 0123abc4 ("Mean")', True),
        ('Revert "Mean"\n\nThis reverts commit 0123abc4.', True),
        ("Use fixed point arithmetic in total", False),
        ("Fix typo in docstring", False),
        ("Add broken link checker", False),
        ("Closes #12", False),
        ("prefix: mean", False),
        ("fixup! Mean", False),
        ("[pre-commit.ci] auto fixes from pre-commit.com hooks", False),
        ("style: fix formatting", False),
    ],
)
def test_a_commit_says_that_it_repairs(message: str, repairs: bool) -> None:
    assert is_repair(CommitSaid("c", "p", "A Person <person@example.org>", message)) is repairs


def test_a_robots_commit_is_no_repair() -> None:
    for author in ("renovate[bot] <1+renovate[bot]@users.noreply.github.com>", "pre-commit-ci <x>"):
        assert not is_repair(CommitSaid("c", "p", author, FIX))


def test_a_repair_of_committed_code_blames_it(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("fix: nothing yet, just the mean")
    assert blamed(world, turn) is None
    world.save("stats.py", with_mean(SUGGESTED).replace("max(values)", "max(list(values))"))
    world.commit("fix: spread")
    assert blamed(world, turn) is None
    fixed = mend(world, FIX)
    assert blamed(world, turn) is True
    assert world.fate(turn).repaired_by == fixed


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Use fixed point arithmetic in total", MENDED),
        ("Fix typo in docstring", SUGGESTED.replace("some numbers", "numbers")),
        ("fix: docstring", SUGGESTED.replace("some numbers", "numbers")),
        ("fix: comment", SUGGESTED.replace("total = 0\n", "total = 0  # the sum\n")),
        ("fix: blanks", SUGGESTED.replace("total + value", "(total  +  value)")),
        (
            "fix: an added line",
            SUGGESTED.replace("    total = 0\n", "    check(values)\n    total = 0\n"),
        ),
    ],
)
def test_what_is_no_repair_of_code_blames_nothing(world: World, message: str, code: str) -> None:
    turn = kept(world)
    mend(world, message, code)
    assert blamed(world, turn) is None


def test_lines_that_the_person_wrote_are_not_the_suggestions(world: World) -> None:
    turn = kept(world)
    own = SUGGESTED.replace("total / len(values)", "total / count(values)")
    mend(world, "Count by ourselves", own)
    mend(world, "fix: count", own.replace("count(values)", "len(values)"))
    assert blamed(world, turn) is None


def test_the_mark_is_taken_back_when_the_fix_is_reverted(world: World) -> None:
    turn = kept(world)
    mend(world, FIX)
    assert blamed(world, turn) is True
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    assert blamed(world, turn) is None


def test_the_mark_is_taken_back_when_the_fix_is_amended_away(world: World) -> None:
    turn = kept(world)
    mend(world, FIX)
    world.repo.git("commit", "-q", "--amend", "-m", "Mean of nothing is nothing")
    world.head_moved()
    assert blamed(world, turn) is None


def test_an_amended_fix_still_blames(world: World) -> None:
    turn = kept(world)
    mend(world, FIX)
    world.save("stats.py", with_mean(MENDED.replace("or 1", "or 2")))
    world.repo.git("commit", "-q", "-a", "--amend", "--no-edit")
    world.head_moved()
    assert blamed(world, turn) is True
    assert world.fate(turn).repaired_by == world.repo.git("rev-parse", "HEAD")


def test_the_mark_is_taken_back_when_the_fix_is_reset_away(world: World) -> None:
    turn = kept(world)
    mend(world, FIX)
    world.repo.git("reset", "-q", "--hard", "HEAD~1")
    world.head_moved()
    assert blamed(world, turn) is None


def test_a_revert_of_its_commit_blames_and_the_revert_of_that_takes_it_back(world: World) -> None:
    turn = kept(world)
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    assert blamed(world, turn) is True
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    assert blamed(world, turn) is None


def on_a_side_branch(world: World, message: str, text: str) -> str:
    """Commit a text of the file where nobody looks; the id of the commit."""
    tree = world.repo.root.parent / "side"
    if not tree.exists():
        world.repo.git("worktree", "add", "-q", "-b", "side", str(tree))
    (tree / "stats.py").write_text(text)
    world.repo.git("-C", str(tree), "commit", "-q", "-a", "-m", message)
    return world.repo.git("rev-parse", "side")


def test_a_fix_within_a_merge_is_seen_and_the_merges_own_words_are_not(world: World) -> None:
    turn = kept(world)
    fixed = on_a_side_branch(world, FIX, with_mean(MENDED))
    on_a_side_branch(world, "More", with_mean(MENDED) + "MORE = 1\n")
    world.repo.git("merge", "-q", "--no-ff", "-m", "Merge branch 'side'", "side")
    world.head_moved()
    assert world.fate(turn).repaired_by == fixed


def test_a_merge_called_a_fix_blames_nothing(world: World) -> None:
    turn = kept(world)
    on_a_side_branch(world, "Rework the mean", with_mean(MENDED))
    world.repo.git("merge", "-q", "--no-ff", "-m", "fix: merge fix-login\n\nFixes #7", "side")
    world.head_moved()
    assert blamed(world, turn) is None


def test_a_fix_that_names_another_commit_blames_that_one(world: World) -> None:
    turn = kept(world)
    mend(world, 'Mean of nothing\n\nFixes: 0123abcd ("Something else")')
    assert blamed(world, turn) is None


def test_a_formatter_in_between_does_not_hide_whose_line_it_is(world: World) -> None:
    turn = kept(world)
    indented = SUGGESTED.replace("    ", "  ")
    mend(world, "Two blanks", indented)
    mend(world, FIX, indented.replace("len(values)", "(len(values) or 1)"))
    assert blamed(world, turn) is True


DAY = 86400.0


def test_a_fix_nobody_saw_is_found_within_a_day_and_so_is_its_revert(world: World) -> None:
    turn = kept(world)
    world.repo.write("stats.py", with_mean(MENDED))
    fixed = world.repo.commit(FIX)
    world.wait(DAY + 1)
    assert (blamed(world, turn), world.fate(turn).repaired_by) == (True, fixed)
    world.repo.git("revert", "--no-edit", "HEAD")
    world.wait(DAY + 1)
    assert blamed(world, turn) is None


def test_a_fix_and_its_revert_that_nobody_saw_blame_nothing(world: World) -> None:
    turn = kept(world)
    world.repo.write("stats.py", with_mean(MENDED))
    world.repo.commit(FIX)
    world.repo.git("revert", "--no-edit", "HEAD")
    world.wait(DAY + 1)
    assert blamed(world, turn) is None
    assert world.fate(turn).final_text == SUGGESTED


def test_code_is_followed_through_a_rename_that_nobody_saw(world: World) -> None:
    turn = kept(world)
    world.repo.git("mv", "stats.py", "numbers.py")
    world.repo.commit("A better name")
    world.wait(DAY + 1)
    assert (world.fate(turn).file, world.fate(turn).final_text) == ("numbers.py", SUGGESTED)
    assert world.feedback(turn).accepted is True
    world.repo.write("numbers.py", with_mean(MENDED))
    later = world.repo.commit("Of nothing")
    world.wait(DAY + 1)
    assert (world.fate(turn).final_text, world.fate(turn).commit) == (MENDED, later)
