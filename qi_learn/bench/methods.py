"""Ways of learning one thing after another.

They differ in what a user can set, and in what only a comparison changes in the plan.

`default` is the product's recipe as `plan/plan.py` derives it, stage after stage from what the
stage before measured, as cycle after cycle. It and `nothing_stored` were chosen on seeds that are
reported nowhere (TUNING_SEEDS) and then frozen; see docs/internals/decisions/0005.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qi_learn import codec
from qi_learn.records import Plan
from qi_learn.settings import Settings, TrainSettings

TUNING_SEEDS = (97, 98, 99)


@dataclass(frozen=True, slots=True)
class Method:
    """One way of learning one thing after another."""

    name: str
    about: str
    train: Mapping[str, Any] = field(default_factory=dict)
    """Settings under [train]."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Numbers of the plan that no setting has, by their keys."""
    scale: float = 1.0
    """Of the delta before it is joined to what is served."""
    joint: bool = False
    """All tasks at once, in as many steps as one after another."""

    @property
    def settings(self) -> Settings:
        """The settings of its plans.

        They plan for the CPU, so that figures of two machines are of the same layers.
        """
        return Settings(train=TrainSettings(device="cpu", **self.train))

    def plan(self, derived: Plan) -> Plan:
        """The derived plan with this method's changes."""
        return codec.changed(derived, **self.changes)


_FREE = {"lambda_general": 0.0, "lambda_past": 0.0}
_ALONE = {"replay_share": 0.0, "generic_share": 0.0}

NAIVE = Method("naive", "LoRA on the new work alone", _FREE, _ALONE)
NOTHING_STORED = Method(
    "nothing_stored",
    "train.replay = 0: no text of earlier work; strong penalties and shipped generic code",
    {"replay": 0},
)
REPLAY_GENERIC = Method("replay_generic", "replay and generic code, no penalty", _FREE)
DEFAULT = Method("default", "the product's recipe: both penalties, replay, generic code")
USUAL = (NAIVE, NOTHING_STORED, REPLAY_GENERIC, DEFAULT)
"""Trained in every run; base and in-context need no training and are always there."""
WITH_FEWER = (NAIVE, DEFAULT)
"""Of them those that are also trained with fewer examples, for want of time."""
PARTS = (
    Method(
        "averaging",
        "naive, each delta halved before it is joined (weight averaging)",
        _FREE,
        _ALONE,
        scale=0.5,
    ),
    Method(
        "joint", "all tasks at once: what nothing forgotten would be", _FREE, _ALONE, joint=True
    ),
    Method(
        "general_alone",
        "only the penalty on the change since the base",
        {"lambda_past": 0.0},
        _ALONE,
    ),
    Method("past_alone", "only the penalty on past work", {"lambda_general": 0.0}, _ALONE),
    Method("penalties_alone", "both penalties, no replay, no generic code", {}, _ALONE),
    Method("replay_alone", "only replay", _FREE, {"generic_share": 0.0}),
    Method("generic_alone", "only generic code", _FREE, {"replay_share": 0.0}),
    Method("diagonal", "the recipe with the diagonal Fisher", {"fisher": "diagonal"}),
    Method("attention", "the recipe on attention modules alone", {"targets": "attention"}),
    Method("mlp", "the recipe on MLP modules alone", {"targets": "mlp"}),
    Method(
        "replay_half", "the recipe with half of the sequences replayed", {}, {"replay_share": 0.5}
    ),
)
"""Methods that `--all` adds: each part alone, and what else was compared."""
ALL = {method.name: method for method in (*USUAL, *PARTS)}
