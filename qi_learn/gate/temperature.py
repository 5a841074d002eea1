"""The temperature at which a model finds given text likeliest (rule 2).

It is one number, and the model's logits are divided by it. Two models are compared on the person's
tokens each at its own temperature. A model whose logits
are all multiplied by one factor writes the same answers as before; its temperature is the same
factor larger, so its NLL there is the same too, and sharpening alone is never an improvement.

The NLL of a text as a function of b = 1 / T is convex: its slope at b is the expected logit minus
the token's own, summed over tokens, and the slope's slope is the logits' variance. Both are taken
at `GRID` in one reading; between two of them the slope is their cubic (Hermite), whose root is
found to the last bit. What that leaves: T of a copy with logits x 1.05 was 1.05 times as large to
within 1e-6.

It is fitted on the person's tokens, which it is for: a model that became surer of its own words
alone would else have a larger T, at which text that it was too sure of looks likelier. All other
tokens together weigh as much as `OTHERS` tokens, so that a few that the person wrote and all of
which are the likeliest do not lead to an end of the grid.

Not covered: a model that is surer of one kind of the person's text alone. There is one temperature
a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qi_learn.records import Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = tuple(step / 16 for step in range(1, 49))
"""Where the slope is taken, as 1 / T: temperatures from 16 down to 1/3."""
OTHERS = 32.0
"""What all tokens of others count for together, in tokens of the person's."""


class TemperatureFit:
    """Takes the logits in front of each token, and gives the temperature in the end."""

    def __init__(self, others: int) -> None:
        """`others`: how many tokens of others than the person there will be."""
        self._slope = [0.0] * len(GRID)
        self._bend = [0.0] * len(GRID)
        self._share = min(1.0, OTHERS / others) if others else 1.0
        self.tokens = 0

    @classmethod
    def of(cls, examples: Sequence[Example]) -> TemperatureFit:
        """The fit that will take these examples' target tokens."""
        return cls(sum(len(e.target_ids) - sum(e.person_mask) for e in examples))

    def take(self, logits: NDArray[np.float32], token: int, is_persons: bool) -> None:
        """Add one token (shape of `logits`: (vocabulary,))."""
        import numpy as np

        part = 1.0 if is_persons else self._share

        below = logits - logits.max()
        squares, own = below * below, float(below[token])
        step = np.exp(below * np.float32(GRID[0]))
        weights = step.copy()  # exp(b * below), from one point of the grid to the next
        for index in range(len(GRID)):
            if index:
                weights *= step
            total = float(weights.sum(dtype=np.float64))
            mean = float(weights @ below) / total
            self._slope[index] += part * (mean - own)
            bend = float(weights @ squares) / total - mean * mean
            self._bend[index] += part * max(0.0, bend)
        self.tokens += 1

    def temperature(self) -> float:
        """T with the lowest NLL; 1 if nothing was taken or the logits were no numbers.

        If the NLL still falls at an end of the grid, it is that end.
        """
        slope, bend = self._slope, self._bend
        if not self.tokens or not all(value == value for value in slope):
            return 1.0
        if slope[0] >= 0:
            return 1 / GRID[0]
        if slope[-1] <= 0:
            return 1 / GRID[-1]
        right = next(index for index, value in enumerate(slope) if value > 0)
        left = right - 1
        width = GRID[right] - GRID[left]

        def slope_at(share: float) -> float:
            """The cubic with the values and the bends of both ends."""
            rest = 1 - share
            return (
                slope[left] * (1 + 2 * share) * rest * rest
                + slope[right] * share * share * (3 - 2 * share)
                + width * share * rest * (bend[left] * rest - bend[right] * share)
            )

        low, high = 0.0, 1.0
        while (middle := (low + high) / 2) not in (low, high):
            low, high = (low, middle) if slope_at(middle) > 0 else (middle, high)
        return 1 / (GRID[left] + width * high)
