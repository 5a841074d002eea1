"""What was recorded and which versions there are.

Read-only lists for `qi-learn log` and `qi-learn versions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from qi_learn.daemon.untaken import Untaken
from qi_learn.daemon.untaken import waiting_answers as waiting_answers  # for the face
from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.taint import forgotten_in
from qi_learn.errors import StoreError
from qi_learn.paths import Paths
from qi_learn.record_class import dataclass
from qi_learn.report.turn_table import turn_table
from qi_learn.report.words import clock, saw_forgotten
from qi_learn.store.database import open_store
from qi_learn.store.short_ids import short_id
from qi_learn.store.turn_lines import SEARCHED, TurnLine, list_turns, searched_since

NONE = Untaken()


def turns(
    paths: Paths,
    *,
    limit: int,
    query: str | None = None,
    project: str | None = None,
    since: float | None = None,
) -> list[TurnLine]:
    """The newest turns first, down to `since`.

    Raises StoreError if there is no database yet (with what waits for one), or it cannot be read.
    """
    if not paths.database.exists() and (waiting := waiting_answers(paths)).count:
        raise StoreError("Nothing was taken into a database yet.", waiting_text(waiting))
    with open_store(paths.database, readonly=True) as store:
        return list_turns(store, limit=limit, query=query, project=project, since=since)


def search_ends(paths: Paths, *, project: str | None = None) -> float | None:
    """Since when a search looks at turns; None if it looks at every one."""
    with open_store(paths.database, readonly=True) as store:
        return searched_since(store, project=project)


def as_text(
    lines: Sequence[TurnLine],
    *,
    chosen: bool = False,
    since: float | None = None,
    waiting: Untaken = NONE,
    width: int | None = None,
) -> str:
    """A heading and one line for each turn, in `width` columns if that is given.

    `chosen`: only turns of a kind were asked for; `since`: older ones were not looked at;
    `waiting`: as many more are recorded and not taken in.
    """
    told = turn_table(lines, width) if lines else []
    if since is not None:
        told.append(
            f"Looked through the newest {SEARCHED} turns, since {clock(since)}; --all looks "
            "through every one."
        )
    elif not lines and chosen:
        told.append("No turn is like that.")
    elif not lines and not waiting.count:
        told.append(
            "Nothing was recorded yet: point a tool at the gateway (`qi-learn status` says where "
            "it is)."
        )
    if waiting.count:
        told.append(waiting_text(waiting))
    return "\n".join(told)


def waiting_text(waiting: Untaken) -> str:
    """That answers wait in the spool for a daemon."""
    one = waiting.count == 1
    if waiting.runs:
        return (
            "1 answer is being taken in." if one else f"{waiting.count} answers are taken in now."
        )
    words = "1 answer waits and is" if one else f"{waiting.count} answers wait and are"
    when = "is well again: it hangs" if waiting.hangs else "runs"
    return f"{words} listed once the daemon {when}: {waiting.todo}."


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version as `qi-learn versions` lists it."""

    version: str
    model: str
    created: float
    live: bool
    place: int | None
    """Position in the chain of versions that were live, oldest first; None if it is not in it."""
    pinned: bool
    available: bool
    """Whether the server still has its model, so that one can go back to it."""
    parent: str | None
    run_id: str | None
    digest: str
    forgot: int = 0
    """The number of turns in the data sets behind it that were forgotten since."""


def versions(paths: Paths) -> list[VersionLine]:
    """Every version there is, oldest first.

    Raises NotFound if `qi-learn init` was never run, StoreError if the journal is damaged.
    """
    deployment = load_deployment(paths)
    position = {version: i for i, version in enumerate(deployment.chain)}
    return [
        VersionLine(
            version=r.version,
            model=r.model,
            created=r.created,
            live=r.version == deployment.live,
            place=position.get(r.version),
            pinned=r.pinned,
            available=r.version not in deployment.retired,
            parent=r.parent,
            run_id=r.run_id,
            digest=r.digest,
            forgot=forgotten_in(deployment, r.version),
        )
        for r in deployment.releases
    ]


def versions_text(listed: Sequence[VersionLine]) -> str:
    """One line for each version; the live one is marked."""
    runs = [v.run_id for v in listed if v.run_id is not None]
    model = max((len(v.model) for v in listed), default=0)
    return "\n".join(
        f"{'->' if v.live else '  '} v{v.version:8} {v.model:{model}}  {clock(v.created)}  "
        f"{_origin(v, runs)}"
        for v in listed
    )


def _origin(v: VersionLine, runs: Sequence[str]) -> str:
    if v.run_id is None:
        origin = "the base's own weights"
    else:
        run = short_id(v.run_id, *(other for other in runs if other != v.run_id))
        origin = f"on top of v{v.parent}, run {run}"
    return (
        origin
        + (", pinned" if v.pinned else "")
        + ("" if v.available else "; its model was deleted")
        + (f"; {saw_forgotten(v.forgot)}" if v.forgot else "")
    )
