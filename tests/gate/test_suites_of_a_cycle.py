"""Which examples are earlier work that nothing of this cycle has seen, and which are shown to the
base in a question's prompt instead of training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qi_learn.gate.suite import cycles_of, gate_suite, old_suite, with_few_shots
from qi_learn.records import Example, Snapshot, Split


def example(
    name: str, session: str = "", *, question: str = "q", split: Split = "train", **more: Any
) -> Example:
    messages = [{"role": "user", "content": question}]
    given: dict[str, Any] = {"ask": {"endpoint": "/api/chat", "body": {"messages": messages}}}
    return Example(
        name,
        f"h-{name}",
        "p",
        f"answer {name}",
        (1, 2, 3, 4),
        (5, 6, 7, 8, 9, 10),
        (True,) * 6,
        split=split,
        session=session or f"s-{name}",
        **{**given, **more},
    )


def snapshot(*examples: Example, replay: tuple[Example, ...] = ()) -> Snapshot:
    return Snapshot("S", 0.0, "b", examples, replay)


# --- new work -------------------------------------------------------------------------------------


def test_of_what_was_kept_as_it_was_no_more_is_measured_than_of_what_the_person_wrote() -> None:
    held_out = [
        example(f"e{n}", split="gate", person_mask=(*[n % 10 == 0] * 2, *[False] * 4))
        for n in range(60)
    ]
    chosen = gate_suite(snapshot(*held_out, example("t")))
    assert [e.id for e in chosen if e.person_wrote] == ["e0", "e10", "e20", "e30", "e40", "e50"]
    assert len(chosen) == 12
    assert [e.id for e in chosen] == [e.id for e in held_out if e in chosen], "in their order"
    assert gate_suite(snapshot(*held_out[5:15])) == (held_out[5], held_out[10])


def test_of_a_data_set_that_does_not_say_who_wrote_what_everything_is_measured() -> None:
    held_out = [example(f"e{n}", split="gate") for n in range(6)]
    assert gate_suite(snapshot(*held_out)) == tuple(held_out)


# --- earlier work ---------------------------------------------------------------------------------


def test_a_session_that_goes_on_over_a_cycle_is_no_earlier_work_once_it_is_learned() -> None:
    """What was held out stands next to what is trained on now: it would look remembered."""
    first = snapshot(
        example("a1", "long", split="gate"),
        example("a2", "long", split="gate"),
        example("a3", "short", split="gate"),
    )
    cases: tuple[tuple[Split, list[str]], ...] = (
        ("train", ["a3"]),
        ("dev", ["a3"]),
        ("gate", ["a1", "a2", "a3"]),
    )
    for split, kept in cases:
        now = snapshot(example("b1", "long", split=split), example("b2", "new"))
        assert [e.id for e in old_suite(now, [first])] == kept, split


def test_neither_is_one_whose_other_part_is_replayed() -> None:
    first = snapshot(example("a1", "long", split="gate"), example("a2", "short", split="gate"))
    second = snapshot(example("b1", "long"), example("b2", "new", split="gate"))
    now = snapshot(example("c1"), replay=(example("b1", "long"),))
    assert [e.id for e in old_suite(now, [first, second])] == ["b2", "a2"]


def test_examples_of_no_known_session_are_not_taken_for_one_session() -> None:
    held_out = replace(example("a1", split="gate"), session="")
    learned = replace(example("b1"), session="")
    assert [e.id for e in old_suite(snapshot(learned), [snapshot(held_out)])] == ["a1"]


def test_each_is_of_the_newest_cycle_that_held_it_out() -> None:
    first, second = (
        replace(snapshot(*(example(name, split="gate") for name in names)), id=run)
        for run, names in (("run1", ("a", "b")), ("run2", ("b", "c")))
    )
    suite = old_suite(snapshot(), [first, second])
    asked = (*suite, example("d", split="gate"))
    assert cycles_of(asked, [first, second]) == {"a": "run1", "b": "run2", "c": "run2"}


# --- few-shot -------------------------------------------------------------------------------------

TRAIN = (
    example("sum", question="Write a function that adds the rows of a table."),
    example("area", question="Write a function for the area of a circle."),
    example("volume", question="Write a function for the volume of a ball."),
    example("parse", question="Write a function that reads a date."),
    example("newest", question="Rename the module."),
)


def shown(question: Example, *, room: int = 100) -> list[str]:
    """The shots before a question, as the model reads them."""
    helped = with_few_shots(snapshot(*TRAIN), [question], room=room)
    return [
        str(message["content"]).removeprefix("answer ")
        for one in helped
        for message in one.ask["body"]["messages"]
        if message["role"] == "assistant"
    ]


def test_a_question_comes_with_the_two_most_like_it_the_nearest_last() -> None:
    circle = example("q", question="Write a function for the area and volume of a circle.")
    assert shown(circle) == ["volume", "area"]
    assert shown(example("q", question="A function that reads the date of a table?")) == [
        "sum",
        "parse",
    ]


def test_words_that_every_question_has_make_none_alike() -> None:
    assert shown(example("q", question="Write a function: rename it."))[-1] == "newest"


def test_shots_take_no_more_room_than_there_is() -> None:
    circle = example("q", question="The area of a circle.")
    assert shown(circle, room=4 + 19) == ["area"]
    assert shown(circle, room=4 + 9) == []
    assert with_few_shots(snapshot(), [circle], room=100) == ()


def test_a_chat_is_no_help_to_a_completion() -> None:
    ask = {"endpoint": "/api/generate", "body": {"prompt": "# The area of a circle.\n"}}
    raw = example("raw", ask={**ask, "body": {"prompt": "# The size of a circle.\n"}})
    (helped,) = with_few_shots(snapshot(*TRAIN, raw), [example("q", ask=ask)], room=100)
    assert helped.ask["body"]["prompt"].startswith("# The size of a circle.\n\nanswer raw\n\n")
    assert with_few_shots(snapshot(*TRAIN), [example("q", ask=ask)], room=100) == ()
