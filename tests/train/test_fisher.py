"""The Fisher against definitions computed another way: per-sequence autograd in float64,
enumeration of a small vocabulary, measured KL divergence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qi_learn.errors import ModelError, TrainingError
from qi_learn.plan.schedule import Sample
from qi_learn.train import fisher as fisher_module
from qi_learn.train.ewc import Penalty
from qi_learn.train.factor import FULL_WIDTH, FactorSum
from qi_learn.train.fisher import Fisher, Interrupted, estimate, load_fisher, uniforms
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
        found = torch.autograd.grad(_sampled_loss(causal, sample), list(zeros.values()))
        for handle in handles:
            handle.remove()
        yield from ((name, inputs[name], g) for name, g in zip(zeros, found, strict=True))


def _close(found: Tensor | None, expected: Tensor) -> bool:
    assert found is not None
    return torch.allclose(found, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("architecture", "tied"), [("llama", False), ("llama", True), ("qwen2", False), ("qwen3", True)]
)
def test_kfac_factors_are_those_of_single_sequences(architecture: str, tied: bool) -> None:
    samples = tiny_samples(7)
    causal, modules = _whole(architecture, tied=tied)
    S: dict[str, Tensor] = {
        n: torch.zeros(m.out_features, m.out_features, dtype=torch.float64)
        for n, m in modules.items()
    }
    C: dict[str, Tensor] = {
        n: torch.zeros(m.in_features, m.in_features, dtype=torch.float64)
        for n, m in modules.items()
    }
    positions = dict.fromkeys(modules, 0)
    for name, x, g in _reference(causal, modules, samples):
        reached = (g != 0).any(-1)
        S[name] += g.T @ g
        C[name] += x[reached].T @ x[reached]
        positions[name] += int(reached.sum())
    targets = sum(s.targets for s in samples)
    found = estimate(
        tiny_network(architecture, tied=tied), samples, form="kfac", seed=SEED, batch_tokens=64
    )
    assert found.modules.keys() == modules.keys()
    assert (found.sequences, found.tokens) == (7, targets)
    for name in modules:
        assert _close(found.modules[name].S.matrix, S[name] / targets)
        assert _close(found.modules[name].C.matrix, C[name] / positions[name])
    last = "model.layers.2.self_attn.q_proj"
    assert (
        0 < positions[last] < sum(len(s.ids) for s in samples)
    )  # positions that no target hangs on do not count


@pytest.mark.parametrize("tied", [False, True])
def test_diagonal_marginals_are_those_of_the_dense_fisher(tied: bool) -> None:
    samples = tiny_samples(7)
    causal, modules = _whole("llama", tied=tied)
    dense = {n: torch.zeros_like(m.weight) for n, m in modules.items()}
    for sample in samples:
        found = torch.autograd.grad(
            _sampled_loss(causal, sample), [m.weight for m in modules.values()]
        )
        for name, gradient in zip(modules, found, strict=True):
            dense[name] += gradient.detach() ** 2
    targets = sum(s.targets for s in samples)
    fisher = estimate(tiny_network(tied=tied), samples, form="diagonal", seed=SEED, batch_tokens=64)
    for name, full in dense.items():
        row, column = fisher.modules[name].S.diagonal, fisher.modules[name].C.diagonal
        assert row is not None
        assert column is not None
        assert _close(row * column.sum(), full.sum(1) / targets)
        assert _close(column * row.sum(), full.sum(0) / targets)


class _BatchSquared(fisher_module._DiagonalSums):
    """The common mistake: one gradient of the whole batch, squared."""

    def add(self, x: Tensor, g: Tensor) -> None:
        super().add(x.flatten(0, 1)[None], g.flatten(0, 1)[None])


class _PerToken(fisher_module._DiagonalSums):
    """Another: every position on its own."""

    def add(self, x: Tensor, g: Tensor) -> None:
        super().add(x.flatten(0, 1)[:, None], g.flatten(0, 1)[:, None])


@pytest.mark.parametrize("wrong", [_BatchSquared, _PerToken])
def test_an_estimator_that_squares_something_else_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    monkeypatch.setitem(fisher_module._SUMS, "diagonal", wrong)
    with pytest.raises(AssertionError):
        test_diagonal_marginals_are_those_of_the_dense_fisher(tied=False)
    if wrong is _BatchSquared:
        with pytest.raises(AssertionError):
            test_batches_padding_and_order_do_not_matter("diagonal")


def test_packed_batches_are_refused() -> None:
    """Two sequences in one row would be squared together; nothing of it could be seen afterwards."""
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
    rounded, exact = fisher_module._SUMS[form](), fisher_module._SUMS[form]()
    for part in range(0, 8, 2):
        rounded.add(x[part : part + 2], g[part : part + 2])
    exact.add(x.double(), g.double())
    for one, other in zip(
        *((r.S, r.C) for r in (rounded.result(320), exact.result(320))), strict=True
    ):
        dense, truth = (
            one.times(torch.eye(one.width)).double(),
            other.times(torch.eye(one.width).double()),
        )
        assert (
            float(torch.linalg.matrix_norm(dense - truth) / torch.linalg.matrix_norm(truth)) < 0.01
        )


def test_of_a_linear_model_with_gaussian_noise_it_is_the_closed_form() -> None:
    """y = W x + noise of variance v: the diagonal of the Fisher of W is E[x_q^2] / v, of rank one,
    so the factored form is exact. In the penalty it makes s^2 E[(A x)_k^2] / v the curvature in
    B_pk, and s^2 (sum_p B_pk^2) E[x_q^2] / v that in A_kq.
    """
    torch.manual_seed(4)
    count, m, n, rank, variance, scale = 60_000, 4, 5, 2, 0.3, 1.7
    x = torch.randn(count, n, dtype=torch.float64) @ torch.randn(n, n, dtype=torch.float64)
    g = (
        torch.randn(count, m, dtype=torch.float64) / variance**0.5
    )  # of the negative log-likelihood in W x, for labels of the model's own
    sums = fisher_module._DiagonalSums()
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
            place: tuple[int, int], move: float, part: str = part, given: Tensor = given
        ) -> float:
            changed = given.clone()
            changed[place] += move
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
    found = fisher.modules[name].S.matrix
    assert found is not None
    return found


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
        found = estimate(network, samples, form="diagonal", seed=seed, batch_tokens=10_000).modules[
            name
        ]
        assert found.S.diagonal is not None
        rows += found.S.diagonal * float(found.C.trace) / draws
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
        assert mixed.modules[name].S.trace == pytest.approx(
            clean.modules[name].S.trace, rel=1e-6
        )  # norms compute in float32
        assert mixed.modules[name].C.trace == pytest.approx(clean.modules[name].C.trace, rel=1e-6)


def test_too_few_sequences_are_refused() -> None:
    with pytest.raises(TrainingError, match="Only 31 of 31"):
        estimate(tiny_network(), tiny_samples(31), form="kfac", seed=0, batch_tokens=500, least=32)
    with pytest.raises(TrainingError, match="Only 0 of 0"):
        estimate(tiny_network(), (), form="kfac", seed=0, batch_tokens=500)


def test_it_can_be_interrupted() -> None:
    heard: list[int] = []

    def listen(done: int) -> None:
        heard.append(done)
        if done >= 4:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        estimate(
            tiny_network(), tiny_samples(8), form="kfac", seed=0, batch_tokens=1, on_batch=listen
        )
    assert heard == [1, 2, 3, 4]


def test_files_keep_everything(tmp_path: Path) -> None:
    for form in ("kfac", "diagonal"):
        fisher = estimate(
            tiny_network(dtype="float32"), tiny_samples(4), form=form, seed=0, batch_tokens=64
        )  # type: ignore[arg-type]
        fisher.save(tmp_path / "f.safetensors")
        found = load_fisher(tmp_path / "f.safetensors", fisher.base)
        assert (found.form, found.sequences, found.tokens, found.seconds) == (
            form,
            4,
            fisher.tokens,
            fisher.seconds,
        )
        for name, both in fisher.modules.items():
            for one, kept in ((both.S, found.modules[name].S), (both.C, found.modules[name].C)):
                ones = torch.eye(one.width)
                assert torch.allclose(
                    kept.times(ones), one.times(ones), rtol=1e-2, atol=1e-4 * one.trace
                )
                assert kept.trace == pytest.approx(one.trace, rel=1e-6)
            assert found.modules[name].cycles == both.cycles
        again = tmp_path / "again.safetensors"
        found.save(again)
        assert load_fisher(again, fisher.base).modules[name].S.trace == pytest.approx(
            found.modules[name].S.trace
        )
    with pytest.raises(ModelError, match="no Fisher of this base"):
        load_fisher(tmp_path / "f.safetensors", "other")


def test_past_work_adds_up() -> None:
    """S is summed over cycles and C averaged; a module that joins later counts from then on."""
    network = tiny_network()
    cycles = [
        estimate(network, tiny_samples(4, seed=n), form="kfac", seed=n, batch_tokens=64)
        for n in range(3)
    ]
    late = network.names[0]
    cycles[0].modules.pop(late)
    whole = cycles[0].accumulated(cycles[1]).accumulated(cycles[2])
    name = network.names[1]
    assert torch.allclose(
        _matrix(whole, name), sum((_matrix(c, name) for c in cycles), torch.zeros(()))
    )
    assert torch.allclose(
        whole.modules[name].C.times(torch.eye(16).double()),
        sum((c.modules[name].C.times(torch.eye(16).double()) for c in cycles), torch.zeros(())) / 3,
    )
    assert (whole.modules[name].cycles, whole.modules[late].cycles) == (3, 2)
    assert torch.allclose(_matrix(whole, late), _matrix(cycles[1], late) + _matrix(cycles[2], late))
    with pytest.raises(ModelError, match="cannot be added"):
        whole.accumulated(replace(cycles[0], form="diagonal"))


def test_wide_modules_are_sketched_without_losing_what_matters() -> None:
    """A sketch is exact for few directions plus a diagonal's worth of noise, never more than the
    truth, exact on the diagonal, and linear in the data.
    """
    torch.manual_seed(0)
    width = FULL_WIDTH + 32
    few = torch.randn(40, width) * 3
    noise = torch.randn(300, width) * 0.1
    parts = []
    for vectors in (few, noise, torch.cat([few, noise])):
        one = FactorSum(width, torch.device("cpu"), torch.float32)
        one.add(vectors[: len(vectors) // 2])
        one.add(vectors[len(vectors) // 2 :])
        parts.append(one.factor(1.0))
    probe = torch.randn(width, 5)
    assert parts[0].shapes == ((width, 64), (width,))
    assert torch.allclose(parts[0].times(probe), few.T @ (few @ probe), rtol=1e-3, atol=1e-1)
    both = parts[0].combined(1.0, parts[1], 1.0)
    assert torch.allclose(both.times(probe), parts[2].times(probe), rtol=1e-3, atol=1e-1)
    data = torch.cat([few, noise])
    for seed in range(5):
        v = torch.randn(width, 1, generator=torch.Generator().manual_seed(seed))
        kept, whole = float(v.T @ both.times(v)), float((data @ v).square().sum())
        assert 0.7 * whole < kept < 1.3 * whole
    units = torch.eye(width)[:, :3]
    assert torch.allclose(both.times(units)[:3].diagonal(), data.square().sum(0)[:3], rtol=1e-2)
