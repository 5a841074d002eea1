"""What is left of a prompt that is too long to be read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.gate.budget import allot, shortened, within
from qi_learn.gate.prompt_cut import (
    PromptMarks,
    answers_since,
    cut_prompt,
    inserted_since,
    marks_of,
)
from qi_learn.gate.reading import tokens_of
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.records import Example
from tests.support.tiny_models import write_tiny_model

START, END, BOS = 1000, 1001, 1002
PREFIX, SUFFIX, MIDDLE = 1010, 1011, 1012
SYSTEM, USER, ASSISTANT, TOOL, NEWLINE = 2000, 2001, 2002, 2003, 2004
MARKS = PromptMarks(
    fim=(PREFIX, SUFFIX, MIDDLE),
    controls=frozenset({START, END, BOS, PREFIX, SUFFIX, MIDDLE}),
    end=END,
)
HEADER = (START, ASSISTANT, NEWLINE)


def words(name: int, count: int) -> tuple[int, ...]:
    """Tokens that are found nowhere else."""
    return tuple(range(10_000 * (name + 1), 10_000 * (name + 1) + count))


def turn(role: int, text: Sequence[int]) -> tuple[int, ...]:
    return (START, role, NEWLINE, *text, END, NEWLINE)


def has(cut: Sequence[int], part: Sequence[int]) -> bool:
    """Whether the part stands in it, piece by piece in order and nothing in between."""
    part = tuple(part)
    return any(tuple(cut[at : at + len(part)]) == part for at in range(len(cut)))


# --- conversations --------------------------------------------------------------------------------


def test_of_a_long_chat_the_question_the_system_head_and_the_headers_are_left() -> None:
    history = [turn(role, words(n, 90)) for n, role in enumerate((USER, ASSISTANT) * 10)]
    system, question = words(50, 30), words(51, 40)
    whole = (*turn(SYSTEM, system), *sum(history, ()), *turn(USER, question), *HEADER)
    cut = cut_prompt(whole, 256, MARKS)
    assert len(cut) <= 256
    assert cut[: len(system) + 5] == turn(SYSTEM, system)
    assert cut[-len(turn(USER, question)) - 3 :] == (*turn(USER, question), *HEADER)
    left = cut[len(system) + 5 : -len(question) - 8]
    assert left in ((), sum(history[-2:], ()), sum(history[-1:], ())), "whole turns, newest first"
    assert left[:2] != (START, ASSISTANT), "no answer without what it answers"


def test_history_is_kept_in_whole_turns_as_far_as_it_fits() -> None:
    history = [turn(role, words(n, 30)) for n, role in enumerate((USER, ASSISTANT) * 10)]
    whole = (*sum(history, ()), *turn(USER, words(51, 40)), *HEADER)
    cut = cut_prompt(whole, 256, MARKS)
    assert cut == (*sum(history[-4:], ()), *turn(USER, words(51, 40)), *HEADER)


def test_a_long_question_keeps_its_beginning_and_its_end() -> None:
    system, question = words(50, 300), words(51, 2000)
    whole = (*turn(SYSTEM, system), *turn(USER, words(1, 50)), *turn(ASSISTANT, words(2, 50)))
    cut = cut_prompt((*whole, *turn(USER, question), *HEADER), 256, MARKS)
    assert len(cut) == 256
    assert has(cut, (START, USER, NEWLINE, *question[:60]))
    assert has(cut, (*question[-60:], END, NEWLINE, *HEADER))
    assert has(cut, (START, SYSTEM, NEWLINE, *system[:20]))
    assert has(cut, (*system[-20:], END, NEWLINE))
    assert not has(cut, words(1, 1))


def test_of_a_call_of_a_tool_the_question_the_call_and_the_result_are_left() -> None:
    question, call, result = words(51, 40), words(52, 30), words(53, 5000)
    whole = (
        *turn(SYSTEM, words(50, 3000)),
        *turn(USER, words(1, 40)),
        *turn(ASSISTANT, words(2, 40)),
        *turn(USER, question),
        *turn(ASSISTANT, call),
        *turn(TOOL, result),
        *HEADER,
    )
    cut = cut_prompt(whole, 256, MARKS, answers=1)
    assert len(cut) == 256
    assert has(cut, (*turn(USER, question), *turn(ASSISTANT, call), START, TOOL, NEWLINE))
    assert has(cut, (START, TOOL, NEWLINE, *result[:20]))
    assert has(cut, (*result[-20:], END, NEWLINE, *HEADER))
    assert cut[:3] == (START, SYSTEM, NEWLINE)
    assert not has(cut, words(1, 1))


def test_of_a_long_row_of_calls_the_newest_are_left_beside_the_question() -> None:
    question = words(200, 40)
    calls = [
        part
        for n in range(30)
        for part in (turn(ASSISTANT, words(2 * n, 40)), turn(TOOL, words(2 * n + 1, 60)))
    ]
    whole = (*turn(SYSTEM, words(201, 100)), *turn(USER, question), *sum(calls, ()), *HEADER)
    cut = cut_prompt(whole, 256, MARKS, answers=30)
    assert len(cut) <= 256
    assert has(cut, (START, USER, NEWLINE, *question[:8]))
    assert has(cut, (*words(59, 60)[-8:], END, NEWLINE, *HEADER))
    assert cut.count(START) == cut.count(END) + 1


def test_a_template_whose_questions_have_no_end_of_their_own() -> None:
    """Mistral's: only an answer ends."""
    ask, asked, end = 1100, 1101, 1102
    marks = PromptMarks(first=BOS, controls=frozenset({BOS, ask, asked, end}), end=end)
    question = words(3, 1000)
    whole = (BOS, ask, *words(1, 400), asked, *words(2, 400), end, ask, *question, asked)
    cut = cut_prompt(whole, 256, marks)
    assert len(cut) <= 256
    assert cut[:2] == (BOS, ask)
    assert has(cut, (ask, *question[:50]))
    assert cut[-51:] == (*question[-50:], asked)


