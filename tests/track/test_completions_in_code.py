"""A completion in the middle of code: what stands behind it is the person's, and none of it."""

from __future__ import annotations

from typing import Any

import pytest

from qi_learn.records import Message
from tests.support.tracked_code import World

HEAD, FOOT = "import os\n\n\ndef add(", "):\n    return first\n"
NAMES = "first, second, third, fourth, fifth=0, sixth=None"
PROMPTS = {
    "a suffix of its own": (HEAD, {"suffix": FOOT}),
    "the suffix first": (f"[SUFFIX]{FOOT}[PREFIX]{HEAD}", {"raw": True}),
    "a path and the suffix first": (
        "###PATH:stats.py\n###LANGUAGE:python\n###MODE:BLOCK\n"
        f"<|code_suffix|>{FOOT}<|code_prefix|>{HEAD}<|code_middle|>",
        {"raw": True},
    ),
}


def asked(world: World, kind: str) -> str:
    prompt, request = PROMPTS[kind]
    world.begin("stats.py", HEAD + FOOT)
    more: dict[str, Any] = {"endpoint": "/api/generate", "request": request}
    return world.ask(NAMES, fenced=False, messages=(Message("prompt", prompt),), **more)


@pytest.mark.parametrize("kind", PROMPTS)
def test_the_rest_of_the_definition_is_none_of_it(world: World, kind: str) -> None:
    turn = asked(world, kind)
    world.save("stats.py", HEAD + NAMES + FOOT)
    world.commit()
    found = world.fate(turn)
    assert (found.fate, found.final_text, found.similarity) == ("kept", NAMES, 1.0)


def test_the_person_goes_on_with_the_body(world: World) -> None:
    turn = asked(world, "a suffix of its own")
    world.save("stats.py", HEAD + NAMES + FOOT)
    body = "    total = first + second\n    return total + third\n"
    world.save("stats.py", f"{HEAD}{NAMES}):\n{body}", after=60)
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("kept", NAMES)


def test_what_is_changed_of_it_is_its_final_text(world: World) -> None:
    turn = asked(world, "a suffix of its own")
    changed = NAMES.replace("fourth, ", "")
    world.save("stats.py", HEAD + NAMES + FOOT)
    world.save("stats.py", HEAD + changed + FOOT, after=60)
    world.commit()
    assert (world.fate(turn).fate, world.fate(turn).final_text) == ("edited", changed)
