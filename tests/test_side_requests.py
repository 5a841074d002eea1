"""What a client asks by itself is told from what a person asks, by the words of both."""

from __future__ import annotations

import pytest

from qi_learn.records import Message, Turn
from qi_learn.side_requests import is_side_request


def asked(*texts: str, system: str = "") -> Turn:
    messages = tuple(Message("user", text) for text in texts)
    if system:
        messages = (Message("system", system), *messages)
    return Turn("T", "/api/chat", "m", "m", messages, "Sums in Python", 1.0, 2.0)


TITLE = (
    "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
)
OWN = [
    asked("Create a concise title for this conversation"),
    asked(f"{TITLE}### Chat History:\n<chat_history>\nUSER: hello\n</chat_history>"),
    asked(
        "### Task:\nGenerate 1-3 broad tags categorizing the main themes of the chat history, "
        "along with 1-3 more specific subtopic tags.\n### Chat History:\n<chat_history>..."
    ),
    asked(
        "### Task:\nSuggest 3-5 relevant follow-up questions or prompts.\n### Chat History:\n"
        "<chat_history>..."
    ),
    asked(
        "### Task:\nAnalyze the chat history to determine the necessity of generating search "
        "queries.\n### Chat History:\n<chat_history>..."
    ),
    asked(
        "Given the following... please reply with a title for the chat that is 3-4 words in "
        "length, all words used should be directly related to the content of the chat"
    ),
    asked(
        "Provide a concise, 5-word-or-less title for the conversation, using title case "
        "conventions. Only return the title itself."
    ),
    asked("Please write a 5-10 word title for the following conversation:\n\nUser: hello"),
    asked(
        *("Generate a title for this conversation:", "what is this project"),
        system="You are a title generator. You output ONLY a thread title.",
    ),
    asked(
        "hello",
        system="Analyze if this message indicates a new conversation topic. If it does, ...",
    ),
    asked(
        "diff --git a/x b/x",
        system="You are an expert software engineer that generates concise, one-line Git commit "
        "messages based on the provided diffs.",
    ),
]
PERSONS = [
    "Write a function that generates a title for the chat",
    "Create a React component with a title and tags for the conversation list",
    "Write a SQL query that gives the title of each thread of this chat",
    "Give me a title for my talk on memory allocators",
    "Why does this conversation end here?",
    "Explain the session handling in this chat server",
    "Write add.",
    "Write a test for the title of the conversation page",
    "Create a good title for this README",
    "Task: parse the headers",
]


@pytest.mark.parametrize("turn", OWN, ids=lambda turn: turn.messages[-1].content[:40])
def test_a_clients_own_request_is_known(turn: Turn) -> None:
    assert is_side_request(turn)


@pytest.mark.parametrize("text", PERSONS)
def test_what_a_person_asks_is_no_side_request(text: str) -> None:
    assert not is_side_request(asked(text))
