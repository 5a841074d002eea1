"""Edits that name their file: found there as they are, whatever their length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.following import follow_save
from qi_learn.records import Message
from qi_learn.track.exact import names
from qi_learn.track.waiting import CLOSELY, WaitingSketches
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.file_history import FileHistory
from tests.support.tracked_code import FILE, MARK, SUGGESTED, World, with_mean


def edit(world: World, path: str, old: str, new: str, **more: Any) -> str:
    arguments = {"file_path": path, "old_string": old, "new_string": new}
    call = {"id": "toolu_1", "function": {"name": "Edit", "arguments": arguments}}
    return world.ask("I edit it.", fenced=False, answer_extra={"tool_calls": [call]}, **more)


def is_kept(world: World, turn: str) -> bool:
    feedback = world.feedback(turn)
    return feedback.accepted is True and feedback.modified is False


def test_an_edit_of_one_short_line_is_found_where_its_old_text_stood(world: World) -> None:
    turn = edit(world, "stats.py", MARK, "VAT = 19\n")
    world.save("stats.py", FILE.replace(MARK, "VAT = 19\n"))
    placed = world.fate(turn)
    assert (placed.state, placed.match_method, placed.match_confidence) == ("placed", "path", 1.0)
    assert (placed.file, placed.region, placed.similarity) == ("stats.py", "VAT = 19", 1.0)
    world.commit()
    assert world.fate(turn).final_text == "VAT = 19\n"
    assert is_kept(world, turn)


def test_an_edit_of_a_docstring_is_found(world: World) -> None:
    old, new = '"""The one in the middle."""', '"""The median."""'
    turn = edit(world, str(world.repo.root / "stats.py"), old, new)
    world.save("stats.py", FILE.replace(old, new))
    world.commit()
    assert (world.fate(turn).final_text, world.fate(turn).similarity) == (new, 1.0)


def test_a_part_of_a_line_is_cut_out_of_it_again_when_it_is_changed_later(world: World) -> None:
    turn = edit(world, "stats.py", "sorted(values)", "sorted(values, key=abs)")
    world.save("stats.py", FILE.replace("sorted(values)", "sorted(values, key=abs)"))
    placed = world.fate(turn)
    assert (placed.lead, placed.trail, placed.similarity) == ("    ordered = ", "", 1.0)
    world.save("stats.py", FILE.replace("sorted(values)", "sorted(values, key=float)"))
    world.commit()
    assert world.fate(turn).final_text == "sorted(values, key=float)"


def test_of_two_equal_places_it_is_the_one_where_the_old_text_was(world: World) -> None:
    text = "def a():\n    return 1\n\n\ndef b():\n    return 2\n\n\ndef c():\n    return 3\n"
    world.begin("abc.py", text)
    turn = edit(world, "abc.py", "    return 2\n", "    return 1\n")
    world.save("abc.py", text.replace("return 2", "return 1").replace("return 3", "return 1"))
    assert world.fate(turn).before == ("def a():", "    return 1", "def b():")


def test_what_stood_in_the_file_before_is_no_place_of_an_edit(world: World) -> None:
    turn = edit(world, "stats.py", "no such text", "import math")
    world.save("stats.py", FILE + "\n# changed elsewhere\n")
    assert world.fate(turn).placed_at is None


def test_an_edit_that_leaves_lines_out_is_found_by_what_is_gone(world: World) -> None:
    old = '"""The largest minus the smallest."""\n    return max(values) - min(values)'
    turn = edit(world, "stats.py", old, "return max(values) - min(values)")
    world.save("stats.py", FILE.replace(old, "return max(values) - min(values)"))
    assert world.fate(turn).match_method == "path"


def test_two_edits_on_one_line_are_both_found(world: World) -> None:
    calls = [
        {
            "id": f"call_{n}",
            "function": {
                "name": "edit",
                "arguments": {"filePath": "stats.py", "oldString": old, "newString": new},
            },
        }
        for n, (old, new) in enumerate((("max(values)", "high"), ("min(values)", "low")))
    ]
    turn = world.ask("Both.", fenced=False, answer_extra={"tool_calls": calls})
    world.save("stats.py", FILE.replace("max(values) - min(values)", "high - low"))
    assert [world.fate(turn, n).state for n in (0, 1)] == ["placed", "placed"]


def test_a_whole_file_is_found_as_it_was_written(world: World) -> None:
    arguments = {"file_path": "new.py", "content": "x = 1\n"}
    call = {"id": "c", "function": {"name": "write_file", "arguments": arguments}}
    turn = world.ask("", fenced=False, answer_extra={"tool_calls": [call]})
    world.save("new.py", "x = 1\n")
    world.commit()
    assert world.fate(turn).match_method == "path"
    assert is_kept(world, turn)


def test_an_edit_of_one_file_is_not_found_in_another(world: World) -> None:
    code = "def total(values, weights):\n    return sum(v * w for v, w in zip(values, weights))\n"
    turn = edit(world, "stats.py", MARK, code)
    world.save("other.py", code)
    assert world.fate(turn).placed_at is None
    world.save("stats.py", FILE.replace(MARK, code))
    assert world.fate(turn).file == "stats.py"


SEARCH_REPLACE = (
    "stats.py\n```python\n<<<<<<< SEARCH\n...  # mean\n=======\nVAT = 19\n>>>>>>> REPLACE\n```\n"
)
DIFF = "```diff\n--- a/stats.py\n+++ b/stats.py\n@@\n-...  # mean\n+VAT = 19\n```\n"
CLINE = (
    "<replace_in_file>\n<path>stats.py</path>\n<diff>\n------- SEARCH\n...  # mean\n=======\n"
    "VAT = 19\n+++++++ REPLACE\n</diff>\n</replace_in_file>"
)


@pytest.mark.parametrize("answer", [SEARCH_REPLACE, DIFF, CLINE], ids=["aider", "diff", "cline"])
def test_an_edit_in_the_text_is_found_as_its_new_half_alone(world: World, answer: str) -> None:
    turn = world.ask(answer, fenced=False)
    assert (world.fate(turn).text, world.fate(turn).old) == ("VAT = 19\n", "...  # mean\n")
    world.save("stats.py", FILE.replace(MARK, "VAT = 19\n"))
    world.commit()
    assert world.fate(turn).match_method == "path"
    assert is_kept(world, turn)


def test_windows_line_ends_do_not_hide_an_edit(world: World) -> None:
    turn = edit(world, "stats.py", MARK, "VAT = 19\n")
    world.save("stats.py", FILE.replace(MARK, "VAT = 19\n").replace("\n", "\r\n"))
    assert world.fate(turn).match_method == "path"


def test_a_title_and_data_are_no_suggestions(world: World) -> None:
    title = world.ask("Refactoring: mean", fenced=False)
    data = world.ask('{"title": "The mean"}', fenced=False)
    structured = world.ask("x = [1]\n", fenced=False, request={"format": "json"})
    for turn in (title, data, structured):
        with pytest.raises(IndexError):
            world.fate(turn)


def saved(project: Path, file: str, **more: Any) -> FileSaved:
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x\n")
    return FileSaved(str(project), path, "x\n", 1.0, **more)


def test_a_path_is_read_from_the_places_that_clients_name_files_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "backend"
    told = saved(project, "src/main.py")
    own = str(project)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (
        *("src/main.py", "./src/main.py", str(told.path), "~/backend/src/main.py"),
        *("backend/src/main.py", "main.py", "/workspace/src/main.py", "src\\main.py"),
        f"file://{told.path}",
    ):
        assert names(path, own, told), path
    others = ("other.py", "tests/main.py", "../src/main.py", "/src/main.py", "", "a\0b", "\ud800")
    for path in others:
        assert not names(path, own, told), path


def test_a_path_through_a_link_names_the_file(tmp_path: Path) -> None:
    project = tmp_path / "work"
    told = saved(project, "real.py")
    (project / "link.py").symlink_to(told.path)
    (tmp_path / "alias").symlink_to(project)
    assert names("link.py", str(project), told)
    assert names(str(tmp_path / "alias" / "real.py"), str(project), told)


def test_a_path_within_the_project_is_not_a_file_of_the_same_name_below(tmp_path: Path) -> None:
    project = tmp_path / "work"
    saved(project, "main.py")
    assert not names("main.py", str(project), saved(project, "sub/main.py"))


def test_a_path_is_read_from_a_working_tree_that_lies_elsewhere(tmp_path: Path) -> None:
    project, tree = tmp_path / "work", tmp_path / "work-tree"
    project.mkdir()
    path = tree / "stats.py"
    tree.mkdir()
    path.write_text("x\n")
    told = FileSaved(str(project), path, "x\n", 1.0, top=str(tree))
    assert names("stats.py", str(project), told)


@pytest.mark.parametrize("new", ["VAT = 19\n", SUGGESTED], ids=["short", "long"])
def test_an_edit_of_a_file_that_its_own_project_has_is_none_of_another_projects(
    world: World, tmp_path: Path, new: str
) -> None:
    turn = edit(world, "stats.py", MARK, new)  # not applied: its client said so, or ended
    path = tmp_path / "other" / "stats.py"
    path.parent.mkdir()
    path.write_text(FILE)
    history = FileHistory("", window=7200)
    history.record(world.now - 60, FILE)
    world.now += 10
    text = FILE.replace(MARK, new)
    ts = history.record(world.now, text)
    path.write_text(text)
    saved = FileSaved(str(path.parent), path, text, ts)
    follow_save(world.store, saved, history, world.settings, world.now)
    assert world.fate(turn).state == "waiting"
    row = world.store.row("SELECT project FROM turns WHERE id = ?", (turn,))
    assert row is not None
    assert row[0] == str(world.repo.root)


def test_a_path_that_its_own_project_has_not_is_read_from_another(tmp_path: Path) -> None:
    project, other = tmp_path / "work", tmp_path / "other"
    project.mkdir()
    assert names("main.py", str(project), saved(other, "main.py"))
    saved(project, "main.py")
    assert not names("main.py", str(project), saved(other, "main.py"))


def test_a_question_about_the_format_alone_suggests_nothing(world: World) -> None:
    turn = world.ask(
        "Use `<<<<<<< SEARCH` marks.", messages=(Message("user", "How?"),), fenced=False
    )
    with pytest.raises(IndexError):
        world.fate(turn)


def test_an_edit_of_a_part_leaves_what_was_placed_before_in_its_place(world: World) -> None:
    first = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    second = edit(world, "stats.py", "total = 0", "total = 0.0")
    world.save("stats.py", with_mean(SUGGESTED.replace("total = 0", "total = 0.0")))
    assert [world.fate(turn).state for turn in (first, second)] == ["placed", "placed"]
    world.commit()
    assert world.fate(first).final_text == SUGGESTED.replace("total = 0", "total = 0.0")
    assert world.fate(second).final_text == "total = 0.0"


def test_a_short_edit_is_found_among_very_many_that_wait(world: World) -> None:
    sketches = WaitingSketches()
    for n in range(CLOSELY + 20):
        world.ask(f"def other_{n}(values, weights):\n    return [values, weights, {n}, {n + 1}]\n")
    turn = edit(world, "stats.py", MARK, "VAT = 19\n")
    world.save("other.py", "# nothing of it\n", sketches=sketches)
    world.save("stats.py", FILE.replace(MARK, "VAT = 19\n"), sketches=sketches)
    assert world.fate(turn).match_method == "path"
