"""What a next message says of an answer: precise on messages that the rules were not made by."""

from __future__ import annotations

import time

import pytest

from qi_learn.records import Suggestion
from qi_learn.score.next_message import names_of, what_it_says
from tests.support.next_messages import ASIDE, LOOKED_AT, TURNED, Labelled

CODE = "def apply_discount(total, rate):\n    return total * rate\n"
NAMES = names_of([Suggestion("T", 0, CODE, 0, 9, file="src/cart.py")])


@pytest.mark.parametrize(("message", "says"), [*LOOKED_AT, *TURNED])
def test_a_message_says_what_it_says(message: str, says: str | None) -> None:
    assert what_it_says(message, NAMES) == says


def _counts(messages: Labelled, says: str) -> tuple[int, int, int]:
    """How many say so, how many are said to, and how many of those rightly."""
    told = [(own, what_it_says(message, NAMES)) for message, own in messages]
    right = sum(own == given == says for own, given in told)
    return sum(own == says for own, _ in told), sum(given == says for _, given in told), right


@pytest.mark.parametrize("says", ["worked", "failed"])
def test_messages_kept_aside_are_read_precisely(says: str) -> None:
    there, told, right = _counts(ASIDE, says)
    assert right == told, "nothing is said that a message does not say"
    assert right >= 0.9 * there


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            "<task>\nIt still fails.\n</task>\n<environment_details>x</environment_details>",
            "failed",
        ),
        ("<system-reminder>That works.</system-reminder>Add a test.", None),
        ("> That doesn't work\n\nWho said this?", None),
        ("That doesn\N{RIGHT SINGLE QUOTATION MARK}t work", "failed"),
        ("", None),
    ],
)
def test_only_the_persons_own_words_count(message: str, says: str | None) -> None:
    assert what_it_says(message, NAMES) == says


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Now I get an error free build", None),
        ("now i get an error-free build, next the docs", None),
        ("I am seeing an exception handler in there", None),
        ("I get the error handling now", None),
        ("I see the error class in errors.py", None),
        ("I still see the error banner component in the tree", None),
        ("I get the error message only if I ask for it", None),
        ("I get an error", "failed"),
        ("Now I get an error message", "failed"),
        ("I'm getting errors in the console", "failed"),
        ("I get a KeyError when the cart is empty", "failed"),
        ("i am now seeing this exception: no rate", "failed"),
        ("I get error 500", "failed"),
    ],
)
def test_an_error_that_only_names_something_is_none(message: str, says: str | None) -> None:
    assert what_it_says(message) == says


def test_an_error_counts_only_if_it_names_the_answers_file_or_function() -> None:
    error = "TypeError: apply_discount() takes 1 argument"
    assert what_it_says(error, NAMES) == "failed"
    assert what_it_says(error, frozenset()) is None
    assert what_it_says(error.replace("apply_discount", "apply_discounts"), NAMES) is None


@pytest.mark.parametrize(
    "line",
    [
        "src/cart.py ....                  [ 40%]",
        "src/cart.py::test_total PASSED",
        "src/cart.py      20      0   100%",
        "test apply_discount ... ok",
    ],
)
def test_a_line_that_says_that_its_tests_passed_names_no_error(line: str) -> None:
    told = f"{line}\nFAILED tests/test_tax.py::test_rate - TypeError: rate() takes 1 argument\n"
    assert what_it_says(told, NAMES) is None
    assert what_it_says(f"{told}{line}", NAMES) is None
    assert what_it_says(f"{told}src/cart.py:3: in apply_discount", NAMES) == "failed"


def test_names_that_stand_anywhere_are_none() -> None:
    made = Suggestion("T", 0, "def run():\n    pass\n\ndef main():\n    pass\n", 0, 9)
    assert names_of([made]) == frozenset()


@pytest.mark.parametrize(
    "message",
    [
        *("<a>" * 40_000, "\n" * 100_000, "it " * 40_000, "a.b" * 40_000, "x: error " * 12_000),
        *("```" * 30_000, "<a b" * 30_000, "  at " * 25_000, f"<{'a-' * 45_000}"),
    ],
)
def test_no_message_takes_long(message: str) -> None:
    started = time.monotonic()
    what_it_says(message, NAMES)
    assert time.monotonic() - started < 2
