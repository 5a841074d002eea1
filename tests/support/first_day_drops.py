"""What is not taken: with a sign of it, or without one, and then nothing can be told."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from tests.support import first_day as texts
from tests.support.played_day import BOTH, PYTHON, Day, Fate, Scenes


def deleted_a_minute_later(day: Day) -> Fate:
    before = day.text()
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.save(day.file, before, after=60.0)
    day.settle()
    return day.dropped(turn)


def deleted_while_other_work_goes_on(day: Day) -> Fate:
    before = day.text()
    turn = day.ask(day.code)
    day.paste(day.code)
    day.work()
    day.repo.save(day.file, f"{before}{day.gap}{day.own}", after=120.0)
    day.settle()
    return day.dropped(turn)


def reverted_by_git(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.commit()
    day.repo.move_head("revert", "--no-edit", "HEAD")
    day.settle()
    return day.dropped(turn)


def reset_hard(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.commit()
    day.repo.move_head("reset", "-q", "--hard", "HEAD~1")
    day.settle()
    return day.dropped(turn)


def checked_out_again(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.git("checkout", "--", day.file)
    day.repo.until_text(day.file, day.begun)
    day.settle()
    return day.dropped(turn)


def stash_dropped(day: Day) -> Fate:
    """It went with the stash, and nobody said why: no sign that is certain."""
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.git("stash")
    day.repo.until_text(day.file, day.begun)
    day.repo.git("stash", "drop")
    day.home.rest()
    day.settle()
    return Fate(turn, ("rejected", "unknown"))


def commented_out(day: Day) -> Fate:
    mark = "# " if day.language == "python" else "// "
    before = day.text() + day.gap
    turn = day.ask(day.code)
    day.paste(day.code)
    day.repo.save(day.file, before + textwrap.indent(day.code, mark), after=60.0)
    day.settle()
    return day.dropped(turn)


def its_file_removed(day: Day) -> Fate:
    name = f"fresh{Path(day.file).suffix}"
    turn = day.ask(day.code)
    day.repo.save(name, day.code)
    day.repo.commit()
    day.repo.save("notes.txt", "A note.\n")
    day.repo.commit("A note")
    day.repo.delete(name)
    day.repo.commit("Remove it")
    day.settle()
    return day.dropped(turn)


def rewritten_after_the_paste(day: Day) -> Fate:
    before = day.text() + day.gap
    turn = day.ask(day.code)
    day.paste(day.code)
    name = "overdue_amounts" if day.language == "python" else "groupBy"
    other = texts.STRUCTURED.replace("csv_lines", name)
    if day.language != "python":
        other = texts.OWN_SCRIPT.replace("parseRow", name)
    day.repo.save(day.file, before + other, after=200.0)
    day.repo.commit()
    return day.dropped(turn)


def rated_one(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.home.rate(turn, 1)
    day.later()
    return day.dropped(turn)


def not_used(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.later()
    return day.unused(turn)


def the_best_of_three(day: Day) -> Fate:
    first = day.ask(day.second)
    day.ask(day.own)
    day.ask(day.code)
    day.paste(day.code)
    day.later()
    return day.unused(first)


def the_taken_one_of_three(day: Day) -> Fate:
    day.ask(day.second)
    day.ask(day.own)
    turn = day.ask(day.code)
    day.paste(day.code)
    day.later()
    return day.kept(turn)


def rated_five_and_not_pasted(day: Day) -> Fate:
    turn = day.ask(day.code)
    day.home.rate(turn, 5)
    day.later()
    return Fate(turn, ("unknown", "kept"))


def pasted_outside_of_every_project(day: Day) -> Fate:
    other = day.home.project("private", {"readme.md": "Mine.\n"}, registered=False)
    turn = day.ask(day.code)
    other.save("own.txt", day.code, seen=False)
    day.later()
    return day.unused(turn)


def a_file_with_a_secrets_name(day: Day) -> Fate:
    """It is never looked at, so nothing can be told."""
    turn = day.ask(day.code)
    place = Path(day.file)
    day.repo.save(f"{place.parent}/credentials{place.suffix}", day.code, seen=False)
    day.repo.save(f"{place.parent}/secrets/store{place.suffix}", day.code, seen=False)
    day.later()
    return day.unused(turn)


def a_file_that_git_ignores(day: Day) -> Fate:
    day.repo.save(".gitignore", "local/\n")
    turn = day.ask(day.code)
    day.repo.save("local/own.txt", day.code, seen=False)
    day.later()
    return day.unused(turn)


def what_the_file_has_already(day: Day) -> Fate:
    function = texts.TOTALS[texts.TOTALS.index("def net_total") :].split("\n\n\n")[0] + "\n"
    if day.language != "python":
        function = texts.GROUPS[texts.GROUPS.index("export class") :]
    turn = day.ask(function)
    day.later()
    return day.unused(turn)


def a_colleagues_same_code_by_merge(day: Day) -> Fate:
    repo = day.repo
    repo.move_head("checkout", "-q", "-b", "colleague")
    (repo.root / day.file).write_text(day.added(day.code))
    repo.commit("A colleague's")
    repo.move_head("checkout", "-q", "main")
    turn = day.ask(day.code)
    repo.move_head("merge", "-q", "colleague")
    day.later()
    return day.unused(turn)


def a_notebooks_cell(day: Day) -> Fate:
    cell = {"cell_type": "code", "source": day.code.splitlines(True), "outputs": []}
    turn = day.ask(day.code)
    text = json.dumps(
        {"cells": [cell], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}, indent=1
    )
    day.repo.save("sums.ipynb", text)
    day.later()
    return Fate(turn, ("unknown", "kept"))


DROPS: Scenes = (
    (deleted_a_minute_later, BOTH),
    (deleted_while_other_work_goes_on, BOTH),
    (reverted_by_git, BOTH),
    (reset_hard, PYTHON),
    (checked_out_again, PYTHON),
    (stash_dropped, PYTHON),
    (commented_out, BOTH),
    (its_file_removed, BOTH),
    (rewritten_after_the_paste, BOTH),
    (rated_one, BOTH),
    (not_used, BOTH),
    (the_best_of_three, PYTHON),
    (the_taken_one_of_three, PYTHON),
    (rated_five_and_not_pasted, PYTHON),
    (pasted_outside_of_every_project, PYTHON),
    (a_file_with_a_secrets_name, PYTHON),
    (a_file_that_git_ignores, PYTHON),
    (what_the_file_has_already, BOTH),
    (a_colleagues_same_code_by_merge, PYTHON),
    (a_notebooks_cell, PYTHON),
)
