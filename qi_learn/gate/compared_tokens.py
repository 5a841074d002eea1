"""Which tokens two versions are compared on: what the person wrote, but for where they began.

The first token of each part that the person wrote is left out. The person began there because of
what a model had answered. Where it answered otherwise it finds that token unlikely, and a version
as good would not: that one would look better without being so, by 0.016 nat a token where it was
measured (decision 0070). So it is in what was kept after a version shipped, and in fresh work.

A text that is the person's as a whole loses its first token too. Written by hand it says nothing
about any version's answer, and one token of it less is no loss; written anew in the place of an
answer it begins where that one was rejected, and an example does not say which of the two it is.

A part of one token is left out whole, and an example of which nothing is left is compared on
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from qi_learn.records import Example


def as_compared(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The examples, with the mask of what is compared in the place of what the person wrote."""
    return tuple(replace(e, person_mask=e.compared_mask) if e.person_mask else e for e in examples)
