"""What earlier work is held against: the version that was best on it, of all that were live.

Compared with the version before alone, a candidate could lose a little in every cycle, for ever.

The numbers are those in the cache of what was measured (`cache`): a version was measured on a gate
set as a candidate, and on what became the old suite whenever it was the live one. A version that
was never measured on an example says nothing about it, nor does one measured by another llama.cpp
or on another device: the verdict says over how many versions the best is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.gate.cache import NllCache
from qi_learn.records import Example, SuiteNll


@dataclass(frozen=True, slots=True)
class BestKnown:
    """What earlier work is held against."""

    nll: tuple[float, ...]
    """Of each example; NaN if no version has a number."""
    versions: int
    """How many have numbers, where they are fewest."""
    missing: int
    """How many others were live and have none there."""


def best_known(
    examples: Sequence[Example],
    measured: Mapping[str, SuiteNll],
    *,
    directory: Path,
    digests: Iterable[str],
    build: str,
) -> BestKnown:
    """The NLL of each example under the version that was best on it and its like.

    Its like are the examples that the same versions were measured on: the gate set of one cycle,
    mostly. `measured`: the suite under versions that were live, measured now, by the digest of
    their files. `digests`: of the files of all that were live; `directory` and `build` as
    `NllCache` takes them.
    """
    others = [digest for digest in dict.fromkeys(digests) if digest and digest not in measured]
    caches = [NllCache(directory, digest, build) for digest in others]
    versions = [list(suite.nll) for suite in measured.values()]
    versions += [[n.nll if (n := c.text(e)) else math.nan for e in examples] for c in caches]
    alike: dict[tuple[bool, ...], list[int]] = defaultdict(list)
    for index in range(len(examples)):
        alike[tuple(math.isfinite(nll[index]) for nll in versions)].append(index)
    best = [math.nan] * len(examples)
    for indices in alike.values():
        lowest = best_of([[nll[index] for index in indices] for nll in versions])
        for index, nll in zip(indices, lowest, strict=False):
            best[index] = nll
    fewest = min((sum(known) for known in alike), default=0)
    return BestKnown(tuple(best), fewest, len(versions) - fewest)


def best_of(versions: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The NLL of each example under the version with the lowest sum; empty if there is none.

    One version for the whole suite, not for each example the lowest of any: versions that are
    equally good differ on single examples, so that the lowest of several is one that no model ever
    had, and every harmless update would seem to have forgotten (decision
    0067-the-person-decides). A version with a number that is none is left out.
    """
    measured = [tuple(nll) for nll in versions if all(map(math.isfinite, nll))]
    return min(measured, key=math.fsum, default=())
