"""What of an answer the person wrote: what differs from the answer as it was served."""

from __future__ import annotations

import difflib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qi_learn.dataset.authorship import PersonsPart, changed_spans, persons_part
from qi_learn.dataset.meaning import meant_tokens
from qi_learn.dataset.target import Target, target_of
from qi_learn.lexer import code_tokens
from qi_learn.records import LearningInteraction, Suggestion
from qi_learn.track.suggestions import suggestions_of
from tests.support.dataset_world import ANSWER, CODE, interaction, suggestion, turn

LONG = "def area(r):\n    pi = 3.14\n    square = r * r\n    return pi * square\n"


def marked(before: str, after: str) -> list[str]:
    """The person's parts of a text; a `|` says that what follows the text is theirs."""
    return [after[a:b] or "|" for a, b in changed_spans(before, after)]


def part(of: LearningInteraction) -> tuple[Target, PersonsPart]:
    target = target_of(of)
    assert isinstance(target, Target)
    return target, persons_part(target)


def texts(target: Target, own: PersonsPart) -> list[str]:
    return [target.text[a:b] for a, b in own.text]


# --- two texts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "own"),
    [
        (("pi = 3.14", "pi = 3.1416"), ["3.1416"]),
        (("r * r\n", "r ** 2\n"), ["* 2"]),  # the other star was there
        (("    return", "    check(r)\n    return"), ["check(r)"]),
        (("    square = r * r\n", ""), ["r"]),  # the first letter of what follows: return
        (("square", "squared"), ["squared", "squared"]),
        (("return pi * square\n", "return pi * square  # of a circle\n"), ["of a circle"]),
    ],
)
def test_what_differs_is_the_persons(change: tuple[str, str], own: list[str]) -> None:
    assert marked(LONG, LONG.replace(*change)) == own


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = f(a, b)\n", "x = f(\n    a,\n    b,\n)\n"),
        ("x = 'one'\n", 'x = "one"\n'),
        ("if (a) { b(); }\n", "if (a)\n{\n\tb()\n}\n"),
        ("x = a + b\n", "x = (\n    a\n    + b\n)\n"),
        ("def f():\n  return 1  #one\n", "def f():\n    return 1  # one\n"),
        ("x = 0XFF\n", "x = 0xff"),
        (LONG, LONG),
        ("", ""),
    ],
)
def test_what_a_formatter_does_is_not_the_persons(before: str, after: str) -> None:
    assert changed_spans(before, after) == ()


def test_of_a_string_only_the_words_that_changed() -> None:
    before = "raise ValueError('the radius is negative')\n"
    assert marked(before, before.replace("negative", "below zero")) == ["below zero"]
    assert marked(before, before.replace(" is negative", "")) == ["'"]  # to end there
    assert marked(before, before.replace("negative", "not negative")) == ["not "]


def test_what_has_little_in_common_is_written_anew() -> None:
    anew = "class Circle:\n    radius: float\n\n    @property\n    def size(self) -> float: ...\n"
    assert marked(LONG, anew) == [anew.rstrip("\n")]
    assert marked("", anew) == [anew.rstrip("\n")]


def test_a_part_that_was_taken_and_what_was_put_around_it_keep_their_authors() -> None:
    taken = "    square = r * r\n"
    assert marked(LONG, taken) == ["s", "|"]
    more = "import math\n\n\n" + LONG + "\n\ndef volume(r, h):\n    return area(r) * h\n" * 3
    first, *last = marked(LONG, more)
    assert first == "import math"
    assert "".join(last).count("volume") == 3


def test_comments_are_the_persons_where_they_were_written_or_taken_out() -> None:
    commented = LONG.replace("    square", "    # of a square\n    square")
    assert marked(LONG, commented) == ["of a square"]
    assert marked(commented, LONG) == ["s"]
    assert marked("# shapes.py\n" + LONG + "# end\n", LONG) == [], (
        "the place that was followed begins and ends with code"
    )


CODES = st.lists(
    st.sampled_from(
        ["a", "b", "f", "(", ")", ",", "=", "\n", "'x y'", "1", "# c\n", ";", "return"]
    ),
    max_size=24,
).map(" ".join)


@given(CODES, CODES)
def test_what_is_not_marked_was_served_in_this_order(before: str, after: str) -> None:
    """Every token of the text that the person changed or wrote has a mark."""
    spans = changed_spans(before, after)
    rest = [
        t.text for t in meant_tokens(after) if not any(a < t.end and t.start < b for a, b in spans)
    ]
    served = iter(t.text for t in meant_tokens(before))
    assert all(any(own == token for own in served) for token in rest)
    assert all(a < b for a, b in spans)
    assert all(b < c for (_, b), (c, _) in pairwise(spans))


@given(CODES, CODES)
def test_nothing_is_marked_if_and_only_if_a_formatter_could_have_done_it(
    before: str, after: str
) -> None:
    assume("#" not in before + after)
    matcher = difflib.SequenceMatcher(None, code_tokens(before), code_tokens(after), autojunk=False)
    same = all(tag == "equal" for tag, *_ in matcher.get_opcodes())
    assert (changed_spans(before, after) == ()) == same


