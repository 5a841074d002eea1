"""What a turn suggests: completions, fill-in-the-middle, tool calls, and no prose."""

from __future__ import annotations

from typing import Any

from qi_learn.records import Message
from qi_learn.store import feedback
from tests.support.tracked_code import AUTHORS, MARK, SUGGESTED, World, with_mean


def test_a_completion_is_found_in_whole_lines_and_cut_out_again(world: World) -> None:
    prompt = "def mean(values):\n    total = sum("
    suffix = ") / count\n"
    turn = world.ask(
        "value * weight\n        for value, weight in zip(values, weights, strict=True)",
        fenced=False,
        endpoint="/api/generate",
        messages=(Message("prompt", prompt),),
        request={"suffix": suffix},
    )
    assert world.fate(turn).text.startswith("value *")
    world.save("stats.py", with_mean(prompt + world.fate(turn).text + suffix))
    assert world.fate(turn).state == "placed"
    final = "weight * value\n        for value, weight in zip(values, weights, strict=False)"
    world.save("stats.py", with_mean(prompt + final + suffix))
    world.commit()
    assert world.fate(turn).final_text == final


def test_fill_in_the_middle_by_tokens(world: World) -> None:
    raw = "<|fim_prefix|>def mean(values):\n    <|fim_suffix|>\n\nx = 1\n<|fim_middle|>"
    body = "total = sum(values)\n    return total / len(values)"
    turn = world.ask(
        body,
        fenced=False,
        endpoint="/api/generate",
        messages=(Message("prompt", raw),),
        request={"raw": True},
    )
    world.save("stats.py", with_mean("def mean(values):\n    " + body + "\n\nx = 1\n"))
    world.commit()
    assert (world.fate(turn).final_text, world.fate(turn).similarity) == (body, 1.0)


def test_a_fence_within_a_comment_of_a_completion_is_none(world: World) -> None:
    shown = "/// let mean = mean(&values);\n/// ```\npub fn mean(values: &[f64]) -> f64 {\n"
    given: dict[str, Any] = {
        "fenced": False,
        "endpoint": "/api/generate",
        "request": {"suffix": "\n}\n"},
    }
    turn = world.ask(shown, **given, messages=(Message("prompt", "/// ```\n"),))
    assert world.fate(turn).text == shown
    said = world.ask("So:\n```text\nfn mean()\n```", **given)
    assert world.fate(said).text == "fn mean()\n", "an answer with a fence is a chat's"


def test_texts_of_tool_calls_are_suggestions(world: World) -> None:
    calls = [
        {
            "function": {
                "name": "edit_file",
                "arguments": {"path": "stats.py", "old_string": MARK, "new_string": SUGGESTED},
            }
        },
        {
            "function": {
                "name": "write",
                "arguments": '{"filePath": "b.py", '
                '"content": "def b(x):\\n    return [x, x + 1, x + 2]"}',
            }
        },
        {"function": {"name": "shell", "arguments": {"command": "rm -r /"}}},
        {"function": {"name": "broken", "arguments": "{"}},
    ]
    turn = world.ask("I write them.", fenced=False, answer_extra={"tool_calls": calls})
    assert [(s.ordinal, s.start, s.end) for s in feedback.suggestions_of(world.store, turn)] == [
        (0, -1, -1),
        (1, -1, -1),
    ]
    world.save("stats.py", with_mean(AUTHORS))
    world.save("b.py", "def b(x):\n    return [x, x + 1, x + 2]\n")
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit()
    assert world.fate(turn, 0).final_text == SUGGESTED
    assert world.fate(turn, 1).final_text == "def b(x):\n    return [x, x + 1, x + 2]"


def test_chat_prose_suggests_nothing(world: World) -> None:
    turn = world.ask("You could use the statistics module for that.", fenced=False)
    assert feedback.suggestions_of(world.store, turn) == ()
