"""What becomes of suggestions in real files and a real git repository, at times the test gives."""

from __future__ import annotations

import textwrap
import time
from typing import Any

import pytest

from qi_learn.daemon.following import follow_commit, follow_save
from qi_learn.store import feedback
from qi_learn.workspace.changes import FileSaved
from qi_learn.workspace.watcher import Watcher
from tests.support.redacted import as_redacted
from tests.support.tracked_code import AUTHORS, CUT, FILE, MARK, SUGGESTED, World, with_mean

# --- the flow that matters most -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        (SUGGESTED, True),
        (SUGGESTED, False),
        (CUT, False),  # an unclosed docstring swallows the rest of the file
        (SUGGESTED.replace("mean", "average"), True),  # another name than the author's
        (
            SUGGESTED.replace("mean", "spread"),
            True,
        ),  # the name of a function that the file has already
        ("import math\n\n\n" + SUGGESTED + "\n\nprint(mean([1, 2, 3]))\n", True),
        (
            "class Mean:\n    "
            + SUGGESTED.replace("\n    ", "\n        ").replace("(values)", "(self, values)"),
            True,
        ),
        ("def mean(values):\n    return sum(values) / len(values", False),
        ("@cache\n" + SUGGESTED, True),
    ],
)
def test_pasted_rewritten_committed(world: World, answer: str, closed: bool) -> None:
    turn = world.ask(answer, closed=closed)
    asked = world.now
    world.save("stats.py", with_mean(answer), after=3)
    placed = world.fate(turn)
    assert placed.state == "placed"
    assert (placed.file, placed.match_confidence, placed.match_method) == ("stats.py", 1.0, "lines")
    world.save("stats.py", with_mean(AUTHORS), after=1)
    commit = world.commit("Write mean")
    kept = world.fate(turn)
    assert (kept.state, kept.final_text, kept.commit, kept.name) == (
        "settled",
        AUTHORS,
        commit,
        "mean",
    )
    assert not kept.reverted
    told = world.feedback(turn)
    assert told.final_version == AUTHORS
    assert told.modified is True
    assert told.accepted is (kept.similarity is not None and kept.similarity >= 0.5)
    assert told.time_to_accept == pytest.approx(asked + 3 - (asked - 6))


METHOD_FILE = textwrap.dedent('''\
    class Series:
        """Numbers in order."""

        def __init__(self, values):
            self.values = values

        ...  # mean

        def __len__(self):
            return len(self.values)
    ''')


METHOD = (
    'def mean(self):\n    """The mean."""\n    total = sum(self.values)\n'
    "    return total / len(self.values)\n"
)


AUTHORS_METHOD = (
    "    @property\n    def mean(self) -> float:\n"
    "        return math.fsum(self.values) / len(self)\n"
)


@pytest.mark.parametrize(
    "answer",
    [
        METHOD,
        METHOD[: METHOD.index("total /")],
        'def mean(self):\n    """The mean of the values that are in\n    the series',
    ],
)
def test_a_method_indented_in_the_file_and_not_in_the_answer(world: World, answer: str) -> None:
    world.begin("series.py", METHOD_FILE)
    turn = world.ask(answer, closed=answer.endswith("\n"))
    world.save(
        "series.py",
        METHOD_FILE.replace("    " + MARK, textwrap.indent(answer.rstrip("\n") + "\n", "    ")),
    )
    assert world.fate(turn).state == "placed"
    world.save("series.py", METHOD_FILE.replace("    " + MARK, AUTHORS_METHOD))
    commit = world.commit()
    kept = world.fate(turn)
    assert (kept.final_text, kept.commit, kept.name) == (AUTHORS_METHOD, commit, "Series.mean")


