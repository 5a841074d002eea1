"""What is one session: by the client's name while that tells conversations apart, else by them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.capture.wire import decode
from qi_learn.records import Message
from qi_learn.spool import Spool
from qi_learn.store import turns
from qi_learn.store.database import Store
from qi_learn.store.ingest import drain
from qi_learn.store.sessions import STEPS_BACK, session_of
from tests.support.redacted import as_redacted
from tests.support.stored_turns import a_turn

HOUR = 3600.0
Said = tuple[Message, ...]
Ask = Callable[..., str]


@pytest.fixture
def ask(store: Store) -> Ask:
    """Stores the next turn, and says its session."""
    asked = iter(range(1, 1000))

    def next_turn(
        at: float, said: Said, name: str | None = None, *, project: str | None = "p"
    ) -> str:
        turn = a_turn(f"T{next(asked)}", at=at, messages=said, project=project, session=name)
        tip = turns.ensure_chain(store, said)
        found = session_of(store, turn, tip)
        turns.save_turn(store, as_redacted(replace(turn, session=found)))
        return found

    return next_turn


def talk(*words: str, system: str = "Be brief.") -> Said:
    """A conversation: the user's words and, after each but the last, an answer."""
    said = [Message("system", system)]
    for word in words:
        said += [Message("user", word), Message("assistant", f"On {word}: yes.")]
    return tuple(said[:-1])


def completion(text: str) -> Said:
    return (Message("prompt", text),)


# --- a name ---------------------------------------------------------------------------------------


def test_a_name_that_changes_between_conversations_is_the_session(ask: Ask) -> None:
    assert ask(0.0, talk("one"), "mine") == "mine"
    assert ask(60.0, talk("one", "two"), "mine") == "mine"
    assert ask(120.0, talk("title of one"), "mine") == "mine", "what is asked beside it"
    assert ask(180.0, talk("else"), "yours") == "yours"
    assert ask(30 * HOUR, talk("one", "two", "three"), "mine") == "mine", "taken up again"


def test_a_name_that_is_the_same_everywhere_does_not_join_conversations(ask: Ask) -> None:
    days = [ask(day * 24 * HOUR, talk(f"work of day {day}"), "me@example.org") for day in range(4)]
    assert len(set(days)) == 4
    last = 3 * 24 * HOUR
    assert ask(last + 60.0, talk("work of day 3", "go on"), "me@example.org") == days[3]
    assert ask(last + 90.0, talk("quite another"), "me@example.org") not in days
    assert ask(last + 120.0, talk("work of day 0", "go on"), "me@example.org") == days[0]


def test_a_name_in_use_all_day_does_not_make_one_session_of_it(ask: Ask) -> None:
    sessions = [ask(n * 900.0, talk(f"question {n}"), "cache-key") for n in range(40)]
    assert sessions.count("cache-key") == 17, "those of the first four hours"
    assert len(set(sessions[17:])) == 23


def test_the_same_question_on_another_day_goes_on_from_nothing(ask: Ask) -> None:
    first = ask(0.0, talk("hi"), "constant")
    assert ask(600.0, talk("hi"), "constant") == first, "asked again"
    assert ask(24 * HOUR, talk("hi"), "constant") != first


def test_a_conversation_stays_in_its_session_though_the_name_is_in_use_again(ask: Ask) -> None:
    first = ask(0.0, talk("a"), "constant")
    second = ask(HOUR, talk("b"), "constant")
    assert second != first
    assert ask(HOUR + 300.0, talk("b", "b2"), "constant") == second
    assert ask(HOUR + 600.0, talk("a", "a2"), "constant") == first, "it is taken up again"
    assert ask(HOUR + 900.0, talk("b", "b2", "b3"), "constant") == second
    assert ask(HOUR + 930.0, talk("b", "b2", "b3"), "constant") == second, "asked again"
    assert ask(HOUR + 1200.0, talk("b", "b2", "b3", "b4"), "constant") == second
    assert ask(HOUR + 1300.0, talk("c"), "constant") == first, "it begins while the name is in use"


def test_a_new_name_counts_in_the_middle_of_a_conversation(ask: Ask) -> None:
    before = ask(0.0, talk("one"))
    assert ask(60.0, talk("one", "two"), "mine") == "mine" != before