def test_a_template_that_has_another_end_than_the_vocabulary() -> None:
    marks = replace(MARKS, end=77)
    question = words(51, 2000)
    whole = (*turn(SYSTEM, words(50, 300)), *turn(USER, question), *HEADER)
    cut = cut_prompt(whole, 256, marks)
    assert has(cut, (START, USER, NEWLINE, *question[:20]))
    assert has(cut, (*question[-20:], END, NEWLINE, *HEADER))


def test_a_question_with_a_reminder_behind_it_is_left() -> None:
    question, reminder = words(51, 250), words(52, 20)
    asked = (*turn(USER, question), *turn(SYSTEM, reminder), *HEADER)
    for whole in (
        (*turn(SYSTEM, words(50, 100)), *asked),
        (*turn(SYSTEM, words(50, 100)), *turn(USER, words(1, 40)), *turn(ASSISTANT, ()), *asked),
    ):
        for inserted in (0, 1):
            cut = cut_prompt(whole, 256, MARKS, inserted=inserted)
            assert len(cut) == 256
            assert has(cut, (START, USER, NEWLINE, *question[:60]))
            assert has(cut, (*question[-60:], END, NEWLINE, *turn(SYSTEM, reminder), *HEADER))
            assert cut[:3] == (START, SYSTEM, NEWLINE)


@pytest.mark.parametrize("role", [SYSTEM, TOOL])
@pytest.mark.parametrize("head", [(), turn(SYSTEM, words(50, 100))])
def test_a_question_is_left_whatever_stands_between_it_and_its_answers(
    role: int, head: tuple[int, ...]
) -> None:
    question, result = words(51, 40), words(52, 400)
    whole = (
        *head,
        *turn(USER, words(1, 90)),
        *turn(ASSISTANT, words(2, 90)),
        *turn(USER, question),
        *turn(role, result),
    )
    cut = cut_prompt((*whole, *HEADER), 256, MARKS, inserted=1)
    assert has(cut, (*turn(USER, question), START, role, NEWLINE, *result[:40]))
    assert has(cut, (*result[-40:], END, NEWLINE, *HEADER))
    called = (*turn(ASSISTANT, words(3, 20)), *turn(TOOL, words(4, 20)))
    cut = cut_prompt((*whole, *called, *HEADER), 256, MARKS, answers=1, inserted=1)
    assert has(cut, (*turn(USER, question), START, role, NEWLINE, *result[:20]))
    assert has(cut, (*called, *HEADER))


