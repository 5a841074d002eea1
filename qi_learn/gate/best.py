"""What earlier work is held against: every version that was live and was measured on enough of it.

Compared with the version before alone, a candidate could lose a little in every cycle, for ever.

The numbers are those in the cache of what was measured (`cache`): a version was measured on a gate
set as a candidate, and on what became the old suite whenever it was the live one. A version that
was never measured on an example says nothing about it, nor does one measured by another llama.cpp
or on another device: the verdict says over how many versions the best is.

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
) -> PastVersions:
    """The numbers of every version that was live, but for those that are measured now.

    `digests`: of the files of all that were live, `but` of those measured now; `directory` and
    `build` as `NllCache` takes them.
    """
    now = {"", *but}
    others = [digest for digest in dict.fromkeys(digests) if digest not in now]
    caches = [NllCache(directory, digest, build) for digest in others]
    rows = [tuple(n.nll if (n := c.text(e)) else math.nan for e in examples) for c in caches]
    kept = tuple(row for row in rows if _counts(row))
    return PastVersions(kept, len(rows) - len(kept))


def _counts(nll: Sequence[float]) -> bool:
    known = sum(map(math.isfinite, nll))
    return 0 < known >= min(ENOUGH, len(nll))
