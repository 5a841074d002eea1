"""What becomes of suggestions in real files and a real git repository, at times the test gives."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_learn.daemon.intake import follow_commit, follow_save, follow_time
from qi_learn.outside import git
from qi_learn.records import Feedback, Message, Suggestion, Turn
from qi_learn.settings import CaptureSettings
from qi_learn.store import feedback, turns
from qi_learn.store.database import Store, open_store
from qi_learn.track.suggestions import suggestions_of
from qi_learn.workspace.changes import Committed, FileSaved
from qi_learn.workspace.file_history import FileHistory
from qi_learn.workspace.files import read_text
from qi_learn.workspace.reflog import Reflog
from qi_learn.workspace.watcher import Watcher
from tests.support.repository import Repository

SUGGESTED = textwrap.dedent('''\
    def mean(values):
        """The mean of some numbers."""
        total = 0
        for value in values:
            total = total + value
        return total / len(values)
    ''')
AUTHORS = textwrap.dedent('''\
    def mean(values: Sequence[float]) -> float:
        """The mean of some numbers; NaN for none."""
        if not values:
            return math.nan
        return math.fsum(values) / len(values)
    ''')
FILE = textwrap.dedent('''\
    """Statistics."""

    import math


    def median(values):
        """The one in the middle."""
        ordered = sorted(values)
        return ordered[len(ordered) // 2]


    ...  # mean


    def spread(values):
        """The largest minus the smallest."""
        return max(values) - min(values)
    ''')
MARK = "...  # mean\n"
CUT = 'def mean(values):\n    """The mean of some numbers, that is their sum\n    divided by how many there'


class World:
    """A project, a store, and a clock that only the test moves."""

    def __init__(self, root: Path, store: Store) -> None:
        self.repo = Repository(root)
        self.store = store
        self.settings = CaptureSettings()
        self.now = time.time()
        self.histories: dict[Path, FileHistory] = {}
        self.repo.commit("Begin")
        self._reflog = Reflog(root / ".git")
        self._count = 0

    def begin(self, file: str, text: str) -> None:
        """A file that was there, and committed, before anything was asked."""
        self.histories[self.repo.write(file, text)] = FileHistory(text, window=7200)
        self.repo.commit(f"Begin {file}")
        self._reflog.moves()

    def ask(self, answer: str, *, fenced: bool = True, closed: bool = True, **more: Any) -> str:
        """A turn that was answered a second ago; its id."""
        self._count += 1
        text = (
            f"Here it is:\n\n```python\n{answer}" + ("```\nEnjoy!" if closed else "")
            if fenced
            else answer
        )
        given: dict[str, Any] = {
            "project": str(self.repo.root),
            "endpoint": "/api/chat",
            "messages": (Message("user", f"Question {self._count}"),),
            **more,
        }
        turn = Turn(
            f"turn-{self._count:03}",
            answer=text,
            model_asked="m",
            model_answered="m",
            started=self.now - 2,
            ended=self.now - 1,
            **given,
        )
        turns.save_turn(self.store, turn)
        feedback.save_suggestions(self.store, suggestions_of(turn))
        self.now += 5
        return turn.id

    def save(self, file: str, text: str, *, after: float = 10.0, restarted: bool = False) -> None:
        """A save of the whole file. `restarted`: nobody was there to know the text before."""
        self.now += after
        path = self.repo.write(file, text)
        if restarted:
            self.histories[path] = FileHistory(text, window=7200, began=self.now)
        history = self.histories.setdefault(path, FileHistory("", window=7200))
        saved = FileSaved(str(self.repo.root), path, text, history.record(self.now, text))
        follow_save(self.store, saved, history, self.settings, self.now)

    def delete(self, file: str) -> None:
        path = self.repo.root / file
        path.unlink()
        saved = FileSaved(str(self.repo.root), path, "", self.histories[path].record(self.now, ""))
        follow_save(self.store, saved, self.histories[path], self.settings, self.now)

    def head_moved(self) -> None:
        """Tells what git did; texts that git wrote are known, not saved, as the watcher has it."""
        self.now += 1
        for move in self._reflog.moves():
            files = git.changed(self.repo.root, move.old, move.new)
            for file in files:
                path = self.repo.root / file
                self.histories.setdefault(path, FileHistory("", window=7200)).record(
                    self.now, read_text(path) or ""
                )
            told = Committed(str(self.repo.root), move.new, files, move.action, move.ts, move.old)
            follow_commit(self.store, told, self.settings, self.now)

    def commit(self, subject: str = "A change") -> str:
        commit = self.repo.commit(subject)
        self.head_moved()
        return commit

    def wait(self, seconds: float) -> None:
        self.now += seconds
        follow_time(self.store, self.settings, self.now)

    def fate(self, turn: str, ordinal: int = 0) -> Suggestion:
        return feedback.suggestions_of(self.store, turn)[ordinal]

    def feedback(self, turn: str) -> Feedback:
        return feedback.load_feedback(self.store, turn)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_store(tmp_path / "qi.db") as store:
        world = World(tmp_path / "work", store)
        world.begin("stats.py", FILE)
        yield world


