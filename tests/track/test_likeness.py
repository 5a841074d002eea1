"""How much of a suggestion stands in what took its place."""

from __future__ import annotations

import pytest

from qi_learn.track.likeness import TAKEN, likeness
from tests.support.tracked_code import AUTHORS, SUGGESTED


def test_the_same_code_formatted_is_the_same() -> None:
    code = "def f(a, b):\n    return {'a': a, 'b': b, 'sum': a + b}\n"
    formatted = (
        "def f(\n    a,\n    b,\n):\n    return {\n"
        '        "a": a,\n        "b": b,\n        "sum": a + b,\n    }\n'
    )
    assert likeness(formatted, code) == 1.0
    assert likeness("", "") == 1.0


def test_a_part_of_it_and_nothing_else_was_taken() -> None:
    half = "def first(values, limit):\n    return [v for v in values if v > limit]\n"
    other = half.replace("first", "second").replace(">", "<")
    other += "\n\ndef third(values, limit, more):\n    return [v * limit for v in values + more]\n"
    assert likeness(half, half + "\n\n" + other) == TAKEN


def test_all_of_it_is_there_and_more() -> None:
    more = SUGGESTED.replace(
        "    total = 0\n",
        "    if not values:\n        raise ValueError('no values were given to the mean of them')\n"
        "    log.debug('the mean of %d values', len(values), extra={'first': values[0]})\n"
        "    values = [float(value) for value in values if value is not None]\n    total = 0\n",
    )
    assert likeness(more, SUGGESTED) >= TAKEN


def test_another_function_is_not_like_it() -> None:
    assert likeness(AUTHORS, SUGGESTED) < 0.6
    assert likeness("mean = functools.partial(weighted, weights=repeat(1.0))", SUGGESTED) < TAKEN


@pytest.mark.parametrize(
    "mark", ["# ... existing code ...", "    # rest of the function unchanged"]
)
def test_what_is_left_out_is_not_compared(mark: str) -> None:
    elided = f"def mean(values):\n{mark}\n    total = math.fsum(values)\n{mark}\n"
    applied = SUGGESTED.replace("    total = 0\n", "    total = math.fsum(values)\n")
    assert likeness(applied, elided) == 1.0
    assert likeness(SUGGESTED, elided) < 1.0
