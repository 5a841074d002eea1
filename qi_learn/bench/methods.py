"""Ways of learning one thing after another, as changes to the product's own plan.

`default` is the product's recipe as `train/plan.py` derives it. What the settings of the others are was chosen on seeds that are reported nowhere
(TUNING_SEEDS) and then frozen; see docs/decisions/0005.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from qi_learn.records import Plan

TUNING_SEEDS = (97, 98, 99)


@dataclass(frozen=True, slots=True)
class Method:
    """One way: what the plan's numbers become. `joint`: all tasks at once, in as many steps; `scale`: of the delta before it is joined to what is served."""

    name: str
    about: str
    changes: dict[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    joint: bool = False

    def plan(self, derived: Plan) -> Plan:
        """The derived plan with this method's changes."""
        return replace(derived, **self.changes)


_FREE = {"lambda_general": 0.0, "lambda_past": 0.0}
_DIAGONAL = {"fisher": "diagonal", "lambda_general": 900.0, "lambda_past": 1100.0}
_WITHOUT_TEXT = {"replay_share": 0.0, "generic_share": 0.25, "lambda_past": 3000.0, "learning_rate": 8e-4}
_ALONE = {"replay_share": 0.0, "generic_share": 0.0}

NAIVE = Method("naive", "LoRA on the new work alone", {**_FREE, **_ALONE})
NOTHING_STORED = Method("nothing_stored", "no text of earlier work is kept: strong penalties and shipped generic code", _WITHOUT_TEXT)
DEFAULT = Method("default", "the product's recipe: both penalties, replay, generic code")
REPLAY_GENERIC = Method("replay_generic", "replay and generic code, no penalty", _FREE)
USUAL = (NAIVE, NOTHING_STORED, DEFAULT)
"""Trained in every run; base and in-context need no training and are always there."""
PARTS = (
    REPLAY_GENERIC,
    Method("averaging", "naive, each delta halved before it is joined (weight averaging)", {**_FREE, **_ALONE}, scale=0.5),
    Method("joint", "all tasks at once: what nothing forgotten would be", {**_FREE, **_ALONE}, joint=True),
    Method("general_alone", "only the penalty on drift since the base", {"lambda_past": 0.0, **_ALONE}),
    Method("past_alone", "only the penalty on past work", {"lambda_general": 0.0, **_ALONE}),
    Method("penalties_alone", "both penalties, no replay, no generic code", _ALONE),
    Method("replay_alone", "only replay", {**_FREE, "generic_share": 0.0}),
    Method("generic_alone", "only generic code", {**_FREE, "replay_share": 0.0}),
    Method("diagonal", "the recipe with the diagonal Fisher and the strengths expected of it", _DIAGONAL),
    Method("attention", "the recipe on attention modules alone", {"target_modules": ("q_proj", "k_proj", "v_proj", "o_proj")}),
    Method("mlp", "the recipe on MLP modules alone", {"target_modules": ("gate_proj", "up_proj", "down_proj")}),
    Method("replay_half", "the recipe with half of the sequences replayed", {"replay_share": 0.5}),
)
"""With `--all`: each part alone, and what else was compared."""
ALL = {method.name: method for method in (*USUAL, *PARTS)}