def test_a_name_that_is_new_in_each_request_is_no_session(ask: Ask) -> None:
    words = [str(n) for n in range(100)]
    sessions = [ask(n * 60.0, talk(*words[: n + 1]), f"request-{n}") for n in range(100)]
    assert sessions == ["request-0"] + ["request-1"] * 99, "one change of the name counts"
    assert ask(101 * 60.0, talk(*words, "x"), "request-99") == "request-1"
    assert ask(101 * 60.0, talk(*words, "x"), "request-101") == "request-1", "asked again"
    assert ask(101 * 60.0, talk("another"), "request-102") == "request-102"


def test_a_conversation_whose_names_change_is_cut_as_others_are(ask: Ask) -> None:
    moments = [0.0, 60.0, 120.0, HOUR, HOUR + 60.0, HOUR + 120.0]
    words = "abcdef"
    sessions = [ask(at, talk(*words[: n + 1]), f"request-{n}") for n, at in enumerate(moments)]
    assert sessions[1:] == ["request-1"] * 2 + [sessions[3]] * 3
    assert sessions[3].startswith("turns-from-")


def test_names_that_change_in_two_conversations_at_once_leave_them_apart(ask: Ask) -> None:
    found: dict[str, set[str]] = {"one": set(), "two": set()}
    for n in range(12):
        for number, begins in enumerate(found):
            said = talk(begins, *(str(step) for step in range(n)))
            session = ask(n * 60.0 + number * 20.0, said, f"{begins}-{n}")
            found[begins] |= {session} if n else set()
    assert [len(sessions) for sessions in found.values()] == [1, 1]
    assert found["one"].isdisjoint(found["two"])


@pytest.mark.parametrize("name", [None, "constant"])
def test_a_conversation_that_repeats_one_of_another_day_stays_together(
    ask: Ask, name: str | None
) -> None:
    words = [str(n) for n in range(12)]
    days = [
        [ask(day * 24 * HOUR + n * 60.0, talk(*words[: n + 1]), name) for n in range(12)]
        for day in range(3)
    ]
    assert [len(set(sessions)) for sessions in days] == [1, 1, 1]
    assert len({sessions[0] for sessions in days}) == 3
    assert ask(3 * 24 * HOUR, talk("other"), name) not in {sessions[0] for sessions in days}


def test_a_named_session_is_its_clients_alone(ask: Ask) -> None:
    ask(0.0, talk("one"), "mine")
    assert ask(60.0, talk("one", "two")) != "mine"
    assert ask(90.0, completion("def f(")) != "mine"


# --- the conversation -----------------------------------------------------------------------------


def test_two_conversations_at_the_same_time_are_two_sessions(ask: Ask) -> None:
    one, two = ask(0.0, talk("one")), ask(30.0, talk("two"))
    assert one != two
    assert ask(60.0, talk("one", "more")) == one
    assert ask(90.0, talk("two", "more")) == two
    assert ask(120.0, talk("one", "more", "and more")) == one
    assert ask(150.0, talk("one", "otherwise")) == one, "a fork"
    assert ask(180.0, talk("one")) == one, "asked again"
    assert ask(210.0, talk("one"), project="another") not in (one, two)


@pytest.mark.parametrize("projects", [(None, "p", "p", None), ("p", None, "q", "p")])
def test_a_conversation_goes_on_whatever_its_project_is_held_for(
    ask: Ask, projects: tuple[str | None, ...]
) -> None:
    sessions = [
        ask(n * 60.0, talk(*"abcd"[: n + 1]), project=project) for n, project in enumerate(projects)
    ]
    assert len(set(sessions)) == 1


def test_conversations_that_begin_alike_stay_with_their_projects(ask: Ask) -> None:
    first = {project: ask(0.0, talk("hi"), project=project) for project in ("p", "q", None)}
    assert len(set(first.values())) == 3
    for project, session in first.items():
        assert ask(60.0, talk("hi", f"in {project}"), project=project) == session


def test_results_of_many_tools_are_looked_behind(ask: Ask) -> None:
    one = ask(0.0, talk("one"))
    ask(10.0, talk("two"))
    results = tuple(Message("tool", str(n)) for n in range(STEPS_BACK - 2))
    assert ask(20.0, (*talk("one"), Message("assistant", ""), *results)) == one


