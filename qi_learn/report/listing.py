"""What was recorded and which versions there are.

Read-only lists for `qi-learn log` and `qi-learn versions`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from qi_learn.deploy.journal import load_deployment
from qi_learn.deploy.taint import forgotten_in
from qi_learn.paths import Paths
from qi_learn.store.database import open_store
from qi_learn.store.turn_lines import SEARCHED, TurnLine, list_turns, searched_since


def turns(
    paths: Paths,
    *,
    limit: int,
    query: str | None = None,
    project: str | None = None,
    since: float | None = None,
) -> list[TurnLine]:
    """The newest turns first, down to `since`.

    Raises StoreError if there is no database yet, or it cannot be read.
    """
    with open_store(paths.database, readonly=True) as store:
        return list_turns(store, limit=limit, query=query, project=project, since=since)


def search_ends(paths: Paths, *, project: str | None = None) -> float | None:
    """Since when a search looks at turns; None if it looks at every one."""
    with open_store(paths.database, readonly=True) as store:
        return searched_since(store, project=project)


def as_text(lines: Sequence[TurnLine], *, chosen: bool = False, since: float | None = None) -> str:
    """One line for each turn: id, time, model, rating, score, question.

    `chosen`: only turns of a kind were asked for; `since`: older ones were not looked at.
    """
    if since is not None:
        looked = (
            f"Looked through the newest {SEARCHED} turns, since {clock(since)}; --all looks "
            "through every one."
        )
        return "\n".join([*map(_line, lines), looked])
    if lines:
        return "\n".join(_line(t) for t in lines)
    if chosen:
        return "No turn is like that."
    return (
        "Nothing was recorded yet: point a tool at the gateway (`qi-learn status` says where it "
        "is)."
    )


def _line(t: TurnLine) -> str:
    rated = f"{t.rating}/5" if t.rating is not None else "  -"
    score = f"{t.target_score:.2f}" if t.target_score is not None else "   -"
    state = "(cancelled) " if t.cancelled else "" if t.status == 200 else f"({t.status}) "
    state += "(never learned) " if t.never_learn else ""
    state += "(its texts have expired) " if t.texts_gone is not None else ""
    return (
        f"{t.id}  {clock(t.started)}  {one_line(t.model):24.24}  {rated}  {score}  "
        f"{state}{one_line(t.question):.80}"
    )


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
    return "\n".join(
        f"{'->' if v.live else '  '} v{v.version:8} {v.model:28} {clock(v.created)}  {_origin(v)}"
        for v in listed
    )


def _origin(v: VersionLine) -> str:
    origin = (
        "the base's own weights" if v.run_id is None else f"on top of v{v.parent}, run {v.run_id}"
    )
    return (
        origin
        + (", pinned" if v.pinned else "")
        + ("" if v.available else "; its model was deleted")
        + (f"; {saw_forgotten(v.forgot)}" if v.forgot else "")
    )


def saw_forgotten(count: int) -> str:
    """The mark of a version that saw what was forgotten since."""
    return f"saw {count} answer{' that was' if count == 1 else 's that were'} forgotten"


def clock(ts: float) -> str:
    """Local date and time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(ts))


def one_line(text: str) -> str:
    """A recorded text for the terminal, on one line.

    White space is single blanks, and there are no control characters, which could be commands to
    the terminal.
    """
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split())
    )
