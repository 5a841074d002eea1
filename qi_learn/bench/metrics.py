"""The numbers of continual learning, from one matrix R.

R[i][j] is the score on task j after stage i, here the share of target tokens predicted right. ACC,
BWT: Lopez-Paz and Ranzato 2017 (GEM); forgetting: Chaudhry et al. 2018. `retention` = 1 - |negative
BWT| / (learned - base): of what was learned over the base, the share that is still there at the
end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qi_learn.stats import mean

Matrix = Sequence[Sequence[float]]


def accuracy(matrix: Matrix) -> float:
    """ACC: the mean score over all tasks after the last stage."""
    return mean(matrix[-1])


def learned(matrix: Matrix) -> float:
    """The mean score on each task right after its own stage."""
    return mean([row[i] for i, row in enumerate(matrix)])


def backward_transfer(matrix: Matrix) -> float:
    """BWT: what later stages did to each earlier task on average.

    Below 0 is forgetting; NaN for a single stage.
    """
    return mean([matrix[-1][j] - matrix[j][j] for j in range(len(matrix) - 1)])


def forgetting(matrix: Matrix) -> float:
    """Best score of a task before the end minus its last one, averaged over all but the last task.

    NaN for a single stage. Scores that were not taken are NaN and do not count.
    """
    last = len(matrix) - 1
    return mean(
        [
            max(matrix[i][j] for i in range(j, last) if not math.isnan(matrix[i][j]))
            - matrix[last][j]
            for j in range(last)
        ]
    )


def retention(matrix: Matrix, base: Sequence[float]) -> float:
    """Share of the gain over `base` (scores before any training) that is left at the end.

    1.0 for a single stage, NaN if nothing was gained.
    """
    if len(matrix) < 2:
        return 1.0
    gain = learned(matrix) - mean(base)
    return 1.0 + min(0.0, backward_transfer(matrix)) / gain if gain > 0 else math.nan
