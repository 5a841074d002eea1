"""Where a line stands in the files of a working tree, and what the branch was at a time."""

from __future__ import annotations

from pathlib import Path

from qi_learn.outside.git_call import ask, names


def files_with(directory: Path, line: str) -> tuple[str, ...]:
    """The files (relative to `directory`) with a line of text in them.

    Those that git does not ignore, tracked or not. Raises NotFound if git cannot answer,
    ToolMissing without git.
    """
    done = ask(directory, "grep", "--untracked", "-I", "-l", "-z", "-F", "-e", line, check=False)
    return names(done) if done.exit_code == 0 else ()


def commit_before(directory: Path, second: float) -> str | None:
    """The newest commit of the branch that was made before a time; None if there was none.

    Raises NotFound if git cannot answer, ToolMissing without git.
    """
    done = ask(directory, "rev-list", "-1", f"--before={int(second)}", "HEAD", check=False)
    return done.text.strip() or None if done.exit_code == 0 else None
