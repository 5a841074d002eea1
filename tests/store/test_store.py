"""The store through its public door: records in, the same records out; what changes evidence asks
for a new score; what was tampered with shows.
"""

from __future__ import annotations

import math
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from qi_learn import codec
from qi_learn.errors import NotFound
from qi_learn.records import (
    CommandResult,
    Event,
    Feedback,
    Message,
    Outcome,
    Plan,
    Release,
    Score,
    Signal,
    Suggestion,
    TrainResult,
    Turn,
    Verdict,
)
from qi_learn.store import audit, command_results, events, feedback, ratings, releases, runs, turns
from qi_learn.store.database import Store, open_store
from qi_learn.store.followed import load_followed

QUESTION = Message("user", "Write add.")
ANSWER = "def add(a, b):\n    return a + b\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SAID = st.lists(
    st.tuples(st.sampled_from(["user", "assistant", "tool", "prompt"]), TEXTS), max_size=5
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data" / "qi-learn.db") as opened:
        yield opened


def a_turn(
    id: str = "T1",
    *,
    messages: tuple[Message, ...] = (QUESTION,),
    answer: str = ANSWER,
    at: float = 100.0,
    **more: object,
) -> Turn:
    return replace(
        Turn(id, "/api/chat", "asked:7b", "qi-agent:v1.1.0", messages, answer, at, at + 2.5), **more
    )  # type: ignore[arg-type]


FULL = a_turn(
    messages=(
        Message("system", "Be brief."),
        Message("user", "héllo \u2028 \x00"),
        Message("tool", "", {"tool_name": "ls", "z": 1, "a": [1, {"b": None}]}),
    ),
    answer_extra={
        "thinking": "hm",
        "tool_calls": [{"function": {"name": "edit", "arguments": {"z": 1, "a": 2}}}],
    },
    model_digest="ab" * 32,
    options={"temperature": 0.2, "stop": ["\n\n"]},
    request={"format": "json", "think": False},
    status=200,
    cancelled=True,
    complete=False,
    done_reason="stop",
    prompt_tokens=17,
    answer_tokens=3,
    session="s1",
    project="/home/me/p",
    commit="c0ffee",
    context={"language": "python", "files": ["a.py"]},
)


# --- turns and messages ---------------------------------------------------------------------------


def test_a_turn_comes_back_as_it_went_in(store: Store) -> None:
    assert turns.save_turn(store, FULL, redacted=True)
    assert turns.load_turn(store, FULL.id) == FULL
    assert turns.was_redacted(store, FULL.id)
    assert list(
        turns.load_turn(store, FULL.id).answer_extra["tool_calls"][0]["function"]["arguments"]
    ) == ["z", "a"]


@hypothesis_settings(max_examples=40, deadline=None)
@given(SAID, TEXTS)
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, str]], answer: str
) -> None:
    turn = a_turn(messages=tuple(Message(role, content) for role, content in said), answer=answer)
    with open_store(tmp_path_factory.mktemp("any") / "x.db") as store:
        turns.save_turn(store, turn)
        assert turns.load_turn(store, turn.id) == turn
        assert turns.verify(store) == []


def test_saving_twice_keeps_the_first(store: Store) -> None:
    assert turns.save_turn(store, a_turn())
    assert not turns.save_turn(store, a_turn(answer="other"))
    assert turns.load_turn(store, "T1") == a_turn()


def test_history_sent_again_costs_only_the_tail(store: Store) -> None:
    history: tuple[Message, ...] = ()
    for i in range(5):
        history = (*history, Message("user", f"question {i}"))
        turns.save_turn(store, a_turn(f"T{i}", messages=history, answer=f"answer {i}"))
        history = (*history, Message("assistant", f"answer {i}"))
    assert store.row("SELECT count(*) FROM messages")[0] == 10  # type: ignore[index]
    assert turns.load_turn(store, "T4").messages == history[:-1]


def test_the_same_words_after_other_words_are_another_message(store: Store) -> None:
    one = turns.ensure_chain(store, [Message("user", "a"), Message("user", "x")])
    two = turns.ensure_chain(store, [Message("user", "b"), Message("user", "x")])
    assert one != two
    assert turns.ensure_chain(store, [Message("user", "a"), Message("user", "x")]) == one
    assert turns.load_chain(store, two) == (Message("user", "b"), Message("user", "x"))
    assert turns.ensure_chain(store, []) == ""


