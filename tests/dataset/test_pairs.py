"""What was preferred: edits, second answers, rejections; never of a session that judges, and in the
tokens that were served.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.dataset.freeze import DataSetRequest, freeze
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Event, Fate, Feedback, Message, Pair, Snapshot, Suggestion, Turn
from qi_learn.rundir.directory import RunDirectory
from qi_learn.rundir.snapshot import save_snapshot
from qi_learn.settings import GateSettings, Settings, TrainSettings
from qi_learn.store import feedback, ratings
from qi_learn.store.database import Store, open_store
from qi_learn.store.turns import save_turn
from tests.support.dataset_world import (
    ANSWER,
    CODE,
    RenderingServer,
    keep,
    rendering_server,
    suggestion,
    turn,
    work,
)
from tests.support.redacted import as_before, as_redacted
from tests.support.tiny_models import write_tiny_model

SETTINGS = Settings(gate=GateSettings(min_examples=4))
EDITED = "def area(r):\n    return 3.14159 * r * r\n"


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    with load_vocabulary(write_tiny_model(tmp_path_factory.mktemp("model") / "m.gguf")) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def server() -> Iterator[RenderingServer]:
    with rendering_server() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Six sessions of work to which the person put a comment, which prefers nothing, after whatever
    a test puts before it (turn 0 to 99); the newest judge, one chooses.
    """
    with open_store(tmp_path / "store.db") as opened:
        for n, session in enumerate("eeeeaaaabbbbccccddddgggg", start=100):
            code = f"def area_{n}(r):\n    return {n} * r\n"
            t = turn(n, session=session, answer=ANSWER.replace(CODE, code))
            keep(opened, t, suggestion(t, code, final=f"{code}# number {n}\n"))
        yield opened


def frozen(
    store: Store,
    server: RenderingServer,
    vocabulary: Vocabulary,
    *,
    settings: Settings = SETTINGS,
    **changes: Any,
) -> Snapshot:
    with Ollama(server.url) as client:
        values: dict[str, Any] = {"run_id": "R1", "seed": 0, "earlier": (), "learned": frozenset()}
        request = DataSetRequest(created=5.0, **values | changes)
        serving = Serving(client, "qi-agent:v1.0.0", "B", vocabulary, RenderCache())
        return freeze(store, request, serving, settings)


def text(vocabulary: Vocabulary, ids: tuple[int, ...]) -> str:
    return b"".join(vocabulary.pieces(ids)).decode()


def reject(
    store: Store, of: Turn, *, rating: int | None = None, suggested: str = CODE, **seen: Any
) -> None:
    """Store a turn of whose answer no file holds anything, as it was seen or rated."""
    save_turn(store, as_before(of))
    start = of.answer.find(suggested)
    fate: Fate = "rejected" if seen.get("accepted", False) is False else "unknown"
    if start >= 0:
        feedback.save_suggestions(
            store,
            as_redacted(
                [
                    Suggestion(
                        *(of.id, 0, suggested, start, start + len(suggested), "python"),
                        state="settled",
                        placed_at=of.ended,
                        settled_at=of.ended,
                        inferred=fate,
                        fate=fate,
                    )
                ]
            ),
        )
    feedback.save_implicit(store, of.id, as_redacted(Feedback(**({"accepted": False} | seen))))
    if rating is not None:
        ratings.save_rating(
            store,
            as_redacted(
                Event(
                    f"rating-{of.id}", "rating", of.ended, "cli", {"turn": of.id, "rating": rating}
                )
            ),
        )
    store.execute(
        "UPDATE turns SET learning_type = 'code_generation', complexity = 'simple', domain = 'web' "
        "WHERE id = ?",
        (of.id,),
    )


# --- edits ----------------------------------------------------------------------------------------


