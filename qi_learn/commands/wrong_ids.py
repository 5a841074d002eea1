"""What is said of an id that names no answer: it is too short, unknown, or of something else."""

from __future__ import annotations

from qi_learn.deploy.version import is_version
from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.rundir.directory import run_directories
from qi_learn.store.short_ids import names, no_such_answer


def no_answer(paths: Paths, text: str) -> NotFound:
    """The error for an id that names no answer that was recorded."""
    try:
        refuse_other_kind(paths, text)
    except NotFound as error:
        return error
    return no_such_answer(text)


def refuse_other_kind(paths: Paths, text: str) -> None:
    """Raise NotFound for the id of a run, or a version."""
    if is_version(text):
        kind = "version of the model"
    elif any(names(text, run.run_id) for run in run_directories(paths.runs)):
        kind = "run of learning"
    else:
        return
    raise NotFound(
        f"{text} is a {kind}, and no answer.",
        f"`qi-learn explain {text}` shows it, `qi-learn log` lists answers.",
    )
