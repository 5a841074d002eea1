"""Answers that ask for edits: what an edit puts there is replaced, and its form stays.

Suggestions are made by the same code as in the daemon.
"""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.dataset.target import LOST, Skipped, Target, kept_nothing, target_of
from qi_learn.records import Turn
from qi_learn.track.suggestions import suggestions_of
from tests.support.dataset_world import interaction, turn

AIDER = (
    "I name it.\n\ntax.py\n```python\n<<<<<<< SEARCH\nRATE = 1\n=======\nVAT = 19\n"
    ">>>>>>> REPLACE\n```\nDone."
)
DIFF = "```diff\n--- a/tax.py\n+++ b/tax.py\n@@\n-RATE = 1\n+VAT = 19\n```\n"


def settled(of: Turn, final: str | None, ordinal: int = 0, **more: Any) -> Target | Skipped:
    """The target of a turn of which one edit has a final text."""
    made = list(suggestions_of(of))
    made[ordinal] = replace(made[ordinal], state="settled", placed_at=1.0, final_text=final, **more)
    return target_of(interaction(of, *made))


def test_only_the_new_half_of_a_search_replace_block_is_replaced() -> None:
    target = settled(turn(answer=AIDER), "VAT = 0.19\n")
    assert isinstance(target, Target)
    assert target.text == AIDER.replace("VAT = 19", "VAT = 0.19")
    assert [target.text[a:b] for a, b in target.spans] == ["VAT = 0.19\n"]
    kept = settled(turn(answer=AIDER), "VAT = 19\n")
    assert isinstance(kept, Target)
    assert kept.text == AIDER


def test_of_two_edits_one_that_was_rejected_behind_the_kept_one_spoils_the_answer() -> None:
    answer = AIDER + "\n\n" + AIDER.replace("VAT", "OTHER")
    t = turn(answer=answer)
    first, second = suggestions_of(t)
    first = replace(first, state="settled", placed_at=1.0, final_text="VAT = 19\n")
    second = replace(second, state="settled", placed_at=1.0)
    assert target_of(interaction(t, first, second)) == Skipped("a part of the answer was rejected")


def test_a_diff_that_was_kept_is_learned_as_it_was_served() -> None:
    kept = settled(turn(answer=DIFF), "VAT = 19\n")
    assert isinstance(kept, Target)
    assert kept.text == DIFF
    assert settled(turn(answer=DIFF), None) == Skipped(LOST)


@pytest.mark.parametrize(
    ("final", "changed"),
    [
        ("VAT = 0.19 + EXTRA\n", "-RATE = 1\n+VAT = 0.19 + EXTRA\n"),
        ("RATE = 1\nVAT = 0.19 + EXTRA\n", " RATE = 1\n+VAT = 0.19 + EXTRA\n"),
        ("    VAT = other(2)\n", "-RATE = 1\n+    VAT = other(2)\n"),
    ],
)
def test_a_diff_that_was_edited_leads_to_what_was_kept(final: str, changed: str) -> None:
    target = settled(turn(answer=f"Here:\n{DIFF}Done."), final)
    assert isinstance(target, Target)
    served = "-RATE = 1\n+VAT = 19\n"
    assert target.text == f"Here:\n{DIFF.replace(served, changed)}Done."
    assert target.served is not None
    assert target.served.text == f"Here:\n{DIFF}Done."


MANY = (
    "--- a/tax.py\n+++ b/tax.py\n@@ -3,3 +3,3 @@ def tax():\n x = 1\n-RATE = 1\n+VAT = 19\n y = 2\n"
    "@@ -20,2 +20,3 @@\n z = 1\n\n+w = 3\n"
)


def test_line_numbers_that_were_right_stay_right() -> None:
    target = settled(turn(answer=f"```diff\n{MANY}```"), "VAT = 19\nLOW = 7\nNONE = 0\n")
    assert isinstance(target, Target)
    assert "@@ -3,3 +3,5 @@ def tax():\n x = 1\n-RATE = 1\n+VAT = 19\n+LOW = 7\n" in target.text
    assert "@@ -20,2 +22,3 @@\n z = 1\n\n+w = 3\n" in target.text


def test_an_edited_diff_that_git_takes_is_one_that_git_takes(tmp_path: Path) -> None:
    lines = [f"line {n}" for n in range(1, 22)]
    lines[2:5] = ["x = 1", "RATE = 1", "y = 2"]
    lines[19:21] = ["z = 1", ""]
    (tmp_path / "tax.py").write_text("\n".join(lines) + "\n")
    target = settled(turn(answer=f"```diff\n{MANY}```"), "VAT = 19\nLOW = 7\n")
    assert isinstance(target, Target)
    diff = target.text.removeprefix("```diff\n").removesuffix("```")
    subprocess.run(("git", "apply", "-"), cwd=tmp_path, input=diff, text=True, check=True)
    assert (tmp_path / "tax.py").read_text() == (
        "\n".join([*lines[:3], "VAT = 19", "LOW = 7", *lines[4:21], "w = 3", *lines[21:]]) + "\n"
    )


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        (DIFF, "RATE = 1\n"),  # nothing is changed any more
        (DIFF.removeprefix("```diff\n").removesuffix("```\n"), "VAT = 0.19 + EXTRA\n"),  # bare
        (DIFF.replace("@@\n", "@@\n-RATE = 1\n+VAT = 19\n@@\n"), "VAT = 0.2 + EXTRA\n"),  # twice
    ],
)
def test_a_diff_that_cannot_be_written_anew_is_left_out(answer: str, final: str) -> None:
    assert settled(turn(answer=answer), final) == Skipped(LOST)


