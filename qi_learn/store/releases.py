"""Versions of the model and every move of the alias, as the events of `deploy/` reported them.

`deploy.json` decides what is live. This is the history.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from qi_learn import codec
from qi_learn.errors import NotFound
from qi_learn.records import Event, Release
from qi_learn.store import audit
from qi_learn.store.database import Store
from qi_learn.store.rows import columns, record, values

if TYPE_CHECKING:
    from qi_learn.redact import Redacted

Action = Literal["base", "released", "switched", "rolled_back", "retired"]


@dataclass(frozen=True, slots=True)
class Move:
    """Something done with a version: made, made live, gone back to, or deleted."""

    ts: float
    action: Action
    version: str
    alias: str | None
    previous: str | None
    """The version that was live before."""


def apply_release(store: Store, clean: Redacted[Event]) -> None:
    """Store a `release` event. Raises ValueError if its body is not as follows.

    Body: `{"action": "base|released|switched|rolled_back|retired", "release"?: Release, "version",
    "alias", "from"?}`.
    """
    event, body = clean.value, clean.value.body
    action, version = body.get("action"), body.get("version")
    if action not in get_args(Action):
        raise ValueError(f"{action!r} is nothing that is done with a release")
    release = codec.build(Release, body["release"]) if body.get("release") else None
    version = version or (release.version if release else None)
    if not isinstance(version, str) or (release is not None and release.version != version):
        raise ValueError(f"a release event whose version is {version!r}")
    with store.transaction():
        if release is not None:
            store.insert("releases", columns(Release), values(release), replace=True)
        if action == "retired":
            store.execute("UPDATE releases SET retired = ? WHERE version = ?", (event.ts, version))
        move = (event.id, event.ts, action, version, body.get("alias"), body.get("from"))
        store.insert("moves", ("id", "ts", "action", "version", "alias", "previous"), move)
        details = {
            "version": version,
            "alias": body.get("alias"),
            "from": body.get("from"),
            "digest": release.digest if release else None,
        }
        if action == "rolled_back" and isinstance(body.get("seconds"), (int, float)):
            details["seconds"] = body["seconds"]
        audit.append(
            store,
            event.ts,
            f"release {action}",
            {name: value for name, value in details.items() if value},
        )


def list_releases(store: Store) -> list[Release]:
    """Every version ever made, oldest first, deleted ones included (`retired_releases`)."""
    return [
        record(Release, row)
        for row in store.rows("SELECT * FROM releases ORDER BY created, version")
    ]


def load_release(store: Store, version: str) -> Release:
    """A version. Raises NotFound if there is no such version."""
    row = store.row("SELECT * FROM releases WHERE version = ?", (version,))
    if row is None:
        raise NotFound(f"There is no version {version}.", "`qi-learn versions` lists them.")
    return record(Release, row)


def retired_releases(store: Store) -> dict[str, float]:
    """The versions without files any more, and when those were deleted."""
    return {
        row["version"]: row["retired"]
        for row in store.rows(
            "SELECT version, retired FROM releases WHERE retired IS NOT NULL ORDER BY retired"
        )
    }


def rollback_seconds(store: Store) -> float | None:
    """How long the last rollback took; None if there was none, or it was not timed."""
    row = store.row(
        "SELECT body FROM audit WHERE what = 'release rolled_back' ORDER BY number DESC LIMIT 1"
    )
    seconds = json.loads(row["body"]).get("seconds") if row is not None else None
    return float(seconds) if seconds is not None else None


def list_moves(store: Store, *, limit: int = 100) -> list[Move]:
    """What was done with versions, newest first."""
    rows = store.rows("SELECT * FROM moves ORDER BY ts DESC, id DESC LIMIT ?", (limit,))
    return [
        Move(row["ts"], row["action"], row["version"], row["alias"], row["previous"])
        for row in rows
    ]