def test_an_edited_suggestion_is_a_pair(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    t = turn(0, session="e")
    keep(store, t, suggestion(t, final=EDITED))
    (pair,) = frozen(store, server, vocabulary).pairs
    assert (pair.id, pair.chosen_id, pair.source, pair.session, pair.project) == (
        t.id,
        t.id,
        "edit",
        "e",
        "/p",
    )
    assert (pair.rejected, pair.chosen) == (ANSWER, ANSWER.replace(CODE, EDITED))
    assert 0.02 < pair.distance < 0.7
    example = next(e for e in frozen(store, server, vocabulary).split("train") if e.id == t.id)
    assert (pair.prompt_ids, pair.chosen_ids) == (example.prompt_ids, example.target_ids)
    assert text(vocabulary, pair.rejected_ids[:-1]) == ANSWER
    assert pair.rejected_ids[-1] == pair.chosen_ids[-1] == vocabulary.end_of_turn()
    assert (
        frozen(
            store,
            server,
            vocabulary,
            settings=Settings(gate=SETTINGS.gate, train=TrainSettings(preference=0.0)),
        ).pairs
        == ()
    )


@pytest.mark.parametrize(
    ("final", "pairs"),
    [
        (CODE, 0),  # kept as it was
        (CODE.replace("    return", "        return"), 0),  # only white space
        (EDITED, 1),
        (
            "import numpy as np\n\nclass Circle:\n    pi = np.pi\n\n    def surface(self):\n       "
            " return self.pi * self.radius ** 2\n",
            0,
        ),  # a rewrite
    ],
)
def test_only_what_can_be_compared_is_compared(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, final: str, pairs: int
) -> None:
    t = turn(0, session="e")
    keep(store, t, suggestion(t, final=final))
    assert len(frozen(store, server, vocabulary).pairs) == pairs


def test_a_cut_answer_is_compared_up_to_where_it_is_learned(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    """Both end with the block: else its end would be what is preferred."""
    t = turn(0, session="e", answer=ANSWER + " And then one could also", done_reason="length")
    keep(store, t, suggestion(t, final=EDITED))
    (pair,) = frozen(store, server, vocabulary).pairs
    assert pair.rejected == pair.chosen.replace(EDITED, CODE)
    assert pair.rejected.endswith("```")


def test_a_correction_is_preferred_to_what_it_corrects(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    t = turn(0, session="e", answer=CODE)
    keep(store, t)
    ratings.save_rating(
        store,
        as_redacted(
            Event("r", "rating", t.ended, "cli", {"turn": t.id, "rating": 2, "correction": EDITED})
        ),
    )
    score = feedback.load_score(store, t.id)
    assert score is not None
    feedback.save_score(store, as_redacted(replace(score, target_text=EDITED)))
    (pair,) = frozen(store, server, vocabulary).pairs
    assert (pair.source, pair.chosen, pair.rejected) == ("edit", EDITED, CODE)


def test_an_edited_tool_call_is_a_pair(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    calls = [{"function": {"name": "write", "arguments": {"path": "a.py", "text": CODE}}}]
    t = turn(0, session="e", answer="I write it.", answer_extra={"tool_calls": calls})
    call = Suggestion(
        t.id,
        0,
        CODE,
        0,
        0,
        "python",
        "settled",
        settled_at=t.ended,
        placed_at=t.ended,
        final_text=EDITED,
        file="a.py",
    )
    keep(store, t, call)
    (pair,) = frozen(store, server, vocabulary).pairs
    assert "3.14159" in pair.chosen
    assert "3 * r" in pair.rejected
    assert pair.chosen.startswith("I write it.<tool_call>")
    assert text(vocabulary, pair.rejected_ids[:-1]) == pair.rejected


# --- who judges is never compared -----------------------------------------------------------------


def test_no_pair_is_of_a_session_that_judges_or_chooses_or_did(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    splits = {e.session: e.split for e in frozen(store, server, vocabulary).examples}
    assert {splits[s] for s in "abcd"} == {"train", "dev", "gate"}
    for n, session in enumerate("abcd"):
        t = turn(n, session=session)
        keep(store, t, suggestion(t, final=EDITED.replace("area", f"area_{n}")))
        reject(store, turn(20 + n, session=session, question=f"Reject {n}"))
    found = frozen(store, server, vocabulary)
    judging = {e.session for e in found.examples if e.split != "train"}
    assert found.pairs
    assert {p.session for p in found.pairs} == set("abcd") - judging

    earlier = replace(
        found,
        id="R0",
        examples=tuple(replace(e, split="gate") for e in found.examples if e.session == "a")[:1],
        replay=(),
        pairs=(),
    )
    done = RunDirectory(tmp_path / "R0")
    save_snapshot(done.snapshot, earlier)
    assert {p.session for p in frozen(store, server, vocabulary, earlier=[done]).pairs} == set(
        "abcd"
    ) - judging - {"a"}


# --- forks ----------------------------------------------------------------------------------------


def test_the_second_answer_that_was_kept_is_preferred_to_the_first(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    first = turn(0, session="e", question="Area?", answer="Use the formula, it is well known.")
    save_turn(store, as_redacted(first))
    second = turn(1, session="e", question="Area?")
    keep(store, second, suggestion(second, final=CODE))
    third = turn(2, session="e", question="Area?", answer="A third, asked for later.")
    save_turn(store, as_redacted(third))
    (pair,) = frozen(store, server, vocabulary).pairs
    assert (pair.source, pair.id, pair.chosen_id) == ("fork", first.id, second.id)
    assert (pair.chosen, pair.rejected) == (ANSWER, "Use the formula, it is well known.")
    assert (
        pair.prompt_ids
        == next(
            e for e in frozen(store, server, vocabulary).examples if e.id == second.id
        ).prompt_ids
    )

    ratings.save_rating(
        store,
        as_redacted(Event("r", "rating", first.ended, "cli", {"turn": first.id, "rating": 5})),
    )
    assert frozen(store, server, vocabulary).pairs == ()  # it was liked all the same


FIRST = "def area(radius):\n    return radius * radius\n"
IN_A_FENCE = f"So:\n\n```python\n{FIRST}```\n"


def _forked(store: Store, *seen: Suggestion, at: float | None = None, **more: Any) -> Turn:
    """A question answered twice, of which the second answer was kept; the first answer."""
    first = turn(0, **{"session": "e", "question": "Area?", "answer": IN_A_FENCE, **more})
    if at is not None:
        first = replace(first, ended=at)
    save_turn(store, as_redacted(first))
    feedback.save_suggestions(store, as_redacted(seen))
    second = turn(1, session="e", question="Area?")
    keep(store, second, suggestion(second, final=CODE))
    return first


def _waits(state: str, fate: Fate | None, **more: Any) -> Suggestion:
    start = IN_A_FENCE.index(FIRST)
    own: Any = {"state": state, "inferred": fate, "fate": fate, **more}
    return Suggestion("turn-0000", 0, FIRST, start, start + len(FIRST), "python", **own)


def _sources(store: Store, server: RenderingServer, vocabulary: Vocabulary) -> list[str]:
    return [pair.source for pair in frozen(store, server, vocabulary).pairs]


@pytest.mark.parametrize(
    ("seen", "pairs"),
    [
        (_waits("unknown", "unknown"), ["fork"]),
        (_waits("unknown", "unknown", said="failed"), ["fork"]),
        (_waits("unknown", "unknown", said="applied"), []),
        (_waits("unknown", "kept", said="accepted"), []),
        (_waits("waiting", None), []),
        (_waits("placed", None, file="a.py", placed_at=1.0, region=FIRST), []),
        (_waits("unknown", "unknown", file="a.py", placed_at=1.0, region=FIRST), []),
        (_waits("settled", "superseded", placed_at=1.0, sign="superseded"), ["fork"]),
        (_waits("settled", "rejected", placed_at=1.0), ["fork"]),
    ],
    ids=[
        *("window over", "failed", "applied where nobody looks", "accepted, so it was kept"),
        *("may still come", "stands", "lost sight of", "superseded", "rejected"),
    ],
)
def test_the_first_answer_is_compared_once_nothing_of_it_can_stand_any_more(
    store: Store,
    server: RenderingServer,
    vocabulary: Vocabulary,
    seen: Suggestion,
    pairs: list[str],
) -> None:
    _forked(store, seen)
    assert _sources(store, server, vocabulary) == pairs


def test_samples_at_the_same_time_are_no_second_question(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    _forked(store, _waits("unknown", "unknown"), at=turn(1).started + 1)
    assert _sources(store, server, vocabulary) == []


def test_a_client_that_asks_again_at_once_is_no_person_that_does(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    _forked(store, _waits("unknown", "unknown"), at=turn(1).started - 0.5)
    assert _sources(store, server, vocabulary) == []


@pytest.mark.parametrize("broken", [{"status": 500}, {"cancelled": True}, {"complete": False}])
def test_a_request_that_is_tried_again_after_an_error_is_no_fork(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, broken: dict[str, Any]
) -> None:
    _forked(store, _waits("unknown", "unknown"), **broken)
    assert _sources(store, server, vocabulary) == []


def test_a_question_that_was_edited_and_sent_again_is_no_fork(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    _forked(store, _waits("unknown", "unknown"), question="Area of a circle?")
    assert _sources(store, server, vocabulary) == []


def test_the_same_question_on_another_day_is_no_fork(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    _forked(store, _waits("unknown", "unknown"), session="another")
    assert _sources(store, server, vocabulary) == []


def test_a_completion_that_the_editor_asked_for_again_is_no_fork(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    more: dict[str, Any] = {
        "session": "e",
        "endpoint": "/api/generate",
        "messages": (Message("prompt", "def area(r):\n"),),
        "request": {"suffix": "\n"},
    }
    first = turn(0, answer="    return r\n", **more)
    lost = Suggestion(first.id, 0, first.answer, 0, len(first.answer), state="unknown")
    keep(store, first, replace(lost, inferred="unknown", fate="unknown"), score=0.0)
    second = turn(1, answer="    return 3.14159 * r * r\n", **more)
    keep(store, second, suggestion(second, second.answer, final=second.answer))
    assert _sources(store, server, vocabulary) == []


# --- rejects --------------------------------------------------------------------------------------


def test_what_nothing_was_kept_of_is_a_reject(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    seen = turn(0, session="e")
    reject(store, seen)
    rated = turn(1, session="e", answer="I cannot do that.")
    reject(store, rated, rating=1, accepted=None)
    others: list[tuple[dict[str, Any], int | None, dict[str, Any]]] = [
        ({"accepted": None}, None, {}),  # unknown is not no
        ({}, 5, {}),  # not in any file, but liked
        ({"correction": "x = 1"}, None, {}),  # there is something better
        ({}, None, {"done_reason": "length", "answer": ANSWER[:-10]}),
        ({}, None, {"cancelled": True}),
        ({}, None, {"answer_extra": {"thinking": "Hm."}}),
        ({}, None, {"answer": ANSWER.replace("area", "[REDACTED:aws-key:ab12]")}),
        ({}, None, {"answer": ANSWER + "\nAKIAIOSFODNN7EXAMPLQ"}),
        ({}, None, {"prompt_tokens": 1}),
    ]
    for n, (seen_as, rating, more) in enumerate(others):
        reject(
            store,
            turn(10 + n, session="e", question=f"Other {n}", **more),
            rating=rating,
            **seen_as,
        )
    found = frozen(store, server, vocabulary)
    assert [(p.source, p.id, p.chosen, p.chosen_ids, p.rejected) for p in found.pairs] == [
        ("reject", seen.id, "", (), ANSWER),
        ("reject", rated.id, "", (), "I cannot do that."),
    ]
    assert found.dropped["a secret of a kind that is known only now"] == 1
    assert text(vocabulary, found.pairs[1].prompt_ids).endswith(
        "Write function 1.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_answer_of_which_a_part_is_not_known_is_no_reject(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    words: list[Fate] = ["unknown", "superseded", "rejected"]
    for n, fate in enumerate(words):
        t = turn(10 + n, session="e", question=f"Other {n}")
        reject(store, t)
        second = Suggestion(t.id, 1, "x = 1", 3, 8, state="settled", inferred=fate, fate=fate)
        feedback.save_suggestions(store, as_redacted([second]))
    found = frozen(store, server, vocabulary).pairs
    assert {p.id for p in found} == {turn(11).id, turn(12).id}


def test_what_a_person_marked_as_rejected_is_a_reject_and_what_is_to_ignore_is_none(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    marks = ("rejected", "ignore", "kept")
    for n, mark in enumerate(marks):
        t = turn(10 + n, session="e", question=f"Other {n}")
        reject(store, t, accepted=None if mark == "rejected" else False)
        body = {"turn": t.id, "mark": mark}
        event = Event(f"mark-{n}", "rating", t.ended, "cli", body)
        ratings.save_rating(store, as_redacted(event))
    assert [p.id for p in frozen(store, server, vocabulary).pairs] == [turn(10).id]


def test_there_are_never_more_rejects_than_kept_examples_and_none_comes_twice(
    store: Store, server: RenderingServer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    for n in range(30):
        reject(store, turn(n, session=f"e{n}", question=f"Reject {n}"))
    found = frozen(store, server, vocabulary)
    assert len(found.pairs) == len(found.split("train")) < 30
    assert [p.id for p in found.pairs] == [f"turn-{n:04d}" for n in range(30)][
        -len(found.pairs) :
    ]  # the newest
    done = RunDirectory(tmp_path / "R1")
    save_snapshot(done.snapshot, found)
    work(store, {"w": 4, "x": 4, "y": 4, "z": 4}, first=200)
    second = frozen(
        store,
        server,
        vocabulary,
        run_id="R2",
        earlier=[done],
        learned={e.id for e in found.examples},
    )
    assert second.pairs
    assert not {p.id for p in second.pairs if p.source == "reject"} & {p.id for p in found.pairs}


def test_the_same_store_gives_the_same_pairs(
    store: Store, server: RenderingServer, vocabulary: Vocabulary
) -> None:
    for n in range(3):
        t = turn(n, session="e", messages=(Message("user", f"q{n}"),))
        keep(store, t, suggestion(t, final=EDITED.replace("area", f"area_{n}")))
        reject(store, turn(10 + n, session="e", question=f"Reject {n}"))
    pairs = frozen(store, server, vocabulary).pairs
    assert [p.source for p in pairs] == ["edit"] * 3 + ["reject"] * 3
    assert frozen(store, server, vocabulary).pairs == pairs
    assert all(isinstance(p, Pair) for p in pairs)
