"""The two penalties of a run, and a warning for each that protects nothing.

A penalty that is 0 looks from outside like one that works. So each way in which it can be 0 is
checked, and reported in the log, in the run's result and beside the gate's verdict: it is switched
off, there is no Fisher, the Fisher is of other modules or 0, or the number itself has vanished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from qi_learn.errors import ModelError
from qi_learn.records import Plan
from qi_learn.train.adapter import WeightChange
from qi_learn.train.checkpoint import LoopState
from qi_learn.train.ewc import Penalty
from qi_learn.train.fisher import Fisher
from qi_learn.train.network import Network

GENERAL, PAST = "general ability is not protected", "past work is not protected"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prior:
    """What a training inherits: the served change, and the Fishers of what must not be lost."""

    served: Mapping[str, WeightChange] = field(default_factory=dict)
    general: Fisher | None = None
    past: Fisher | None = None


@dataclass(frozen=True, slots=True)
class Protection:
    """The penalties that hold a run back."""

    general: Penalty | None = None
    past: Penalty | None = None
    gaps: tuple[str, ...] = ()
    """A sentence on each thing that is not held."""

    def idle(self, state: LoopState) -> tuple[str, ...]:
        """The gaps, with those that only the training could show.

        Such is a penalty that is 0 after steps that moved the weights.
        """
        gaps = [*self.gaps]
        for gap, penalty, value in (
            (GENERAL, self.general, state.general),
            (PAST, self.past, state.past),
        ):
            if penalty is not None and not penalty.blind and state.step > 1 and value == 0:
                gaps.append(
                    f"{gap}: the penalty is exactly 0 after {state.step} steps that moved the "
                    "weights; its numbers are too small for their precision"
                )
                logger.warning("%s", gaps[-1])
        return tuple(gaps)


def protect(plan: Plan, network: Network, prior: Prior) -> Protection:
    """Both penalties for a network with a fresh LoRA.

    The general one is on the whole change since the base, the served one and this delta together.
    The one for past work is on this delta alone, in the modules that past cycles trained too.

    Raises ModelError if past work was remembered in another form, or the general Fisher lacks a
    module.
    """
    general = _general(plan, network, prior.general, prior.served)
    past = _past(plan, network, prior.past)
    gaps = tuple(_gaps(plan, network, Protection(general, past), prior.past))
    for gap in gaps:
        logger.warning("%s", gap)
    return Protection(general, past, gaps)


def _general(
    plan: Plan, network: Network, fisher: Fisher | None, served: Mapping[str, WeightChange]
) -> Penalty | None:
    if fisher is None or plan.penalties.lambda_general == 0:
        return None
    return Penalty(
        fisher,
        plan.penalties.lambda_general,
        scale=network.scale,
        names=network.names,
        served=served,
        device=network.device,
        products=_products(network),
    )


def _past(plan: Plan, network: Network, fisher: Fisher | None) -> Penalty | None:
    if fisher is None or plan.penalties.lambda_past == 0:
        return None
    if fisher.form != plan.penalties.fisher:
        raise ModelError(
            f"Past work was remembered in the form {fisher.form!r}, the plan wants "
            f"{plan.penalties.fisher!r}.",
            f'Set `train.fisher = "{fisher.form}"`.',
        )
    names = _names_in(network, fisher)
    if not names:
        return None
    return Penalty(
        fisher,
        plan.penalties.lambda_past,
        scale=network.scale,
        names=names,
        device=network.device,
        products=_products(network),
    )


def _products(network: Network) -> torch.dtype | None:
    """bfloat16 if the model itself computes in it, else None.

    On SmolLM2 that changes the penalty of what was learned by 3e-5 of itself, and turns its
    gradient by half a degree. The smallest eigenvalues of its factors are above 0.01 of the mean
    one, and the rounding moves them by at most 0.004 of it (measured).
    """
    return network.dtype if network.dtype == torch.bfloat16 else None


def _gaps(
    plan: Plan, network: Network, protection: Protection, fisher: Fisher | None
) -> Iterator[str]:
    """A sentence on each thing that is not held. `fisher` is that of past work."""
    count = len(network.names)
    general, past = protection.general, protection.past
    if plan.penalties.lambda_general == 0:
        yield f"{GENERAL}: train.lambda_general is 0"
    elif general is not None and general.blind:
        yield f"{GENERAL}: its Fisher is 0 in every direction"
    elif general is not None and general.silent:
        yield (
            f"{GENERAL} in {general.silent} of the {count} modules that change: the Fisher is 0 "
            "there"
        )
    if plan.base.previous_adapter is None and fisher is None:
        return  # the first cycle: there is no past yet
    if plan.penalties.lambda_past == 0:
        yield f"{PAST}: train.lambda_past is 0"
    elif fisher is None:
        yield f"{PAST}: the version that is trained on has no Fisher"
    elif past is None:
        yield f"{PAST}: none of the {count} modules that change now changed before"
    elif past.blind:
        yield f"{PAST}: its Fisher is 0 in every direction"
    elif past.silent:
        yield f"{PAST} in {past.silent} of the {count} modules that change: its Fisher is 0 there"
    elif new := count - len(_names_in(network, fisher)):
        yield (
            f"past work says nothing of {new} of the {count} modules that change: they did not "
            "change before"
        )


def _names_in(network: Network, fisher: Fisher) -> tuple[str, ...]:
    """The modules of the network that a Fisher knows."""
    return tuple(name for name in network.names if name in fisher.modules)