def test_two_answers_to_one_conversation_are_a_fork(store: Store) -> None:
    for id, answer, at in (("B", "two", 2.0), ("A", "one", 1.0), ("C", "one", 3.0)):
        turns.save_turn(store, a_turn(id, answer=answer, at=at))
    turns.save_turn(store, a_turn("D", messages=(Message("user", "else"),)))
    assert turns.forks(store) == [("A", "B", "C")]


def test_lines_are_newest_first_and_searchable(store: Store) -> None:
    turns.save_turn(store, a_turn("T1", at=1.0, project="p"))
    turns.save_turn(store, a_turn("T2", at=2.0, project="q", answer="100% _sure_"))
    turns.save_turn(store, a_turn("T3", messages=(), at=3.0, status=500))
    ratings.save_rating(store, rating("R1", {"turn": "T2", "rating": 4}))
    assert [line.id for line in turns.list_turns(store, limit=2)] == ["T3", "T2"]
    assert [line.id for line in turns.list_turns(store, limit=9, query="WRITE ADD")] == ["T2", "T1"]
    assert [line.id for line in turns.list_turns(store, limit=9, query="0% _s")] == ["T2"]
    assert turns.list_turns(store, limit=9, query="%") == turns.list_turns(
        store, limit=9, query="100%"
    )
    (line,) = turns.list_turns(store, limit=9, project="q")
    assert (line.rating, line.question, line.answer, line.model, line.started) == (
        4,
        "Write add.",
        "100% _sure_",
        "qi-agent:v1.1.0",
        2.0,
    )


def test_the_newest_turn_is_one_that_had_ended(store: Store) -> None:
    turns.save_turn(store, a_turn("T1", at=10.0, project="p"))
    turns.save_turn(store, a_turn("T2", at=20.0, project="p"))
    turns.save_turn(store, a_turn("T3", at=21.0, project="q"))
    turns.save_turn(store, a_turn("T4", at=22.0, project="p", status=404))
    assert turns.newest_turn(store, "p", before=22.4) == "T1"
    assert turns.newest_turn(store, "p", before=22.5) == "T2"
    assert turns.newest_turn(store, "p", before=99.0) == "T2"
    assert turns.newest_turn(store, None, before=99.0) == "T3"
    assert turns.newest_turn(store, "elsewhere", before=99.0) is None
    turns.set_project(store, "T3", "elsewhere")
    assert turns.newest_turn(store, "elsewhere", before=99.0) == "T3"
    assert turns.load_turn(store, "T3").project == "elsewhere"


def test_sessions_are_gaps_under_half_an_hour_within_a_project(store: Store) -> None:
    def session(id: str, at: float, project: str | None = "p", own: str | None = None) -> str:
        turn = a_turn(id, at=at, project=project, session=own)
        found = turns.session_of(store, turn)
        turns.save_turn(store, replace(turn, session=found))
        return found

    first = session("T1", 1000.0)
    assert session("T2", 1002.5 + 1800.0) == first
    assert session("T3", 1002.5 + 1800.0, project=None) != first
    assert session("T4", 4000.0, own="mine") == "mine"
    assert session("T5", 9000.0) not in (first, "mine")


def test_an_unknown_id_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="T9"):
        turns.load_turn(store, "T9")
    with pytest.raises(NotFound):
        turns.set_project(store, "T9", "p")
    with pytest.raises(NotFound):
        feedback.load_interaction(store, "T9")
    with pytest.raises(NotFound):
        feedback.mark_dirty(store, "T9")


@pytest.mark.parametrize(
    "tampering",
    [
        "content = 'Write sub.'",
        "role = 'system'",
        'extra = \'{"thinking":"x"}\'',
        "extra = '{'",
        "parent = hash",
    ],
)
def test_verify_finds_a_changed_message(store: Store, tampering: str) -> None:
    turns.save_turn(store, FULL)
    tip = turns.ensure_chain(store, [QUESTION])
    assert turns.verify(store) == []
    store.execute(f"UPDATE messages SET {tampering} WHERE hash = ?", (tip,))
    assert turns.verify(store) == [f"message {tip}: its text is not what was stored"]


