"""Never a silent zero: each way in which a penalty can protect nothing is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from qi_learn.errors import ModelError
from qi_learn.records import Plan
from qi_learn.train.checkpoint import LoopState
from qi_learn.train.factor import Factor
from qi_learn.train.fisher import Fisher, ModuleFisher
from qi_learn.train.fisher_estimate import estimate
from qi_learn.train.network import Network
from qi_learn.train.protection import Prior, Protection, protect
from tests.support.tiny_training import (  # noqa: F401 - a fixture
    one_thread,
    randomised,
    tiny_network,
    tiny_plan,
    tiny_samples,
)

STATE = LoopState(
    step=8,
    elapsed=1.0,
    tokens=100,
    loss=1.0,
    general=0.1,
    past=0.1,
    before=None,
    best=None,
    best_step=0,
    worse=0,
)


@pytest.fixture
def network() -> Network:
    return randomised(tiny_network())


@pytest.fixture
def fisher() -> Fisher:
    return estimate(tiny_network(), tiny_samples(8), form="kfac", seed=0, batch_tokens=256)


def _second(**changes: Any) -> Plan:
    """The plan of a second cycle."""
    return tiny_plan(
        previous_adapter="/v/adapter.safetensors",
        past_fisher="/v/past_fisher.safetensors",
        **changes,
    )


def _only(fisher: Fisher, keep: Any) -> Fisher:
    return replace(
        fisher, modules={name: both for name, both in fisher.modules.items() if keep(name)}
    )


def _times(fisher: Fisher, factor: float) -> Fisher:
    return replace(
        fisher,
        modules={
            n: ModuleFisher(b.S.combined(factor, b.S, 0), b.C.combined(factor, b.C, 0))
            for n, b in fisher.modules.items()
        },
    )


def _float32(factor: Factor) -> Factor:
    assert factor.matrix is not None
    return Factor(factor.matrix.float())


def _protect(
    plan: Plan, network: Network, general: Fisher | None, past: Fisher | None
) -> Protection:
    return protect(plan, network, Prior(general=general, past=past))


def test_both_at_work_say_nothing(
    network: Network, fisher: Fisher, caplog: pytest.LogCaptureFixture
) -> None:
    protection = _protect(_second(), network, fisher, fisher)
    assert protection.general is not None
    assert protection.past is not None
    assert float(protection.past(network.factors()).detach()) > 0
    assert protection.idle(STATE) == ()
    assert not caplog.records


def test_a_first_cycle_has_no_past_to_miss(network: Network, fisher: Fisher) -> None:
    assert _protect(tiny_plan(), network, fisher, None).idle(replace(STATE, past=0.0)) == ()


def test_a_second_cycle_whose_past_protects_nothing_says_so(
    network: Network, fisher: Fisher, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Fisher(
        "kfac",
        {"model.layers.9.mlp.up_proj": ModuleFisher(Factor(torch.eye(3)), Factor(torch.eye(3)))},
        1,
        1,
    )
    ways = {
        "train.lambda_past is 0": (_second(lambda_past=0.0), fisher),
        "has no Fisher": (_second(), None),
        "none of the 14 modules that change now changed before": (_second(), elsewhere),
        "its Fisher is 0 in every direction": (_second(), _times(fisher, 0.0)),
    }
    for reason, (plan, past) in ways.items():
        caplog.clear()
        (gap,) = _protect(plan, network, fisher, past).idle(replace(STATE, past=0.0))
        assert gap == f"past work is not protected: {reason}" or (
            reason == "has no Fisher" and gap.endswith(reason)
        )
        assert caplog.messages == [gap]


def test_numbers_too_small_for_their_precision_are_said_after_the_fact(
    fisher: Fisher, caplog: pytest.LogCaptureFixture
) -> None:
    """In float32 the products of such factors underflow although none of them is 0."""
    network = randomised(tiny_network(dtype="float32"))
    tiny = _times(fisher, 1e-30)
    small = replace(
        tiny,
        modules={n: ModuleFisher(_float32(b.S), _float32(b.C)) for n, b in tiny.modules.items()},
    )
    protection = _protect(_second(), network, fisher, small)
    assert protection.gaps == ()
    assert protection.past is not None
    assert float(protection.past(network.factors()).detach()) == 0
    (gap,) = protection.idle(replace(STATE, past=0.0))
    assert "exactly 0 after 8 steps" in gap
    assert gap in caplog.messages
    # before the first step nothing has moved
    assert protection.idle(replace(STATE, step=1, past=0.0)) == ()


def test_general_ability_too(network: Network, fisher: Fisher) -> None:
    assert _protect(tiny_plan(lambda_general=0.0), network, None, None).gaps == (
        "general ability is not protected: train.lambda_general is 0",
    )
    blind = _protect(tiny_plan(), network, _times(fisher, 0.0), None)
    assert "0 in every direction" in blind.gaps[0]
    vanished = _protect(tiny_plan(), network, fisher, None).idle(replace(STATE, general=0.0))
    assert "exactly 0" in vanished[0]


def test_modules_of_which_a_fisher_says_nothing_are_counted(
    network: Network, fisher: Fisher
) -> None:
    zero = _times(fisher, 0.0)
    half = replace(
        fisher,
        modules={
            name: (zero if ".mlp." in name else fisher).modules[name] for name in fisher.modules
        },
    )
    assert _protect(_second(), network, half, half).gaps == (
        "general ability is not protected in 6 of the 14 modules that change: the Fisher is 0 "
        "there",
        "past work is not protected in 6 of the 14 modules that change: its Fisher is 0 there",
    )


def test_modules_that_are_new_are_counted(network: Network, fisher: Fisher) -> None:
    protection = _protect(_second(), network, fisher, _only(fisher, lambda name: ".mlp." in name))
    assert protection.gaps == (
        "past work says nothing of 8 of the 14 modules that change: they did not change before",
    )
    assert protection.past is not None
    with pytest.raises(ModelError, match="knows nothing of"):
        _protect(_second(), network, _only(fisher, lambda name: ".mlp." in name), None)


def test_another_form_is_refused(network: Network, fisher: Fisher) -> None:
    with pytest.raises(ModelError, match="in the form 'kfac'"):
        _protect(_second(fisher="diagonal"), network, None, fisher)