def test_a_conversation_is_cut_by_half_an_hour_of_silence(ask: Ask) -> None:
    first = ask(0.0, talk("one"))
    assert ask(2.5 + 1800.0, talk("one", "two")) == first
    second = ask(2 * (2.5 + 1800.0) + 1.0, talk("one", "two", "three"))
    assert second != first
    assert ask(3700.0, talk("one", "two", "three", "four")) == second


def test_a_conversation_is_cut_after_four_hours(ask: Ask) -> None:
    words = [str(n) for n in range(30)]
    sessions = [ask(n * 1000.0, talk(*words[: n + 1])) for n in range(30)]
    assert sessions == [sessions[0]] * 15 + [sessions[15]] * 15


def test_a_conversation_whose_beginning_is_cut_off_belongs_to_the_newest(ask: Ask) -> None:
    one = ask(0.0, talk("one", "two", "three"))
    assert ask(60.0, talk("two", "three", "four")) == one
    assert ask(120.0, talk("three", "four", "five", system="It is 10:02.")) == one


def test_conversations_that_a_client_begins_with_the_same_words_of_a_model_are_two(
    ask: Ask,
) -> None:
    """Qwen Code puts an answer of its own, which no model gave, in front of each conversation."""
    ours = ("We set up the chat.",)
    one = ask(0.0, talk(*ours, "skip what is missing"))
    assert ask(5.0, talk(*ours, "skip what is missing", "the result of a tool")) == one
    two = ask(60.0, talk(*ours, "round it"))
    assert two != one
    assert ask(65.0, talk(*ours, "round it", "the result of a tool")) == two
    assert ask(70.0, talk(*ours, "skip what is missing", "the result of a tool", "go on")) == one


# --- completions ----------------------------------------------------------------------------------


def test_completions_belong_to_the_newest_of_their_project(ask: Ask) -> None:
    first = ask(0.0, completion("def a("))
    assert ask(600.0, completion("def b(")) == first
    assert ask(600.0, completion("def b("), project=None) != first
    talked = ask(700.0, talk("one"))
    assert talked != first
    assert ask(710.0, completion("def c(")) == talked


def test_completions_of_a_whole_day_are_cut_after_four_hours(ask: Ask) -> None:
    sessions = [ask(n * 60.0, completion(f"def f{n}(")) for n in range(10 * 60)]
    assert len(dict.fromkeys(sessions)) == 3
    assert max(map(sessions.count, sessions)) <= 4 * 60 + 1


# --- taken in -------------------------------------------------------------------------------------


def test_turns_of_a_clock_that_was_set_back_find_their_session(ask: Ask) -> None:
    assert ask(1e6, talk("one"), "mine") == "mine"
    assert ask(1e6 - 24 * HOUR, talk("one", "two"), "mine") == "mine"
    first = ask(1e6, talk("else"))
    assert ask(1e6 - 60.0, talk("else", "more")) == first


@pytest.mark.parametrize(
    ("endpoint", "more"),
    [
        ("/v1/messages", {"metadata": {"user_id": "me@example.org"}, "max_tokens": 5}),
        ("/v1/chat/completions", {"prompt_cache_key": "constant"}),
        ("/v1/chat/completions", {"metadata": {"session_id": "constant"}}),
    ],
)
def test_a_constant_id_in_the_request_makes_no_session_of_everything(
    store: Store, spool: Spool, spool_dir: Path, endpoint: str, more: dict[str, object]
) -> None:
    words = {"content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn"}
    for day in range(3):
        said = [{"role": "user", "content": f"work of day {day}"}]
        for moment in range(2):
            at = 1e9 + day * 24 * HOUR + moment * 60.0
            body = {
                "endpoint": endpoint,
                "status": 200,
                "model_asked": "m",
                "request": json.dumps({"model": "m", "messages": said, **more}),
                "response": json.dumps(words),
                "started": at,
                "ended": at + 1.0,
            }
            spool.append("turn", body, project="p")
            said = [*said, {"role": "assistant", "content": "ok"}, {"role": "user", "content": "?"}]
    taken = drain(store, spool_dir, decode=decode, suggest=lambda _: (), now=2e9).turns
    sessions = [turns.load_turn(store, id).session for id in taken]
    assert len(sessions) == 6
    assert [sessions[0], sessions[2], sessions[4]] == [sessions[1], sessions[3], sessions[5]]
    assert len(set(sessions)) == 3
