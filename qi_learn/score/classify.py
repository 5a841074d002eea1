"""What kind of turn it was: R2's learning type, complexity and domain, by rules that can be read.

Pure: the same turn gives the same classes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from qi_learn.code_text import code_blocks
from qi_learn.lexer import code_tokens
from qi_learn.records import Complexity, LearningType, Turn

_TRACE = re.compile(
    r"Traceback \(most recent call last\)|^[ \t]*(?:\w+\.)*\w*(?:Error|Exception): |panicked at"
    r"|error(?:\[E\d+\])?:|FAILED |Segmentation fault",
    re.MULTILINE,
)
_DEBUG = re.compile(
    r"\b(?:bug|fix(?:es|ed)?|debug|broken|crash(?:es|ed)?|fail(?:s|ed|ing)?|does(?:n't| not) work"
    r"|wrong result|why (?:does|is|do))\b",
    re.IGNORECASE,
)
_DESIGN = re.compile(
    r"\b(?:architecture|design|structure|organi[sz]e|refactor|split (?:up|into)|module layout"
    r"|schema|trade-?offs?|pattern|dependencies)\b",
    re.IGNORECASE,
)
_WRITE = re.compile(
    r"\b(?:write|implement|add|create|complete|generate|port|translate|convert)\b", re.IGNORECASE
)
_PATH = re.compile(r"[\w./-]+")
_FILE = re.compile(
    r"[\w./-]*[\w-]\.(?:py|pyi|js|jsx|ts|tsx|go|rs|java|kt|c|h|cc|cpp|hpp|rb|php|sh|sql|html|css"
    r"|toml|yaml|yml|json|md)\b"
)

LANGUAGES = {
    "py": "python", "pyi": "python", "js": "javascript", "jsx": "javascript", "ts": "typescript",
    "tsx": "typescript", "go": "go", "rs": "rust", "java": "java", "kt": "kotlin", "c": "c",
    "h": "c", "cc": "c++", "cpp": "c++", "hpp": "c++", "rb": "ruby", "php": "php", "sh": "shell",
    "sql": "sql", "html": "html", "css": "css", "toml": "configuration", "yaml": "configuration",
    "yml": "configuration", "json": "configuration", "md": "prose",
}  # fmt: skip
ALIASES = {
    "python3": "python",
    "javascript": "javascript",
    "typescript": "typescript",
    "golang": "go",
    "rust": "rust",
    "bash": "shell",
    "zsh": "shell",
    "c++": "c++",
}

SIMPLE_TOKENS, COMPLEX_TOKENS = 80, 400
"""Code tokens of the answer: up to the first simple, from the second on complex."""


@dataclass(frozen=True, slots=True)
class Classes:
    """What kind of turn it was."""

    learning_type: LearningType
    complexity: Complexity
    domain: str
    """The language, and `tests` behind it if the turn was about tests: `python`, `python tests`;
    `general` if nothing tells.
    """
    tools: tuple[str, ...]
    """Names of the tools that the answer called or the conversation shows results of."""


def classify(turn: Turn) -> Classes:
    """The classes of a turn."""
    question = _question(turn)
    files = _files(question)
    return Classes(
        _learning_type(turn, question),
        _complexity(turn, files),
        _domain(turn, question, files),
        _tools(turn),
    )


def _question(turn: Turn) -> str:
    """The last question: the newest message of a person, else the prompt.

    One message of several parts became several in a row (`content.py`): all of them are asked.
    """
    question: list[str] = []
    for message in reversed(turn.messages):
        if message.role in ("user", "prompt"):
            question.append(message.content)
        elif question:
            break
    return "\n".join(reversed(question))


def _files(question: str) -> list[str]:
    """The names of files in the question.

    Path by path, so that a text without an end (a key, a blob) costs no more than its length.
    """
    found = (_FILE.match(path.group()) for path in _PATH.finditer(question))
    return [match.group() for match in found if match is not None]


def _learning_type(turn: Turn, question: str) -> LearningType:
    if (
        turn.endpoint in ("/v1/completions",)
        or turn.request.get("raw")
        or turn.request.get("suffix")
    ):
        return "code_generation"
    if _TRACE.search(question) or (_DEBUG.search(question) and not _WRITE.search(question)):
        return "debugging"
    if _DESIGN.search(question) and not _WRITE.search(question):
        return "architecture"
    return (
        "code_generation"
        if code_blocks(turn.answer) or _WRITE.search(question)
        else "problem_solving"
    )


def _complexity(turn: Turn, files: Sequence[str]) -> Complexity:
    size = sum(len(code_tokens(b.text)) for b in code_blocks(turn.answer)) or len(
        turn.answer.split()
    )
    spread = len(set(files))
    if size >= COMPLEX_TOKENS or spread >= 4:
        return "complex"
    return "simple" if size <= SIMPLE_TOKENS and spread <= 1 else "medium"


def _domain(turn: Turn, question: str, files: Sequence[str]) -> str:
    named = [LANGUAGES[PurePosixPath(f).suffix[1:]] for f in files]
    fenced = [_language(b.language) for b in code_blocks(turn.answer) if b.language]
    languages = [name for name in (*fenced, *named) if name]
    if not languages:
        return str(turn.context.get("language") or "general").lower()
    language = max(dict.fromkeys(languages), key=languages.count)
    tests = any("test" in PurePosixPath(f).name.lower() for f in files) or re.search(
        r"\b(?:unit ?tests?|pytest|test case)\b", question, re.IGNORECASE
    )
    return f"{language} tests" if tests else language


def _language(info: str | None) -> str:
    name = (info or "").lower()
    return (
        ALIASES.get(name)
        or LANGUAGES.get(name)
        or (name if name in set(LANGUAGES.values()) else "")
    )


def _tools(turn: Turn) -> tuple[str, ...]:
    extras = (turn.answer_extra, *(m.extra for m in turn.messages))
    called = [
        call.get("function", {}).get("name")
        for extra in extras
        for call in extra.get("tool_calls") or []
    ]
    answered = [m.extra.get("tool_name") for m in turn.messages if m.role == "tool"]
    return tuple(dict.fromkeys(str(name) for name in (*called, *answered) if name))
