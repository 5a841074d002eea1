"""The Fisher against definitions computed another way: per-sequence autograd in float64,
enumeration of a small vocabulary, measured KL divergence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from qi_learn.errors import TrainingError
from qi_learn.plan.schedule import Sample
from qi_learn.train import fisher_estimate
from qi_learn.train.ewc import Penalty
from qi_learn.train.fisher import Fisher
from qi_learn.train.fisher_estimate import estimate, uniforms
from qi_learn.train.training_run import Interrupted
from tests.support.tiny_training import (  # noqa: F401 - a fixture
    one_thread,
    randomised,
    tiny_causal,
    tiny_network,
    tiny_samples,
)

SEED = 11


def _whole(architecture: str, *, tied: bool) -> tuple[Any, dict[str, torch.nn.Linear]]:
    """An uncut model of transformers with gradients, and its target modules in layers 1 and 2."""
    causal = tiny_causal(architecture, tied=tied)
    modules = {
        n: m
        for n, m in causal.named_modules()
        if isinstance(m, torch.nn.Linear) and n != "lm_head" and not n.startswith("model.layers.0.")
    }
    return causal, modules


def _sampled_loss(causal: Any, sample: Sample) -> Tensor:
    """Summed cross-entropy of one sequence alone, with labels drawn from the model by plain
    inversion.
    """
    logits = causal(input_ids=torch.tensor([sample.ids])).logits[0, sample.start - 1 : -1]
    labels = (torch.softmax(logits.detach(), -1).cumsum(-1) <= uniforms(SEED, sample)[:, None]).sum(
        -1
    )
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")


def _reference(
    causal: Any, modules: dict[str, torch.nn.Linear], samples: tuple[Sample, ...]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(module, x (T, n), g (T, m)) of every sequence, each run alone: g is the loss's gradient in a
    zero added to the module's output.
    """
    for sample in samples:
        inputs: dict[str, Tensor] = {}
        zeros = {
            n: torch.zeros(len(sample.ids), m.out_features, dtype=torch.float64, requires_grad=True)
            for n, m in modules.items()
        }

        def tap(
            name: str, inputs: dict[str, Tensor] = inputs, zeros: dict[str, Tensor] = zeros
        ) -> Any:
            def hook(_: Any, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
                inputs[name] = args[0][0].detach()
                return out + zeros[name]

            return hook

        handles = [module.register_forward_hook(tap(name)) for name, module in modules.items()]
        gradients = torch.autograd.grad(_sampled_loss(causal, sample), list(zeros.values()))
        for handle in handles:
            handle.remove()
        yield from ((name, inputs[name], g) for name, g in zip(zeros, gradients, strict=True))


def _close(value: Tensor | None, expected: Tensor) -> bool:
    assert value is not None
    return torch.allclose(value, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("architecture", "tied"), [("llama", False), ("llama", True), ("qwen2", False), ("qwen3", True)]
)
def test_kfac_factors_are_those_of_single_sequences(architecture: str, tied: bool) -> None:
    samples = tiny_samples(7)
    causal, modules = _whole(architecture, tied=tied)
    S, C = (
        {n: torch.zeros(size, size, dtype=torch.float64) for n, size in sizes.items()}
        for sizes in (
            {n: m.out_features for n, m in modules.items()},
            {n: m.in_features for n, m in modules.items()},
        )
    )
    positions = dict.fromkeys(modules, 0)
    for name, x, g in _reference(causal, modules, samples):
        reached = (g != 0).any(-1)
        S[name] += g.T @ g
        C[name] += x[reached].T @ x[reached]
        positions[name] += int(reached.sum())
    targets = sum(s.targets for s in samples)
    network = tiny_network(architecture, tied=tied)
    fisher = estimate(network, samples, form="kfac", seed=SEED, batch_tokens=64)
    assert fisher.modules.keys() == modules.keys()
    assert (fisher.sequences, fisher.tokens) == (7, targets)
    for name in modules:
        assert _close(fisher.modules[name].S.matrix, S[name] / targets)
        assert _close(fisher.modules[name].C.matrix, C[name] / positions[name])
    # positions on which no target depends do not count
    last = "model.layers.2.self_attn.q_proj"
    assert 0 < positions[last] < sum(len(s.ids) for s in samples)


@pytest.mark.parametrize("tied", [False, True])
def test_diagonal_marginals_are_those_of_the_dense_fisher(tied: bool) -> None:
    samples = tiny_samples(7)
    causal, modules = _whole("llama", tied=tied)
    dense = {n: torch.zeros_like(m.weight) for n, m in modules.items()}
    for sample in samples:
        weights = [m.weight for m in modules.values()]
        gradients = torch.autograd.grad(_sampled_loss(causal, sample), weights)
        for name, gradient in zip(modules, gradients, strict=True):
            dense[name] += gradient.detach() ** 2
    targets = sum(s.targets for s in samples)
    fisher = estimate(tiny_network(tied=tied), samples, form="diagonal", seed=SEED, batch_tokens=64)
    for name, full in dense.items():
        row, column = fisher.modules[name].S.diagonal, fisher.modules[name].C.diagonal
        assert row is not None
        assert column is not None
        assert _close(row * column.sum(), full.sum(1) / targets)
        assert _close(column * row.sum(), full.sum(0) / targets)


class _BatchSquared(fisher_estimate._DiagonalSums):
    """The common mistake: one gradient of the whole batch, squared."""

    def add(self, x: Tensor, g: Tensor) -> None:
        super().add(x.flatten(0, 1)[None], g.flatten(0, 1)[None])


class _PerToken(fisher_estimate._DiagonalSums):
    """Another: every position on its own."""

    def add(self, x: Tensor, g: Tensor) -> None:
        super().add(x.flatten(0, 1)[:, None], g.flatten(0, 1)[:, None])


@pytest.mark.parametrize("wrong", [_BatchSquared, _PerToken])
def test_an_estimator_that_squares_something_else_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    monkeypatch.setitem(fisher_estimate._SUMS, "diagonal", wrong)
    with pytest.raises(AssertionError):
        test_diagonal_marginals_are_those_of_the_dense_fisher(tied=False)
    if wrong is _BatchSquared:
        with pytest.raises(AssertionError):
            test_batches_padding_and_order_do_not_matter("diagonal")


def test_packed_batches_are_refused() -> None:
    """Two sequences in one row would be squared together, and nothing would show it afterwards."""
    network, samples = tiny_network(), tiny_samples(4)
    one_row = type(network).batch

    class Packing(type(network)):  # type: ignore[misc]
        def batch(self, samples: Any) -> Any:
            padded = one_row(self, samples)
            length = padded.hidden.shape[1]
            return replace(
                padded,
                hidden=padded.hidden.flatten(0, 1)[None],
                owner=padded.owner * 0,
                column=padded.owner * length + padded.column,
            )

    network.__class__ = Packing
    with pytest.raises(TrainingError, match=r"each of the 4 sequences .* packed or flattened"):
        estimate(network, samples, form="kfac", seed=SEED, batch_tokens=10_000)


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_in_bfloat16_only_products_are_rounded(form: str) -> None:
    """The same inputs and gradients, summed up in bfloat16 products and float32 sums, against
    float64 throughout.
    """
    torch.manual_seed(5)
    x, g = torch.randn(8, 40, 24).bfloat16(), (torch.randn(8, 40, 16) * 1e-4).bfloat16()
    rounded, exact = fisher_estimate._SUMS[form](), fisher_estimate._SUMS[form]()
    for part in range(0, 8, 2):
        rounded.add(x[part : part + 2], g[part : part + 2])
    exact.add(x.double(), g.double())
    for one, other in zip(
        *((r.S, r.C) for r in (rounded.result(320), exact.result(320))), strict=True
    ):
        ones = torch.eye(one.width)
        dense, truth = one.times(ones).double(), other.times(ones.double())
        error = torch.linalg.matrix_norm(dense - truth) / torch.linalg.matrix_norm(truth)
        assert float(error) < 0.01


def test_of_a_linear_model_with_gaussian_noise_it_is_the_closed_form() -> None:
    """y = W x + noise of variance v: the diagonal of the Fisher of W is E[x_q^2] / v, of rank one,
    so the factored form is exact. In the penalty it makes s^2 E[(A x)_k^2] / v the curvature in
    B_pk, and s^2 (sum_p B_pk^2) E[x_q^2] / v that in A_kq.
    """
    torch.manual_seed(4)
    count, m, n, rank, variance, scale = 60_000, 4, 5, 2, 0.3, 1.7
    x = torch.randn(count, n, dtype=torch.float64) @ torch.randn(n, n, dtype=torch.float64)
    # gradient of the negative log-likelihood in W x, for labels of the model's own
    g = torch.randn(count, m, dtype=torch.float64) / variance**0.5
    sums = fisher_estimate._DiagonalSums()
    sums.add(x[:, None], g[:, None])
    both = sums.result(count)
    assert both.S.diagonal is not None
    assert both.C.diagonal is not None
    second = x.square().mean(0)
    assert torch.allclose(
        torch.outer(both.S.diagonal, both.C.diagonal), second.expand(m, n) / variance, rtol=0.05
    )

    A, B = torch.randn(rank, n, dtype=torch.float64), torch.randn(m, rank, dtype=torch.float64)
    fisher = Fisher("diagonal", {"w.layers.0.x": both}, count, count)
    penalty = Penalty(fisher, 1.0, scale=scale, names=("w.layers.0.x",), device=torch.device("cpu"))
    for part, given, closed in (
        ("B", B, scale**2 * ((A**2 * second).sum(1) / variance).expand(m, rank)),
        ("A", A, scale**2 * torch.outer((B**2).sum(0), second) / variance),
    ):
        step = 1e-3

        def at(
            index: tuple[int, int], move: float, part: str = part, given: Tensor = given
        ) -> float:
            changed = given.clone()
            changed[index] += move
            return float(penalty({"w.layers.0.x": (changed, B) if part == "A" else (A, changed)}))

        curvature = [
            [
                (at((i, j), step) - 2 * at((i, j), 0) + at((i, j), -step)) / step**2
                for j in range(given.shape[1])
            ]
            for i in range(given.shape[0])
        ]
        assert torch.allclose(torch.tensor(curvature, dtype=torch.float64), closed, rtol=0.06)


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_batches_padding_and_order_do_not_matter(form: Any) -> None:
    network, samples = tiny_network(), tiny_samples(9)
    alone = estimate(network, samples, form=form, seed=SEED, batch_tokens=1)
    together = estimate(network, samples[::-1], form=form, seed=SEED, batch_tokens=10_000)
    twice = estimate(network, (*samples, *samples), form=form, seed=SEED, batch_tokens=50)
    for name in network.names:
        for side in ("S", "C"):
            first = getattr(alone.modules[name], side)
            for other in (together, twice):
                same = getattr(other.modules[name], side)
                assert first.shapes == same.shapes
                ones = torch.eye(first.width, dtype=torch.float64)
                assert torch.allclose(first.times(ones), same.times(ones), rtol=1e-9, atol=1e-13)
    assert twice.tokens == 2 * alone.tokens


def test_the_seed_decides_the_labels() -> None:
    network, samples = tiny_network(), tiny_samples(5)
    first, again, other = (
        estimate(network, samples, form="kfac", seed=seed, batch_tokens=64) for seed in (1, 1, 2)
    )
    name = network.names[0]
    assert torch.equal(_matrix(first, name), _matrix(again, name))
    assert not torch.allclose(_matrix(first, name), _matrix(other, name))


def _matrix(fisher: Fisher, name: str) -> Tensor:
    matrix = fisher.modules[name].S.matrix
    assert matrix is not None
    return matrix


def test_the_unit_is_nats_of_kl_per_target_token() -> None:
    """Exact Fisher by enumerating the vocabulary: half its quadratic form is the measured KL, and
    the sampled estimate agrees with it on average.
    """
    causal, modules = _whole("llama", tied=False)
    network, samples, name = tiny_network(), tiny_samples(3), "model.layers.2.mlp.up_proj"
    weight, targets = modules[name].weight, sum(s.targets for s in samples)
    exact = torch.zeros_like(weight)
    before = []
    for sample in samples:
        logs = torch.log_softmax(
            causal(input_ids=torch.tensor([sample.ids])).logits[0, sample.start - 1 : -1], -1
        )
        before.append(logs.detach())
        each = torch.eye(logs.numel(), dtype=torch.float64).view(-1, *logs.shape)
        (jacobian,) = torch.autograd.grad(logs, weight, each, is_grads_batched=True)
        exact += (logs.detach().exp().flatten()[:, None, None] * jacobian**2).sum(0)
    exact /= targets

    torch.manual_seed(0)
    step = 1e-3
    for p, q in zip(
        torch.randint(24, (6,)).tolist(), torch.randint(16, (6,)).tolist(), strict=True
    ):
        with torch.no_grad():
            weight[p, q] += step
            after = [
                torch.log_softmax(
                    causal(input_ids=torch.tensor([s.ids])).logits[0, s.start - 1 : -1], -1
                )
                for s in samples
            ]
            weight[p, q] -= step
        divergence = (
            sum(
                float((old.exp() * (old - new)).sum())
                for old, new in zip(before, after, strict=True)
            )
            / targets
        )
        assert divergence / (0.5 * step**2 * float(exact[p, q])) == pytest.approx(1, abs=0.02)

    rows = torch.zeros(24, dtype=torch.float64)
    draws = 80
    for seed in range(draws):
        drawn = estimate(network, samples, form="diagonal", seed=seed, batch_tokens=10_000)
        both = drawn.modules[name]
        assert both.S.diagonal is not None
        rows += both.S.diagonal * float(both.C.trace) / draws
    assert float(rows.sum() / exact.sum()) == pytest.approx(1, abs=0.12)
    assert torch.corrcoef(torch.stack([rows, exact.sum(1)]))[0, 1] > 0.97


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_a_lora_in_place_or_merged_gives_the_same_fisher(form: Any) -> None:
    trained = randomised(tiny_network())
    merged = tiny_network()
    merged.merge(trained.delta())
    samples = tiny_samples(5)
    first, second = (
        estimate(n, samples, form=form, seed=SEED, batch_tokens=64) for n in (trained, merged)
    )
    for name in merged.names:
        for side in ("S", "C"):
            one, other = getattr(first.modules[name], side), getattr(second.modules[name], side)
            ones = torch.eye(one.width, dtype=torch.float64)
            assert torch.allclose(
                one.times(ones), other.times(ones), rtol=1e-6, atol=1e-9 * one.trace
            )


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_a_sequence_that_is_not_finite_is_left_out(
    form: Any, caplog: pytest.LogCaptureFixture
) -> None:
    network = tiny_network()
    poison = 36
    with torch.no_grad():
        network.lower.embed_tokens.weight[poison] = torch.inf
    samples = tuple(
        Sample(s.id, tuple(t % poison for t in s.ids), s.start) for s in tiny_samples(6)
    )
    bad = Sample("bad", (poison, *samples[0].ids), 3)
    clean = estimate(network, samples, form=form, seed=SEED, batch_tokens=10_000)
    mixed = estimate(network, (*samples, bad), form=form, seed=SEED, batch_tokens=10_000)
    assert (mixed.sequences, mixed.skipped, mixed.tokens) == (6, 1, clean.tokens)
    assert "left out" in caplog.text
    for name in network.names:
        # norms compute in float32
        one, other = mixed.modules[name], clean.modules[name]
        assert one.S.trace == pytest.approx(other.S.trace, rel=1e-6)
        assert one.C.trace == pytest.approx(other.C.trace, rel=1e-6)


def test_too_few_sequences_are_refused() -> None:
    with pytest.raises(TrainingError, match="Only 31 of 31"):
        estimate(tiny_network(), tiny_samples(31), form="kfac", seed=0, batch_tokens=500, least=32)
    with pytest.raises(TrainingError, match="Only 0 of 0"):
        estimate(tiny_network(), (), form="kfac", seed=0, batch_tokens=500)


def test_it_can_be_interrupted() -> None:
    reported: list[int] = []

    def report(done: int) -> None:
        reported.append(done)
        if done >= 4:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        estimate(
            tiny_network(), tiny_samples(8), form="kfac", seed=0, batch_tokens=1, on_batch=report
        )
    assert reported == [1, 2, 3, 4]
