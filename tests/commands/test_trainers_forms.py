"""What was exported for other trainers comes back as far as those forms carry it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.commands.export_examples import ExampleFormat, export_examples
from qi_learn.daemon.alone import forget_alone
from qi_learn.dataset.select import unfit
from qi_learn.paths import Paths
from qi_learn.records import ForgetRequest
from qi_learn.redact import load_redactor
from qi_learn.settings import Settings
from qi_learn.store.database import open_store
from tests.commands.test_export_examples import CALLS, EDITED, fill
from tests.support.dataset_world import ANSWER, CODE
from tests.support.imported_home import ImportedHome

FORMS: tuple[ExampleFormat, ...] = ("openai", "sharegpt", "dpo")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ImportedHome]:
    made = ImportedHome(tmp_path / "there")
    yield made
    made.close()


@pytest.fixture
def exported(tmp_path: Path, home: ImportedHome) -> dict[str, Path]:
    paths = Paths.under(tmp_path / "here").ensure()
    with open_store(paths.database) as store:
        fill(store)
    files: dict[str, Path] = {form: tmp_path / f"{form}.jsonl" for form in FORMS}
    for form in FORMS:
        export_examples(paths, Settings(), files[form], form)
        os.utime(files[form], (home.now, home.now))
    return files


@pytest.mark.parametrize("form", ["openai", "sharegpt"])
def test_a_conversation_comes_back_with_its_answer(
    home: ImportedHome, exported: dict[str, Path], form: str
) -> None:
    said = home.bring("jsonl", exported[form], project=home.project)
    assert (said.turns, said.not_understood) == (3, 0)
    home.take_in()
    found = {one.turn.messages[-1].content: one.turn for one in home.interactions()}
    assert found["one"].answer == ANSWER.replace(CODE, EDITED)
    with_tool = found["written"]
    assert [m.role for m in with_tool.messages] == ["system", "user", "assistant", "tool"]
    (call,) = with_tool.messages[2].extra["tool_calls"]
    arguments = CALLS["tool_calls"][0]["function"]["arguments"]  # type: ignore[index]
    told = call["function"]["arguments"]
    assert (json.loads(told) if isinstance(told, str) else told) == arguments
    assert ("tools" in with_tool.request) == (form == "openai")
    assert all(one.feedback.accepted is None for one in home.interactions())


def test_a_preference_comes_back_as_a_correction(
    home: ImportedHome, exported: dict[str, Path]
) -> None:
    home.bring("jsonl", exported["dpo"], project=home.project, local=True)
    home.take_in()
    (one,) = home.interactions()
    assert (one.turn.answer, one.feedback.correction) == (ANSWER, ANSWER.replace(CODE, EDITED))
    assert (one.suggestions[0].fate, unfit(one.turn)) == ("edited", "")


@pytest.mark.parametrize("form", FORMS)
def test_it_comes_once_and_is_not_learned_unless_a_local_model_said_it(
    home: ImportedHome, exported: dict[str, Path], form: str
) -> None:
    for again in (False, True):
        home.bring("jsonl", exported[form], project=home.project, again=again)
        home.take_in()
    ones = home.interactions()
    assert len(ones) == (1 if form == "dpo" else 3)
    assert {unfit(one.turn) for one in ones} == {
        "imported, and not known to be a local model's answer"
    }


def test_what_is_there_with_the_same_words_is_known(
    home: ImportedHome, exported: dict[str, Path]
) -> None:
    home.bring("jsonl", exported["openai"], project=home.project)
    home.take_in()
    said = home.bring("jsonl", exported["sharegpt"], project=home.project)
    assert (said.turns, said.recorded) == (1, 2)  # without the tools' ids one is another turn


@pytest.mark.parametrize("form", FORMS)
def test_what_was_forgotten_stays_so_though_the_file_is_younger(
    home: ImportedHome, exported: dict[str, Path], form: str
) -> None:
    home.bring("jsonl", exported[form], project=home.project)
    home.take_in()
    forget_alone(home.paths, ForgetRequest(home.now + 60, project=str(home.project)))
    later = home.now + 7200
    file = exported[form]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    copy, other = file.with_name("copy.jsonl"), file.with_name("other.jsonl")
    copy.write_text("".join(json.dumps(line) + "\n" for line in lines))
    other.write_text("".join(json.dumps({**line, "id": 1}) + "\n" for line in lines))
    for each in (file, copy, other):
        os.utime(each, (later, later))
        home.bring("jsonl", each, project=home.project, again=True)
        home.take_in()
        assert home.interactions() == []


@pytest.mark.parametrize("form", FORMS)
def test_into_the_home_it_is_from_no_word_comes_of_what_is_there(tmp_path: Path, form: str) -> None:
    home = ImportedHome(tmp_path)
    with home.store() as store:
        load_redactor(home.paths.redaction_key)
        fill(store)
    before = {one.turn.id: one for one in home.interactions()}
    export_examples(home.paths, Settings(), tmp_path / form, form)  # type: ignore[arg-type]
    home.bring("jsonl", tmp_path / form, project=home.project)
    home.take_in()
    after = {one.turn.id: one for one in home.interactions()}
    assert {id: after[id] for id in before} == before
    new = [one for id, one in after.items() if id not in before]
    assert all(one.feedback.correction is None for one in new)
    same = [one for one in new if one.turn.answer == ANSWER]
    assert {one.turn.messages[-1].role for one in same} <= {"tool"}  # ShareGPT has no ids of calls
    home.close()


def test_a_line_without_an_answer_is_counted(home: ImportedHome) -> None:
    file = home.root / "set.jsonl"
    lines: list[object] = [
        {"messages": [{"role": "user", "content": "Hm?"}]},
        {"conversations": [{"from": "robot", "value": "Hm."}]},
        {"conversations": [{"from": "function_call", "value": "no JSON"}]},
        {"text": "No conversation."},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = home.bring("jsonl", file)
    assert (said.turns, said.not_understood) == (0, 4)