def with_mean(code: str) -> str:
    return FILE.replace(MARK, code if code.endswith("\n") else code + "\n")


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
METHOD = 'def mean(self):\n    """The mean."""\n    total = sum(self.values)\n    return total / len(self.values)\n'
AUTHORS_METHOD = "    @property\n    def mean(self) -> float:\n        return math.fsum(self.values) / len(self)\n"


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
    feedback.save_score(world.store, _score(turn))
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


# --- where it is ----------------------------------------------------------------------------------


def test_found_within_much_more_that_was_added(world: World) -> None:
    turn = world.ask(SUGGESTED)
    more = "".join(
        f"def other_{n}(x):\n    return [x + {n} for _ in range({n})]\n\n\n" for n in range(40)
    )
    world.save(
        "stats.py",
        FILE
        + more
        + SUGGESTED.replace("total", "subtotal", 1)
        + "\n\n"
        + more.replace("other", "further"),
    )
    placed = world.fate(turn)
    assert (placed.state, placed.name, placed.match_method) == ("placed", "mean", "tokens")
    assert placed.match_confidence is not None
    assert 0.9 < placed.match_confidence < 1
    assert placed.region == SUGGESTED.replace("total", "subtotal", 1).rstrip("\n")


def test_not_placed_when_it_was_there_before_or_is_too_unlike_or_too_short(world: World) -> None:
    same = world.ask(
        "def median(values):\n    ordered = sorted(values)\n    return ordered[len(ordered) // 2]\n"
    )
    unlike = world.ask(
        "def mean(numbers):\n    import statistics\n    return statistics.fmean(numbers)\n"
    )
    short = world.ask("x = mean(values)\n")
    world.save("stats.py", with_mean(SUGGESTED) + "x = mean(values)\n")
    assert [world.fate(t).state for t in (same, unlike, short)] == ["waiting"] * 3


def test_lines_added_before_the_question_do_not_count(world: World) -> None:
    world.save("stats.py", with_mean(SUGGESTED))
    world.now += 5
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED) + "\n\nlast = 1\n")
    assert world.fate(turn).state == "waiting"


def test_the_window_ends(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED), after=1801)
    assert world.fate(turn).state == "waiting"


def test_of_two_answers_the_one_that_was_taken(world: World) -> None:
    first = world.ask(SUGGESTED)
    second = world.ask(SUGGESTED.replace("total = total + value", "total += value"))
    world.save("stats.py", with_mean(SUGGESTED.replace("total = total + value", "total += value")))
    assert (world.fate(first).state, world.fate(second).state) == ("waiting", "placed")


def test_where_the_project_was_unknown_it_is_known_now(world: World) -> None:
    turn = world.ask(SUGGESTED, project=None)
    world.save("stats.py", "x = 1\n")
    world.save("stats.py", with_mean(SUGGESTED))
    assert turns.load_turn(world.store, turn).project == str(world.repo.root)


def test_two_blocks_of_one_answer_in_two_files(world: World) -> None:
    test = "def test_mean():\n    assert mean([1, 2, 3]) == 2\n    assert mean([5]) == 5\n"
    turn = world.ask(f"{SUGGESTED}```\nand its test:\n```python\n{test}")
    world.save("stats.py", with_mean(SUGGESTED))
    world.save("test_stats.py", test.replace("== 5", "== 5.0"))
    world.commit()
    assert [(s.file, s.final_text) for s in feedback.suggestions_of(world.store, turn)] == [
        ("stats.py", SUGGESTED),
        ("test_stats.py", test.replace("== 5", "== 5.0")),
    ]
    told = world.feedback(turn)
    assert (told.accepted, told.modified) == (True, True)
    assert told.final_version == SUGGESTED + "\n" + test.replace("== 5", "== 5.0")


def test_other_languages_are_followed_by_the_lines_around(world: World) -> None:
    before = "package main\n\nfunc first() int {\n\treturn 1\n}\n"
    after = "\nfunc last() int {\n\treturn 9\n}\n"
    code = "func sum(values []int) int {\n\ttotal := 0\n\tfor _, v := range values {\n\t\ttotal += v\n\t}\n\treturn total\n}\n"
    final = (
        code.replace("total := 0", "var total int")
        .replace("v := range", "each := range")
        .replace("+= v", "+= each")
    )
    world.begin("main.go", before + after)
    turn = world.ask(code)
    world.save("main.go", before + "\n" + code + after)
    world.save(
        "main.go", before.replace("return 1", "return 11") + "\n" + final + after.replace("9", "99")
    )
    world.commit()
    assert (world.fate(turn).final_text, world.fate(turn).name) == (final, None)


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
    parts = "def total(values):\n    return sum(values)\n\n\ndef average(values):\n    return total(values) / len(values)\n"
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


