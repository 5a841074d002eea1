"""How a content of several parts is read: each endpoint of Ollama has its own rule."""

from __future__ import annotations

from typing import Any

import pytest

from qi_learn.content import Content, contents_of

PARTS: list[Any] = [
    {"type": "text", "text": "<task>rename it</task>"},
    {"type": "image_url", "image_url": {"url": "x"}},
    {"type": "text", "text": "<environment_details>none</environment_details>"},
]


def test_each_part_of_a_chat_completion_is_a_message() -> None:
    assert contents_of("/v1/chat/completions", PARTS) == (
        Content("<task>rename it</task>"),
        Content(images=1),
        Content("<environment_details>none</environment_details>"),
    )


@pytest.mark.parametrize("endpoint", ["/v1/messages", "/v1/responses", "/api/chat"])
def test_elsewhere_the_parts_make_one_text_with_nothing_between(endpoint: str) -> None:
    assert contents_of(endpoint, PARTS) == (
        Content("<task>rename it</task><environment_details>none</environment_details>", images=1),
    )


@pytest.mark.parametrize("content", [None, 5, {"text": "x"}])
def test_nothing_that_is_a_text_is_one_empty_message(content: Any) -> None:
    assert contents_of("/v1/chat/completions", content) == (Content(),)


def test_no_parts_are_no_message_where_each_part_is_one() -> None:
    assert contents_of("/v1/chat/completions", []) == ()
    assert contents_of("/v1/messages", []) == (Content(),)


def test_what_is_no_part_is_left_out() -> None:
    assert contents_of("/v1/chat/completions", [7, {"type": "file"}, "plain"]) == (
        Content("plain"),
    )
