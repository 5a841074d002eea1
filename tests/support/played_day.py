"""What a person and a client do on a first day, in a project of Python and one of TypeScript."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import first_day as texts
from tests.support.played_home import Exchange, PlayedHome, PlayedRepository

TAKEN = ("kept", "edited")
BOTH = ("python", "typescript")
PYTHON, SCRIPT = ("python",), ("typescript",)


@dataclass(frozen=True, slots=True)
class Fate:
    """What must be said of an answer."""

    turn: str
    words: tuple[str, ...]
    """The fates that are true; several where nobody could tell them apart."""
    final: str | None = None
    """The final text, if it is certain."""
    project: Path | None = None
    """Where it was taken, if it was."""


@dataclass(slots=True)
class Day:
    """One home with the project in which it is worked."""

    home: PlayedHome
    language: str
    repo: PlayedRepository = field(init=False)

    def __post_init__(self) -> None:
        python = self.language == "python"
        self.repo = self.home.project(
            "invoicer" if python else "tables",
            {
                self.file: self.begun,
                self.other: texts.OWN if python else texts.OWN_SCRIPT,
            },
        )

    # --- the project ------------------------------------------------------------------------------

    @property
    def file(self) -> str:
        """The file that is worked on."""
        return "invoicer/totals.py" if self.language == "python" else "src/groups.ts"

    @property
    def other(self) -> str:
        """Another file of the project."""
        return "invoicer/rows.py" if self.language == "python" else "src/rows.ts"

    @property
    def code(self) -> str:
        """A function that is suggested."""
        return texts.OVERDUE if self.language == "python" else texts.GROUP_BY

    @property
    def second(self) -> str:
        """Another one."""
        return texts.DISCOUNT if self.language == "python" else texts.SUMMARY

    @property
    def own(self) -> str:
        """One that the person writes."""
        own = texts.STRUCTURED if self.language == "python" else texts.SUMMARY
        return own.replace("summary", "described")

    @property
    def begun(self) -> str:
        """The file as the day found it."""
        return texts.TOTALS if self.language == "python" else texts.GROUPS

    def text(self) -> str:
        """The file as it stands."""
        return self.repo.read(self.file)

    def added(self, code: str) -> str:
        """The file with code at its end."""
        return f"{self.text()}{self.gap}{code}"

    @property
    def gap(self) -> str:
        return "\n\n" if self.language == "python" else "\n"

    # --- what is done -----------------------------------------------------------------------------

    def ask(self, code: str, *, at: Path | str | None = None, fence: str | None = None) -> str:
        """A chat answer with one block of code; the turn."""
        mark = self.language if fence is None else fence
        return self.answer(f"Here it is:\n\n```{mark}\n{code}```\n\nTell me more.", at=at)

    def answer(self, text: str, *, at: Path | str | None = None) -> str:
        """A chat answer; the turn."""
        told = {"model": "m", "message": {"role": "assistant", "content": text}, "done": True}
        asked = {"model": "m", "messages": [{"role": "user", "content": "Write it."}]}
        exchange = Exchange("/api/chat", asked, json.dumps(told))
        return self.home.ask(exchange, self.repo.root if at is None else at)

    def call(self, name: str, arguments: dict[str, object]) -> str:
        """A tool call of an agent; the turn."""
        call = {"function": {"name": name, "arguments": arguments}}
        message = {"role": "assistant", "content": "", "tool_calls": [call]}
        told = {"model": "m", "message": message, "done": True}
        asked = {"model": "m", "messages": [{"role": "user", "content": "Write it."}]}
        return self.home.ask(Exchange("/api/chat", asked, json.dumps(told)), self.repo.root)

    def paste(self, code: str, *, after: float = 20.0) -> None:
        """Code at the end of the file."""
        self.repo.save(self.file, self.added(code), after=after)

    def work(self) -> None:
        """Other work in another file, saved."""
        text = self.repo.read(self.other)
        self.repo.save(self.other, f"{text}{self.gap}{self.own}", after=60.0)

    def later(self) -> None:
        """More than half an hour of work later."""
        self.work()
        for n in range(8):
            text = self.repo.read(self.other)
            self.repo.save(
                self.other, f"{text}{'#' if self.file.endswith('.py') else '//'} {n}\n", after=280.0
            )
        self.home.wait(1900.0)

    def settle(self) -> None:
        """Until what stands is final."""
        self.home.wait(700.0)

    # --- what must be said ------------------------------------------------------------------------

    def kept(self, turn: str, final: str | None = None) -> Fate:
        return Fate(turn, ("kept",), self.code if final is None else final, self.repo.root)

    def edited(self, turn: str, final: str | None = None) -> Fate:
        return Fate(turn, ("edited",), final, self.repo.root)

    def dropped(self, turn: str) -> Fate:
        """Taken back with a sign of it."""
        return Fate(turn, ("rejected",))

    def unused(self, turn: str) -> Fate:
        """Never taken, without a sign."""
        return Fate(turn, ("unknown",))


Scene = Callable[[Day], Fate]
Scenes = tuple[tuple[Scene, tuple[str, ...]], ...]
"""What is played, and in which languages."""


def said(home: PlayedHome, turn: str) -> str:
    """The fate of a turn in one word: what was taken of it counts before what was not."""
    fates = set(home.fates(turn))
    if fates & set(TAKEN):
        return "kept" if fates == {"kept"} else "edited"
    return next((word for word in ("rejected", "superseded") if word in fates), "unknown")


def final(home: PlayedHome, turn: str) -> str:
    """The final text of what was taken of a turn."""
    pairs = zip(home.suggestions(turn), home.fates(turn), strict=True)
    return "\n".join((s.final_text or "").strip("\n") for s, fate in pairs if fate in TAKEN)
