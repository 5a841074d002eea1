"""Aider's chat history (`.aider.chat.history.md`) and its log of requests (`--llm-history-file`).

The history is Markdown that aider appends to (aider/io.py): `# aider chat started at <local time>`
begins a session, `#### ` stands before each line that a person typed, `> ` before what aider says
(the model, among other things), and what else stands there was answered. It has no times but that
of a session: its turns are told a second apart from there. What the model read beside the chat
(files, the map of the repository, aider's own words) is not in it, so no question is whole.

The log of requests has `TO LLM <time>` with all messages, each line with its role before it, and
`LLM RESPONSE <time>`; a question there is whole, but no model is named.

Not covered, as aider itself does not tell them apart either: lines of an answer that begin with
`> `, `#### ` or `# aider chat started at `.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from qi_learn.importers.conversation import Conversation
from qi_learn.importers.json_lines import behind, is_local, raw_lines
from qi_learn.records import ImportedItem, ImportedTurn, NotUnderstood

HISTORY = ".aider.chat.history.md"
_BEGIN = re.compile(r"# aider chat started at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s*")
_MODEL = re.compile(r"> (?:Main model|Model|Models): (\S+)")
_ASKS = ("/ask ", "/code ", "/architect ", "/chat-mode ")
"""Commands whose rest goes to the model; what follows another one does not."""
_EXCHANGE = re.compile(r"(TO LLM|LLM RESPONSE) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\s*")
_ROLES = ("SYSTEM", "USER", "ASSISTANT")


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """The history of the directory in which one is."""
    return Path(environment.get("AIDER_CHAT_HISTORY_FILE") or HISTORY)


def files(path: Path) -> list[Path]:
    """The history that a path means: the file, or the one in a directory."""
    return [path / HISTORY] if path.is_dir() else [path]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """The turns behind a cursor (bytes).

    `ended`: whether nothing is written to the file any more; else the newest answer waits. Raises
    NotFound if the file cannot be read.
    """
    logged = next((bool(_EXCHANGE.fullmatch(t)) for _, t in _lines(file) if t.strip()), False)
    turns = _logged(_lines(file), ended) if logged else _told(file, _lines(file), ended)
    since = behind(after)
    directory = str(file.absolute().parent)
    for turn in turns:
        if turn.end <= since:
            continue
        if not turn.asked or not turn.answer.strip():
            yield NotUnderstood(str(turn.end), f"byte {turn.end}", "an answer without a question")
            continue
        yield _imported(turn, directory, whole=logged)


@dataclass(slots=True)
class _Turn:
    """A question and its answer."""

    begun: float
    ended: float
    key: str
    session: str
    end: int = 0
    model: str = "unknown"
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Role and text of each message."""
    answer: str = ""


def _imported(turn: _Turn, directory: str, *, whole: bool) -> ImportedTurn:
    provider, _, name = turn.model.partition("/")
    local = True if provider == "ollama_chat" else is_local(provider) if name else None
    model = (name if local and name else turn.model) or "unknown"
    return ImportedTurn(
        turn.key,
        str(turn.end),
        "/v1/chat/completions",
        {"model": model, "messages": [{"role": r, "content": t} for r, t in turn.asked]},
        {
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": turn.answer},
                    "finish_reason": "stop",
                }
            ]
        },
        turn.begun,
        turn.ended,
        model,
        local=local,
        whole=whole,
        session=turn.session,
        directory=directory,
    )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    for end, raw in raw_lines(file):
        if raw is not None:
            yield end, raw.decode("utf-8", "replace").replace("\r\n", "\n")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _local(stamp: str) -> float:
    form = "%Y-%m-%dT%H:%M:%S" if "T" in stamp else "%Y-%m-%d %H:%M:%S"
    try:
        return time.mktime(time.strptime(stamp, form))
    except (ValueError, OverflowError):
        return 0.0