def test_taken_as_it_is_and_committed(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    commit = world.commit()
    kept = world.fate(turn)
    assert (kept.final_text, kept.similarity, kept.commit) == (SUGGESTED, 1.0, commit)
    told = world.feedback(turn)
    assert (told.accepted, told.modified, told.match_method, told.match_confidence) == (
        True,
        False,
        "lines",
        1.0,
    )


def test_other_indentation_comments_and_trailing_commas_do_not_count(world: World) -> None:
    turn = world.ask("def pair(left, right):\n  # both\n  return (left,\n          right,)\n")
    world.save(
        "stats.py", with_mean("def pair(left, right):\n        return (left, right)  # as one\n")
    )
    world.commit()
    assert world.feedback(turn).modified is False
    assert world.fate(turn).match_method == "tokens"


def test_settled_by_nobody_touching_it_and_opened_again_by_an_edit(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.wait(599)
    assert (world.fate(turn).state, world.feedback(turn).accepted) == ("placed", None)
    world.wait(2)
    assert (world.fate(turn).state, world.fate(turn).commit, world.feedback(turn).accepted) == (
        "settled",
        None,
        True,
    )
    feedback.save_score(world.store, as_redacted(_score(turn)))
    assert feedback.dirty_turns(world.store) == []
    world.save("stats.py", "import os\n" + with_mean(SUGGESTED))  # elsewhere in the file
    assert world.fate(turn).state == "settled"
    world.save("stats.py", "import os\n" + with_mean(AUTHORS))
    assert world.fate(turn).state == "placed"
    assert feedback.dirty_turns(world.store) == [turn]
    world.wait(601)
    assert world.fate(turn).final_text == AUTHORS


def _score(turn: str) -> Any:
    from qi_learn.records import Score

    return Score(turn, 0.5, 0.5, None, None)


# --- found again ----------------------------------------------------------------------------------


def test_everything_around_it_may_change(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    text = with_mean(
        AUTHORS + "\n\ndef mode(values):\n    return max(set(values), key=values.count)\n"
    )
    world.save(
        "stats.py",
        text.replace(
            "import math\n", "import math\nfrom collections.abc import Sequence\n"
        ).replace("ordered", "in_order"),
    )
    world.commit()
    assert world.fate(turn).final_text == AUTHORS


def test_lines_added_at_the_end_of_a_definition_belong_to_it(world: World) -> None:
    begun = "def mean(values):\n    total = sum(values)\n    count = len(values)\n"
    turn = world.ask(begun)
    world.save("stats.py", with_mean(begun))
    world.save("stats.py", with_mean(begun + "\n    return total / count\n"))
    world.commit()
    assert world.fate(turn).final_text == begun + "\n    return total / count\n"


def test_moved_within_the_file_and_to_another_file(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("stats.py", FILE + "\n\n" + AUTHORS)
    assert world.fate(turn).region == AUTHORS.rstrip("\n")
    world.save("stats.py", FILE)
    assert world.fate(turn).region is None
    world.save("means.py", "import math\n\n\n" + SUGGESTED)
    world.commit()
    assert (world.fate(turn).file, world.fate(turn).final_text) == ("means.py", SUGGESTED)


def test_split_in_two_both_are_the_final_version(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    parts = (
        "def total(values):\n    return sum(values)\n\n\n"
        "def average(values):\n    return total(values) / len(values)\n"
    )
    world.save("stats.py", with_mean(parts))
    world.commit()
    assert world.fate(turn).final_text == parts


@pytest.mark.parametrize("final", [AUTHORS, AUTHORS.replace("mean", "average")])
def test_found_again_after_a_restart(world: World, final: str) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("stats.py", with_mean(final), restarted=True)
    world.commit()
    assert world.fate(turn).final_text == final


def test_an_unparsable_paste_is_found_again_after_a_restart(world: World) -> None:
    turn = world.ask(CUT, closed=False)
    world.save("stats.py", with_mean(CUT))
    world.save("stats.py", with_mean(AUTHORS), restarted=True)
    world.commit()
    assert world.fate(turn).final_text == AUTHORS


def test_undo_and_redo(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    placed_at = world.fate(turn).placed_at
    world.save("stats.py", FILE)
    world.wait(601)
    assert (world.fate(turn).state, world.feedback(turn).accepted) == ("settled", False)
    world.save("stats.py", with_mean(SUGGESTED))
    world.wait(601)
    assert (world.feedback(turn).accepted, world.fate(turn).placed_at) == (True, placed_at)


def test_a_file_that_is_renamed_takes_it_along(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.delete("stats.py")
    world.save("numbers.py", with_mean(SUGGESTED))
    assert (world.fate(turn).file, world.fate(turn).state) == ("numbers.py", "placed")


# --- rejected and unknown -------------------------------------------------------------------------


def test_what_was_not_found_is_unknown(world: World) -> None:
    """Whatever was saved meanwhile: not to be found is no sign."""
    passed = world.ask(SUGGESTED)
    console = world.ask(SUGGESTED, fenced=False)
    to_read = world.ask("x\n```\n\n```bash\n" + SUGGESTED)
    short = world.ask("y = 1\n")
    world.save("stats.py", FILE + "z = 1\n")
    world.work(1700)
    assert world.fate(passed).state == "waiting"  # there is still time
    world.work(300)
    for turn, ordinal in ((passed, 0), (console, 0), (to_read, 1), (short, 0)):
        found = world.fate(turn, ordinal)
        assert (found.state, found.inferred, found.fate) == ("unknown",) * 2 + ("unknown",)
        told = world.feedback(turn)
        assert (told.accepted, told.modified) == (None, None)
    assert feedback.rejected_turns(world.store) == []


def test_rewritten_beyond_recognition_is_not_accepted_and_the_text_is_kept(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    other = "mean = functools.partial(weighted, weights=itertools.repeat(1.0))\n"
    world.save("stats.py", with_mean(other))
    world.commit()
    told = world.feedback(turn)
    assert (told.accepted, told.modified, told.final_version) == (False, True, other)


# --- with the operating system's own events -------------------------------------------------------


def test_seen_by_the_watcher_as_a_person_works(world: World) -> None:
    root = world.repo.root
    with Watcher() as watcher:
        watcher.add(root)
        world.now = time.time()
        turn = world.ask(CUT, closed=False)

        def follow(enough: str) -> None:
            deadline = time.monotonic() + 20
            while world.fate(turn).state != enough and time.monotonic() < deadline:
                for seen in watcher.poll():
                    if isinstance(seen, FileSaved):
                        follow_save(
                            world.store,
                            seen,
                            watcher.history(seen.path),
                            world.settings,
                            time.time(),
                        )
                    else:
                        follow_commit(world.store, seen, world.settings, time.time())
                time.sleep(0.02)

        world.repo.write("stats.py", with_mean(CUT))
        follow("placed")
        world.repo.write("stats.py", with_mean(AUTHORS))
        commit = world.repo.commit("Write mean")
        follow("settled")
    assert (world.fate(turn).final_text, world.fate(turn).commit) == (AUTHORS, commit)
