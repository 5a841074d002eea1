"""Both scores, signal by signal; what is unknown is left out and never counts as bad."""

from __future__ import annotations

import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.code_text import code_blocks
from qi_learn.records import Feedback, Message, Outcome, Suggestion, Turn
from qi_learn.score.classify import classify
from qi_learn.score.target_score import score_target
from qi_learn.settings import Settings
from qi_learn.store import feedback, score_queue, turns
from qi_learn.store.database import Store, open_store
from tests.support.redacted import as_redacted
from tests.support.scored import score_now

CODE = "def area(width, height):\n    return width * height\n"
ANSWER = f"```python\n{CODE}```"
PLACED = Suggestion(
    "t",
    0,
    CODE,
    10,
    10 + len(CODE),
    state="settled",
    placed_at=1.0,
    settled_at=2.0,
    final_text=CODE,
    commit="abc",
    similarity=1.0,
)


def _turn(**more: object) -> Turn:
    turn = Turn(
        "t",
        "/api/chat",
        "m",
        "m",
        (Message("user", "Write area() in shapes.py"),),
        ANSWER,
        started=1000.0,
        ended=1001.0,
    )
    return replace(turn, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "qi.db")


def _score(
    store: Store,
    turn: Turn,
    said: Feedback = Feedback(),  # noqa: B008 - frozen
    came: Outcome = Outcome(),  # noqa: B008 - frozen
    suggestions: tuple[Suggestion, ...] = (),
) -> dict[str, float]:
    with store:
        turns.save_turn(store, as_redacted(turn))
        feedback.save_suggestions(store, as_redacted(suggestions))
        feedback.save_classes(
            store, turn.id, "code_generation", "simple", "python", as_redacted(())
        )
        feedback.save_implicit(store, turn.id, as_redacted(said))
        feedback.save_outcome(store, turn.id, came)
        scored = score_now(store, turn.id, Settings(), now=2000.0)
    return {
        "suggestion": scored.suggestion_score or -1.0,
        "confidence": scored.confidence,
        **{s.name: s.value for s in scored.signals},
    }


def test_nothing_known_but_the_code_gives_low_confidence(store: Store) -> None:
    got = _score(store, _turn())
    assert set(got) == {"suggestion", "confidence", "quality"}
    assert got["confidence"] == pytest.approx(1 - math.exp(-1 / 3))


def test_the_mean_is_over_known_signals_only(store: Store) -> None:
    got = _score(
        store,
        _turn(),
        Feedback(accepted=True, modified=True),
        Outcome(compiles=True, tests_pass=False),
    )
    quality = got["quality"]
    assert got["correctness"] == pytest.approx(0.5), (
        "0.4 of the known 0.8: an unknown deployment is not a failed one"
    )
    assert got["suggestion"] == pytest.approx((2 * 1.0 + 1 * 0.5 + 3 * 0.5 + 1 * quality) / 7)
    assert got["confidence"] == pytest.approx(1 - math.exp(-7 / 3))


def test_code_that_does_not_parse_has_no_quality(store: Store) -> None:
    assert _score(store, _turn(answer="```python\ndef area(:\n```"))["quality"] == 0.0


def test_relevance_is_what_the_project_used_before(store: Store, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "shapes.py").write_text("width = 1\nheight = 2\n")
    for argv in (
        ["init", "-q"],
        ["add", "."],
        [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-q",
            "-m",
            "x",
            "--date",
            "2001-01-01T00:00:00",
        ],
    ):
        subprocess.run(
            ["git", *argv],
            cwd=project,
            check=True,
            env={
                "PATH": "/usr/bin:/bin",
                "GIT_COMMITTER_DATE": "2001-01-01T00:00:00",
                "HOME": str(tmp_path),
            },
        )
    got = _score(store, _turn(project=str(project), started=1e9))
    assert got["relevance"] == pytest.approx(2 / 3), (
        "area is not in use there, width and height are; keywords are no names"
    )
    assert got["domain"] == 1.0


