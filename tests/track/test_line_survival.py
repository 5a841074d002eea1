"""How many of a suggestion's lines later commits still have, counted by hand on real histories."""

from __future__ import annotations

import pytest

from qi_learn.outside import git
from qi_learn.records import Tracked, TurnHead
from qi_learn.store.own_redactor import redactor_of
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.track.line_survival import Brought, brought, still_there
from tests.support.tracked_code import FILE, SUGGESTED, World, with_mean

OWN = 6
"""Lines of `SUGGESTED` that are not blank."""


def _committed(world: World, text: str | None = None) -> tuple[str, Brought]:
    """An answer that was taken, as it is or as `text` has it, and committed."""
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    if text is not None:
        world.save("stats.py", text)
    world.commit("Add mean")
    return turn, _brought(world, turn)


def _brought(world: World, turn: str) -> Brought:
    suggestion = world.fate(turn)
    head = TurnHead(turn, "/api/chat", world.now, world.now, 200, str(world.repo.root))
    found = brought(Tracked(suggestion, head), CleanTexts(redactor_of(world.store)))
    assert found is not None
    return found


def _share(world: World, of: Brought) -> float | None:
    head = git.head(world.repo.root)
    assert head is not None
    (share,) = still_there([of], head, world.repo_time())
    return share


def _rewrite(world: World, file: str, old: str, new: str, subject: str) -> None:
    text = (world.repo.root / file).read_text()
    assert old in text
    world.repo.write(file, text.replace(old, new))
    world.repo.commit(subject)


def test_taken_as_it_is_all_of_it_is_in_its_commit(world: World) -> None:
    _, of = _committed(world)
    assert (of.own, len(of.lines), of.share) == (OWN, OWN, 1.0)
    assert _share(world, of) == 1.0


def test_lines_that_were_changed_before_the_commit_are_not_in_it(world: World) -> None:
    changed = SUGGESTED.replace("total = total + value", "total += value")
    _, of = _committed(world, with_mean(changed))
    assert of.share == pytest.approx(5 / OWN)


def test_a_formatter_before_the_commit_takes_nothing_away(world: World) -> None:
    wrapped = SUGGESTED.replace(
        "total / len(values)", "(\n        total\n        / len(values)\n    )"
    )
    _, of = _committed(world, with_mean(wrapped.replace("    total = 0", "    total  =  0")))
    assert of.share == 1.0


def test_a_line_that_somebody_changed_later_is_not_its_any_more(world: World) -> None:
    _, of = _committed(world)
    _rewrite(world, "stats.py", "total = 0", "total = 0.0", "Floats")
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_a_renamed_file_keeps_its_lines(world: World) -> None:
    _, of = _committed(world)
    world.repo.git("mv", "stats.py", "numbers.py")
    world.repo.commit("Rename")
    _rewrite(world, "numbers.py", "total = 0", "total = 0.0", "Floats")
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_lines_that_moved_to_another_file_are_still_there(world: World) -> None:
    _, of = _committed(world)
    world.repo.write("stats.py", FILE)
    world.repo.write("means.py", f'"""Means."""\n\n\n{SUGGESTED}')
    world.repo.commit("Move")
    assert _share(world, of) == 1.0


def test_white_space_alone_takes_nothing_away(world: World) -> None:
    _, of = _committed(world)
    text = (world.repo.root / "stats.py").read_text()
    world.repo.write(
        "stats.py", "\n".join(f"    {line}" if line else "" for line in text.split("\n"))
    )
    world.repo.commit("Indent")
    assert _share(world, of) == 1.0


def test_a_script_that_wraps_lines_and_changes_quotes_takes_nothing_away(world: World) -> None:
    _, of = _committed(world)
    text = (
        (world.repo.root / "stats.py")
        .read_text()
        .replace('"""The mean of some numbers."""', "'''The mean of some numbers.'''")
    )
    wrapped = text.replace(
        "return total / len(values)", "return (\n        total\n        / len(values)\n    )"
    )
    world.repo.write("stats.py", wrapped)
    world.repo.commit("Format")
    assert _share(world, of) == 1.0
    _rewrite(
        world, "stats.py", "        / len(values)\n", "        / max(1, len(values))\n", "Guard"
    )
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_a_revert_leaves_nothing(world: World) -> None:
    _, of = _committed(world)
    world.repo.git("revert", "--no-edit", of.commit)
    assert _share(world, of) == 0.0


