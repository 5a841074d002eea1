"""The person's own commits: what was written where, as a completion that nobody was asked for.

Lines that a commit put between two others become the question that a completion asks, the text
before and behind them, and what the person wrote is given as the correction. No model answered, so
there is no answer. Whose commits they are: those under the repository's `user.email`, no merges,
and none whose message names another author (`Co-authored-by:`) or says that a program wrote it.

Not covered: code that a program wrote and the message does not say so; lines that took others'
place (what stood there then was not this); files that are no source code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from qi_learn.errors import NotFound
from qi_learn.outside.git import text_at, top
from qi_learn.outside.git_log import AddedLines, AuthoredCommit, added_by, commits_by, own_email
from qi_learn.records import ImportedItem, ImportedTurn, ToolRating

MODEL = "none"
"""The name of the model that was asked."""
BEFORE, BEHIND = 6000, 2000
"""Characters of the file before and behind the lines."""
FEWEST, MOST = 2, 60
"""Lines of a block."""
LEAST = 40
"""Characters of a block, white space aside."""
_CODE = frozenset(
    (
        *(".py", ".pyi", ".js", ".jsx", ".mjs", ".ts", ".tsx", ".go", ".rs", ".java", ".kt"),
        *(".c", ".h", ".cc", ".cpp", ".hpp", ".cs", ".rb", ".php", ".swift", ".scala", ".lua"),
        *(".sh", ".bash", ".zsh", ".fish", ".sql", ".zig", ".ex", ".exs", ".erl", ".hs", ".ml"),
        *(".dart", ".jl", ".r", ".vue", ".svelte", ".css", ".scss", ".html"),
    )
)
_NOT_ALONE = re.compile(r"^\s*co-authored-by:|generated (?:with|by) ", re.IGNORECASE | re.MULTILINE)


def usual_place(home: Path, environment: Mapping[str, str]) -> Path:
    """The repository in which one is."""
    return Path()


def files(path: Path) -> list[Path]:
    """The repository that a path is in. Raises NotFound if git refuses to open it."""
    found = top(path) if path.is_dir() else None
    return [] if found is None else [found]


def read(file: Path, after: str, *, ended: bool) -> Iterator[ImportedItem]:
    """What the person wrote in commits behind a cursor (a commit), oldest first.

    Raises NotFound if git does not answer, or no address is set.
    """
    email = own_email(file)
    if not email:
        raise NotFound(
            f"git does not say who commits in {file}.", "`git config user.email ADDRESS`"
        )
    for commit in commits_by(file, email, after):
        if not _NOT_ALONE.search(commit.message):
            yield from _written(file, commit)


def _written(repository: Path, commit: AuthoredCommit) -> Iterator[ImportedItem]:
    texts: dict[str, list[str] | None] = {}
    for added in added_by(repository, commit.id):
        if Path(added.file).suffix.lower() not in _CODE:
            continue
        if not FEWEST <= added.count <= MOST:
            continue
        if added.file not in texts:
            text = text_at(repository, commit.id, added.file)
            texts[added.file] = None if text is None else _lines(text)
        if lines := texts[added.file]:
            yield from _block(repository, commit, added, lines)


def _lines(text: str) -> list[str]:
    """The lines as git counts them: a form feed, and what else Unicode has, ends none."""
    *ended, last = text.split("\n")
    return [*(f"{line}\n" for line in ended), *([last] if last else ())]


def _block(
    repository: Path, commit: AuthoredCommit, added: AddedLines, lines: list[str]
) -> Iterator[ImportedItem]:
    begin, end = added.first - 1, added.first - 1 + added.count
    written = "".join(lines[begin:end])
    before = "".join(lines[:begin])[-BEFORE:]
    if len("".join(written.split())) < LEAST or not before.strip():
        return
    key = f"{commit.id}:{added.file}:{added.first}"
    behind = "".join(lines[end:])[:BEHIND]
    how = {"suffix": behind} if behind.strip() else {"raw": True}
    yield ImportedTurn(
        key,
        commit.id,
        "/api/generate",
        {"model": MODEL, "prompt": before, **how},
        {"response": "", "done": True, "done_reason": "stop"},
        commit.ts,
        commit.ts,
        MODEL,
        whole=True,
        directory=str(repository),
    )
    yield ToolRating(key, commit.id, commit.ts, correction=written, comment="your own commit")