def test_verify_finds_a_missing_message(store: Store) -> None:
    turns.save_turn(store, a_turn())
    store.execute("PRAGMA foreign_keys = OFF")
    store.execute("DELETE FROM messages WHERE role = 'user'")
    assert len(turns.verify(store)) == 2  # the answer's parent, the turn's tip


# --- what became of it ----------------------------------------------------------------------------


def rating(
    id: str, body: dict[str, object], *, ts: float = 1000.0, project: str | None = None
) -> Event:
    return Event(id, "rating", ts, "cli", body, "person", project)


SUGGESTION = Suggestion(
    *(
        "T1",
        0,
        "def add(a, b):\n    return a + b\n",
        0,
        31,
        "python",
        "settled",
        "p/a.py",
        "add",
        ("x = 1", "", "#"),
        ("y = 2",),
        "def add(a, b): ...",
    ),
    *(0.9, 110.0, 120.0, 700.0, "def add(a, b): ...", "c0ffee", True, "name", 0.8),
)


def clean(store: Store, turn: Turn) -> None:
    """Saves and scores a turn, so that what comes next is what marks it."""
    turns.save_turn(store, turn)
    feedback.save_score(store, Score(turn.id, None, 0.0, None, None))


def test_suggestions_come_back_and_mark_only_on_change(store: Store) -> None:
    clean(store, a_turn())
    waiting = Suggestion("T1", 1, "x", 3, 4)
    feedback.save_suggestions(store, [SUGGESTION, waiting])
    assert feedback.suggestions_of(store, "T1") == (SUGGESTION, waiting)
    assert not feedback.update_suggestion(store, waiting)
    assert feedback.dirty_turns(store) == []
    assert feedback.update_suggestion(
        store, replace(waiting, state="placed", file="p/b.py", placed_at=130.0)
    )
    assert feedback.dirty_turns(store) == ["T1"]
    with pytest.raises(NotFound):
        feedback.update_suggestion(store, replace(waiting, ordinal=7))
    with pytest.raises(sqlite3.IntegrityError):
        feedback.save_suggestions(store, [replace(waiting, turn_id="T9")])


def followed(store: Store, project: str, *, ended: float) -> list[Suggestion]:
    loaded = load_followed(store, project, placed=math.inf, ended=ended)
    return [tracked.suggestion for tracked in loaded]


def test_open_suggestions_are_unsettled_and_recent(store: Store) -> None:
    for id, at, project in (
        ("T1", 100.0, "p"),
        ("T2", 200.0, "p"),
        ("T3", 300.0, None),
        ("T4", 400.0, "q"),
    ):
        turns.save_turn(store, a_turn(id, at=at, project=project))
        placed = Suggestion(id, 1, "y", 1, 2, state="placed", placed_at=at + 10)
        feedback.save_suggestions(
            store,
            [Suggestion(id, 0, "x", 0, 1), placed, replace(SUGGESTION, turn_id=id, ordinal=2)],
        )
    assert [
        (s.turn_id, s.ordinal) for s in followed(store, "p", ended=202.5) if s.state != "settled"
    ] == [("T2", 0), ("T2", 1), ("T3", 0), ("T3", 1)]
    both = [*followed(store, "p", ended=0.0), *followed(store, "q", ended=0.0)]
    assert {s.turn_id for s in both if s.state != "settled"} == {"T1", "T2", "T3", "T4"}
    assert [
        (s.turn_id, s.ordinal) for s in feedback.placed_suggestions(store, "p", since=110.0)
    ] == [("T1", 1), ("T1", 2), ("T2", 2), ("T2", 1)]