# --- the history ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Session:
    """A session of the history as far as it is read."""

    began: float
    name: str
    model: str = "unknown"
    said: Conversation = field(default_factory=Conversation)
    typed: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    end: int = 0
    count: int = 0

    def finish(self) -> Iterator[_Turn]:
        """The turn, now that something else follows its answer."""
        answer, self.answer = "".join(self.answer).strip("\n"), []
        question, typed = _question("".join(self.typed)), bool(self.typed)
        if not answer.strip():
            return
        self.typed = []
        if typed and not question:
            return  # a command's own output
        if question:
            self.said.add({"role": "user", "content": question}, "prompt")
        at = self.began + self.count
        self.count += 1
        key = _digest(self.name, str(self.count), question, answer)
        asked = [(m["role"], m["content"]) for m in self.said.recent()] if question else []
        yield _Turn(at, at + 1.0, key, self.name, self.end, self.model, asked, answer)
        self.said.add({"role": "assistant", "content": answer}, "answer")


def _told(file: Path, lines: Iterable[tuple[int, str]], ended: bool) -> Iterator[_Turn]:
    place = str(file.absolute().parent)
    session, typing = _Session(0.0, _digest(place)), False
    for end, line in lines:
        if begins := _BEGIN.fullmatch(line.rstrip("\n")):
            yield from session.finish()
            session = _Session(_local(begins[1]), _digest(place, begins[1]))
        elif line.startswith("#### "):
            yield from session.finish()
            if not typing:  # lines typed at once follow one another
                session.typed = []
            session.answer = []
            session.typed.append(line[5:].rstrip() + "\n")
        elif line.startswith("> ") or line.rstrip() == ">":
            yield from session.finish()
            if model := _MODEL.match(line):
                session.model = model[1]
        else:
            session.answer.append(line)
            session.end = end
        typing = line.startswith("#### ")
    if ended:
        yield from session.finish()


def _question(typed: str) -> str:
    """What was asked of the model; empty for a command of aider's own."""
    typed = typed.strip("\n")
    if typed == "<blank>":
        return ""
    if not typed.startswith(("/", "!")):
        return typed
    return next((typed[len(c) :].strip() for c in _ASKS if typed.startswith(c)), "")


# --- the log of requests --------------------------------------------------------------------------


def _logged(lines: Iterable[tuple[int, str]], ended: bool) -> Iterator[_Turn]:
    asked: list[tuple[str, str]] = []
    asked_at = 0.0
    kind, at, end, block = "", 0.0, 0, list[str]()
    for line_end, line in chain(lines, [(0, None)] if ended else ()):
        mark = None if line is None else _EXCHANGE.fullmatch(line.rstrip("\n"))
        if mark is None and line is not None:
            block.append(line)
            end = line_end
            continue
        if kind == "TO LLM":
            asked, asked_at = _messages(block), at
        elif kind == "LLM RESPONSE":
            answer = "\n".join(text for _, text in _messages(block))
            key = _digest("log", str(at), *(t for _, t in asked), answer)
            session = _digest("log", *(t for role, t in asked[:2] if role == "system"))
            yield _Turn(asked_at or at, at, key, session, end, asked=asked, answer=answer)
        if mark is not None:
            kind, at, block = mark[1], _local(mark[2]), []


def _messages(block: list[str]) -> list[tuple[str, str]]:
    messages: list[tuple[str, list[str]]] = []
    fresh = True
    for line in block:
        if line.rstrip() == "-------":
            fresh = True
            continue
        role = next((r for r in _ROLES if line.startswith((f"{r} ", f"{r}\n"))), "")
        if not role:
            continue
        if fresh or not messages or messages[-1][0] != role.lower():
            messages.append((role.lower(), []))
            fresh = False
        messages[-1][1].append(line[len(role) :].removeprefix(" ").rstrip("\n"))
    return [(role, "\n".join(texts)) for role, texts in messages]
