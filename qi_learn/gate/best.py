"""What earlier work is held against: the version that was best on it, of all that were live."""

from __future__ import annotations

import math
from collections.abc import Sequence


def best_of(versions: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The NLL of each example under the version with the lowest sum; empty if there is none.

    One version for the whole suite, not for each example the lowest of any: versions that are
    equally good differ on single examples, so that the lowest of several is one that no model ever
    had, and every harmless update would seem to have forgotten (decision
    00NN-the-person-decides). A version with a number that is none is left out.
    """
    measured = [tuple(nll) for nll in versions if all(map(math.isfinite, nll))]
    return min(measured, key=math.fsum, default=())