def test_feedback_joins_what_was_said_and_what_was_seen(store: Store) -> None:
    clean(store, a_turn())
    assert feedback.load_feedback(store, "T1") == Feedback()
    seen = Feedback(None, "seen", None, True, False, "final", 12.5, "name", 0.8)
    assert feedback.save_implicit(store, "T1", seen)
    assert feedback.dirty_turns(store) == ["T1"]
    assert feedback.load_feedback(store, "T1") == seen
    assert not feedback.save_implicit(store, "T1", seen)
    assert (
        ratings.save_rating(
            store,
            rating(
                "R1", {"turn": "T1", "rating": 2, "correction": "mine", "comment": "no"}, ts=1.0
            ),
        )
        == "T1"
    )
    ratings.save_rating(store, rating("R2", {"turn": "T1", "rating": 5}, ts=2.0))
    ratings.save_rating(
        store, rating("R0", {"turn": "T1", "rating": 1, "comment": "older, came later"}, ts=0.0)
    )
    assert feedback.load_feedback(store, "T1") == replace(
        seen, rating=5, correction="mine", comment="no"
    )


def test_unknown_is_not_no(store: Store) -> None:
    clean(store, a_turn())
    assert not feedback.save_implicit(store, "T1", Feedback())
    assert not feedback.save_outcome(store, "T1", Outcome())
    assert feedback.dirty_turns(store) == []
    assert feedback.load_outcome(store, "T1") == Outcome()
    assert feedback.save_outcome(store, "T1", Outcome(False, True, None, -0.25, False))
    assert feedback.load_outcome(store, "T1") == Outcome(False, True, None, -0.25, False)
    assert feedback.dirty_turns(store) == ["T1"]


@pytest.mark.parametrize(
    "body",
    [
        {"turn": "T1"},
        {"turn": "T1", "rating": 6},
        {"turn": "T1", "rating": True},
        {"turn": 3, "rating": 3},
        {"rating": "5"},
        {"rating": 3, "comment": 1},
    ],
)
def test_what_is_no_rating_is_refused(store: Store, body: dict[str, object]) -> None:
    turns.save_turn(store, a_turn())
    with pytest.raises(ValueError, match="rating"):
        ratings.save_rating(store, rating("R1", body))
    assert ratings.unmatched_ratings(store) == 0


def test_last_is_the_newest_of_the_ratings_project(store: Store) -> None:
    for id, at, project in (("T1", 10.0, "p"), ("T2", 20.0, "q"), ("T3", 30.0, None)):
        turns.save_turn(store, a_turn(id, at=at, project=project))
    assert (
        ratings.save_rating(store, rating("R1", {"turn": "last", "rating": 3}, project="p"))
        == "T1"
    )
    assert (
        ratings.save_rating(store, rating("R2", {"turn": "last", "rating": 3}, project=None))
        == "T3"
    )
    assert (
        ratings.save_rating(
            store, rating("R3", {"turn": "last", "rating": 3}, project=None, ts=22.5)
        )
        == "T2"
    )
    assert (
        ratings.save_rating(
            store, rating("R4", {"turn": "last", "rating": 3}, project=None, ts=5.0)
        )
        is None
    )
    assert (
        ratings.save_rating(store, rating("R5", {"turn": "last", "rating": 1}, project="nowhere"))
        == "T3"
    )
    found = feedback.load_feedback(store, "T3")
    assert (found.match_method, found.match_confidence) == ("last of an unknown project", 0.6)


def test_a_rating_waits_for_its_turn(store: Store) -> None:
    assert ratings.save_rating(store, rating("R1", {"turn": "T1", "rating": 2})) is None
    assert ratings.unmatched_ratings(store) == 1
    clean(store, a_turn())
    assert ratings.match_ratings(store) == ("T1",)
    assert feedback.dirty_turns(store) == ["T1"]
    assert (feedback.load_feedback(store, "T1").rating, ratings.unmatched_ratings(store)) == (2, 0)


