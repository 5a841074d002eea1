"""What is said of a process that does not answer: of one that hangs, and of one that is gone.

Every command, the gateway's answers and `doctor` take their words from here.
"""

from __future__ import annotations

from qi_learn.outside.listening import accepts
from qi_learn.record_class import dataclass


@dataclass(frozen=True, slots=True)
class Silence:
    """That something does not answer (no full stop at its end), and what to do about it."""

    what: str
    todo: str
    """Begins a sentence, without a full stop."""
    joint: str = "; "
    """What stands between the two on one line."""

    @property
    def line(self) -> str:
        """Both on one line, without a full stop."""
        return f"{self.what}{self.joint}{self.todo[0].lower()}{self.todo[1:]}"


def hanging(name: str, pid: int) -> Silence:
    """Of a process of ours that is there and does not answer: `daemon`, `gateway`, `engine`."""
    return Silence(
        f"The {name} is there (pid {pid}) and does not answer: it hangs",
        "`qi-learn daemon restart` ends it and starts another",
    )


def gone(url: str, *, engine: bool) -> Silence:
    """Of a server behind the gateway that is not there."""
    if engine:
        return Silence(
            f"The embedded engine does not answer at {url}",
            "It is started again by itself, else `qi-learn daemon restart`",
        )
    return Silence(
        f"Ollama does not answer at {url}",
        "Start it with `ollama serve`; if it listens elsewhere, set serve.ollama",
        ": ",
    )


def broken_off(url: str, reason: str, *, engine: bool) -> Silence:
    """Of a server that took a request and left before it answered."""
    name = "The embedded engine" if engine else "Ollama"
    return Silence(
        f"{name} at {url} broke off before it answered ({reason})", gone(url, engine=engine).todo
    )


def silence_of(url: str, *, engine: bool, pid: int) -> Silence:
    """Of a server behind the gateway that does not answer.

    `pid`: the engine's, 0 if its process is not there. An Ollama is asked whether it accepts.
    """
    if engine:
        return hanging("engine", pid) if pid else gone(url, engine=True)
    if not accepts(url):
        return gone(url, engine=False)
    return Silence(
        f"Ollama is there at {url} and does not answer: it hangs",
        "End it and start it again with `ollama serve`",
    )
