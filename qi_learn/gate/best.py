"""What earlier work is held against: every version that was live and was measured on enough of it.

Compared with the version before alone, a candidate could lose a little in every cycle, for ever.

The numbers are those in the cache of what was measured (`cache`): a version was measured on a gate
set as a candidate, and on what became the old suite whenever it was the live one. A version that
was never measured on an example says nothing about it: the verdict says over how many versions the
best is.

Numbers of another llama.cpp or device are a little different ones, so of a version that was
measured on an example under another build only, its difference to the base is taken, within that
build, and added to what the base has now. Without it, whoever updates llama.cpp in every cycle
would forget a little in every cycle (0.18 nat in twelve), each time against the version before
alone.

A version with numbers of few examples is left out. What it is better by there is mostly chance, and
of many such versions some one always is: nothing could ever stand beside them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.gate.cache import NllCache
from qi_learn.records import Example

ENOUGH = 50
"""Examples that a version must have numbers of, or all that there are."""


@dataclass(frozen=True, slots=True)
class PastVersions:
    """What other versions than those measured now had on earlier work."""

    nll: tuple[tuple[float, ...], ...]
    """Of each version that has enough of them, for each example; NaN where it has none."""
    missing: int
    """How many others were live."""


def past_versions(
    examples: Sequence[Example],
    *,
    directory: Path,
    digests: Iterable[str],
    but: Iterable[str],
    build: str,
    base: str = "",
) -> PastVersions:
    """The numbers of every version that was live, but for those that are measured now.

    `digests`: of the files of all that were live, `but` of those measured now; `directory` and
    `build` as `NllCache` takes them. `base`: the digest of the file that is measured in every gate.
    """
    now = {"", *but}
    others = [digest for digest in dict.fromkeys(digests) if digest not in now]
    reference = NllCache(directory, base, build)
    caches = [NllCache(directory, digest, build) for digest in others]
    rows = [tuple(_nll(cache, reference, e) for e in examples) for cache in caches]
    kept = tuple(row for row in rows if _counts(row))
    return PastVersions(kept, len(rows) - len(kept))


def _nll(cache: NllCache, reference: NllCache, example: Example) -> float:
    """What a version has on an example, as it would be measured now; NaN if that is not known."""
    if (number := cache.text(example)) is not None:
        return number.nll
    here = reference.text(example)
    for build in reversed(cache.builds if here is not None else ()):
        there, then = cache.text(example, build), reference.text(example, build)
        if here is not None and there is not None and then is not None:
            return here.nll + (there.nll - then.nll)
    return math.nan


def _counts(nll: Sequence[float]) -> bool:
    known = sum(map(math.isfinite, nll))
    return 0 < known >= min(ENOUGH, len(nll))