def test_messages_that_a_template_does_not_write_do_not_move_the_question() -> None:
    question = words(51, 100)
    whole = (
        *turn(SYSTEM, words(50, 100)),
        *turn(USER, words(1, 90)),
        *turn(ASSISTANT, words(2, 90)),
        *turn(USER, question),
        *HEADER,
    )
    assert cut_prompt(whole, 256, MARKS, inserted=2) == cut_prompt(whole, 256, MARKS)


def test_a_chat_without_a_system_head_keeps_its_last_question_alone() -> None:
    history = [turn(role, words(n, 90)) for n, role in enumerate((USER, ASSISTANT) * 2)]
    question = words(51, 2000)
    cut = cut_prompt((*sum(history, ()), *turn(USER, question), *HEADER), 256, MARKS)
    assert cut[:3] == (START, USER, NEWLINE)
    assert cut[3:63] == question[:60]
    assert len(cut) == 256


def test_a_system_head_that_ends_with_the_first_answer_only_is_left() -> None:
    """Mistral's: what ends the head and the questions is no end of a turn."""
    system, told, ask, asked, end = 1103, 1104, 1100, 1101, 1102
    marks = PromptMarks(controls=frozenset({system, told, ask, asked, end}), end=end)
    head, question = (system, *words(1, 60), told), words(4, 1000)
    earlier = (ask, *words(2, 50), asked, *words(3, 50), end)
    cut = cut_prompt((*head, *earlier, ask, *question, asked), 256, marks)
    assert len(cut) == 256
    assert cut[: len(head)] == head
    assert has(cut, (ask, *question[:90]))
    assert cut[-91:] == (*question[-90:], asked)
    short = (*head, *earlier, ask, *question[:30], asked)
    cut = cut_prompt((*head, *earlier, *earlier, ask, *question[:30], asked), 256, marks)
    assert cut == short, "the newest of the earlier turns, whole"


def test_two_questions_that_begin_alike_are_no_reminders_of_a_system() -> None:
    ask, asked, end, how = 1100, 1101, 1102, 9
    marks = PromptMarks(controls=frozenset({ask, asked, end}), end=end)
    first = (ask, how, *words(1, 90), asked, *words(2, 90), end)
    second = (ask, *words(3, 90), asked, *words(4, 90), end)
    question = (how, *words(5, 200))
    cut = cut_prompt((*first, *second, ask, *question, asked), 256, marks)
    assert cut[-len(question) - 2 :] == (ask, *question, asked)


def test_room_that_a_system_head_has_no_use_for_is_left_to_the_question() -> None:
    ask, asked, end = 1100, 1101, 1102
    marks = PromptMarks(controls=frozenset({ask, asked, end}), end=end)
    question = words(4, 1000)
    whole = (ask, *words(2, 400), asked, *words(3, 400), end, ask, *question, asked)
    assert len(cut_prompt(whole, 256, marks)) == 256
    chat = (*turn(SYSTEM, words(1, 300)), *turn(USER, question), *HEADER)
    cut = cut_prompt(chat, 128, MARKS)
    assert len(cut) == 128
    assert has(cut, (START, USER, NEWLINE, *question[:50]))


@pytest.mark.parametrize("end", [END, 77])
@pytest.mark.parametrize("times", [1, 20])
def test_marks_of_a_gap_that_a_chat_speaks_of_do_not_make_it_one(end: int, times: int) -> None:
    marks = replace(MARKS, end=end)
    pasted = (PREFIX, *words(1, 9), SUFFIX, *words(2, 9), MIDDLE) * times
    question = (*words(3, 300), *pasted, *words(4, 300))
    whole = (*turn(SYSTEM, words(50, 30)), *turn(USER, question), *HEADER)
    cut = cut_prompt(whole, 256, marks)
    assert len(cut) == 256
    assert cut[:35] == whole[:35]
    assert has(cut, (START, USER, NEWLINE, *question[:60]))
    assert has(cut, (*question[-60:], END, NEWLINE, *HEADER))


