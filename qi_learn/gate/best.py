"""The best that any live version did on earlier work.

A candidate is held against that: compared with the version before alone, it could lose a little in
every cycle, for ever.

The numbers are those in the cache of what was measured (`cache`): a version was measured on a gate
set as a candidate, and on what became the old suite whenever it was the live one. A version that
was never measured on an example says nothing about it, nor does one measured by another llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from qi_learn.gate.cache import NllCache
from qi_learn.records import Example, SuiteNll


def best_of(
    examples: Sequence[Example],
    measured: Sequence[SuiteNll],
    *,
    directory: Path,
    digests: Iterable[str],
    build: str,
) -> tuple[float, ...]:
    """The lowest NLL of each example, in order.

    `measured`: the suite under versions that were live, measured now. `digests`: of the files of
    all others; `directory` and `build` as `NllCache` takes them. NaN if every number is none.
    """
    known = [NllCache(directory, digest, build) for digest in dict.fromkeys(digests) if digest]
    best = []
    for index, example in enumerate(examples):
        numbers = [suite.nll[index] for suite in measured]
        numbers += [n.nll for cache in known if (n := cache.text(example)) is not None]
        best.append(min((n for n in numbers if math.isfinite(n)), default=math.nan))
    return tuple(best)
