"""Many contents from git's store in one process: `git cat-file --batch`, read as it comes.

Nothing is kept in memory but the content at hand. What is larger than asked for is skipped before
it is read. What the repository does not have (a partial clone) is missing: it is not fetched.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from qi_learn.errors import NotFound
from qi_learn.outside.git_call import ask, command, environment
from qi_learn.outside.process import kill_group, start


def commit_before(directory: Path, when: float) -> str | None:
    """The newest commit of HEAD's history that was made before a time (Unix seconds), if any.

    Raises NotFound if git refuses.
    """
    options = ("-1", f"--before={int(when)}", "HEAD")
    done = ask(directory, "rev-list", *options, check=False)
    return done.text.strip() or None if done.exit_code == 0 else None


def newest_commit(directory: Path) -> tuple[str, int] | None:
    """The commit of HEAD and when it was made (Unix seconds); None if there is none.

    Raises NotFound if git refuses.
    """
    done = ask(directory, "rev-list", "-1", "--timestamp", "HEAD", check=False)
    made, _, commit = done.text.strip().partition(" ")
    return (commit, int(made)) if done.exit_code == 0 and commit else None


def sizes(directory: Path, blobs: Sequence[str]) -> dict[str, int | None]:
    """The size of each content in bytes; None for one that the repository does not have.

    Raises NotFound if git refuses.
    """
    if not blobs:
        return {}
    form = "--batch-check=%(objectname) %(objectsize)"
    answer = ask(directory, "cat-file", form, "--buffer", given=_lines(blobs)).text
    answers = (line.split(" ") for line in answer.splitlines())
    return {blob: None if size == "missing" else int(size) for blob, size in answers}


def contents(directory: Path, blobs: Sequence[str], *, timeout: float) -> Iterator[bytes]:
    """The contents with these ids, in their order.

    Raises NotFound if one is not there, or if it took longer than `timeout` seconds.
    """
    if not blobs:
        return
    process = start(
        command("cat-file", "--batch", "--buffer"),
        cwd=directory,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    over = threading.Timer(timeout, kill_group, (process.pid,))
    writer = threading.Thread(target=_write, args=(process.stdin, _lines(blobs)), daemon=True)
    over.start()
    writer.start()
    assert process.stdout is not None
    try:
        for blob in blobs:
            yield _next(process.stdout, blob, directory)
    finally:
        over.cancel()
        kill_group(process.pid)
        process.wait()
        writer.join()
        process.stdout.close()


def _next(output: IO[bytes], blob: str, directory: Path) -> bytes:
    """The next content: a line `id type size`, that many bytes, and a line feed."""
    head = output.readline().decode("ascii", "replace").split()
    if len(head) != 3 or head[0] != blob:
        reason = " ".join(head) or "it ended or took too long"
        raise NotFound(
            f"git cannot read {blob} in {directory}: {reason}",
            f"Try it yourself: git -C {directory} cat-file -p {blob}",
        )
    content = output.read(int(head[2]))
    output.read(1)
    return content


def _write(pipe: IO[bytes] | None, given: bytes) -> None:
    assert pipe is not None
    with suppress(BrokenPipeError), pipe:
        pipe.write(given)


def _lines(blobs: Sequence[str]) -> bytes:
    return "".join(f"{blob}\n" for blob in blobs).encode("ascii")
