"""The penalty against the dense formula, its invariances, and the posterior it approximates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qi_learn.errors import ModelError
from qi_learn.train.adapter import WeightChange
from qi_learn.train.ewc import Penalty
from qi_learn.train.factor import Factor, FactorSum, Form
from qi_learn.train.fisher import Fisher, ModuleFisher
from qi_learn.train.fisher_estimate import estimate
from tests.support.tiny_training import one_thread, randomised, tiny_network, tiny_samples  # noqa: F401 - a fixture

CPU = torch.device("cpu")
NAME = "model.layers.0.mlp.up_proj"


def _random(m: int = 6, n: int = 5, *, form: Form = "kfac", seed: int = 0) -> Fisher:
    torch.manual_seed(seed)
    g, x = torch.randn(40, m, dtype=torch.float64), torch.randn(40, n, dtype=torch.float64)
    S, C = g.T @ g / 40, x.T @ x / 40
    both = (
        ModuleFisher(Factor(S), Factor(C))
        if form == "kfac"
        else ModuleFisher(Factor(diagonal=S.diagonal()), Factor(diagonal=C.diagonal()))
    )
    return Fisher(form, {NAME: both}, 40, 40)


def _dense(factor: Factor) -> Tensor:
    return factor.times(torch.eye(factor.width, dtype=torch.float64))


def _penalty(
    fisher: Fisher,
    *,
    strength: float = 3.0,
    scale: float = 2.0,
    served: dict[str, WeightChange] | None = None,
) -> Penalty:
    return Penalty(
        fisher, strength, scale=scale, names=tuple(fisher.modules), served=served, device=CPU
    )


def _pair(r: int = 3, m: int = 6, n: int = 5, *, seed: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(r, n, dtype=torch.float64, requires_grad=True), torch.randn(
        m, r, dtype=torch.float64, requires_grad=True
    )


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
@pytest.mark.parametrize("with_served", [False, True])
def test_it_is_the_dense_quadratic_form(form: Form, with_served: bool) -> None:
    fisher = _random(form=form)
    A, B = _pair()
    A_0, B_0 = _pair(2, seed=5)
    served = {NAME: WeightChange(A_0.detach(), B_0.detach())} if with_served else None
    value = _penalty(fisher, served=served)({NAME: (A, B)})
    change = 2.0 * B @ A + (B_0 @ A_0 if with_served else 0)
    S, C = _dense(fisher.modules[NAME].S), _dense(fisher.modules[NAME].C)
    expected = 0.5 * 3.0 * torch.trace(change.T @ S @ change @ C)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    for own, reference in zip(
        torch.autograd.grad(value, (A, B)), torch.autograd.grad(expected, (A, B)), strict=True
    ):
        assert torch.allclose(own, reference, rtol=1e-10)


@pytest.mark.parametrize("form", ["kfac", "diagonal"])
def test_its_gradient_is_its_own(form: Form) -> None:
    A_0, B_0 = _pair(2, seed=5)
    penalty = _penalty(_random(form=form), served={NAME: WeightChange(A_0.detach(), B_0.detach())})
    assert torch.autograd.gradcheck(lambda A, B: penalty({NAME: (A, B)}), _pair())


def test_diagonal_factors_weigh_each_weight_alone() -> None:
    """Sum over p, q of row_p column_q dW_pq^2: the elementwise penalty with the rank-one Fisher."""
    fisher = _random(form="diagonal")
    A, B = _pair()
    weights = torch.outer(
        *(
            f.diagonal
            for f in (fisher.modules[NAME].S, fisher.modules[NAME].C)
            if f.diagonal is not None
        )
    )
    assert _penalty(fisher)({NAME: (A, B)}).item() == pytest.approx(
        (1.5 * (weights * (2 * B @ A) ** 2).sum()).item(), rel=1e-12
    )


def test_it_sees_the_change_not_its_factors() -> None:
    A, B = _pair()
    R = torch.randn(3, 3, dtype=torch.float64)
    penalty = _penalty(_random())
    assert penalty({NAME: (R @ A, B @ torch.linalg.inv(R))}).item() == pytest.approx(
        penalty({NAME: (A, B)}).item(), rel=1e-9
    )
    wider = (
        torch.cat([A, torch.zeros(2, 5, dtype=torch.float64)]),
        torch.cat([B, torch.randn(6, 2, dtype=torch.float64)], 1),
    )
    assert penalty({NAME: wider}).item() == pytest.approx(penalty({NAME: (A, B)}).item(), rel=1e-12)


def test_nothing_changed_costs_nothing_and_what_is_served_costs_its_drift() -> None:
    A, _ = _pair()
    zero = torch.zeros(6, 3, dtype=torch.float64)
    assert _penalty(_random())({NAME: (A, zero)}).item() == 0
    A_0, B_0 = (part.detach() for part in _pair(2, seed=5))
    served = _penalty(_random(), served={NAME: WeightChange(A_0, B_0)})({NAME: (A, zero)})
    alone = _penalty(_random(), scale=1.0)({NAME: (A_0, B_0)})
    assert served.item() == pytest.approx(alone.item(), rel=1e-12)


def test_it_grows_with_the_square_of_scale_and_in_line_with_strength() -> None:
    pair = {NAME: _pair()}
    base = _penalty(_random())(pair).item()
    assert _penalty(_random(), scale=4.0)(pair).item() == pytest.approx(4 * base)
    assert _penalty(_random(), strength=6.0)(pair).item() == pytest.approx(2 * base)


def test_a_module_without_a_fisher_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"knows nothing of `model\.layers\.9"):
        Penalty(_random(), 1.0, scale=1.0, names=(NAME, "model.layers.9.mlp.up_proj"), device=CPU)


def test_two_regressions_in_a_row_end_at_the_bayesian_posterior() -> None:
    """y = W x + noise. For a linear model with Gaussian noise the Fisher is exactly I / sigma^2 (x)
    E[x x^T]; with it and the number of old samples as lambda, learning the second task after the
    first gives the weights that both together would have given.
    """
    torch.manual_seed(2)
    sigma, truth = 0.3, torch.randn(4, 5, dtype=torch.float64)
    tasks = []
    for count in (50, 30):
        X = torch.randn(count, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64)
        tasks.append(
            (
                X,
                X @ (truth + 0.5 * torch.randn_like(truth)).T
                + sigma * torch.randn(count, 4, dtype=torch.float64),
            )
        )
    (X_1, Y_1), (X_2, Y_2) = tasks
    first = torch.linalg.lstsq(X_1, Y_1).solution.T

    out_side, in_side = FactorSum(4, CPU, torch.float64), FactorSum(5, CPU, torch.float64)
    in_side.add(X_1)
    # labels sampled from the model: the gradient at its output is noise / sigma^2
    for _ in range(4000):
        out_side.add(torch.randn(50, 4, dtype=torch.float64) / sigma)
    fisher = Fisher(
        "kfac", {NAME: ModuleFisher(out_side.factor(4000 * 50), in_side.factor(50))}, 50, 50
    )
    assert torch.allclose(
        _dense(fisher.modules[NAME].S), torch.eye(4).double() / sigma**2, atol=0.15
    )

    A = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    B = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)
    penalty = _penalty(fisher, strength=50.0, scale=1.0)
    solver = torch.optim.LBFGS(
        [A, B],
        max_iter=2000,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def objective() -> float:
        solver.zero_grad()
        misfit = ((X_2 @ (first + B @ A).T - Y_2) ** 2).sum() / (2 * sigma**2)
        loss: Tensor = misfit + penalty({NAME: (A, B)})
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not type it
        return float(loss.detach())

    solver.step(objective)  # type: ignore[no-untyped-call]  # torch does not type it
    posterior = torch.linalg.lstsq(torch.cat([X_1, X_2]), torch.cat([Y_1, Y_2])).solution.T
    naive = torch.linalg.lstsq(X_2, Y_2).solution.T
    error = float((first + B @ A - posterior).detach().norm())
    assert error < 0.02 * float((naive - posterior).norm())


def test_on_a_model_it_predicts_the_measured_divergence() -> None:
    """A small random change of all modules: the K-FAC penalty at lambda 1 is the KL divergence per
    target token to within a factor of two.
    """
    samples = tiny_samples(60)
    plain, moved = tiny_network(), randomised(tiny_network(), size=0.004)
    fisher = estimate(plain, samples, form="kfac", seed=0, batch_tokens=512)
    predicted = float(
        Penalty(fisher, 1.0, scale=moved.scale, names=moved.names, device=CPU)(
            moved.factors()
        ).detach()
    )
    old, new = (
        torch.log_softmax(n.rows(n.batch(samples)).detach() @ n.head.T, -1) for n in (plain, moved)
    )
    measured = float((old.exp() * (old - new)).sum(-1).mean())
    assert 0.5 < predicted / measured < 2


def _several(
    *, dtype: torch.dtype = torch.float64
) -> tuple[Fisher, dict[str, tuple[Tensor, Tensor]], dict[str, WeightChange]]:
    """Modules of three shapes, two of them alike; what is served changed only some."""
    torch.manual_seed(7)
    shapes = {
        "a.layers.0.q": (6, 5),
        "a.layers.0.up": (9, 5),
        "a.layers.1.q": (6, 5),
        "a.layers.1.down": (5, 9),
    }
    modules, pairs = {}, {}
    for n, (name, (m, k)) in enumerate(shapes.items()):
        g, x = torch.randn(40, m, dtype=dtype), torch.randn(40, k, dtype=dtype)
        modules[name] = ModuleFisher(Factor(g.T @ g / 40), Factor(x.T @ x / 40), cycles=1 + n % 2)
        pairs[name] = (
            torch.randn(3, k, dtype=dtype, requires_grad=True),
            torch.randn(m, 3, dtype=dtype, requires_grad=True),
        )
    served = {
        name: WeightChange(torch.randn(2, k, dtype=dtype), torch.randn(m, 2, dtype=dtype))
        for name, (m, k) in shapes.items()
        if "layers.0" in name
    }
    return Fisher("kfac", modules, 40, 40), pairs, served


def test_modules_side_by_side_are_each_what_they_are_alone() -> None:
    fisher, pairs, served = _several()
    expected = torch.zeros((), dtype=torch.float64)
    predicted = 0.0
    for name, (A, B) in pairs.items():
        change = 2.0 * B @ A + (served[name].B @ served[name].A if name in served else 0)
        both = fisher.modules[name]
        each = torch.trace(change.T @ _dense(both.S) @ change @ _dense(both.C))
        expected = expected + 0.5 * 3.0 * each
        predicted += 0.5 * float(each.detach()) / both.cycles
    penalty = _penalty(fisher, served=served)
    value = penalty(pairs)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    assert penalty.predicted(pairs) == pytest.approx(predicted, rel=1e-12)
    parts = [part for pair in pairs.values() for part in pair]
    for own, reference in zip(
        torch.autograd.grad(value, parts), torch.autograd.grad(expected, parts), strict=True
    ):
        assert torch.allclose(own, reference, rtol=1e-9)


def test_products_in_bfloat16_cost_a_part_in_a_hundred() -> None:
    fisher, pairs, served = _several(dtype=torch.float32)
    both = []
    for products in (None, torch.bfloat16):
        penalty = Penalty(
            fisher, 3.0, scale=2.0, names=tuple(pairs), served=served, device=CPU, products=products
        )
        value = penalty(pairs)
        assert value.dtype == torch.float32
        gradients = torch.autograd.grad(value, [p for pair in pairs.values() for p in pair])
        both.append((value.item(), torch.cat([g.flatten() for g in gradients])))
    assert both[1][0] == pytest.approx(both[0][0], rel=0.01)
    assert float(torch.nn.functional.cosine_similarity(both[0][1], both[1][1], dim=0)) > 0.999