TARGETS = [
    ((replace(PLACED, commit=None),), Feedback(), Outcome(), 0.5),
    ((PLACED,), Feedback(), Outcome(), 0.7),
    ((PLACED,), Feedback(), Outcome(compiles=True), 0.85),
    ((PLACED,), Feedback(), Outcome(compiles=True, tests_pass=True), 1.0),
    ((PLACED,), Feedback(), Outcome(tests_pass=False), 0.3),
    ((PLACED,), Feedback(rating=5, modified=False), Outcome(), 0.9),
    ((PLACED,), Feedback(rating=5, modified=True), Outcome(), 0.7),
    ((PLACED,), Feedback(rating=2, correction="x = 1\n"), Outcome(), 0.9),
    ((replace(PLACED, reverted=True),), Feedback(), Outcome(compiles=True), 0.35),
    ((PLACED,), Feedback(), Outcome(bug_introduced=True), 0.2),
    (
        (replace(PLACED, reverted=True),),
        Feedback(),
        Outcome(bug_introduced=True, tests_pass=False),
        0.0,
    ),
]


@pytest.mark.parametrize(("suggestions", "said", "came", "score"), TARGETS)
def test_target_score_by_the_rules(
    suggestions: tuple[Suggestion, ...], said: Feedback, came: Outcome, score: float
) -> None:
    assert score_target(ANSWER, suggestions, said, came, 0.5).score == pytest.approx(score)


BROKEN = "def area(width, height):\n    return (width *\n"
PART = "    else:\n        return width * height\n"


@pytest.mark.parametrize(
    ("suggested", "final", "language", "file", "score"),
    [
        (CODE, CODE, "python", "a.py", 0.7),
        (CODE, BROKEN, "python", "a.py", None),
        (BROKEN, BROKEN, "python", "a.py", None),
        ("print(area(1, 2", "print(area(1, 2", None, "a.py", None),
        (PART, PART, "python", "a.py", 0.7),  # a branch out of a function
        (CODE, PART, "python", "a.py", None),
        ("print 'x'\n", "print 'y'\n", "python", "a.py", 0.7),  # another Python
        ("two words", "two other words", None, "a.md", 0.7),
        ("one", "two words", None, "a.md", 0.7),
        ("let x = (", "let x = (", "javascript", "a.js", 0.7),
    ],
)
def test_what_stands_in_the_file_and_does_not_parse_is_no_example(
    suggested: str, final: str, language: str | None, file: str, score: float | None
) -> None:
    placed = replace(PLACED, text=suggested, final_text=final, language=language, file=file)
    target = score_target(ANSWER, (placed,), Feedback(), Outcome(), 0.5)
    assert target.score == (score and pytest.approx(score))
    assert (target.text is None) == (score is None)
    if score is None:
        assert "does not parse" in target.reasons[0]
        said = Feedback(rating=2, correction=CODE)
        assert score_target(ANSWER, (placed,), said, Outcome(), 0.5).text == CODE
    completion = replace(placed, start=0)
    assert score_target(ANSWER, (completion,), Feedback(), Outcome(), 0.5).score is not None


@pytest.mark.parametrize(
    ("suggested", "final", "score"),
    [
        ("const f = (x) => {\n  return x\n}\n", "const f = (x) => {\n  return x;\n};\n", 0.7),
        ("const f = (x) => {\n  return x\n}\n", "const f = (x) => {\n  return x;\n", None),
        ("  return x\n}\n", "  return x;\n}\n", 0.7),  # a part that did not parse by itself
    ],
)
@pytest.mark.parametrize("language", ["ts", None])
def test_a_closing_bracket_that_was_lost_is_no_example_in_other_languages(
    suggested: str, final: str, score: float | None, language: str | None
) -> None:
    pytest.importorskip("tree_sitter_typescript")
    placed = replace(PLACED, text=suggested, final_text=final, language=language, file="src/a.ts")
    target = score_target(ANSWER, (placed,), Feedback(), Outcome(), 0.5)
    assert target.score == (score and pytest.approx(score))


def test_quality_is_that_of_what_was_placed(store: Store) -> None:
    """The second block is cut and was not taken; the first is looked at alone once it is placed."""
    answer = f"{ANSWER}\n\nAnd a test:\n\n```python\nassert area(2, 3\n"
    first, second = (
        replace(
            PLACED, state="waiting", placed_at=None, settled_at=None, final_text=None, commit=None
        ),
        Suggestion("t", 1, "assert area(2, 3\n", 80, 99, "python", "waiting"),
    )
    blocks = code_blocks(answer)
    first = replace(
        first, text=blocks[0].text, start=blocks[0].start, end=blocks[0].end, language="python"
    )
    second = replace(second, text=blocks[1].text, start=blocks[1].start, end=blocks[1].end)
    with store:
        turns.save_turn(store, as_redacted(_turn(answer=answer)))
        feedback.save_suggestions(store, as_redacted((first, second)))
        feedback.save_classes(store, "t", "code_generation", "simple", "python", as_redacted(()))
        assert quality(store) == 0.0, "none was placed: it is of the whole answer"
        assert score_queue.waiting_for_facts(store, limit=9) == []
        feedback.update_suggestion(
            store, as_redacted(replace(first, state="placed", placed_at=5.0, region="x"))
        )
        assert score_queue.waiting_for_facts(store, limit=9) == ["t"]
        assert quality(store) == 1.0
        assert score_queue.waiting_for_facts(store, limit=9) == []
        placed = replace(second, state="placed", placed_at=6.0, region="y")
        feedback.update_suggestion(store, as_redacted(placed))
        assert score_queue.waiting_for_facts(store, limit=9) == ["t"]
        assert quality(store) == 0.0, "both were"