def test_a_command_marks_what_it_ran_over(store: Store) -> None:
    week = 7 * 86400.0
    for id, project, placed in (
        ("T1", "p", 1000.0),
        ("T2", "q", 1000.0),
        ("T3", "p", 1001.0),
        ("T4", "p", None),
    ):
        clean(store, a_turn(id, project=project))
        feedback.save_suggestions(
            store,
            [
                Suggestion(
                    id,
                    0,
                    "x",
                    0,
                    1,
                    state="waiting" if placed is None else "settled",
                    placed_at=placed,
                )
            ],
        )
    command = CommandResult(
        "C1", 1000.5 + week, "p", "bench", "pytest -q", 1, 2.5, 3, 4, "c0ffee", 0.75
    )
    command_results.save_command(store, command)
    assert feedback.dirty_turns(store) == ["T3"]
    earlier = replace(command, id="C0", ts=1000.0)
    command_results.save_command(store, earlier)
    assert set(feedback.dirty_turns(store)) == {"T1", "T3"}
    assert command_results.commands_of(store, "p") == (earlier, command)
    assert command_results.commands_of(store, "p", since=1001.0) == (command,)


SCORE = Score(
    "T1",
    0.8,
    0.5,
    0.7,
    "text",
    (Signal("rating", 0.8, 3.0, "rated 4"), Signal("accepted", 1.0, 2.0, "kept")),
    ("settled", "committed"),
    99.5,
)


def test_a_score_takes_the_mark_away(store: Store) -> None:
    turns.save_turn(store, a_turn())
    assert feedback.dirty_turns(store) == ["T1"]
    assert feedback.load_score(store, "T1") is None
    feedback.save_score(store, SCORE)
    assert feedback.load_score(store, "T1") == SCORE
    assert feedback.dirty_turns(store) == []
    with pytest.raises(NotFound):
        feedback.save_score(store, replace(SCORE, turn_id="T9"))


def test_scored_turns_are_good_and_whole(store: Store) -> None:
    fates = {
        "T1": (0.7, {}),
        "T2": (0.9, {}),
        "T3": (0.69, {}),
        "T4": (1.0, {"status": 500}),
        "T5": (1.0, {"cancelled": True}),
        "T6": (None, {}),
    }
    for i, (id, (score, more)) in enumerate(fates.items()):
        turns.save_turn(store, a_turn(id, at=-i, **more))
        feedback.save_score(store, replace(SCORE, turn_id=id, target_score=score))
    assert feedback.scored_turns(store, threshold=0.7) == ["T2", "T1"]


def test_domains_are_shares_of_a_project(store: Store) -> None:
    for i, domain in enumerate(["web", "web", "data", None]):
        turns.save_turn(store, a_turn(f"T{i}", project="p", at=i))
        if domain:
            feedback.save_classes(store, f"T{i}", "debugging", "complex", domain, ("edit", "bash"))
    assert feedback.domain_share(store, "p", "web") == pytest.approx(2 / 3)
    assert feedback.domain_share(store, "q", "web") == 0.0
    assert feedback.unclassified_turns(store) == ["T3"]


def test_an_interaction_has_every_field_of_the_record_it_implements(store: Store) -> None:
    turn = replace(FULL, id="T1")
    turns.save_turn(store, turn)
    bare = feedback.load_interaction(store, "T1")
    assert (bare.learning_type, bare.complexity, bare.domain, bare.tools_used, bare.score) == (
        "code_generation",
        "simple",
        "",
        (),
        None,
    )
    feedback.save_suggestions(store, [SUGGESTION])
    ratings.save_rating(
        store, rating("R1", {"turn": "T1", "rating": 4, "correction": "better", "comment": "so so"})
    )
    seen = Feedback(
        accepted=True,
        modified=True,
        final_version="final",
        time_to_accept=3.0,
        match_method="name",
        match_confidence=0.9,
    )
    feedback.save_implicit(store, "T1", seen)
    feedback.save_outcome(store, "T1", Outcome(True, False, True, 0.1, False))
    feedback.save_classes(store, "T1", "architecture", "medium", "web", ("edit",))
    feedback.save_score(store, SCORE)
    full = feedback.load_interaction(store, "T1")
    assert (full.turn, full.suggestions, full.score, full.outcome) == (
        turn,
        (SUGGESTION,),
        SCORE,
        Outcome(True, False, True, 0.1, False),
    )
    assert full.feedback == Feedback(4, "better", "so so", True, True, "final", 3.0, "name", 0.9)
    assert (full.learning_type, full.complexity, full.domain, full.tools_used) == (
        "architecture",
        "medium",
        "web",
        ("edit",),
    )


# --- cycles, versions, audit ----------------------------------------------------------------------

