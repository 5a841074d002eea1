"""Kinds of keeping with changes: other names, hints, a part, out of memory."""

from __future__ import annotations

from scripts.benchmarks.labelling import styles
from scripts.benchmarks.labelling.likeness import likeness
from scripts.benchmarks.labelling.other_texts import need_edited, other_names, with_function
from scripts.benchmarks.labelling.play import NotPlayed, Play, Truth


def other_names_at_first(play: Play) -> Truth:
    code = other_names(play)
    turn = play.ask(code)
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def other_names_later(play: Play) -> Truth:
    code = other_names(play)
    turn = play.ask(code)
    play.take(turn, with_function(play, code))
    play.repo.save(play.sample.path, play.sample.after, after=120.0)
    play.repo.commit()
    play.settle()
    return play.taken("edited", turn)


def with_hints(play: Play) -> Truth:
    code = styles.without_hints(play.sample.new)
    need_edited(play, code, play.sample.new)
    turn = play.ask(code, after=with_function(play, code))
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def from_memory(play: Play) -> Truth:
    """Typed with other names and without a line."""
    sample = play.sample
    code = styles.renamed(sample.new, sample.language, sample.called, play.chance, 3)
    lines = code.split("\n")
    middle = len(lines) // 2
    code = "\n".join([*lines[:middle], lines[middle - 1], *lines[middle:]])
    least, most = 0.7, 0.95
    if not least <= likeness(code, sample.new, sample.language) <= most:
        raise NotPlayed
    turn = play.ask(code, after=sample.after)
    half = sample.after.index(sample.new) + len(sample.new) // 2
    play.repo.save(sample.path, sample.after[:half], after=60.0)
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def one_of_two(play: Play) -> Truth:
    sample = play.sample
    spare = styles.reindent(sample.spare, play.margin)
    code = play.chance.choice((f"{sample.new}\n{spare}", f"{spare}\n{sample.new}"))
    turn = play.ask(code, after=sample.after)
    play.take(turn)
    play.settle()
    return play.taken("edited", turn)


def half(play: Play) -> Truth:
    sample = play.sample
    code = styles.halved(sample.new, sample.language)
    if sample.fresh is False or not 0.3 <= likeness(code, sample.new, sample.language) <= 0.9:
        raise NotPlayed
    turn = play.ask()
    play.take(turn, with_function(play, code))
    play.settle()
    return play.taken("edited", turn, code, with_function(play, code))
