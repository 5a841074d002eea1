"""The temperature at which a model finds given text likeliest (rule 2).

It is one number, and the model's logits are divided by it. Two models are compared on the person's
tokens each at a temperature of its own. A model whose logits
are all multiplied by one factor writes the same answers as before; its temperature is the same
factor larger, so its NLL there is the same too, and sharpening alone is never an improvement.

The NLL of a text as a function of b = 1 / T is convex (`likelihood_curve`): T is where its slope is
0, found between two points of the grid as the root of the slope's cubic, to the last bit. What that
leaves: T of a copy with logits x 1.05 was 1.05 times as large to within 1e-6.

For each session it is fitted on what the person wrote in the *other* sessions of the same set:
fitted on text of another kind than it is used on, it favours one of two models that are equally
good, and fitted on the very text that is judged, it flatters the model that is worse there
(decision 0076). Beside it is a little ordinary code, all of which weighs as much as `OTHERS` of the
person's tokens, so that a few that the person wrote and all of which are the likeliest do not lead
to an end of the grid.

Not covered: a model that is surer of one kind of the person's text alone. There is one temperature
a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qi_learn.gate.likelihood_curve import GRID, NO_TOKENS, Curve, CurveSums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OTHERS = 32.0
"""What all tokens of others count for together, in tokens of the person's."""


def temperature_of(persons: Curve, others: Curve = NO_TOKENS) -> float:
    """T with the lowest NLL of the person's tokens and, weighed as `OTHERS`, of the others.

    1 if there are neither, or a number is none. If the NLL still falls at an end of the grid, it is
    that end.
    """
    share = min(1.0, OTHERS / others.tokens) if others.tokens else 0.0
    slope = [a + share * b for a, b in zip(persons.slope, others.slope, strict=True)]
    bend = [a + share * b for a, b in zip(persons.bend, others.bend, strict=True)]
    if not persons.tokens + others.tokens or not all(value == value for value in slope):
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


def temperatures_of(
    curves: Sequence[Curve], units: Sequence[str], others: Curve = NO_TOKENS
) -> list[float]:
    """For each example the temperature that the person's tokens of all other units have.

    `units`: the session of each. Of one alone it is that of the `others`. Raises ValueError if the
    two sequences differ in length.
    """
    by_unit: dict[str, Curve] = {}
    for curve, unit in zip(curves, units, strict=True):
        by_unit[unit] = by_unit.get(unit, NO_TOKENS) + curve
    fitted = {
        unit: temperature_of(
            sum((curve for name, curve in by_unit.items() if name != unit), NO_TOKENS), others
        )
        for unit in by_unit
    }
    return [fitted[unit] for unit in units]


class TemperatureFit:
    """Takes the logits in front of each token, and gives the temperature in the end."""

    def __init__(self) -> None:
        self._persons, self._others = CurveSums(), CurveSums()

    def take(self, logits: NDArray[np.float32], token: int, is_persons: bool) -> None:
        """Add one token (shape of `logits`: (vocabulary,))."""
        (self._persons if is_persons else self._others).take(logits, token)

    def temperature(self) -> float:
        """T of all that was taken (`temperature_of`)."""
        return temperature_of(self._persons.curve(), self._others.curve())