def test_what_would_be_read_as_a_header_is_left_out() -> None:
    answer = DIFF.replace("-RATE = 1\n+VAT = 19\n", "--- one\n+VAT = 19\n")
    assert settled(turn(answer=answer), "++ two and three\n") == Skipped(LOST)


def test_a_changed_diff_beside_a_block_that_was_changed() -> None:
    answer = f"{DIFF}And:\n```python\nx = 1\n```\n"
    t = turn(answer=answer)
    first, second = suggestions_of(t)
    first = replace(first, state="settled", placed_at=1.0, final_text="VAT = 0.19 + EXTRA\n")
    second = replace(second, state="settled", placed_at=1.0, final_text="x = 2\n")
    target = target_of(interaction(t, first, second))
    assert isinstance(target, Target)
    assert target.text == answer.replace("VAT = 19", "VAT = 0.19 + EXTRA").replace("x = 1", "x = 2")


def test_a_patch_in_a_call_is_learned_as_it_was_served_or_not_at_all() -> None:
    patch = "*** Begin Patch\n*** Update File: tax.py\n@@\n-RATE = 1\n+VAT = 19\n*** End Patch"
    call = {"function": {"name": "apply_patch", "arguments": {"input": patch}}}
    t = turn(answer="", answer_extra={"tool_calls": [call]})
    kept = settled(t, "VAT = 19\n")
    assert isinstance(kept, Target)
    assert kept.calls == (call,)
    assert settled(t, "VAT = 0.19 + EXTRA\n") == Skipped(LOST)
    assert settled(t, None, fate="rejected") == Skipped(LOST)


def test_an_edit_of_a_tool_keeps_its_old_text_and_its_file() -> None:
    arguments = {"file_path": "tax.py", "old_string": "RATE = 1", "new_string": "VAT = 19"}
    call = {"function": {"name": "Edit", "arguments": arguments}}
    target = settled(turn(answer="", answer_extra={"tool_calls": [call]}), "VAT = 0.19")
    assert isinstance(target, Target)
    assert target.calls == (
        {"function": {"name": "Edit", "arguments": {**arguments, "new_string": "VAT = 0.19"}}},
    )


def test_an_edit_that_only_takes_away_is_learned_as_it_was_served() -> None:
    arguments = {"file_path": "tax.py", "old_string": "RATE = 1\n", "new_string": ""}
    call = {"function": {"name": "Edit", "arguments": arguments}}
    t = turn(answer="", answer_extra={"tool_calls": [call]})
    kept = settled(t, "", fate="kept")
    assert isinstance(kept, Target)
    assert kept.calls == (call,)
    assert settled(t, None, fate="rejected") == Skipped("a part of the answer was rejected")
    diff = DIFF.replace("+VAT = 19\n", "")
    assert isinstance(settled(turn(answer=diff), "", fate="kept"), Target)
    assert settled(turn(answer=diff), None, fate="rejected") == Skipped(LOST)


def test_one_that_takes_away_beside_one_that_was_changed_leaves_the_other_s_form() -> None:
    calls = [
        {"function": {"name": "Edit", "arguments": {"file_path": "tax.py", **texts}}}
        for texts in (
            {"old_string": "RATE = 1\n", "new_string": ""},
            {"old_string": "x = 1", "new_string": "x = 2"},
        )
    ]
    t = turn(answer="", answer_extra={"tool_calls": calls})
    gone, changed = suggestions_of(t)
    gone = replace(gone, state="settled", placed_at=1.0, final_text="", fate="kept")
    changed = replace(changed, state="settled", placed_at=1.0, final_text="x = 3", fate="edited")
    target = target_of(interaction(t, gone, changed))
    assert isinstance(target, Target)
    assert [call["function"]["arguments"]["new_string"] for call in target.calls] == ["", "x = 3"]
    assert kept_nothing(interaction(t, gone, replace(changed, final_text=None))) is False


def test_a_turn_of_which_a_removal_was_undone_has_kept_nothing() -> None:
    (made,) = suggestions_of(turn(answer=DIFF.replace("+VAT = 19\n", "")))
    made = replace(made, state="settled", placed_at=1.0, final_text=None, fate="rejected")
    assert kept_nothing(interaction(turn(), made)) is True
