"""What became of suggestions, in the words of the contracts; a rejection has a positive sign."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.daemon.following import follow_save
from qi_learn.fates import fate_of, inferred_fate, turn_fate
from qi_learn.records import Event, Fate, Feedback, Mark, Message, Suggestion
from qi_learn.store import feedback, ratings
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.file_history import FileHistory
from tests.support.redacted import as_redacted
from tests.support.tracked_code import FILE, MARK, SUGGESTED, World, with_mean

SHORTER = SUGGESTED.replace("total = total + value", "total += value")
OTHER = "mean = functools.partial(weighted, weights=itertools.repeat(1.0))\n"


def fates(world: World, *turns: str) -> list[Fate | None]:
    return [world.fate(turn).fate for turn in turns]


def rate(world: World, turn: str, **said: object) -> None:
    body = {"turn": turn, **said}
    event = Event(f"R-{turn}-{world.now}", "rating", world.now, "cli", body)
    ratings.save_rating(world.store, as_redacted(event))


# --- one place, one suggestion --------------------------------------------------------------------


def test_of_three_answers_the_one_taken_is_kept_and_the_others_are_superseded(
    world: World,
) -> None:
    best, *others = (
        world.ask(code)
        for code in (SUGGESTED, SHORTER, SUGGESTED.replace("total = 0", "total = 0.0"))
    )
    world.save("stats.py", with_mean(SUGGESTED))
    world.wait(700)
    assert fates(world, best, *others) == ["kept", "superseded", "superseded"]
    world.work(2000)
    assert fates(world, *others) == ["superseded"] * 2
    assert [world.feedback(turn).accepted for turn in (best, *others)] == [True, None, None]
    assert feedback.rejected_turns(world.store) == []


def test_completions_as_a_person_types_are_credited_once(world: World) -> None:
    line = "    return sorted(values)[len(values) // 2] + sum(values) / len(values)"
    head = "def odd(values):\n"
    asked = [
        world.ask(
            line[typed:],
            fenced=False,
            endpoint="/api/generate",
            messages=(Message("prompt", FILE + head + line[:typed]),),
            request={"suffix": "\n"},
        )
        for typed in (4, 7, 10, 11)
    ]
    world.save("stats.py", FILE + head + line + "\n")
    world.wait(700)
    assert sorted(fates(world, *asked), key=str) == ["kept", *["superseded"] * 3]


def test_what_is_pasted_once_is_not_credited_to_its_like_by_a_later_save(world: World) -> None:
    first, second = world.ask(SUGGESTED), world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("stats.py", with_mean(SUGGESTED) + "\n\nlast = 1\n")
    world.save("stats.py", with_mean(SHORTER) + "\n\nlast = 1\n")  # an edit of it
    world.wait(700)
    assert sorted(fates(world, first, second), key=str) == ["edited", "superseded"]


def test_a_later_answer_put_where_an_earlier_one_stood_supersedes_it(world: World) -> None:
    first = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    better = SUGGESTED.replace("        total = total + value\n", "        total += float(value)\n")
    second = world.ask(better)
    world.save("stats.py", with_mean(better))
    assert world.fate(first).fate == "superseded"
    world.commit()
    assert fates(world, first, second) == ["superseded", "kept"]
    assert world.feedback(first).accepted is None


def test_undone_the_later_one_gives_the_earlier_its_place_back(world: World) -> None:
    first = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    second = world.ask(SHORTER)
    world.save("stats.py", with_mean(SHORTER))
    world.save("stats.py", with_mean(SUGGESTED))
    world.wait(700)
    assert world.fate(first).fate == "kept"
    assert world.fate(second).fate != "kept"


# --- the signs of a rejection ---------------------------------------------------------------------


def test_undone_and_rewritten_are_rejected_and_the_text_is_kept(world: World) -> None:
    undone, rewritten = world.ask(SUGGESTED), world.ask(SUGGESTED.replace("mean", "average"))
    both = SUGGESTED + "\n\n" + SUGGESTED.replace("mean", "average")
    world.save("stats.py", with_mean(both))
    world.save("stats.py", with_mean(OTHER.replace("mean", "average")))
    world.wait(700)
    assert world.fate(undone).fate == "rejected"
    assert "rejected" in fates(world, rewritten)


def completion(world: World, text: str, *, prefix: str, suffix: str) -> str:
    return world.ask(
        text,
        fenced=False,
        endpoint="/api/generate",
        messages=(Message("prompt", prefix),),
        request={"suffix": suffix},
    )


BEFORE, AFTER = FILE.split(MARK)
HEAD = BEFORE + "def mean(values):\n    "
COMPLETED = "return math.fsum(float(value) for value in values) / max(1, len(values))"


@pytest.mark.parametrize(
    ("line", "fate"),
    [
        ("    pass", "rejected"),
        ("    ", "rejected"),
        ("    raise NotImplementedError('later')", "rejected"),
        (f"    {COMPLETED}", "kept"),
        ("    return math.fsum(float(v) for v in values) / len(values)", "unknown"),
    ],
)
def test_a_completion_whose_own_place_was_saved_without_it(
    world: World, line: str, fate: Fate
) -> None:
    turn = completion(world, COMPLETED, prefix=HEAD, suffix="\n" + AFTER)
    world.save("stats.py", f"{BEFORE}def mean(values):\n{line}\n{AFTER}")
    assert world.fate(turn).fate is None, "it may still be taken"
    world.work(2000)
    assert world.fate(turn).fate in (fate, "edited" if fate == "unknown" else fate)


def test_a_completion_taken_after_an_automatic_save_is_kept(world: World) -> None:
    turn = completion(world, COMPLETED, prefix=HEAD, suffix="\n" + AFTER)
    world.save("stats.py", f"{HEAD}\n{AFTER}")
    world.save("stats.py", f"{HEAD}{COMPLETED}\n{AFTER}")
    world.work(2000)
    assert world.fate(turn).fate == "kept"


def test_a_place_like_another_is_told_by_more_of_the_lines_around_it(world: World) -> None:
    place = "def {0}(left, right):\n    total = left + right\n    if total:\n"
    after = "    else:\n        total = -total\n    return total\n\n\n"
    head = place.format("first") + "        total *= 2\n" + after + place.format("second")
    world.begin("twice.py", head + "        \n" + after)
    turn = completion(world, COMPLETED, prefix=f"{head}        ", suffix=f"\n{after}")
    world.save("twice.py", f"{head}        total = abs(total)\n{after}")
    world.work(2000)
    assert world.fate(turn).fate == "rejected"


def test_a_place_among_comments_is_told_by_their_words(world: World) -> None:
    before = "# How the mean of values is found\n# when some of them are missing:\n"
    after = "# And that was all there is\n# to be said of means here.\n"
    world.begin("noted.py", f"{before}\n{after}")
    turn = completion(world, COMPLETED, prefix=before, suffix=f"\n{after}")
    world.save("noted.py", f"{before}missing = [None, 'n/a', '']\n{after}")
    world.work(2000)
    assert world.fate(turn).fate == "rejected"


def test_what_keeps_its_head_alone_was_not_taken(world: World) -> None:
    head = "".join(SUGGESTED.splitlines(keepends=True)[:2])
    turn = world.ask(SUGGESTED)
    body = "    table = Table.of(values)\n    return table.since(START).column('mean').one()\n"
    world.save("stats.py", with_mean(head + body))
    world.wait(700)
    assert world.fate(turn).fate != "rejected", "it never stood there"


def test_a_place_that_is_there_twice_says_nothing(world: World) -> None:
    before, after = "    def go(self):\n", "        return self.left + self.right\n"
    place = f"class A:\n    left = right = 1\n\n{before}        pass\n{after}\n"
    turn = completion(world, COMPLETED, prefix=f"{before}        ", suffix=f"\n{after}")
    world.save("twice.py", place + place.replace("A", "B"))
    world.work(2000)
    assert world.fate(turn).fate == "unknown"


def test_a_save_of_another_file_says_nothing_of_a_completion(world: World) -> None:
    turn = completion(world, COMPLETED, prefix=HEAD, suffix="\n" + AFTER)
    world.save("other.py", "x = 1\n")
    world.work(2000)
    assert world.fate(turn).fate == "unknown"


# --- what comes again, and what stands elsewhere --------------------------------------------------


def test_the_second_copy_counts_when_the_first_goes(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("stats.py", with_mean(SUGGESTED) + "\n\nclass Copy:\n    pass\n\n\n" + SUGGESTED)
    world.save("stats.py", FILE + "\n\nclass Copy:\n    pass\n\n\n" + SUGGESTED)
    world.wait(700)
    assert world.fate(turn).fate == "kept"


def test_a_copy_in_another_file_counts_when_the_first_goes(world: World) -> None:
    """But not what stood there before it was asked."""
    world.begin("other.py", "x = 1\n" + SUGGESTED.replace("mean", "average"))
    world.now = world.repo_time() + 5
    turn, stood = world.ask(SUGGESTED), world.ask(SUGGESTED.replace("mean", "average"))
    world.save("stats.py", with_mean(SUGGESTED + "\n\n" + SUGGESTED.replace("mean", "average")))
    world.save("tools.py", SUGGESTED)
    world.save("stats.py", FILE)
    world.wait(700)
    found = world.fate(turn)
    assert (found.fate, found.file) == ("kept", "tools.py")
    assert world.fate(stood).fate == "rejected"


def test_a_revert_of_the_revert_is_kept_again(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Add mean")
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    assert world.fate(turn).fate == "rejected"
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    found = world.fate(turn)
    assert (found.fate, found.reverted, found.similarity) == ("kept", False, 1.0)
    assert world.feedback(turn).accepted is True


def test_an_answer_found_in_another_project_belongs_to_that_one(
    world: World, tmp_path: Path
) -> None:
    turn = world.ask(SUGGESTED)
    other = tmp_path / "other"
    path = other / "tools.py"
    path.parent.mkdir()
    history = FileHistory("", window=7200)
    world.now += 10
    ts = history.record(world.now, SUGGESTED)
    path.write_text(SUGGESTED)
    saved = FileSaved(str(other), path, SUGGESTED, ts)
    follow_save(world.store, saved, history, world.settings, world.now)
    assert world.fate(turn).state == "placed"
    row = world.store.row("SELECT project FROM turns WHERE id = ?", (turn,))
    assert row is not None
    assert row[0] == str(other)
    world.save("stats.py", FILE + "z = 1\n")
    world.wait(700)
    assert world.fate(turn).fate == "kept"


# --- the person's own word ------------------------------------------------------------------------


def test_a_high_rating_beats_an_inferred_rejection(world: World) -> None:
    turn = world.ask(SUGGESTED)
    rate(world, turn, rating=5)
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("stats.py", FILE)
    world.wait(700)
    found = world.fate(turn)
    assert (found.inferred, found.fate) == ("rejected", "unknown")
    assert world.feedback(turn).accepted is None


def test_a_low_rating_rejects_what_was_kept_and_what_waits(world: World) -> None:
    kept, waits = world.ask(SUGGESTED), world.ask(OTHER)
    world.save("stats.py", with_mean(SUGGESTED))
    world.wait(700)
    rate(world, kept, rating=2)
    rate(world, waits, rating=1)
    assert fates(world, kept, waits) == ["rejected"] * 2
    assert [world.feedback(turn).accepted for turn in (kept, waits)] == [False, False]
    assert feedback.rejected_turns(world.store) == [kept, waits]


def test_a_correction_is_an_edit_and_a_new_rating_counts_for_the_old(world: World) -> None:
    turn = world.ask(SUGGESTED)
    rate(world, turn, rating=1)
    assert world.fate(turn).fate == "rejected"
    world.now += 1
    rate(world, turn, rating=4, correction=SHORTER)
    assert world.fate(turn).fate == "edited"
    told = world.feedback(turn)
    assert (told.accepted, told.modified) == (True, True)


@pytest.mark.parametrize(
    ("mark", "fate"),
    [("kept", "kept"), ("edited", "edited"), ("rejected", "rejected"), ("ignore", "unknown")],
)
def test_a_mark_beats_everything(mark: Mark, fate: Fate) -> None:
    for inferred in ("kept", "edited", "rejected", "superseded", "unknown", None):
        for rating in (None, 1, 3, 5):
            said = Feedback(rating, "mine" if rating else None, mark=mark)
            assert fate_of(inferred, said) == fate


def test_no_state_but_a_sign_is_a_rejection() -> None:
    """Of all states and likenesses only what was undone, rewritten, refused or left out."""
    plain = Suggestion("T", 0, "x", 0, 1)
    held = replace(plain, state="settled", placed_at=1.0, final_text="x", similarity=1.0)
    assert inferred_fate(held) == "kept"
    assert inferred_fate(replace(held, similarity=0.7)) == "edited"
    rejected = [
        *(replace(held, similarity=0.4), replace(held, final_text=None)),
        *(replace(held, reverted=True), replace(plain, said="declined")),
        replace(plain, state="settled", sign="left_out"),
    ]
    assert {inferred_fate(each) for each in rejected} == {"rejected"}
    unknown = [
        *(replace(plain, state="unknown"), replace(plain, state="settled")),
        *(replace(held, similarity=None), replace(plain, state="unknown", said="failed")),
    ]
    assert {inferred_fate(each) for each in unknown} == {"unknown"}
    opened = [plain, replace(held, state="placed"), replace(plain, said="applied")]
    assert {inferred_fate(each) for each in opened} == {None}


@pytest.mark.parametrize(
    ("words", "fate"),
    [
        (("kept", "rejected"), "kept"),
        (("kept", "edited"), "edited"),
        (("rejected", "unknown"), "rejected"),
        (("rejected", None), None),
        (("superseded", "unknown"), "superseded"),
        (("unknown",), "unknown"),
        ((), None),
    ],
)
def test_a_turn_is_rejected_only_if_nothing_of_it_was_taken(
    words: tuple[Fate | None, ...], fate: Fate | None
) -> None:
    assert turn_fate(words) == fate
