"""Where a suggestion is taken to, by which ways, and what git does with it: it is kept."""

from __future__ import annotations

from pathlib import Path

from tests.support.played_day import BOTH, PYTHON, Day, Fate, Scenes


def in_a_new_file(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.repo.save(f"{Path(day.file).parent}/fresh{Path(day.file).suffix}", day.code)
    day.settle()
    return day.kept(turn)


def in_a_new_file_by_renaming(day: Day) -> Fate:
    turn = day.ask(day.code)
    path = day.repo.root / Path(day.file).parent / f"fresh{Path(day.file).suffix}"
    (path.parent / ".tmp-1").write_text(day.code)
    (path.parent / ".tmp-1").rename(path)
    day.home.until(lambda: day.home.watcher.history(path).newest == day.code)
    day.settle()
    return day.kept(turn)


def committed_at_once(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.repo.save(day.file, day.added(day.code), after=5.0)
    day.repo.git("commit", "-qam", "At once")
    day.home.until_head(day.repo.git("rev-parse", "HEAD"))
    return day.kept(turn)


def moved_to_another_file(day: Day) -> Fate:
    before = day.text()
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.save(day.file, before, after=60.0)
    day.repo.save(day.other, f"{day.repo.read(day.other)}{day.gap}{day.code}", after=3.0)
    day.settle()
    return day.kept(turn)


def undone_and_redone(day: Day) -> Fate:
    before, after = day.text(), day.added(day.code)
    turn = day.ask(day.code)
    day.repo.save(day.file, after)
    day.repo.save(day.file, before, after=10.0)
    day.repo.save(day.file, after, after=10.0)
    day.settle()
    return day.kept(turn)


def typed_with_saves(day: Day) -> Fate:
    turn = day.ask(day.code)
    before = day.text() + day.gap
    for end in range(60, len(day.code), 60):
        day.repo.save(day.file, before + day.code[:end], after=4.0)
    day.repo.save(day.file, before + day.code, after=4.0)
    day.settle()
    return day.kept(turn)


def amended(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.commit()
    day.repo.move_head("commit", "-q", "--amend", "-m", "Said better")
    return day.kept(turn)


def _committed_on_topic(day: Day) -> str:
    """Ask and paste on a branch of its own, and go back to main; the turn."""
    repo = day.repo
    repo.move_head("checkout", "-q", "-b", "topic")
    turn = day.ask(day.code)
    day.paste(day.code)
    repo.commit()
    repo.move_head("checkout", "-q", "main")
    return turn


def rebased(day: Day) -> Fate:
    repo = day.repo
    turn = _committed_on_topic(day)
    repo.save("notes.txt", "A note.\n")
    repo.commit("A note")
    repo.move_head("checkout", "-q", "topic")
    repo.move_head("rebase", "-q", "main")
    repo.move_head("checkout", "-q", "main")
    repo.move_head("merge", "-q", "topic")
    day.settle()
    return day.kept(turn)


def squashed(day: Day) -> Fate:
    repo = day.repo
    turn = _committed_on_topic(day)
    repo.git("merge", "-q", "--squash", "topic")
    repo.commit("Squashed")
    day.settle()
    return day.kept(turn)


def branch_deleted(day: Day) -> Fate:
    """Nothing of it is left anywhere, and nobody took it back."""
    repo = day.repo
    turn = _committed_on_topic(day)
    repo.git("branch", "-q", "-D", "topic")
    day.settle()
    return Fate(turn, ("rejected", "unknown", "kept"))


def cherry_picked(day: Day) -> Fate:
    repo = day.repo
    turn = _committed_on_topic(day)
    repo.save("notes.txt", "A note.\n")
    repo.commit("A note")
    repo.move_head("cherry-pick", "topic")
    day.settle()
    return day.kept(turn)


def stashed_and_popped(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    before, after = day.begun, day.text()
    day.repo.git("stash")
    day.repo.until_text(day.file, before)
    day.home.wait(60.0)
    day.repo.git("stash", "pop")
    day.repo.until_text(day.file, after)
    day.repo.commit()
    return day.kept(turn)


def stashed_for_days(day: Day) -> Fate:
    """Longer than any window, with work on something else in between."""
    turn = day.ask(day.code)
    day.paste(day.code)
    before, after = day.begun, day.text()
    day.repo.git("stash")
    day.repo.until_text(day.file, before)
    for _ in range(3):
        day.work()
        day.home.wait(86400.0)
    day.repo.git("stash", "pop")
    day.repo.until_text(day.file, after)
    day.repo.commit()
    return day.kept(turn)


def file_moved_after_the_commit(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.commit()
    day.repo.git("mv", day.file, f"moved{Path(day.file).suffix}")
    day.repo.commit("Move")
    day.settle()
    return day.kept(turn)


def in_two_files(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.save(day.other, f"{day.repo.read(day.other)}{day.gap}{day.code}", after=30.0)
    day.settle()
    return day.kept(turn)


def the_second_copy_stays(day: Day) -> Fate:
    before = day.text()
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.save(day.other, f"{day.repo.read(day.other)}{day.gap}{day.code}", after=30.0)
    day.repo.save(day.file, before, after=60.0)
    day.settle()
    return day.kept(turn)


def a_revert_reverted(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.commit()
    day.repo.move_head("revert", "--no-edit", "HEAD")
    day.repo.move_head("revert", "--no-edit", "HEAD")
    day.settle()
    return day.kept(turn)


def after_31_minutes_of_lunch(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.home.wait(1860.0)
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def asked_by_a_process_at_the_root(day: Day) -> Fate:
    turn = day.ask(day.code, at="/")
    day.paste(day.code)
    day.settle()
    return day.kept(turn)


def pasted_into_the_other_project(day: Day) -> Fate:
    other = day.home.project("second", {"readme.md": "Other.\n"})
    turn = day.ask(day.code)
    day.work()
    other.save(f"here{Path(day.file).suffix}", day.code)
    day.settle()
    return Fate(turn, ("kept",), day.code, other.root)


def in_a_worktree(day: Day) -> Fate:
    tree = day.home.root / "tree"
    day.repo.git("worktree", "add", "-q", "-b", "topic", str(tree))
    day.repo.until_text(day.file, day.text(), root=tree)
    turn = day.ask(day.code, at=tree)
    day.home.wait(20.0)
    (tree / day.file).write_text(day.added(day.code))
    day.repo.until_text(day.file, day.added(day.code), root=tree)
    day.settle()
    return day.kept(turn)


PLACES: Scenes = (
    (in_a_new_file, BOTH),
    (in_a_new_file_by_renaming, BOTH),
    (committed_at_once, PYTHON),
    (moved_to_another_file, BOTH),
    (undone_and_redone, BOTH),
    (typed_with_saves, BOTH),
    (amended, PYTHON),
    (rebased, PYTHON),
    (squashed, BOTH),
    (branch_deleted, PYTHON),
    (cherry_picked, PYTHON),
    (stashed_and_popped, PYTHON),
    (stashed_for_days, PYTHON),
    (file_moved_after_the_commit, PYTHON),
    (in_two_files, BOTH),
    (the_second_copy_stays, PYTHON),
    (a_revert_reverted, PYTHON),
    (after_31_minutes_of_lunch, BOTH),
    (asked_by_a_process_at_the_root, PYTHON),
    (pasted_into_the_other_project, PYTHON),
    (in_a_worktree, PYTHON),
)
