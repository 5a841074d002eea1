"""The line of a long exchange is the very line that the spool makes of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.gateway.long_line import PIECE, long_line
from qi_learn.records import Event
from qi_learn.spool import frame, parse


def event(request: str, response: str) -> Event:
    body = {"endpoint": "/api/chat", "status": 200, "request": request, "response": response}
    return Event("01T", "turn", 50.125, "gateway", body, "model", "/p\x00request\x00")


@settings(max_examples=50)
@given(request=st.binary(max_size=400), response=st.binary(max_size=400), times=st.integers(1, 400))
def test_any_bytes(request: bytes, response: bytes, times: int) -> None:
    request = request * times
    whole = event(request.decode("utf-8", "replace"), response.decode("utf-8", "replace"))
    line = long_line(event("", ""), {"request": request, "response": bytearray(response)})
    assert parse(line) == parse(frame(whole))


@pytest.mark.parametrize("shift", range(4))
def test_letters_that_are_cut_by_the_end_of_a_piece(shift: int) -> None:
    text = "x" * shift + '😀é\u2028"\\\n' * (3 * PIECE // 12)
    made = random.Random(shift).choice([text, text + "\ud7ff"])
    line = long_line(event("", ""), {"request": made.encode(), "response": b""})
    assert parse(line).body["request"] == made
