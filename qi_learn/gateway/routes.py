"""Which model answers a request.

`routes.json` is written by `deploy` alone (renamed into place) and read here whenever it has
changed. The invariant: a request for a name that the live version answers for gets one complete,
gated model, before, during and after a switch. A file that cannot be read changes nothing: the last
good one stays, and `RouteFile.problem` says so. If there is no file, nothing is routed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qi_learn.errors import ServerError
from qi_learn.outside.ollama_names import parse_name

FORMAT = 1
CLOUD = (":cloud", "-cloud")


@lru_cache(maxsize=1024)
def normalise(name: str) -> str | None:
    """A model's name as Ollama compares it (default registry, `:latest`, case).

    None for a name that Ollama would refuse.
    """
    try:
        return parse_name(name).key
    except ServerError:
        return None


def is_cloud(name: str) -> bool:
    """Whether the name means a model that runs elsewhere.

    Such a model's answers are not recorded: their licence may forbid learning from them.
    """
    return name.strip().lower().endswith(CLOUD)


@dataclass(frozen=True, slots=True)
class Arm:
    """A version that answers a share of the sessions, for comparison with the live one.

    Nothing writes arms yet.
    """

    model: str
    share: float
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Answering:
    """The model that answers a request."""

    model: str
    digest: str | None
    pinned: bool = False
    """Whether that very version was asked for: then nothing else may answer."""


@dataclass(frozen=True, slots=True)
class Routes:
    """One `routes.json`. `names` are normalised."""

    names: frozenset[str]
    live: Answering
    arms: tuple[Arm, ...] = ()
    salt: str = ""
    alias: str = ""
    answer_for: tuple[str, ...] = ()
    """The names as they are written: those that are models of the server's own."""

    def covers(self, asked: str) -> bool:
        """Whether the live version answers for this name."""
        return normalise(asked) in self.names

    def answering(self, asked: str, key: Callable[[], str]) -> Answering | None:
        """The model that answers for a name; None if the name means itself.

        `key` names the session or conversation: one key always meets the same arm. `name@v1.1.0`
        means that version.
        """
        if (pinned := self._pinned(asked)) is not None:
            return pinned
        if not self.covers(asked):
            return None
        if not self.arms:
            return self.live
        digest = hashlib.sha256(f"{self.salt}\0{key()}".encode("utf-8", "replace")).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        for arm in self.arms:
            if point < arm.share:
                return Answering(arm.model, arm.digest)
            point -= arm.share
        return self.live

    def _pinned(self, asked: str) -> Answering | None:
        """The version that a routed name is pinned to; None if it is not pinned."""
        name, at, tag = asked.rpartition("@")
        if not at or not self.covers(name):
            return None
        try:
            return Answering(str(parse_name(self.alias).tagged(tag)), None, pinned=True)
        except ServerError:
            return None

    def stand_ins(self, asked: str) -> tuple[str, ...]:
        """What answers if the routed model is missing on the server, the best first.

        The name that was asked for, if it is a model of its own; else the base's own name; at last
        the base's version.
        """
        own = [name for name in self.answer_for if normalise(name) == normalise(asked)]
        first = re.sub(r"^(v?\d+)\..*", r"\1.0.0", parse_name(self.live.model).tag)
        base = str(parse_name(self.live.model).tagged(first))
        names = {normalise(name): name for name in (*own, *self.answer_for, base)}
        names.pop(normalise(self.live.model), None)
        return tuple(names.values())


def build_routes(value: Any) -> Routes:
    """Routes from the file's JSON value. Raises ValueError, which says what is wrong."""
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        raise ValueError(f"not a routes file of format {FORMAT}")
    alias, answer_for = _name(value, "alias"), tuple(_names(value.get("answer_for", [])))
    names = frozenset(name for name in map(normalise, (alias, *answer_for)) if name)
    arms = tuple(
        Arm(_name(arm, "model"), _share(arm), arm.get("digest") or None)
        for arm in value.get("arms") or []
    )
    if sum(arm.share for arm in arms) > 1.0 + 1e-9:
        raise ValueError("the arms' shares add up to more than 1")
    live = Answering(_name(value, "live"), value.get("digest") or None)
    return Routes(names, live, arms, str(value.get("salt", "")), alias, answer_for)


class RouteFile:
    """The routes file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = str(path)
        self._seen: tuple[int, int, int] | None = None
        self._routes: Routes | None = None
        self.problem: str | None = None
        """Why the file cannot be used."""

    def current(self) -> Routes | None:
        """The routes as they are now; None if nothing is routed."""
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            self._seen = self._routes = self.problem = None
            return None
        except OSError as error:
            self.problem = f"{self._path} cannot be read: {error}"
            return self._routes
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            self._seen = seen
            self._read()
        return self._routes

    def _read(self) -> None:
        try:
            self._routes = build_routes(json.loads(self._path.read_text(encoding="utf-8")))
            self.problem = None
        except (OSError, ValueError, RecursionError) as error:
            self.problem = f"{self._path} cannot be used: {error}"


def _name(value: Any, key: str) -> str:
    name = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(name, str) or normalise(name) is None:
        raise ValueError(f"`{key}` is not a model's name")
    return name


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("`answer_for` is not a list of names")
    return value


def _share(arm: Mapping[str, Any]) -> float:
    share = arm.get("share")
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise ValueError(f"the share {share!r} is not between 0 and 1")
    return float(share)
