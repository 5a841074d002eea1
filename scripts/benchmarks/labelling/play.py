"""One labelled case being played, and what is true of it."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scripts.benchmarks.labelling.change import Change
from scripts.benchmarks.labelling.dialects import Dialect
from scripts.benchmarks.labelling.endpoints import Said
from scripts.benchmarks.labelling.likeness import likeness
from scripts.benchmarks.labelling.samples import Sample
from tests.support.played_home import Exchange, PlayedHome, PlayedRepository

ACCEPTED = ("kept", "edited")
PASTED = 20.0
"""Seconds from an answer to its being pasted by a person."""
KEPT_LIKE = 0.97
"""A whole file that is so like the one suggested may be called kept, or edited."""
CARRIED_OUT = 1.0
"""The same for an edit that a client carries out."""
_SCRIPT = "function week%d(day) {\n  const first = day - 4;\n  return first < 1 ? 1 : first;\n}\n"
_WORK = {
    "python": "def week%d(day):\n    first = day - 4\n    return 1 if first < 1 else first\n",
    "typescript": _SCRIPT,
    "javascript": _SCRIPT,
    "go": "func week%d(day int) int {\n\tfirst := day - 4\n\tif first < 1 {\n\t\treturn 1\n\t}\n"
    "\treturn first\n}\n",
    "rust": "fn week%d(day: i32) -> i32 {\n    let first = day - 4;\n    first.max(1)\n}\n",
    "java": "    int week%d(int day) {\n        int first = day - 4;\n"
    "        return first < 1 ? 1 : first;\n    }\n",
}
"""Something small and new that a person writes beside it."""


class NotPlayed(Exception):
    """The sample gives nothing for this kind of change."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of an answer in the end."""

    turn: str
    fate: str
    """`kept`, `edited`, `rejected`, `superseded` or `unknown`."""
    finals: tuple[str, ...] = ()
    """The final text: any of these, which differ in how much around the change belongs to it."""
    project: str | None = None
    """The project in which it was taken; None if it was not."""
    allowed: tuple[str, ...] = ()
    """Fates that are no mistake either, as the truth cannot be told by anybody."""


class Play:
    """A sample, played in one dialect in a home with one project.

    The home is made when it is first used: most samples that give nothing are passed over before.
    """

    def __init__(self, top: Path, sample: Sample, dialect: Dialect, chance: random.Random) -> None:
        self.sample, self.dialect, self.chance = sample, dialect, chance
        self._top = top
        self._asked: dict[str, tuple[Change, Exchange]] = {}
        self._opened = ExitStack()

    def __enter__(self) -> Play:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @cached_property
    def home(self) -> PlayedHome:
        """The home, with nothing in it."""
        return self._opened.enter_context(PlayedHome(self._top))

    @cached_property
    def repo(self) -> PlayedRepository:
        """The project, as the older release has it."""
        return self.home.project(
            "work", {**self.sample.files, self.sample.path: self.sample.before}
        )

    @property
    def margin(self) -> str:
        """The indentation of the function in its file."""
        first = self.sample.new.lstrip("\n")
        return first[: len(first) - len(first.lstrip(" \t"))]

    # --- what is done -----------------------------------------------------------------------------

    def ask(
        self,
        code: str | None = None,
        *,
        after: str | None = None,
        before: str | None = None,
        at: Path | str | None = None,
        path: str | None = None,
        dialect: Dialect | None = None,
    ) -> str:
        """Have an answer recorded that suggests the function, or the code instead; its turn."""
        sample = self.sample
        if after is None:
            after = sample.after if code is None else sample.after.replace(sample.new, code, 1)
        change = Change(
            path or sample.path,
            str(self.repo.root),
            sample.language,
            sample.before if before is None else before,
            after,
            sample.new if code is None else code,
        )
        exchange = (dialect or self.dialect).answer(change)
        turn = self.home.ask(exchange, self.repo.root if at is None else at)
        self._asked[turn] = change, exchange
        return turn

    def take(self, turn: str, text: str | None = None, *, file: str | None = None) -> None:
        """Save the file with the change in it; a client that did it says so in its next request."""
        wait = CARRIED_OUT if self.dialect.edit else PASTED
        self.repo.save(
            file or self.sample.path, self.sample.after if text is None else text, after=wait
        )
        self.say(turn, "applied")

    def say(self, turn: str, said: Said) -> None:
        """The client's next request, with the result of the edit, if it sends one."""
        change, exchange = self._asked[turn]
        if self.dialect.result is not None:
            self.home.ask(self.dialect.result(change, exchange, said), self.repo.root, after=0.5)

    def work(self, count: int = 1, *, every: float = 30.0) -> None:
        """Other work in another file of the project: functions that have nothing to do with it."""
        path = self._other_path()
        for n in range(count):
            text = self.repo.read(path) if (self.repo.root / path).is_file() else ""
            self.repo.save(path, f"{text}\n{_WORK[self.sample.language] % n}", after=every)

    def _other_path(self) -> str:
        end = self.sample.path.rsplit(".", 1)[-1]
        return f"other_work.{end}"

    def settle(self) -> None:
        """Wait until what stands is final."""
        self.home.wait(700.0)

    def pass_time(self) -> None:
        """Wait, at work, until the window of everything that waits is over."""
        self.work(9, every=280.0)
        self.home.wait(1900.0)

    # --- what is true -----------------------------------------------------------------------------

    def kept(self, turn: str, function: str | None = None, final: str | None = None) -> Truth:
        """That it was taken as it is; `function`, `final`: as they stand in the file."""
        return self.taken("kept", turn, function, final)

    def taken(
        self, fate: str, turn: str, function: str | None = None, final: str | None = None
    ) -> Truth:
        function = self.sample.new if function is None else function
        final = self.sample.after if final is None else final
        change, _ = self._asked[turn]
        allowed: tuple[str, ...] = ()
        if self.dialect.whole:
            finals: Iterable[str] = (final,)
            if likeness(final, change.after, self.sample.language) >= KEPT_LIKE:
                allowed = ("kept",)
        elif self.dialect.edit:
            finals = (function, *fragments(change, final))
        elif self.dialect.name == "unified diff":
            finals = (function, *fragments(change, final), *added_lines(change.before, final))
        else:
            finals = (function,)
        return Truth(turn, fate, tuple(finals), str(self.repo.root), allowed)


def added_lines(before: str, final: str) -> tuple[str, str]:
    """What a diff of the file as it stands now adds: its new lines alone, and with those around."""
    lines = [
        line
        for line in difflib.unified_diff(before.splitlines(True), final.splitlines(True))
        if not line.startswith(("---", "+++", "@@"))
    ]
    new = [line for line in lines if line.startswith("+")]
    side = [line for line in lines if not line.startswith("-")]
    return "".join(line[1:] for line in new), "".join(line[1:] for line in side)


def fragments(change: Change, final: str) -> tuple[str, ...]:
    """What stands in a file now in the place of a hunk, and of its changed lines alone."""
    before, now = change.before.splitlines(True), final.splitlines(True)
    old, _, start = change.hunk()
    rest = len(before) - start - len(old.splitlines())
    after = change.after.splitlines(True)
    head = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    return "".join(now[start : len(now) - rest]), "".join(now[head : len(now) - tail])