def test_an_answer_that_was_begun_with_marks_of_a_gap_is_no_gap() -> None:
    question, pasted = words(3, 600), (PREFIX, SUFFIX, MIDDLE, *words(4, 20))
    whole = (*turn(USER, question), *HEADER, *pasted)
    cut = cut_prompt(whole, 256, MARKS, answers=1)
    assert has(cut, (START, USER, NEWLINE, *question[:60]))
    assert cut[-len(pasted) - 3 :] == (*HEADER, *pasted)


# --- gaps and plain text --------------------------------------------------------------------------

BEFORE, AFTER = words(1, 3000), words(2, 3000)


def test_of_a_gap_both_sides_are_left_and_all_marks() -> None:
    cut = cut_prompt((PREFIX, *BEFORE, SUFFIX, *AFTER, MIDDLE), 256, MARKS)
    assert len(cut) == 256
    at = cut.index(SUFFIX)
    assert (cut[0], cut[-1]) == (PREFIX, MIDDLE)
    assert cut[1:at] == BEFORE[-len(cut[1:at]) :]
    assert cut[at + 1 : -1] == AFTER[: len(cut[at + 1 : -1])]
    assert len(cut[1:at]) >= len(cut[at + 1 : -1]) >= 80


@pytest.mark.parametrize(
    "whole",
    [
        (PREFIX, SUFFIX, *AFTER, MIDDLE, *BEFORE),
        (SUFFIX, *AFTER, PREFIX, *BEFORE, MIDDLE),
    ],
)
def test_of_a_gap_whose_suffix_comes_first_too(whole: tuple[int, ...]) -> None:
    cut = cut_prompt(whole, 256, MARKS)
    assert len(cut) == 256
    order = [token for token in whole if token in MARKS.controls]
    assert [token for token in cut if token in MARKS.controls] == order
    assert has(cut, (SUFFIX, *AFTER[:80]))
    assert has(cut, BEFORE[-160:])


@pytest.mark.parametrize(("before", "after"), [(20, 3000), (3000, 20)])
def test_a_short_side_of_a_gap_leaves_its_room_to_the_other(before: int, after: int) -> None:
    one, two = words(1, before), words(2, after)
    cut = cut_prompt((PREFIX, *one, SUFFIX, *two, MIDDLE), 256, MARKS)
    assert cut == (PREFIX, *one[-(253 - 20) :], SUFFIX, *two[: 253 - 20], MIDDLE)


def test_other_files_in_front_of_a_gap_go_first() -> None:
    other, one, two = words(0, 900), words(1, 100), words(2, 50)
    gap = (PREFIX, *one, SUFFIX, *two, MIDDLE)
    marks = replace(MARKS, first=BOS)
    assert cut_prompt((BOS, *other, *gap), 256, marks) == (BOS, *other[-102:], *gap)


def test_a_gap_in_a_text_that_speaks_of_turns_is_a_gap() -> None:
    before, after = (*words(0, 500), END, *BEFORE), (*AFTER, START, *words(3, 500))
    cut = cut_prompt((PREFIX, *before, SUFFIX, *after, MIDDLE), 256, MARKS)
    assert cut == (PREFIX, *BEFORE[-169:], SUFFIX, *AFTER[:84], MIDDLE)


def test_of_plain_text_the_end_is_left() -> None:
    text = words(1, 1000)
    assert cut_prompt(text, 256, MARKS) == text[-256:]
    marks = replace(MARKS, first=BOS)
    assert cut_prompt((BOS, *text), 256, marks) == (BOS, *text[-255:])
    assert cut_prompt(text, 256, PromptMarks()) == text[-256:]
    assert cut_prompt(text, 1000, MARKS) == text


@given(
    st.lists(
        st.sampled_from((*MARKS.controls, USER, ASSISTANT, *range(20))), min_size=1, max_size=400
    ),
    st.integers(1, 300),
    st.integers(0, 5),
)
def test_whatever_a_prompt_is_like_it_is_cut_to_its_length(
    ids: list[int], most: int, answers: int
) -> None:
    cut = cut_prompt(tuple(ids), most, replace(MARKS, first=BOS), answers=answers)
    assert 0 < len(cut) <= most
    assert cut[-1] == ids[-1]
    rest = iter(ids)
    assert all(token in rest for token in cut), "in the order of the prompt"


