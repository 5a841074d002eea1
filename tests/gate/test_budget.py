"""What of the suites a gate reads if it cannot read all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.gate.budget import PROMPT, Readable, allot, beginning, shortened, within
from qi_learn.gate.prompt_cut import PromptMarks
from qi_learn.gate.reading import tokens_of
from qi_learn.outside.llama_cpp_nll import BLOCK
from qi_learn.records import Example
from qi_learn.stats import evenly


def example(name: str, *, prompt: int, target: int = 10) -> Example:
    drawn = random.Random(name)
    return Example(
        name,
        f"h-{name}",
        "p",
        "t",
        tuple(drawn.randrange(300) for _ in range(prompt)),
        tuple(range(10, 10 + target)),
        (True,) * target,
    )


def examples(count: int, *, prompt: int = 100) -> tuple[Example, ...]:
    return tuple(example(str(n), prompt=prompt) for n in range(count))


def names(chosen: Sequence[Example]) -> list[int]:
    return [int(e.id) for e in chosen]


def test_what_is_too_long_for_the_context_is_cut_or_left_out() -> None:
    suite = [
        example("0", prompt=8, target=4),
        example("1", prompt=4),
        example("2", prompt=4, target=0),
        example("3", prompt=2, target=3),
    ]
    fitting = within(suite, context=10)
    assert [(e.id, len(e.prompt_ids)) for e in fitting] == [("0", 6), ("3", 2)]
    assert fitting[0].prompt_ids == suite[0].prompt_ids[-6:]


def allotted(tokens: int, **suites: Any) -> Readable:
    """Of one model, nothing of which was measured before."""
    given: dict[str, Any] = {"gate": (), "old": (), "general": {}, "cost": tokens_of}
    return allot(tokens, **{**given, **suites})


def test_enough_for_everything_leaves_everything() -> None:
    gate, old = examples(25), examples(40)
    general = {"go": examples(16), "prose": examples(16)}
    readable = allotted(10**6, gate=gate, old=old, general=general)
    assert (readable.gate, readable.old) == (gate, old)
    assert readable.general == general
    assert readable.notes == ()


def test_prompts_of_dev_are_cut_before_examples_are_left_out() -> None:
    dev = examples(25, prompt=2000)
    cut = shortened(dev, 25 * 600, tokens_of)
    assert [len(e.prompt_ids) for e in cut] == [512] * 25
    assert cut[3].prompt_ids == dev[3].prompt_ids[-512:]
    few = shortened(dev, 10 * 140, tokens_of)
    assert names(few) == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    assert tokens_of(few) <= 10 * 140


def test_a_conversation_whose_turns_share_their_beginning_is_not_cut() -> None:
    """Cut at its old end, each turn would begin elsewhere, and nothing could be shared."""
    talk = tuple(n % 300 for n in range(4000))
    turns = tuple(
        replace(example(str(n), prompt=1), prompt_ids=talk[: 1500 + 100 * n]) for n in range(25)
    )
    assert tokens_of(turns) < 4000 + 25 * (BLOCK + 10)
    assert shortened(turns, 8000, tokens_of) == turns


@pytest.mark.parametrize("prompt", [2000, 4000, 8000])
def test_with_the_prompts_of_agents_earlier_work_is_read(prompt: int) -> None:
    """As what it was read as when it was fresh, so that versions of then have numbers on it."""
    gate, old = examples(25, prompt=prompt), examples(50, prompt=prompt)[25:]
    was = allotted(60_000, gate=old)
    known = {e.prompt_ids for e in was.gate}

    def cost(part: Sequence[Example]) -> int:
        """Of three models, two of which were measured on the earlier work."""
        new = [e for e in part if e.prompt_ids not in known]
        return tokens_of(part) + 2 * tokens_of(new)

    now = allotted(60_000, gate=gate, old=old, cost=cost)
    assert now.old == was.gate
    assert [len(e.prompt_ids) for e in now.gate] == [PROMPT] * 25
    assert "of earlier work 25 prompts were cut to 256 tokens" in now.notes
    assert now.earlier == 25


def test_the_token_in_front_of_a_prompt_stays_there() -> None:
    (long,) = examples(1, prompt=1000)
    long = replace(long, prompt_ids=(1, *long.prompt_ids[1:]))
    (cut,) = allotted(10**6, gate=(long,), marks=PromptMarks(first=1)).gate
    assert cut.prompt_ids == (1, *long.prompt_ids[-PROMPT + 1 :])
    (other,) = allotted(10**6, gate=(long,), marks=PromptMarks(first=2)).gate
    assert other.prompt_ids == long.prompt_ids[-PROMPT:]
    (fitting,) = within([long], context=20, marks=PromptMarks(first=1))
    assert fitting.prompt_ids == (1, *long.prompt_ids[-9:])


def test_of_dev_that_cannot_be_read_whole_a_beginning_is_read() -> None:
    """Else no scale of what was learned had a number, and a long answer ended the cycle."""
    dev = (example("0", prompt=500, target=3000), example("1", prompt=500, target=2000))
    assert shortened(dev, 1200, tokens_of) == ()
    (part,) = beginning(dev, 1200)
    assert (part.id, len(part.prompt_ids)) == ("1", 128)
    assert (part.target_ids, part.code_mask) == (dev[1].target_ids[:1072], (True,) * 1072)
    assert tokens_of([part]) <= 1200
    assert beginning((), 1200) == ()


def test_earlier_work_is_thinned_evenly() -> None:
    readable = allotted(6000, gate=examples(20), old=examples(200))
    assert len(readable.gate) == 20
    chosen = names(readable.old)
    assert 25 <= len(chosen) <= 40
    steps = {b - a for a, b in pairwise(chosen)}
    assert max(steps) - min(steps) <= 1
    assert {len(e.prompt_ids) for e in readable.old} == {100}
    assert any("earlier work" in note and "of 200" in note for note in readable.notes)


def test_no_suite_is_thinned_below_eight_texts_while_another_has_more() -> None:
    suites = {"go": examples(24), "prose": examples(16), "spill_over_header": examples(20)}
    gate, old = examples(25), examples(100)
    enough = 8 * tokens_of(examples(1))
    readable = allotted(6 * enough, gate=gate, old=old, general=suites)
    assert {name: len(suite) for name, suite in readable.general.items()} == dict.fromkeys(
        suites, 8
    )
    assert len(readable.gate) >= 8
    assert len(readable.old) >= 8
    assert "of the general suites 24 of 60 texts were read, to keep to gate.max_read" in (
        readable.notes
    )


def test_more_of_a_suite_is_its_least_part_and_others() -> None:
    """On that part temperatures are fitted, so that it is read whatever else is."""
    suite, one = examples(21), tokens_of(examples(1))
    for count in range(8, 22):
        chosen = allotted(2 * count * one, general={"go": suite}).general["go"]
        assert {e.id for e in evenly(suite, 8)} <= {e.id for e in chosen}
        assert names(chosen) == sorted(names(chosen))
        assert count - 2 < len(chosen) <= count


def test_what_cannot_be_read_of_a_suite_is_said_and_is_not_of_spill_over() -> None:
    suites = {"go": examples(24), "prose": examples(16), "spill_over_header": examples(20)}
    readable = allotted(20 * tokens_of(examples(1)), general=suites)
    assert {name: len(suite) for name, suite in readable.general.items()} == {
        "go": 2,
        "prose": 2,
        "spill_over_header": 8,
    }
    assert (
        "too few texts of some suites were read, to keep to gate.max_read: 2 of go, 2 of prose"
        in readable.notes
    )


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1000, 60_000),
    sizes=st.tuples(*[st.integers(0, 40)] * 3),
    prompt=st.integers(1, 1500),
    models=st.integers(1, 3),
)
def test_all_models_together_never_read_more(
    tokens: int, sizes: tuple[int, int, int], prompt: int, models: int
) -> None:
    gate, old, general = (examples(count, prompt=prompt) for count in sizes)

    def cost(part: Sequence[Example]) -> int:
        return models * tokens_of(part)

    suites = {"go": general, "spill_over_plain": general[::2]}
    readable = allotted(tokens, gate=gate, old=old, general=suites, cost=cost)
    texts = (readable.gate, readable.old, *readable.general.values())
    assert sum(cost(part) for part in texts) <= tokens
    assert set(names(readable.old)) <= set(names(old))


def test_what_was_measured_before_costs_nothing() -> None:
    old = examples(200)
    readable = allotted(3000, gate=examples(10), old=old, cost=lambda _: 0)
    assert readable.old == old


def test_the_fixed_texts_are_read_whole_or_not_at_all() -> None:
    gate, fixed, general = examples(25), examples(10, prompt=50), {"go": examples(16)}
    rich, poor = (
        allotted(tokens, gate=gate, general=general, fixed=fixed)
        for tokens in (10**6, 9 * tokens_of(fixed))
    )
    assert (rich.fixed, rich.notes) == (fixed, ())
    assert rich.everything[-len(fixed) :] == fixed
    assert poor.fixed == ()
    assert "the fixed texts were not read, to keep to gate.max_read" in poor.notes
