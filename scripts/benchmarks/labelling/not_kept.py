"""Kinds of not keeping: rejected with a sign of it, or another suggestion in its place."""

from __future__ import annotations

from scripts.benchmarks.labelling.other_texts import another_function, other_names, with_function
from scripts.benchmarks.labelling.play import Play, Truth


def undone(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.save(play.sample.path, play.sample.before, after=60.0)
    play.pass_time()
    return Truth(turn, "rejected", project=str(play.repo.root))


def restored(play: Play) -> Truth:
    """`git checkout -- FILE`."""
    turn = play.ask()
    play.take(turn)
    play.home.wait(60.0)
    play.repo.git("checkout", "-q", "--", play.sample.path)
    play.repo.until_text(play.sample.path, play.sample.before)
    play.pass_time()
    return Truth(turn, "rejected", project=str(play.repo.root))


def rewritten(play: Play) -> Truth:
    """In its place stands something else, by the person: the correction."""
    other = another_function(play)
    turn = play.ask()
    play.take(turn)
    play.repo.save(play.sample.path, with_function(play, other), after=240.0)
    play.repo.commit()
    play.settle()
    return Truth(turn, "rejected", project=str(play.repo.root))


def reverted(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.home.wait(120.0)
    play.repo.move_head("revert", "--no-edit", "HEAD")
    play.settle()
    return Truth(turn, "rejected", project=str(play.repo.root))


def reset(play: Play) -> Truth:
    turn = play.ask()
    play.take(turn)
    play.repo.commit()
    play.home.wait(120.0)
    play.repo.move_head("reset", "-q", "--hard", "HEAD~1")
    play.settle()
    return Truth(turn, "rejected", project=str(play.repo.root))


def declined(play: Play) -> Truth:
    turn = play.ask()
    play.home.wait(8.0)
    play.say(turn, "declined")
    play.work()
    play.pass_time()
    return Truth(turn, "rejected")


def rated_low(play: Play) -> Truth:
    turn = play.ask()
    play.home.rate(turn, 1)
    play.work()
    play.pass_time()
    return Truth(turn, "rejected")


def another_taken(play: Play) -> Truth:
    """Of two answers that say almost the same the second was pasted."""
    first = play.ask(other_names(play))
    second = play.ask()
    play.take(second)
    play.settle()
    play.pass_time()
    return Truth(first, "superseded", allowed=("unknown",))


def replaced_by_another(play: Play) -> Truth:
    """Pasted, and a second answer pasted over it."""
    other = other_names(play)
    first = play.ask()
    play.take(first)
    second = play.ask(other, before=play.sample.after, after=with_function(play, other))
    play.take(second, with_function(play, other))
    play.settle()
    play.pass_time()
    return Truth(first, "superseded", project=str(play.repo.root))
