"""What of the suites a gate reads if it cannot read all, and what the models may still say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from threading import Thread

from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.gate.budget import Purse, Readable, allot, shortened, within
from qi_learn.gate.reading import tokens_of
from qi_learn.outside.llama_cpp_nll import BLOCK
from qi_learn.records import Example


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


def test_enough_for_everything_leaves_everything() -> None:
    gate, old, dev = examples(25), examples(40), examples(8)
    general = {"go": examples(16), "prose": examples(16)}
    readable = allot(
        10**6, gate=gate, old=old, general=general, dev=dev, cost=tokens_of, afresh=tokens_of
    )
    assert (readable.gate, readable.old, readable.dev) == (gate, old, dev)
    assert readable.general == general
    assert readable.notes == ()


def test_prompts_of_fresh_work_are_cut_before_examples_are_left_out() -> None:
    gate = examples(25, prompt=2000)
    cut = shortened(gate, 25 * 600, tokens_of)
    assert [len(e.prompt_ids) for e in cut] == [512] * 25
    assert cut[3].prompt_ids == gate[3].prompt_ids[-512:]
    few = shortened(gate, 10 * 140, tokens_of)
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


def test_earlier_work_is_thinned_evenly_and_never_cut() -> None:
    readable = allot(
        6000,
        gate=examples(20),
        old=examples(200),
        general={},
        dev=(),
        cost=tokens_of,
        afresh=tokens_of,
    )
    assert len(readable.gate) == 20
    chosen = names(readable.old)
    assert 25 <= len(chosen) <= 40
    steps = {b - a for a, b in pairwise(chosen)}
    assert max(steps) - min(steps) <= 1
    assert {len(e.prompt_ids) for e in readable.old} == {100}
    assert any("earlier work" in note and "of 200" in note for note in readable.notes)


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1000, 60_000),
    sizes=st.tuples(*[st.integers(0, 40)] * 4),
    prompt=st.integers(1, 1500),
    models=st.integers(1, 3),
)
def test_all_models_together_never_read_more(
    tokens: int, sizes: tuple[int, int, int, int], prompt: int, models: int
) -> None:
    gate, old, dev, general = (examples(count, prompt=prompt) for count in sizes)

    def cost(part: Sequence[Example]) -> int:
        return models * tokens_of(part)

    suites = {"go": general, "prose": general[::2]}
    readable = allot(tokens, gate=gate, old=old, general=suites, dev=dev, cost=cost, afresh=cost)
    texts = (readable.gate, readable.old, readable.dev, *readable.general.values())
    assert sum(cost(part) for part in texts) <= tokens + cost(readable.general["prose"])
    assert set(names(readable.old)) <= set(names(old))


def test_what_was_measured_before_costs_nothing() -> None:
    old = examples(200)
    readable = allot(
        3000,
        gate=examples(10),
        old=old,
        general={},
        dev=(),
        cost=lambda _: 0,
        afresh=tokens_of,
    )
    assert readable.old == old


def test_a_purse_is_for_all_threads_together() -> None:
    purse = Purse(10_000)

    def spend() -> None:
        share = purse.share(0.5)
        while share.covers(10):
            share.spend(10)

    threads = [Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert -30 <= purse.left <= 9
    assert not purse.share(1.0).covers(10)


def test_the_fixed_texts_are_read_whole_or_not_at_all() -> None:
    gate, fixed, general = examples(25), examples(10, prompt=50), {"go": examples(16)}

    def allotted(tokens: int) -> Readable:
        return allot(
            tokens,
            gate=gate,
            old=(),
            general=general,
            dev=(),
            cost=tokens_of,
            afresh=tokens_of,
            fixed=fixed,
        )

    rich, poor = allotted(10**6), allotted(9 * tokens_of(fixed))
    assert (rich.fixed, rich.notes) == (fixed, ())
    assert rich.everything[-len(fixed) :] == fixed
    assert poor.fixed == ()
    assert "the fixed texts were not read, to keep to gate.max_tokens" in poor.notes