# --- where it is used -----------------------------------------------------------------------------


def example(ids: Sequence[int], *roles: str) -> Example:
    ask: dict[str, Any] = {
        "endpoint": "/api/chat",
        "body": {"messages": [{"role": role, "content": "x"} for role in roles]},
    }
    return Example("e", "h", "p", "t", tuple(ids), tuple(range(20)), (True,) * 20, ask=ask)


def test_the_answers_behind_the_last_question() -> None:
    assert answers_since(example((), "system", "user")) == 0
    assert answers_since(example((), "user", "assistant", "user")) == 0
    assert answers_since(example((), "user", "assistant", "tool", "assistant", "tool")) == 2
    assert answers_since(Example("e", "h", "p", "t", (1,), (2,), (True,))) == 0


def test_what_stands_between_the_last_question_and_its_answers() -> None:
    assert inserted_since(example((), "system", "user")) == 0
    assert inserted_since(example((), "system", "user", "system")) == 1
    assert inserted_since(example((), "user", "developer", "tool", "assistant", "tool")) == 2
    assert inserted_since(example((), "user", "assistant", "tool", "system")) == 0
    assert inserted_since(example((), "system")) == 0
    assert inserted_since(Example("e", "h", "p", "t", (1,), (2,), (True,))) == 0


def test_a_gate_reads_a_question_with_a_result_directly_behind_it() -> None:
    question = words(51, 40)
    ids = (*turn(USER, question), *turn(TOOL, words(52, 400)), *HEADER)
    whole = (*turn(SYSTEM, words(50, 90)), *ids)
    (cut,) = within([example(whole, "system", "user", "tool")], context=276, marks=MARKS)
    assert len(cut.prompt_ids) == 256
    assert has(cut.prompt_ids, (*turn(USER, question), START, TOOL, NEWLINE))


def test_what_a_gate_reads_is_cut_inside_its_parts() -> None:
    question = words(51, 2000)
    long = example((*turn(SYSTEM, words(50, 30)), *turn(USER, question), *HEADER), "user")
    readable = allot(
        10**6,
        gate=(long,),
        old=(),
        general={},
        cost=tokens_of,
        marks=MARKS,
    )
    (fitting,) = within([long], context=300, marks=MARKS)
    (dev,) = shortened((long,), 300, tokens_of, MARKS)
    for cut in (readable.gate[0], fitting, dev):
        assert has(cut.prompt_ids, (START, USER, NEWLINE, *question[:20]))
        assert has(cut.prompt_ids, (*question[-20:], END, NEWLINE, *HEADER))
    assert readable.notes == ("of fresh work 1 prompts were cut to 256 tokens",)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path: Path = tmp_path_factory.mktemp("marks") / "tiny.gguf"
    write_tiny_model(path, fim=True)
    return load_vocabulary(path)


def test_the_marks_of_a_vocabulary(vocabulary: Vocabulary) -> None:
    marks = marks_of(vocabulary)
    assert marks.fim == vocabulary.fim()
    assert marks.first == vocabulary.first
    assert marks.end == vocabulary.end_of_turn()
    names = {vocabulary.text(token) for token in marks.controls}
    assert {"<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_suffix|>"} <= names


def test_a_rendered_chat_that_is_cut_is_a_chat(vocabulary: Vocabulary) -> None:
    said = "".join(
        f"<|im_start|>{role}\n{f'number {n} ' * 40}<|im_end|>\n"
        for n, role in enumerate(("system", "user", "assistant", "user", "assistant"))
    )
    asked = "Where is the mistake? " + "x = 1\n" * 300 + "Say it in one word."
    ids = vocabulary.prompt_ids(
        f"{said}<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
    )
    cut = b"".join(vocabulary.pieces(cut_prompt(tuple(ids), 256, marks_of(vocabulary)))).decode()
    assert cut.startswith("<|im_start|>system\nnumber 0")
    assert "<|im_start|>user\nWhere is the mistake? x = 1" in cut
    assert cut.endswith("Say it in one word.<|im_end|>\n<|im_start|>assistant\n")
    assert "number 3" not in cut
