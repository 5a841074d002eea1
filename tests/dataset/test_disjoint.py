"""Suites without what a data set trains on: found by content, by lines, and counted."""

from __future__ import annotations

import json
from dataclasses import replace

from qi_learn.dataset import general_texts, reference_code
from qi_learn.dataset.disjoint import disjoint, notes_of
from qi_learn.dataset.examples import content_hash
from qi_learn.dataset.general_suites import GeneralSuites
from qi_learn.gate.tasks import load_tasks
from qi_learn.records import Example, Pair, Snapshot, Split
from qi_learn.records.suites import FEW


def example(id: str, target: str, split: Split = "train", prompt: str = "?") -> Example:
    hash = content_hash(prompt, target)
    return Example(id, hash, prompt, target, (1,), (2,), (True,), split=split)


def snapshot(*examples: Example, **more: object) -> Snapshot:
    return replace(Snapshot("run", 0.0, "base", examples), **more)  # type: ignore[arg-type]


GO = tuple(example(text.id, text.text) for text in general_texts.raw_texts("go"))
SQL = tuple(example(text.id, text.text) for text in general_texts.raw_texts("sql"))
SUITES = {"go": GO, "sql": SQL}


def test_nothing_is_left_out_if_nothing_is_shared() -> None:
    found = disjoint(SUITES, snapshot(example("turn", "def area(r):\n    return 3.14 * r * r\n")))
    assert (found.suites, found.dropped, found.lost) == (SUITES, {}, ())


def test_what_is_trained_on_is_left_out_and_counted() -> None:
    found = disjoint(SUITES, snapshot(GO[3]))
    assert GO[3] not in found.suites["go"]
    assert (len(found.suites["go"]), found.suites["sql"]) == (len(GO) - 1, SQL)
    assert found.dropped == {"go": 1}


def test_a_copy_under_another_indentation_and_question_is_found() -> None:
    copy = GO[3].target.replace("\t", "    ")
    other = example("turn", f"Here it is:\n```go\n{copy}```\n", prompt="Write a test, please.")
    assert disjoint(SUITES, snapshot(other)).dropped == {"go": 1}


def test_code_in_a_call_is_found_by_its_lines() -> None:
    call = json.dumps({"name": "write", "arguments": {"content": GO[3].target}})
    other = replace(example("turn", call), kept_code=GO[3].target)
    assert disjoint(SUITES, snapshot(other)).dropped == {"go": 1}
    asked = {"tool_call": tuple(replace(other, id=f"{n}", hash=f"{n}") for n in range(FEW))}
    assert disjoint(asked, snapshot(GO[3])).dropped == {"tool_call": FEW}


def test_most_of_a_text_is_enough() -> None:
    lines = SQL[0].target.split("\n")
    most = "\n".join(lines[: 2 * len(lines) // 3])
    assert disjoint(SUITES, snapshot(example("turn", most))).dropped == {"sql": 1}


def test_lines_that_every_program_has_leave_nothing_out() -> None:
    ordinary = "if err != nil {\n\treturn nil, err\n}\ndefer func() {\nreturn nil\n" * 3
    assert disjoint(SUITES, snapshot(example("turn", ordinary))).dropped == {}


def test_all_that_a_training_reads_or_is_steered_by_counts() -> None:
    pair = Pair("id", "hash", "edit", "?", SQL[1].target, SQL[2].target, (), (), ())
    read = snapshot(
        replace(GO[0], split="dev"),
        replay=(GO[1],),
        anchors=(GO[2],),
        yardsticks=(GO[3],),
        pairs=(pair,),
    )
    assert disjoint(SUITES, read).dropped == {"go": 4, "sql": 2}


def test_what_only_judges_is_not_trained_on() -> None:
    assert disjoint(SUITES, snapshot(replace(GO[0], split="gate"))).dropped == {}


def test_earlier_data_sets_count_as_well() -> None:
    assert disjoint(SUITES, snapshot(GO[0]), snapshot(SQL[0])).dropped == {"go": 1, "sql": 1}


def test_a_suite_of_which_too_little_is_left_is_said_to_be_lost() -> None:
    found = disjoint(SUITES, snapshot(*GO[: len(GO) - FEW + 1]))
    assert (tuple(found.suites), found.lost) == (("sql",), ("go",))
    assert found.dropped == {"go": len(GO) - FEW + 1}


def test_what_is_not_whole_is_said_in_words() -> None:
    general = GeneralSuites(SUITES, {"fim": "the model does not support insert"})
    some = disjoint(SUITES, snapshot(GO[0], SQL[0], SQL[1]))
    assert notes_of(general, some) == (
        "the general suite fim was not measured: the model does not support insert",
        "the general suite go: without 1 of its texts, which are in what was trained on",
        "the general suite sql: without 2 of its texts, which are in what was trained on",
    )
    lost = disjoint(SUITES, snapshot(*GO))
    assert notes_of(GeneralSuites(SUITES), lost) == (
        "the general suite go was not measured: 24 of its texts are in what was trained on",
    )
    assert notes_of(GeneralSuites(SUITES), disjoint(SUITES, snapshot())) == ()


def test_the_shipped_texts_share_nothing_with_generic_code_nor_with_the_tasks() -> None:
    """By construction: with the anchors that are replayed, the yardsticks and the tasks."""
    questions = [
        *(q for suite in general_texts.CHAT for q in general_texts.chat_questions(suite)),
        *general_texts.gaps(),
        *general_texts.completions(),
    ]
    suites = {
        **{
            name: tuple(example(t.id, t.text) for t in general_texts.raw_texts(name))
            for name in general_texts.RAW
        },
        "questions": tuple(example(q.id, q.target.text) for q in questions),
        "python": tuple(example(t.id, t.text) for t in reference_code.package_texts()),
        "python_stdlib": tuple(example(t.id, t.text) for t in reference_code.library_texts()),
    }
    generic = [*reference_code.anchors(), *reference_code.yardsticks()]
    tasks = [f"{task.prompt}\n{task.solution}" for task in load_tasks()]
    trained = [
        *(example(text.id, text.text) for text in generic),
        *(example(f"task {n}", text) for n, text in enumerate(tasks)),
    ]
    assert disjoint(suites, snapshot(*trained)).dropped == {}


def test_no_two_suites_share_a_text() -> None:
    for name in general_texts.RAW:
        others = [
            example(text.id, text.text)
            for other in general_texts.RAW
            if other != name
            for text in general_texts.raw_texts(other)
        ]
        own = tuple(example(text.id, text.text) for text in general_texts.raw_texts(name))
        assert disjoint({name: own}, snapshot(*others)).dropped == {}
