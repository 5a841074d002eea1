"""Go's durations; what is expected is what Go 1.26 says to the same texts."""

from __future__ import annotations

import pytest

from qi_learn.engine.ask import keep_alive_seconds
from qi_learn.engine.go_duration import parse_duration
from qi_learn.errors import ServerError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300.0),
        ("1.5h", 5400.0),
        ("-1m", -60.0),
        ("+1h30m", 5400.0),
        ("0", 0.0),
        ("-0", 0.0),
        ("1.s", 1.0),
        (".5s", 0.5),
        ("2\u03bcs", 2e-6),
        ("2\u00b5s", 2e-6),
        ("2540400h", 9145440000.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("5", 'time: missing unit in duration "5"'),
        ("abc", 'time: invalid duration "abc"'),
        ("10x", 'time: unknown unit "x" in duration "10x"'),
        ("", 'time: invalid duration ""'),
        ("1e3s", 'time: unknown unit "e" in duration "1e3s"'),
        ("-", 'time: invalid duration "-"'),
        ("1h 30m", 'time: unknown unit "h " in duration "1h 30m"'),
        (".s", 'time: invalid duration ".s"'),
        ("100000000h", 'time: invalid duration "100000000h"'),
        ("9" * 400 + "s", 'time: invalid duration "' + "9" * 400 + 's"'),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    with pytest.raises(ServerError) as caught:
        keep_alive_seconds(text)
    assert caught.value.what == words


def test_numbers_and_what_lasts_for_ever() -> None:
    assert keep_alive_seconds("-1m") == keep_alive_seconds(-1) == float("inf")
    assert (keep_alive_seconds(90), keep_alive_seconds(1.5)) == (90.0, 1.5)
    assert keep_alive_seconds(None) is None
