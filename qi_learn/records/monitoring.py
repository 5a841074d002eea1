"""The live version compared with the one before it, on what came after it went live."""

from __future__ import annotations

from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class VersionPair:
    """Two versions that are compared, from when the newer one went live until another does."""

    id: str
    """Id of the event that told of the switch: the same two live again are another pair."""
    live: str
    previous: str
    """The version that a rollback would go to."""
    began: float


@dataclass(frozen=True, slots=True)
class MonitoredText:
    """A kept text under both files."""

    turn: str
    """Id of the turn that it is of."""
    tokens: int
    """Of the person's that were compared; 0 if the text could not be read."""
    live_nll: float = 0.0
    """Over those tokens, at the version's temperature."""
    previous_nll: float = 0.0


@dataclass(frozen=True, slots=True)
class MonitoredSession:
    """What one session's kept texts came to: it is counted once, when it is over."""

    pair: VersionPair
    session: str
    texts: tuple[MonitoredText, ...]
    live_temperature: float
    previous_temperature: float
    tokens_read: int
    """Evaluated for it, both files together, and since the session before it was told."""


@dataclass(frozen=True, slots=True)
class Monitored:
    """What is known of a pair."""

    pair: VersionPair
    sessions: int
    """With tokens that were compared."""
    texts: int
    tokens: int
    difference: float | None
    """Nats a token that the live version is worse by, over all of them; None without any."""
    worse: float
    """Evidence that it is worse (`e_process`)."""
    worse_highest: float
    """The most that this ever was, in the sessions that are still stored."""
    better: float
    """Evidence that it is better."""
    better_highest: float
    tokens_read: int
    updated: float
    live_temperature: float
    previous_temperature: float