def test_a_deleted_file_leaves_nothing(world: World) -> None:
    _, of = _committed(world)
    (world.repo.root / "stats.py").unlink()
    world.repo.commit("Delete")
    assert _share(world, of) == 0.0


def test_a_revert_that_was_reverted_takes_nothing_away(world: World) -> None:
    _, of = _committed(world)
    world.repo.git("revert", "--no-edit", of.commit)
    world.repo.git("revert", "--no-edit", "HEAD")
    assert _share(world, of) == 1.0
    _rewrite(world, "stats.py", "total = 0", "total = 0.0", "Floats")
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_a_file_that_was_restored_has_its_lines_again(world: World) -> None:
    _, of = _committed(world)
    (world.repo.root / "stats.py").unlink()
    world.repo.commit("Delete")
    world.repo.write("other.py", "x = 1\n")
    world.repo.commit("Something else")
    world.repo.git("checkout", of.commit, "--", "stats.py")
    world.repo.commit("Restore")
    assert _share(world, of) == 1.0


def test_a_list_of_commits_to_look_through_that_is_missing_hides_nothing(world: World) -> None:
    world.repo.git("config", "blame.ignoreRevsFile", ".git-blame-ignore-revs")
    _, of = _committed(world)
    _rewrite(world, "stats.py", "total = 0", "total = 0.0", "Floats")
    assert of.share == 1.0
    assert _share(world, of) == pytest.approx(5 / OWN)


def _on_a_branch(world: World) -> Brought:
    world.repo.git("checkout", "-q", "-b", "feature")
    world.head_moved()
    _, of = _committed(world)
    return of


def test_a_rebased_commit_is_found_by_what_it_changes(world: World) -> None:
    of = _on_a_branch(world)
    world.repo.git("checkout", "-q", "main")
    _rewrite(world, "stats.py", '"""Statistics."""', '"""Statistics.\n\nOf numbers.\n"""', "Doc")
    world.repo.git("checkout", "-q", "feature")
    world.repo.git("rebase", "-q", "main")
    assert _share(world, of) == 1.0
    _rewrite(world, "stats.py", "total = 0", "total = 0.0", "Floats")
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_a_squashed_branch_is_found_by_what_it_changes_in_the_file(world: World) -> None:
    of = _on_a_branch(world)
    world.repo.write("other.py", "OTHER = 1\n")
    world.repo.commit("Another file")
    world.repo.git("checkout", "-q", "main")
    world.repo.git("merge", "-q", "--squash", "feature")
    world.repo.commit("Feature (#1)")
    world.repo.git("branch", "-q", "-D", "feature")
    assert _share(world, of) == 1.0


def test_a_merged_branch_keeps_its_commit(world: World) -> None:
    of = _on_a_branch(world)
    world.repo.git("checkout", "-q", "main")
    world.repo.write("other.py", "OTHER = 1\n")
    world.repo.commit("Another file")
    world.repo.git("merge", "-q", "--no-edit", "feature")
    _rewrite(world, "stats.py", "total = 0", "total = 0.0", "Floats")
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_an_amended_message_keeps_the_lines(world: World) -> None:
    _, of = _committed(world)
    world.repo.git("commit", "-q", "--amend", "-m", "Add the mean")
    assert _share(world, of) == 1.0


def test_an_amended_commit_has_what_it_was_amended_to(world: World) -> None:
    turn, _ = _committed(world)
    text = (world.repo.root / "stats.py").read_text().replace("total = 0", "total = 0.0")
    world.save("stats.py", text)
    world.repo.git("commit", "-q", "-a", "--amend", "--no-edit")
    world.head_moved()
    of = _brought(world, turn)
    assert of.share == pytest.approx(5 / OWN)
    assert _share(world, of) == pytest.approx(5 / OWN)


def test_a_commit_that_the_branch_has_lost_is_unknown(world: World) -> None:
    _, of = _committed(world)
    world.repo.git("reset", "-q", "--hard", "HEAD~1")
    world.repo.write("other.py", "OTHER = 1\n")
    world.repo.commit("Another way")
    assert _share(world, of) is None


def test_lines_that_were_there_before_are_not_the_suggestions(world: World) -> None:
    turn = world.ask(with_mean(SUGGESTED))
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Add mean")
    of = _brought(world, turn)
    assert (of.own, of.share) == (OWN, 1.0)
