"""The two penalties of a run, and what is said where one of them protects nothing.

A penalty that is 0 looks from outside like one that works. So each way in which it can be is looked
for, and told in the log, in the run's result and beside the gate's verdict: it is switched off,
there is no Fisher, the Fisher is of other modules or 0, or the number itself has vanished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
class Protection:
    """What a run is held back by; `gaps` are the sentences on what does not hold it."""

    general: Penalty | None
    past: Penalty | None
    gaps: tuple[str, ...] = ()

    def idle(self, state: LoopState) -> tuple[str, ...]:
        """The gaps, and those that only the training could show: a penalty that is 0 after steps
        that moved the weights.
        """
        found = [*self.gaps]
        for gap, penalty, value in (
            (GENERAL, self.general, state.general),
            (PAST, self.past, state.past),
        ):
            if penalty is not None and not penalty.blind and state.step > 1 and value == 0:
                found.append(
                    f"{gap}: the penalty is exactly 0 after {state.step} steps that moved the "
                    "weights; its numbers are too small for their precision"
                )
                logger.warning("%s", found[-1])
        return tuple(found)


def protect(
    plan: Plan,
    network: Network,
    general: Fisher | None,
    past: Fisher | None,
    served: Mapping[str, WeightChange],
) -> Protection:
    """Both penalties for a network with a fresh LoRA. The general one is on the whole drift since
    the base, what is `served` and this delta together; the one for past work is on this delta
    alone, in the modules that past cycles trained too.

    Raises ModelError where past work was remembered in another form, or the general Fisher lacks a
    module.
    """
    first = _general(plan, network, general, served)
    second = _past(plan, network, past)
    gaps = tuple(_gaps(plan, network, (first, second), past))
    for gap in gaps:
        logger.warning("%s", gap)
    return Protection(first, second, gaps)


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
    known = _known(network, fisher)
    if not known:
        return None
    return Penalty(
        fisher,
        plan.penalties.lambda_past,
        scale=network.scale,
        names=known,
        device=network.device,
        products=_products(network),
    )


def _products(network: Network) -> torch.dtype | None:
    """bfloat16 where the model itself computes in it: on SmolLM2 that changes the penalty of what
    was learned by 3e-5 of itself, and turns its gradient by half a degree. The smallest eigenvalues
    of its factors are above 0.01 of the mean one, and the rounding moves them by at most 0.004 of
    it (measured).
    """
    return network.dtype if network.dtype == torch.bfloat16 else None


def _gaps(
    plan: Plan,
    network: Network,
    penalties: tuple[Penalty | None, Penalty | None],
    past: Fisher | None,
) -> Iterator[str]:
    first, second = penalties
    if plan.penalties.lambda_general == 0:
        yield f"{GENERAL}: train.lambda_general is 0"
    elif first is not None and first.blind:
        yield f"{GENERAL}: its Fisher is 0 in every direction"
    elif first is not None and first.silent:
        yield f"{GENERAL} in {first.silent} of the {len(network.names)} modules that change: the Fisher is 0 there"
    if plan.base.previous_adapter is None and past is None:
        return  # the first cycle: there is no past yet
    if plan.penalties.lambda_past == 0:
        yield f"{PAST}: train.lambda_past is 0"
    elif past is None:
        yield f"{PAST}: the version that is trained on has no Fisher"
    elif second is None:
        yield f"{PAST}: none of the {len(network.names)} modules that change now changed before"
    elif second.blind:
        yield f"{PAST}: its Fisher is 0 in every direction"
    elif second.silent:
        yield f"{PAST} in {second.silent} of the {len(network.names)} modules that change: its Fisher is 0 there"
    elif new := len(network.names) - len(_known(network, past)):
        yield f"past work says nothing of {new} of the {len(network.names)} modules that change: they did not change before"


def _known(network: Network, fisher: Fisher) -> tuple[str, ...]:
    return tuple(name for name in network.names if name in fisher.modules)