def quality(store: Store) -> float:
    scored = score_now(store, "t", Settings(), now=2000.0)
    return {s.name: s.value for s in scored.signals}["quality"]


def test_what_may_still_change_has_no_target_score() -> None:
    waiting = replace(PLACED, state="waiting", placed_at=None, final_text=None, commit=None)
    assert (
        score_target(ANSWER, (replace(PLACED, state="placed"),), Feedback(), Outcome(), 0.9).score
        is None
    )
    assert score_target(ANSWER, (waiting,), Feedback(), Outcome(), 0.9).score is None
    rated = score_target(ANSWER, (waiting,), Feedback(rating=5), Outcome(), 0.9)
    assert (rated.score, rated.text) == (0.9, ANSWER)


def test_no_answer_is_no_example_however_it_was_rated() -> None:
    refused = score_target("", (), Feedback(rating=5), Outcome(), 1.0)
    assert (refused.score, refused.text) == (None, None)
    assert refused.reasons == ("there is no answer: nothing to learn",)
    assert score_target(" \n", (), Feedback(correction=CODE), Outcome(), 1.0).text == CODE


def test_the_reason_tells_code_that_is_gone_from_code_that_never_was_placed() -> None:
    gone = replace(PLACED, final_text=None, similarity=0.0)
    for suggestions, fate in (((gone,), "what was placed in a file is gone"), ((), "nothing was")):
        for said in (Feedback(), Feedback(rating=2)):
            (reason,) = score_target(ANSWER, suggestions, said, Outcome(), 0.3).reasons
            assert reason.startswith(fate)


@pytest.mark.parametrize(
    ("question", "answer", "kind", "domain"),
    [
        ("Write area() in shapes.py", ANSWER, "code_generation", "python"),
        (
            "Traceback (most recent call last):\nValueError: x",
            "Look at line 3.",
            "debugging",
            "general",
        ),
        (
            "How should I structure the modules in src/app.ts and src/db.ts?",
            "Put them apart.",
            "architecture",
            "typescript",
        ),
        ("What is a closure?", "A function with its scope.", "problem_solving", "general"),
        ("Write a unit test for tests/test_shapes.py", ANSWER, "code_generation", "python tests"),
    ],
)
def test_classes_follow_the_rules(question: str, answer: str, kind: str, domain: str) -> None:
    found = classify(_turn(messages=(Message("user", question),), answer=answer))
    assert (found.learning_type, found.domain) == (kind, domain)


@pytest.mark.parametrize("odd", ["x" * 200_000, "x." * 100_000, "\n" * 200_000, "a/" * 100_000])
def test_a_question_without_words_is_classified_all_the_same(odd: str) -> None:
    """These took minutes when a pattern went over them again from every character."""
    found = classify(_turn(messages=(Message("user", f"{odd} src/app.ts. {odd}"),), answer=""))
    assert found.domain == "typescript"


def test_complexity_is_by_size_and_spread() -> None:
    assert classify(_turn()).complexity == "simple"
    assert classify(_turn(answer="```python\n" + "x = f(1)\n" * 60 + "```")).complexity == "medium"
    assert (
        classify(_turn(answer="```python\n" + "x = f(1)\n" * 100 + "```")).complexity == "complex"
    )


def test_tools_are_named_once() -> None:
    called = {"tool_calls": [{"function": {"name": "edit"}}, {"function": {"name": "edit"}}]}
    assert classify(
        _turn(
            answer_extra=called,
            messages=(Message("user", "x"), Message("tool", "y", {"tool_name": "read"})),
        )
    ).tools == ("edit", "read")
