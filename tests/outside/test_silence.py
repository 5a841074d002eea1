"""The words for what does not answer: each with what it is and what to do."""

from __future__ import annotations

import pytest

from qi_learn.outside.silence import Silence, broken_off, gone, hanging, silence_of

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            hanging("gateway", 5),
            "The gateway is there (pid 5) and does not answer: it hangs; `qi-learn daemon restart` "
            "ends it and starts another",
        ),
        (
            broken_off(URL, "Server disconnected", engine=True),
            f"The embedded engine at {URL} broke off before it answered (Server disconnected); it "
            "is started again by itself, else `qi-learn daemon restart`",
        ),
        (
            gone(URL, engine=False),
            f"Ollama does not answer at {URL}: start it with `ollama serve`; if it listens "
            "elsewhere, set serve.ollama",
        ),
    ],
)
def test_both_on_one_line(told: Silence, line: str) -> None:
    assert told.line == line


def test_a_server_that_is_not_there_does_not_hang() -> None:
    assert silence_of(URL, engine=True, pid=0) == gone(URL, engine=True)
    assert silence_of(URL, engine=False, pid=0) == gone(URL, engine=False)
    assert silence_of(URL, engine=True, pid=7) == hanging("engine", 7)