PLAN = codec.build(
    Plan,
    {
        "run_id": "R1",
        "seed": 1,
        "base_gguf": "base.gguf",
        "base_digest": "ab",
        "base_weights": None,
        "architecture": "llama",
        "device": "cpu",
        "dtype": "float32",
        "first_layer": 20,
        "layer_count": 10,
        "target_modules": ["q_proj", "v_proj"],
        "rank": 8,
        "alpha": 16.0,
        "dropout": 0.0,
        "learning_rate": 1e-3,
        "weight_decay": 0.01,
        "warmup_steps": 4,
        "max_steps": 48,
        "batch_size": 8,
        "accumulation": 1,
        "max_length": 512,
        "replay_share": 0.25,
        "generic_share": 0.125,
        "lambda_general": 300.0,
        "lambda_past": 200.0,
        "eval_every": 8,
        "patience": 3,
        "max_seconds": 3600.0,
    },
)
RESULT = TrainResult(48, "steps", 0.5, 0.6, 0.9, 0.01, 0.0, 100.0, 321.5, "adapter")
VERDICT = Verdict(False, (), ("thin",), "none", "nothing", 0.5, "1.0.0", {"gate_nll": 1.25})


def cycle(ts: float, **body: object) -> Event:
    return Event(f"E{ts}", "cycle", ts, "cycle", {"run": "R1", **codec.plain(body)})


def test_a_cycle_is_told_piece_by_piece(store: Store) -> None:
    runs.apply_cycle(
        store,
        cycle(10.0, state="planned", reason="100 fresh", parent="1.0.0", fresh=100, plan=PLAN),
    )
    examples = [
        {"turn": "T1", "hash": "a", "split": "train"},
        {"turn": "T2", "hash": "b", "split": "gate"},
    ]
    runs.apply_cycle(store, cycle(11.0, state="snapshotted", examples=examples))
    runs.apply_cycle(store, cycle(13.0, state="gated", verdict=VERDICT))
    runs.apply_cycle(store, cycle(12.0, state="trained", train=RESULT, reason="late"))
    runs.apply_cycle(store, cycle(14.0, state="refused", reason="gate"))
    runs.apply_cycle(
        store,
        Event(
            "E",
            "cycle",
            20.0,
            "cycle",
            {
                "run": "R2",
                "state": "planned",
                "examples": [{"turn": "T3", "hash": "c", "split": "dev"}],
            },
        ),
    )
    run = runs.load_run(store, "R1")
    assert (
        run.state,
        run.reason,
        run.started,
        run.updated,
        run.parent,
        run.fresh,
        run.examples,
    ) == ("refused", "gate", 10.0, 14.0, "1.0.0", 100, 2)
    assert (run.plan, run.train, run.verdict) == (PLAN, RESULT, VERDICT)
    assert [r.id for r in runs.list_runs(store)] == ["R2", "R1"]
    assert runs.learned(store, ["R1"]) == {"T1", "T2"}
    assert runs.learned(store, ["R1", "R2"]) == {"T1", "T2", "T3"}
    assert runs.learned(store, []) == set()
    assert runs.runs_of(store, "T2") == ["R1"]
    assert [entry.what for entry in audit.entries(store, limit=2)] == [
        "cycle planned",
        "cycle refused",
    ]
    with pytest.raises(NotFound):
        runs.load_run(store, "R9")


@pytest.mark.parametrize(
    "body",
    [
        {"state": "planned"},
        {"run": "R1"},
        {"run": "R1", "state": "done"},
        {"run": "R1", "state": "planned", "plan": {"seed": 1}},
        {"run": "R1", "state": "planned", "examples": [{"turn": "T1"}]},
        {
            "run": "R1",
            "state": "planned",
            "examples": [{"turn": "T1", "hash": "a", "split": "test"}],
        },
    ],
)
def test_what_is_no_cycle_leaves_nothing(store: Store, body: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each its own words)
        runs.apply_cycle(store, Event("E1", "cycle", 1.0, "cycle", body))
    assert runs.list_runs(store) == []
    assert audit.entries(store, limit=9) == []


