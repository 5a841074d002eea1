"""Completions at the cursor: taken, refused, and one for every key."""

from __future__ import annotations

from scripts.benchmarks.labelling.endpoints import completion
from scripts.benchmarks.labelling.play import NotPlayed, Play, Truth


def _gap(play: Play) -> tuple[str, str, str]:
    """What stands before the cursor, what is completed, what stands after it."""
    sample = play.sample
    at = sample.after.index(sample.new)
    lines = sample.new.split("\n")
    first = max(1, len(lines) // 3)
    head = "\n".join(lines[:first]) + "\n"
    middle = "\n".join(lines[first:-1])
    margin = middle[: len(middle) - len(middle.lstrip(" \t"))]
    prefix = sample.after[:at] + head + margin
    middle = middle[len(margin) :]
    return prefix, middle, sample.after[len(prefix) + len(middle) :]


def _complete(play: Play, prefix: str, middle: str, suffix: str) -> str:
    raw = play.chance.random() < 0.5
    play.repo.save(play.sample.path, prefix + suffix)
    exchange = completion(prefix, middle, suffix, raw=raw)
    return play.home.ask(exchange, play.repo.root, after=1.0)


def completion_kept(play: Play) -> Truth:
    prefix, middle, suffix = _gap(play)
    turn = _complete(play, prefix, middle, suffix)
    play.repo.save(play.sample.path, play.sample.after, after=5.0)
    play.settle()
    return Truth(turn, "kept", (middle,), str(play.repo.root))


def completion_refused(play: Play) -> Truth:
    """The person types something else at the cursor."""
    prefix, _, suffix = _gap(play)
    other = play.sample.spare.split("\n")
    middle = "\n".join(other[len(other) // 3 : -1]).strip()
    if len(middle) < 40:
        raise NotPlayed
    turn = _complete(play, prefix, middle, suffix)
    play.repo.save(play.sample.path, play.sample.after, after=40.0)
    play.settle()
    play.pass_time()
    return Truth(turn, "rejected", project=None)


def completion_per_key(play: Play) -> Truth:
    """The same completion at two keys, taken once: the first of them."""
    prefix, middle, suffix = _gap(play)
    first = _complete(play, prefix, middle, suffix)
    play.home.ask(completion(prefix, middle, suffix, raw=False), play.repo.root, after=0.4)
    play.repo.save(play.sample.path, play.sample.after, after=5.0)
    play.settle()
    play.pass_time()
    return Truth(first, "superseded", allowed=("unknown",))