def test_passed_by_is_rejected_and_not_seen_is_unknown(world: World) -> None:
    passed = world.ask(SUGGESTED)
    elsewhere = world.ask(SUGGESTED, project=None)
    console = world.ask(SUGGESTED, fenced=False)
    to_read = world.ask("x\n```\n\n```bash\n" + SUGGESTED)
    short = world.ask("y = 1\n")
    world.save("stats.py", FILE + "z = 1\n")
    world.now += 100
    unseen = world.ask(SUGGESTED)
    world.wait(1600)
    assert world.fate(passed).state == "waiting"  # there is still time
    world.wait(300)
    assert (
        world.fate(passed).state,
        world.feedback(passed).accepted,
        world.feedback(passed).modified,
    ) == ("settled", False, None)
    assert (
        world.feedback(console).accepted is False
    )  # an answer without a fence that parses is code
    for turn, ordinal in ((elsewhere, 0), (to_read, 1), (short, 0), (unseen, 0)):
        assert world.fate(turn, ordinal).state == "waiting"
        assert world.feedback(turn).accepted is None


def test_rewritten_beyond_recognition_is_not_accepted_and_the_text_is_kept(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    other = "mean = functools.partial(weighted, weights=itertools.repeat(1.0))\n"
    world.save("stats.py", with_mean(other))
    world.commit()
    told = world.feedback(turn)
    assert (told.accepted, told.modified, told.final_version) == (False, True, other)


# --- git ------------------------------------------------------------------------------------------


def test_a_commit_without_the_code_says_nothing(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    (world.repo.root / "stats.py").write_text(FILE + "other = 1\n")
    world.repo.git("add", "stats.py")
    (world.repo.root / "stats.py").write_text(with_mean(SUGGESTED))
    world.repo.git("commit", "-q", "-m", "Only the other change")
    world.head_moved()
    assert world.fate(turn).state == "placed"


def test_staged_in_part_the_committed_text_is_the_final_one(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.repo.git("add", "stats.py")
    world.save("stats.py", with_mean(AUTHORS))
    world.repo.git("commit", "-q", "-m", "The first draft")
    world.head_moved()
    assert world.fate(turn).final_text == SUGGESTED


def test_revert_reset_and_amend(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    first = world.commit("Mean")
    world.repo.git("commit", "-q", "--amend", "-m", "The mean")
    amended = world.repo.git("rev-parse", "HEAD")
    world.head_moved()
    world.save("stats.py", with_mean(AUTHORS))
    world.repo.git("add", "-A")
    world.repo.git("commit", "-q", "--amend", "--no-edit")
    world.head_moved()
    kept = world.fate(turn)
    assert kept.final_text == AUTHORS
    assert kept.commit not in (first, amended)
    world.repo.git("revert", "--no-edit", "HEAD")
    world.head_moved()
    gone = world.fate(turn)
    assert (gone.state, gone.reverted, gone.final_text, world.feedback(turn).accepted) == (
        "settled",
        True,
        None,
        False,
    )


def test_a_hard_reset_takes_back_and_a_soft_one_does_not(world: World) -> None:
    kept, lost = world.ask(SUGGESTED), world.ask(SUGGESTED.replace("mean", "average"))
    base = world.repo.git("rev-parse", "HEAD")
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit()
    world.repo.git("reset", "-q", "--soft", base)
    world.head_moved()
    assert (world.fate(kept).state, world.fate(kept).commit) == ("placed", None)
    commit = world.commit("Again")
    assert (world.fate(kept).commit, world.fate(kept).final_text) == (commit, SUGGESTED)
    world.save("other.py", SUGGESTED.replace("mean", "average"))
    world.commit("Other")
    assert world.feedback(lost).accepted is True
    world.repo.git("reset", "-q", "--hard", commit)
    world.head_moved()
    assert (world.fate(lost).reverted, world.feedback(lost).accepted) == (True, False)
    assert world.feedback(kept).accepted is True


def test_another_branch_and_a_rebase_do_not_harm_it(world: World) -> None:
    world.repo.git("checkout", "-q", "-b", "side")
    world.head_moved()
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    before = world.commit("Mean")
    world.repo.git("checkout", "-q", "main")
    world.head_moved()
    world.save("stats.py", FILE.replace("max", "highest"))
    world.save("stats.py", FILE.replace(MARK, "def mean(a):\n    return 0\n"))
    world.save("stats.py", FILE)
    world.save("more.py", "x = 1\n")
    world.commit("More")
    assert (world.fate(turn).final_text, world.fate(turn).commit) == (SUGGESTED, before)
    world.repo.git("checkout", "-q", "side")
    world.repo.git("rebase", "-q", "main")
    world.head_moved()
    assert world.fate(turn).commit == world.repo.git("rev-parse", "HEAD") != before
    assert world.fate(turn).final_text == SUGGESTED


def test_a_repair_of_committed_code_blames_it(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit("Fix nothing yet, just the mean")
    assert feedback.load_outcome(world.store, turn).bug_introduced is None
    world.save("stats.py", with_mean(SUGGESTED).replace("max(values)", "max(list(values))"))
    world.commit("Fix spread")
    assert feedback.load_outcome(world.store, turn).bug_introduced is None
    world.save("stats.py", with_mean(SUGGESTED.replace("len(values)", "(len(values) or 1)")))
    world.commit("Fix mean of nothing")
    assert feedback.load_outcome(world.store, turn).bug_introduced is True


def test_commits_nobody_saw_are_found_within_a_day(world: World) -> None:
    turn = world.ask(SUGGESTED)
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit()
    edited = SUGGESTED.replace("total = 0", "total = 0.0")
    (world.repo.root / "stats.py").write_text(with_mean(edited))
    later = world.repo.commit("Unseen")
    world.wait(86000)
    assert world.fate(turn).final_text == SUGGESTED
    world.wait(1000)
    assert (world.fate(turn).final_text, world.fate(turn).commit) == (edited, later)
    (world.repo.root / "stats.py").write_text(FILE.replace(MARK + "\n\n", ""))
    world.repo.commit("Unseen again")
    world.wait(86000)
    assert world.feedback(turn).accepted is True
    world.wait(1000)
    assert (world.feedback(turn).accepted, world.fate(turn).region) == (False, None)


# --- what is suggested ----------------------------------------------------------------------------


def test_a_completion_is_found_in_whole_lines_and_cut_out_again(world: World) -> None:
    prompt = "def mean(values):\n    total = sum("
    suffix = ") / count\n"
    turn = world.ask(
        "value * weight\n        for value, weight in zip(values, weights, strict=True)",
        fenced=False, endpoint="/api/generate", messages=(Message("prompt", prompt),), request={"suffix": suffix},
    )  # fmt: skip
    assert world.fate(turn).text.startswith("value *")
    world.save("stats.py", with_mean(prompt + world.fate(turn).text + suffix))
    assert world.fate(turn).state == "placed"
    final = "weight * value\n        for value, weight in zip(values, weights, strict=False)"
    world.save("stats.py", with_mean(prompt + final + suffix))
    world.commit()
    assert world.fate(turn).final_text == final


def test_fill_in_the_middle_by_tokens(world: World) -> None:
    raw = "<|fim_prefix|>def mean(values):\n    <|fim_suffix|>\n\nx = 1\n<|fim_middle|>"
    body = "total = sum(values)\n    return total / len(values)"
    turn = world.ask(
        body,
        fenced=False,
        endpoint="/api/generate",
        messages=(Message("prompt", raw),),
        request={"raw": True},
    )
    world.save("stats.py", with_mean("def mean(values):\n    " + body + "\n\nx = 1\n"))
    world.commit()
    assert (world.fate(turn).final_text, world.fate(turn).similarity) == (body, 1.0)


def test_texts_of_tool_calls_are_suggestions(world: World) -> None:
    calls = [
        {
            "function": {
                "name": "edit_file",
                "arguments": {"path": "stats.py", "old_string": MARK, "new_string": SUGGESTED},
            }
        },
        {
            "function": {
                "name": "write",
                "arguments": '{"filePath": "b.py", "content": "def b(x):\\n    return [x, x + 1, x + 2]"}',
            }
        },
        {"function": {"name": "shell", "arguments": {"command": "rm -r /"}}},
        {"function": {"name": "broken", "arguments": "{"}},
    ]
    turn = world.ask("I write them.", fenced=False, answer_extra={"tool_calls": calls})
    assert [(s.ordinal, s.start, s.end) for s in feedback.suggestions_of(world.store, turn)] == [
        (0, -1, -1),
        (1, -1, -1),
    ]
    world.save("stats.py", with_mean(AUTHORS))
    world.save("b.py", "def b(x):\n    return [x, x + 1, x + 2]\n")
    world.save("stats.py", with_mean(SUGGESTED))
    world.commit()
    assert world.fate(turn, 0).final_text == SUGGESTED
    assert world.fate(turn, 1).final_text == "def b(x):\n    return [x, x + 1, x + 2]"


def test_chat_prose_suggests_nothing(world: World) -> None:
    turn = world.ask("You could use the statistics module for that.", fenced=False)
    assert feedback.suggestions_of(world.store, turn) == ()


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
