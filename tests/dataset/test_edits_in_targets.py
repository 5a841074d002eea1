"""Answers that ask for edits: what an edit puts there is replaced, and its form stays.

Suggestions are made by the same code as in the daemon.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qi_learn.dataset.target import LOST, Skipped, Target, target_of
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


def test_a_diff_is_learned_as_it_was_served_or_not_at_all() -> None:
    kept = settled(turn(answer=DIFF), "VAT = 19\n")
    assert isinstance(kept, Target)
    assert kept.text == DIFF
    assert settled(turn(answer=DIFF), "VAT = 0.19 + EXTRA\n") == Skipped(LOST)
    assert settled(turn(answer=DIFF), None) == Skipped(LOST)


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
