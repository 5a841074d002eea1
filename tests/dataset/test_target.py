"""What should have been answered: the served answer with the kept texts in place of its code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qi_learn.code_text import reindent
from qi_learn.dataset.target import Skipped, Target, target_of
from qi_learn.records import Suggestion
from tests.support.dataset_world import ANSWER, CODE, interaction, suggestion, turn

KEPT = "def area(r: float) -> float:\n    return 3.14 * r * r\n"


def test_the_kept_text_takes_the_place_of_the_block() -> None:
    t = turn()
    target = target_of(interaction(t, suggestion(t, final=KEPT)))
    assert isinstance(target, Target)
    assert target.text == ANSWER.replace(CODE, KEPT)
    assert [target.text[a:b] for a, b in target.spans] == [KEPT]
    assert target.code == KEPT.rstrip("\n")


def test_a_method_kept_in_its_class_goes_back_to_the_indentation_of_the_answer() -> None:
    t = turn()
    in_class = "    def area(self):\n\n        text = '''\nleft\n'''\n        return text\n"
    target = target_of(interaction(t, suggestion(t, final=in_class)))
    assert isinstance(target, Target)
    assert target.code == "def area(self):\n\n    text = '''\nleft\n'''\n    return text"


def test_an_answer_at_class_indentation_keeps_it() -> None:
    method = "    def area(self):\n        return 1\n"
    t = turn(answer=f"```python\n{method}```")
    target = target_of(
        interaction(t, suggestion(t, method, final="def area(self):\n    return 2\n"))
    )
    assert isinstance(target, Target)
    assert target.code == "    def area(self):\n        return 2"


@pytest.mark.parametrize(
    ("code", "indent", "moved"),
    [
        ("def f():\n    return 1\n", "    ", "    def f():\n        return 1\n"),
        ("\tdef f():\n\t\treturn 1", "", "def f():\n\treturn 1"),
        ("\n    a = 1\n\n    b = 2\n", "", "\na = 1\n\nb = 2\n"),
        ("    a = '''\nx'''\n", "  ", "  a = '''\nx'''\n"),
        ("  \n", "    ", "  \n"),
    ],
)
def test_code_is_moved_as_one_piece(code: str, indent: str, moved: str) -> None:
    assert reindent(code, indent) == moved
    assert reindent(moved, indent) == moved


def test_all_blocks_of_an_answer_are_one_target_and_undecided_ones_stay() -> None:
    answer = (
        "A\n```python\na = some_function(1)\n```\n"
        "B\n```sh\nls\n```\n"
        "C\n```python\nb = other(2)\n```\n"
    )
    t = turn(answer=answer)
    first, last = (
        suggestion(t, "a = some_function(1)\n", final="a = 3\n"),
        suggestion(t, "b = other(2)\n", final="b = 4\n", ordinal=2),
    )
    target = target_of(interaction(t, first, last))
    assert isinstance(target, Target)
    assert target.text == answer.replace("a = some_function(1)", "a = 3").replace(
        "b = other(2)", "b = 4"
    )
    assert [target.text[a:b] for a, b in target.spans] == ["a = 3\n", "ls\n", "b = 4\n"]


def test_what_was_rejected_after_the_kept_block_is_cut_off() -> None:
    answer = ANSWER + "\n\nUse it so:\n```python\nprint(area(2), area(3))\n```\nBye."
    t = turn(answer=answer)
    rejected = suggestion(t, "print(area(2), area(3))\n", final=None, ordinal=1)
    target = target_of(interaction(t, suggestion(t, final=KEPT), rejected))
    assert isinstance(target, Target)
    assert target.text == ANSWER.replace(CODE, KEPT).removesuffix("\nDone.")


def test_what_was_rejected_before_the_kept_block_spoils_the_answer() -> None:
    t = turn(answer="```python\nfirst = try_this(1)\n```\n" + ANSWER)
    rejected = suggestion(t, "first = try_this(1)\n", final=None)
    assert target_of(interaction(t, rejected, suggestion(t, final=KEPT, ordinal=1))) == Skipped(
        "a part of the answer was rejected"
    )
    reverted = suggestion(t, "first = try_this(1)\n", final="first = 2\n", reverted=True)
    assert target_of(interaction(t, reverted)) == Skipped("a part of the answer was rejected")


def test_a_cut_answer_ends_with_its_last_kept_block() -> None:
    cut = "Here:\n```python\ndef area(r):\n    retu"
    t = turn(answer=cut, done_reason="length")
    target = target_of(interaction(t, suggestion(t, "def area(r):\n    retu", final=KEPT)))
    assert isinstance(target, Target)
    assert target.text == f"Here:\n```python\n{KEPT}```"
    assert target_of(interaction(t)) == Skipped("the answer was cut off")
    prose = turn(answer=ANSWER + " And now I will", done_reason="length")
    ended = target_of(interaction(prose, suggestion(prose, final=KEPT)))
    whole = target_of(
        interaction(turn(answer=ANSWER[: ANSWER.rindex("```") + 3]), suggestion(prose, final=KEPT))
    )
    assert isinstance(ended, Target)
    assert ended == whole, "the sentence that a limit cut is not learned, what came before it is"


def test_a_correction_is_the_text_to_learn() -> None:
    t = turn()
    whole = "Better:\n```python\nx = 1\n```"
    assert target_of(interaction(t, correction=whole)) == Target(whole, ((18, 24),))
    target = target_of(
        interaction(
            t,
            suggestion(t, final="def area(r):\n    return 9\n"),
            correction=KEPT,
            target_text=KEPT,
        )
    )
    assert isinstance(target, Target)
    assert target.text == ANSWER.replace(CODE, KEPT)
    prose = turn(answer="I do not know.")
    assert target_of(interaction(prose, correction="It is forty-two.")) == Target(
        "It is forty-two.", ()
    )


def test_a_correction_replaces_the_block_it_is_most_like() -> None:
    t = turn(answer="```sh\npip install it\n```\n" + ANSWER)
    target = target_of(interaction(t, correction=KEPT))
    assert isinstance(target, Target)
    assert target.text == t.answer.replace(CODE, KEPT)


def test_a_rewritten_block_stays_in_its_own_place() -> None:
    """A text that was rewritten beyond likeness is a correction too, but its place is known."""
    t = turn(answer="```python\ntotal = compute_all(rows, limit=5)\n```\n" + ANSWER)
    rewritten = "def sum_of(r):\n    return sum(r)\n"
    place = suggestion(t, "total = compute_all(rows, limit=5)\n", final=rewritten)
    target = target_of(interaction(t, place, correction=rewritten, target_text=rewritten))
    assert isinstance(target, Target)
    assert target.text == t.answer.replace("total = compute_all(rows, limit=5)\n", rewritten)


def test_a_completion_is_one_piece_of_code_even_where_it_does_not_parse() -> None:
    t = turn(answer="r):\n    return 3 * r", endpoint="/api/generate")
    target = target_of(interaction(t, suggestion(t, t.answer, final="r):\n    return 4 * r")))
    assert target == Target("r):\n    return 4 * r", ((0, 20),))


def test_a_rated_answer_without_code_is_learned_as_it_was() -> None:
    assert target_of(interaction(turn(answer="Because of the cache."))) == Target(
        "Because of the cache.", ()
    )
    assert target_of(interaction(turn(answer="  "))) == Skipped("the answer is empty")


# --- tool calls -----------------------------------------------------------------------------------

CALL = {"function": {"name": "write", "arguments": {"path": "a.py", "text": CODE}}}


def test_a_kept_text_takes_the_place_of_a_tool_argument() -> None:
    t = turn(answer="", answer_extra={"tool_calls": [CALL]})
    edit = Suggestion(t.id, 0, CODE, -1, -1, state="settled", final_text=KEPT)
    target = target_of(interaction(t, edit))
    assert isinstance(target, Target)
    assert target.calls == (
        {"function": {"name": "write", "arguments": {"path": "a.py", "text": KEPT}}},
    )
    assert (target.text, target.code) == ("", KEPT.rstrip("\n"))


def test_a_list_of_edits_is_one_answer() -> None:
    edits = [{"old": "a", "new_string": CODE}, {"old": "b", "new_string": "    x = 1\n"}]
    t = turn(
        answer="",
        answer_extra={
            "tool_calls": [
                {"function": {"name": "edit", "arguments": {"path": "a.py", "edits": edits}}}
            ]
        },
    )
    first = Suggestion(t.id, 0, CODE, -1, -1, state="settled", final_text=KEPT)
    second = Suggestion(t.id, 1, "    x = 1\n", -1, -1, state="settled", final_text="x = 2")
    target = target_of(interaction(t, first, second))
    assert isinstance(target, Target)
    changed = target.calls[0]["function"]["arguments"]["edits"]
    assert [e["new_string"] for e in changed] == [KEPT, "    x = 2"]
    assert [e["old"] for e in changed] == ["a", "b"]


def test_arguments_that_come_as_text_are_read_and_broken_ones_are_not_learned() -> None:
    as_text = {
        "id": "x",
        "type": "function",
        "function": {"name": "write", "arguments": json.dumps(CALL["function"]["arguments"])},
    }
    target = target_of(interaction(turn(answer="", answer_extra={"tool_calls": [as_text]})))
    assert isinstance(target, Target)
    assert target.calls == (CALL,)
    unreadable: list[dict[str, Any]] = [
        {"function": {"name": "write", "arguments": "{"}},
        {"function": {"arguments": {}}},
        {"function": {"name": "f", "arguments": "[1]"}},
    ]
    for broken in unreadable:
        assert target_of(
            interaction(turn(answer="", answer_extra={"tool_calls": [broken]}))
        ) == Skipped("a tool call that cannot be read")


def test_a_rejected_or_cut_tool_call_is_not_learned() -> None:
    t = turn(answer="", answer_extra={"tool_calls": [CALL]})
    rejected = Suggestion(t.id, 0, CODE, -1, -1, state="settled")
    assert target_of(interaction(t, rejected)) == Skipped("a part of the answer was rejected")
    cut = turn(answer="", answer_extra={"tool_calls": [CALL]}, done_reason="length")
    assert target_of(interaction(cut)) == Skipped("the answer was cut off")
    corrected = target_of(interaction(t, rejected, correction=KEPT, target_text=KEPT))
    assert isinstance(corrected, Target)
    assert corrected.code == KEPT.rstrip("\n")
    unknown = target_of(interaction(t, correction=KEPT, target_text=KEPT))
    assert unknown == Skipped("a correction whose place in the tool calls is not known")