BASE = Release("1.0.0", "qi-agent:v1.0.0", "ab", 1.0, "ab")
NEXT = Release(
    "1.1.0", "qi-agent:v1.1.0", "cd", 2.0, "ab", "1.0.0", "R1", "adapters/v1.1.0", "ef", True
)


def release(ts: float, **body: object) -> Event:
    return Event(
        f"E{ts}", "release", ts, "deploy", {"alias": "qi-agent:latest", **codec.plain(body)}
    )


def test_releases_and_moves_are_kept_and_audited(store: Store) -> None:
    releases.apply_release(store, release(1.0, action="base", release=BASE, version="1.0.0"))
    releases.apply_release(store, release(2.0, action="released", release=NEXT, version="1.1.0"))
    releases.apply_release(
        store, release(3.0, action="switched", version="1.1.0", **{"from": "1.0.0"})
    )
    releases.apply_release(
        store, release(4.0, action="rolled_back", version="1.0.0", **{"from": "1.1.0"})
    )
    assert releases.rollback_seconds(store) is None
    releases.apply_release(store, release(5.0, action="retired", version="1.1.0"))
    assert releases.list_releases(store) == [BASE, NEXT]
    assert releases.load_release(store, "1.1.0") == NEXT
    assert releases.retired_releases(store) == {"1.1.0": 5.0}
    assert releases.list_moves(store, limit=2)[1] == releases.Move(
        4.0, "rolled_back", "1.0.0", "qi-agent:latest", "1.1.0"
    )
    assert [e.what for e in audit.entries(store, limit=9)] == [
        "release retired",
        "release rolled_back",
        "release switched",
        "release released",
        "release base",
    ]
    for seconds in (0.9, 0.75):
        releases.apply_release(
            store, release(6.0 + seconds, action="rolled_back", version="1.0.0", seconds=seconds)
        )
    assert releases.rollback_seconds(store) == 0.75  # the last one
    with pytest.raises(ValueError, match="sold"):
        releases.apply_release(store, release(6.0, action="sold", version="1.0.0"))
    with pytest.raises(ValueError, match="version"):
        releases.apply_release(
            store, release(6.0, action="released", release=NEXT, version="1.2.0")
        )


def test_the_audit_journal_cannot_be_changed_quietly(store: Store) -> None:
    for i in range(4):
        audit.append(store, float(i), "forget", {"turn": f"T{i}"})
    assert audit.verify(store) == []
    assert [e.body["turn"] for e in audit.entries(store, limit=2)] == ["T3", "T2"]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store.execute("UPDATE audit SET what = 'x' WHERE number = 2")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store.execute("DELETE FROM audit")
    store.execute("DROP TRIGGER audit_is_not_changed")
    store.execute("DROP TRIGGER audit_is_not_cut")
    store.execute('UPDATE audit SET body = \'{"turn":"T9"}\' WHERE number = 2')
    assert audit.verify(store) == ["audit entry 2: was changed"]
    store.execute('UPDATE audit SET body = \'{"turn":"T1"}\' WHERE number = 2')
    assert audit.verify(store) == []
    store.execute("DELETE FROM audit WHERE number = 4")
    assert audit.verify(store) == ["audit: 4 entries were made, the journal ends with 3"]
    store.execute("DELETE FROM audit WHERE number = 2")
    assert "audit entry 2: missing" in audit.verify(store)


def test_events_come_back(store: Store) -> None:
    event = Event("E1", "git", 5.0, "hook", {"head": "c0ffee"}, "agent", "p")
    assert events.save_event(store, event, taken=6.0)
    assert not events.save_event(store, replace(event, ts=7.0), taken=8.0)
    assert events.events_of(store, "git") == [event]
    assert (
        events.events_of(store, "git", since=5.1)
        == events.events_of(store, "git", project="q")
        == []
    )


def test_everything_is_private_to_the_user(tmp_path: Path) -> None:
    place = tmp_path / "home" / "data" / "qi-learn.db"
    with open_store(place) as store:
        turns.save_turn(store, a_turn())
        assert {p.name: stat.S_IMODE(p.stat().st_mode) for p in place.parent.iterdir()} == {
            place.name + end: 0o600 for end in ("", "-wal", "-shm")
        }
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
