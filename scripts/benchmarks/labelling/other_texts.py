"""What else a person might have in a function's place, made from a sample."""

from __future__ import annotations

from scripts.benchmarks.labelling import styles
from scripts.benchmarks.labelling.likeness import likeness
from scripts.benchmarks.labelling.play import NotPlayed, Play

HALF_LIKE = (0.5, 0.97)
"""Between these a text is an edited one; nearer to either end nobody could be sure."""


def need_edited(play: Play, suggested: str, stands: str) -> None:
    """Raises NotPlayed if what stands is no edit of what was suggested."""
    least, most = HALF_LIKE
    if not least <= likeness(suggested, stands, play.sample.language) <= most:
        raise NotPlayed


def other_names(play: Play, count: int = 2) -> str:
    sample = play.sample
    text = styles.renamed(sample.new, sample.language, sample.called, play.chance, count)
    need_edited(play, text, sample.new)
    return text


def with_function(play: Play, function: str) -> str:
    """The file with another text of the function."""
    return play.sample.after.replace(play.sample.new, function, 1)


def another_function(play: Play) -> str:
    """Another function under the name of this one: written anew, by nobody's suggestion."""
    sample = play.sample
    text = styles.reindent(sample.spare, play.margin)
    text = text.replace(sample.spare_called, sample.called)
    if likeness(text, sample.new, sample.language) > 0.35:
        raise NotPlayed
    return text