WORDS = [f"w{n}" for n in range(30)]


@given(st.integers(0, 30), st.integers(0, 8), st.integers(0, 8))
def test_one_run_that_changed_is_marked_from_its_first_to_its_last_token(
    at: int, gone: int, came: int
) -> None:
    """The same as difflib says of words that all differ."""
    new = [f"n{n}" for n in range(came)]
    changed = [*WORDS[:at], *new, *WORDS[at + gone :]]
    before, after = " ".join(WORDS), "\n  ".join(changed)
    spans = changed_spans(before, after)
    if not came and not WORDS[at : at + gone]:
        assert spans == ()
        return
    expected = [
        after[after.index(changed[c]) : after.index(changed[d - 1]) + len(changed[d - 1])]
        if d > c
        else (changed[c][0] if c < len(changed) else "")
        for tag, _, _, c, d in difflib.SequenceMatcher(None, WORDS, changed).get_opcodes()
        if tag != "equal"
    ]
    assert [after[a:b] for a, b in spans] == expected


# --- answers --------------------------------------------------------------------------------------


def test_of_an_answer_that_was_kept_nothing_is_the_persons() -> None:
    t = turn()
    for kept in (CODE, "def area(r):\n\treturn (3 * r)\n"):
        target, own = part(interaction(t, suggestion(t, final=kept)))
        assert not own, target.text
    assert not part(interaction(turn(answer="Because of the cache.")))[1]


def test_each_block_of_an_answer_is_compared_with_its_own() -> None:
    answer = "A\n```python\na = f(1)\n```\nB\n```sh\nls -l\n```\nC\n```python\nb = g(2, 3)\n```\n"
    t = turn(answer=answer)
    first = suggestion(t, "a = f(1)\n", final="a = f(9)\n")
    last = suggestion(t, "b = g(2, 3)\n", final="b = g(2)\n", ordinal=2)
    target, own = part(interaction(t, first, last))
    assert texts(target, own) == ["9", ")"]
    spans = own.text
    assert target.text[: spans[0][0]].endswith("a = f(")


def test_where_the_end_of_a_block_was_taken_out_to_close_it_was_the_persons() -> None:
    answer = ANSWER.replace(CODE, CODE + "print(area(1))\nprint(area(2))\n")
    t = turn(answer=answer)
    code = CODE + "print(area(1))\nprint(area(2))\n"
    target, own = part(interaction(t, suggestion(t, code, final=CODE)))
    assert texts(target, own) == ["`"]
    assert target.text[own.text[0][0] :].startswith("```\nDone.")
    completion = turn(answer="r * r\nprint(1)", endpoint="/api/generate")
    taken = suggestion(completion, completion.answer, final="r * r")
    assert not part(interaction(completion, taken))[1], "nothing follows but the end"


def test_a_correction_is_the_persons_where_it_is_another_text() -> None:
    t = turn()
    whole = ANSWER.replace("3 * r", "3 * r * r").replace("Done.", "It is squared.")
    target, own = part(interaction(t, correction=whole))
    assert texts(target, own) == ["* r", "It is squared"]
    prose, all_of_it = part(interaction(turn(answer="I do not know."), correction="It is 42!"))
    assert texts(prose, all_of_it) == ["It is 42!"]
    cut, own = part(
        interaction(turn(done_reason="length"), correction="Better:\n```python\nx = 1\n```")
    )
    assert texts(cut, own) == [cut.text], "what was cut off cannot be compared"


def test_of_a_diff_that_was_written_anew_its_new_lines_are_the_persons() -> None:
    diff = "--- a/tax.py\n+++ b/tax.py\n@@\n-RATE = 1\n+VAT = 19\n"
    t = turn(answer=f"Here:\n```diff\n{diff}```\nDone.")
    (made,) = suggestions_of(t)
    for final, theirs in (("VAT = 19\n", []), ("VAT = 0.19 + EXTRA\n", ["0.19 + EXTRA"])):
        edit = replace(made, state="settled", placed_at=1.0, final_text=final)
        target, own = part(interaction(t, edit))
        assert texts(target, own) == theirs


def test_an_argument_of_a_tool_is_compared_with_what_the_model_put_there() -> None:
    call = {"function": {"name": "write", "arguments": {"path": "a.py", "text": CODE}}}
    t = turn(answer="", answer_extra={"tool_calls": [call]})

    def own(final: str) -> tuple[str, ...]:
        edit = Suggestion(t.id, 0, CODE, -1, -1, state="settled", final_text=final)
        target, persons = part(interaction(t, edit))
        (argument,) = persons.arguments
        return tuple(target.arguments[0][a:b] for a, b in argument)

    assert own(CODE) == ()
    assert own(CODE.replace("3 * r", "3.14 * r * r")) == ("3.14 * r",)
