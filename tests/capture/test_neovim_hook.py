"""What the hook for Neovim tells, in a real Neovim at a terminal."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qi_learn.store.editor_signs import editor_sign
from tests.support.editor_lines import digest
from tests.support.neovim import ESCAPE, F2, F3, F4, Editor, never

TEXT = "def mean(values):\n    return \n\n\ndef spread(values):\n    return 0\n"
AT = "2GA"
"""Keys that begin to insert behind `return `."""
Open = Callable[..., Editor]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    editors: list[Editor] = []

    def begin(*ghost: str, text: str = TEXT, more: str = "") -> Editor:
        editors.append(Editor(tmp_path, text, list(ghost), more=more))
        return editors[-1]

    yield begin
    for editor in editors:
        editor.quit()


def test_what_was_shown_and_taken_is_told_by_its_hashes(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.type(AT, F2, F3)
    (event,) = editor.told()
    assert (event.kind, event.source, event.author) == ("sign", "nvim", "person")
    assert event.project == str(editor.project)
    assert abs(event.ts - time.time()) < 60
    sign = editor_sign(event)
    assert (sign.said, sign.file, sign.size) == ("accepted", str(editor.file), 11)
    assert sign.text == digest("sum(values)")
    assert (sign.lead, sign.above) == (digest("    return "), digest("def mean(values):"))
    assert event.body["by"] == "minuet"
    (file,) = editor.paths.spool.glob("nvim-*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"sum" not in file.read_bytes()
    assert editor.messages() == ""


def test_several_lines_are_told_as_one_text(opened: Open) -> None:
    ghost = ["sum(", "        values", "    ) / len(values) (1/2)"]
    editor = opened(*ghost, more='vim.keymap.del("i", "<F3>")\n' + _TAKE_WITHOUT_NOTE)
    editor.type(AT, F2, F3)
    (event,) = editor.told()
    assert event.body["text"] == digest("sum(\n        values\n    ) / len(values)")


_TAKE_WITHOUT_NOTE = """
vim.keymap.set("i", "<F3>", function()
  take("sum(", "        values", "    ) / len(values)")
end)
"""


def test_the_first_line_alone_is_told_as_that(opened: Open) -> None:
    editor = opened("sum(values)", "    # so")
    editor.type(AT, F2, F4)
    (event,) = editor.told()
    assert event.body["text"] == digest("sum(values)")


def test_within_a_line_what_stands_behind_it_is_no_part(opened: Open) -> None:
    editor = opened("values", text="total = sum()\n")
    editor.type("1G$i", F2, F3)
    (event,) = editor.told()
    assert (event.body["text"], event.body["lead"]) == (digest("values"), digest("total = sum("))


def test_what_llama_vim_takes_is_told(opened: Open) -> None:
    editor = opened("sum(values)", more=LLAMA)
    editor.type(AT, F2, F3)
    (event,) = editor.told()
    assert event.body["text"] == digest("sum(values)\n    # so")
    assert event.body["by"] == "llama.vim"


LLAMA = """
vim.keymap.set("i", "<F2>", function()
  local space = vim.api.nvim_create_namespace("vt_fim")
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  vim.api.nvim_buf_set_extmark(0, space, row - 1, col, {
    virt_text = { { "sum(values)", "Comment" }, { "   c: 1, r: 2", "Comment" } },
    virt_text_pos = "overlay",
  })
  vim.api.nvim_buf_set_extmark(0, space, row - 1, 0, {
    virt_lines = { { { "    # so", "Comment" } } },
  })
end)
vim.cmd([[
function! Accept()
  let l:line = getline('.')
  call setline('.', l:line . 'sum(values)')
  call append('.', ['    # so'])
  call cursor(line('.') + 1, 100)
  call nvim_buf_clear_namespace(0, nvim_create_namespace('vt_fim'), 0, -1)
endfunction
inoremap <F3> <C-O>:call Accept()<CR>
]])
"""


def test_what_was_typed_or_shown_only_is_not_told(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.type(AT, F2, "s", "u", "m", F2, "x", ESCAPE, "dd")
    assert editor.told(never) == []
    assert editor.messages() == ""


def test_what_is_undone_soon_is_told_and_what_is_changed_is_not(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.type(AT, F2, F3, ESCAPE, "u")
    events = editor.told(lambda events: len(events) == 2)
    assert [event.body["said"] for event in events] == ["accepted", "declined"]
    assert events[0].body["text"] == events[1].body["text"]
    editor.type(AT, F2, F3, ESCAPE, "x", "j")
    said = [event.body["said"] for event in editor.told(lambda events: len(events) == 3)]
    assert said == ["accepted", "declined", "accepted"]


def test_nothing_is_told_in_a_pause_nor_of_a_file_in_no_project(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.paths.pause.write_text('{"until": 99999999999, "pauses": []}\n')
    editor.type(AT, F2, F3)
    editor.paths.pause.unlink()
    editor.type(ESCAPE, f":e {editor.project.parent}/other.py\r", "i", F2, F3)
    assert editor.told(never) == []
    assert editor.messages() == ""


def test_without_a_spool_nothing_is_told_and_nothing_said(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.paths.spool.rmdir()
    editor.type(AT, F2, F3)
    assert editor.messages() == ""
    assert not editor.paths.spool.exists()


def test_a_file_that_the_daemon_took_is_not_written_to(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.type(AT, F2, F3)
    editor.told()
    (file,) = editor.paths.spool.glob("nvim-*.jsonl")
    file.rename(f"{file}.left")
    editor.type(ESCAPE, "6GA", F2, F3)
    assert len(editor.told(lambda events: len(events) == 2)) == 2
    assert len(list(editor.paths.spool.glob("nvim-*.jsonl"))) == 1


def test_the_last_answer_is_rated_and_marked(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.type(":QiRate 4\r", ":QiMark rejected\r")
    events = editor.told(lambda events: len(events) == 2)
    assert [(event.kind, dict(event.body)) for event in events] == [
        ("rating", {"turn": "last", "rating": 4}),
        ("rating", {"turn": "last", "mark": "rejected"}),
    ]
    assert events[0].project == str(editor.project)


def test_another_number_is_no_rating(opened: Open) -> None:
    editor = opened("sum(values)")
    editor.type(":QiRate 6\r", ":QiMark good\r", "\r")
    assert editor.told(never) == []
