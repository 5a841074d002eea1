"""Every number of contracts 9, derived; and what cannot be trained is refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qi_learn import codec
from qi_learn.errors import ModelError, NotFound, Refused, SettingsError, UnsupportedArchitecture
from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.paths import Paths
from qi_learn.plan.base_model import BaseModel, BaseTensor, read_base
from qi_learn.plan.plan import build_plan, reasons
from qi_learn.plan.strength import EXPECTED
from qi_learn.records import Divergence, Example, Pair, Plan, Snapshot, TrainResult
from qi_learn.settings import Settings, TrainSettings
from qi_learn.train.fisher import Fisher
from tests.support.tiny_models import write_tiny_model

GB = 2**30
CPU = Device("cpu", "a laptop", 16 * GB, 8 * GB, bf16=True)
GPU = Device("cuda", "a card", 24 * GB, 22 * GB, bf16=True)
RESULT = TrainResult(48, "steps", 1.0, 1.0, 2.0, 0.1, 0.1, 9.0, 80.0, "adapter")
BITS = {"Q4_1": 5.0, "Q4_K": 4.5, "Q6_K": 6.5625, "Q8_0": 8.5, "F16": 16.0, "F32": 32.0}


def _model(
    layers: int,
    hidden: int,
    feed: int,
    vocabulary: int,
    *,
    kind: str = "Q4_K",
    head: str = "Q6_K",
    tied: bool = False,
    kv: int | None = None,
) -> BaseModel:
    """A base of a given shape, without its file."""

    def tensor(name: str, rows: int, columns: int, type_name: str) -> BaseTensor:
        return BaseTensor(
            name, type_name, (rows, columns), int(rows * columns * BITS[type_name] / 8)
        )

    kv = kv or hidden
    rows = {
        "attn_q": (hidden, hidden),
        "attn_k": (kv, hidden),
        "attn_v": (kv, hidden),
        "attn_output": (hidden, hidden),
    }
    rows |= {"ffn_gate": (feed, hidden), "ffn_up": (feed, hidden), "ffn_down": (hidden, feed)}
    tensors = [tensor("token_embd.weight", vocabulary, hidden, head)] + (
        [] if tied else [tensor("output.weight", vocabulary, hidden, head)]
    )
    tensors += [
        tensor(f"blk.{layer}.{name}.weight", *rows[name], kind)
        for layer in range(layers)
        for name in GGUF_NAMES.values()
    ]
    return BaseModel(Path("/models/base.gguf"), "llama", layers, hidden, feed, 8192, tuple(tensors))


SMOLLM2 = _model(30, 576, 1536, 49152, kind="Q4_1", head="Q8_0", tied=True, kv=192)
SEVEN = _model(28, 3584, 18944, 152064, kv=512)


def _snapshot(train: int = 40, *, tokens: int = 100) -> Snapshot:
    def example(name: str, length: int) -> Example:
        return Example(
            name,
            name,
            "",
            "",
            tuple(range(length // 2)),
            tuple(range(length - length // 2)),
            (True,) * (length - length // 2),
        )

    examples = tuple(example(f"t{n}", tokens) for n in range(train))
    return Snapshot(
        "s",
        0.0,
        "ab" * 32,
        (*examples, replace(example("d", 50), split="dev")),
        anchors=tuple(example(f"a{n}", 96) for n in range(3)),
    )


def _plan(
    base: BaseModel = SMOLLM2,
    *,
    snapshot: Snapshot | None = None,
    devices: tuple[Device, ...] = (CPU,),
    train: TrainSettings | None = None,
    served: bool = False,
    adapter: Path = Path("/v/adapter.safetensors"),
    past: Path = Path("/v/past_fisher.safetensors"),
    last: tuple[Plan, TrainResult] | None = None,
    packages: Packages | None = None,
) -> Plan:
    return build_plan(
        run_id="01RUN",
        snapshot=snapshot or _snapshot(),
        base=base,
        settings=Settings(train=train or TrainSettings()),
        paths=Paths.under(Path("/home/x")),
        previous_adapter=adapter if served else None,
        past_fisher=past if served else None,
        devices=devices,
        last=last,
        packages=packages,
    )


def test_the_embedded_default_on_a_laptop() -> None:
    plan = _plan()
    assert (plan.lora.first_layer, plan.lora.layer_count, set(plan.lora.target_modules)) == (
        20,
        10,
        set(GGUF_NAMES),
    )
    assert plan.batches.batch_size * plan.batches.accumulation == 8
    assert (plan.steps.max_steps, plan.lora.rank, plan.lora.alpha, plan.batches.max_length) == (
        48,
        8,
        16.0,
        100,
    )
    assert plan.steps.learning_rate == pytest.approx(1.6e-3, rel=0.01)
    assert plan.steps.warmup_steps <= plan.steps.max_steps / 10
    assert (
        plan.batches.replay_share,
        plan.batches.generic_share,
        plan.penalties.lambda_general,
        plan.penalties.lambda_past,
    ) == (0.375, 0.125, pytest.approx(100), pytest.approx(300))
    assert (
        plan.hardware.device,
        plan.hardware.dtype,
        plan.lora.touched_type,
        plan.steps.max_seconds,
    ) == ("cpu", "bfloat16", "Q8_0", 4 * 3600)
    assert 1.1 < plan.lora.bytes_per_token_ratio < 1.2
    assert codec.loads(Plan, codec.dumps(plan)) == plan


def test_a_seven_billion_model_on_a_card() -> None:
    plan = _plan(SEVEN, devices=(GPU, CPU))
    assert plan.hardware.device == "cuda:0"
    assert plan.steps.learning_rate == pytest.approx(2e-4, rel=0.1)
    assert 0 < plan.lora.first_layer < 28
    assert plan.lora.bytes_per_token_ratio <= 1.4
    lower = codec.changed(plan, first_layer=plan.lora.first_layer - 1)
    grown = sum(
        t.elements * (BITS["Q8_0"] - BITS["Q4_K"]) / 8
        for t in SEVEN.tensors
        if t.name.startswith("blk.27.")
    )
    read = sum(t.bytes for t in SEVEN.tensors if t.name != "token_embd.weight")
    assert plan.lora.bytes_per_token_ratio == pytest.approx(
        1 + grown * (28 - plan.lora.first_layer) / read, rel=1e-3
    )
    assert (
        1 + grown * (28 - lower.first_layer) / read > 1.4
    )  # one layer more would have been too many


def test_the_rate_falls_with_size() -> None:
    middle = _model(28, 1536, 8960, 151936, tied=True, kv=256)
    small, between, large = (
        _plan(base, devices=(replace(GPU, free=80 * GB),)).learning_rate
        for base in (SMOLLM2, middle, SEVEN)
    )
    assert 1.6e-3 > between > large >= 2e-4
    assert small > between


@pytest.mark.parametrize(
    ("examples", "rank", "steps"), [(40, 8, 48), (300, 16, 150), (2000, 32, 1000)]
)
def test_more_data_gets_more_rank_and_more_steps(examples: int, rank: int, steps: int) -> None:
    plan = _plan(snapshot=_snapshot(examples))
    assert (plan.lora.rank, plan.lora.alpha, plan.steps.max_steps) == (rank, 2 * rank, steps)
    assert (
        plan.steps.max_steps * 4 >= 2 * examples
    )  # 4 of 8 sequences are new: every example at least twice


def test_settings_win_over_what_is_derived() -> None:
    plan = _plan(
        train=TrainSettings(
            max_steps=10, rank=12, lambda_general=0.0, seed=5, max_hours=0.5, fisher="diagonal"
        )
    )
    assert (
        plan.steps.max_steps,
        plan.lora.rank,
        plan.lora.alpha,
        plan.penalties.lambda_general,
        plan.seed,
        plan.steps.max_seconds,
        plan.penalties.fisher,
    ) == (10, 12, 24.0, 0.0, 5, 1800.0, "diagonal")


def test_the_modules_that_change_are_chosen() -> None:
    attention, mlp, both = (
        _plan(train=TrainSettings(targets=name)) for name in ("attention", "mlp", "all-linear")
    )
    assert attention.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert mlp.target_modules == ("gate_proj", "up_proj", "down_proj")
    assert both == _plan()
    grown = [p.bytes_per_token_ratio - 1 for p in (attention, mlp, both)]
    assert grown[0] + grown[1] == pytest.approx(grown[2])
    assert 0 < grown[0] < grown[1]
    assert len({p.general_fisher for p in (attention, mlp, both)}) == 3
    for plan, said in (
        (attention, "the four of attention"),
        (mlp, "the three of the MLP"),
        (both, "all seven linear modules"),
    ):
        assert said in "\n".join(reasons(plan))


def test_with_fewer_modules_more_layers_change_for_the_same_speed() -> None:
    """A layer's attention has 2 x 3584^2 + 2 x 512 x 3584 weights, all seven modules eight times as
    many: where raised types cost speed, that buys layers.
    """
    attention, mlp, both = (
        _plan(SEVEN, devices=(GPU,), train=TrainSettings(targets=name))
        for name in ("attention", "mlp", "all-linear")
    )
    assert attention.first_layer == 0 < mlp.first_layer < both.first_layer
    assert max(p.bytes_per_token_ratio for p in (attention, mlp, both)) <= 1.4


def test_what_an_earlier_cycle_touched_still_counts(tmp_path: Path) -> None:
    """Tensors of the served adapter stay raised, whatever this cycle trains: they cost their speed,
    and leave less room.
    """
    path = tmp_path / "adapter.safetensors"
    names = [
        f"model.layers.{layer}.mlp.{part}"
        for layer in range(15, 28)
        for part in ("gate_proj", "up_proj", "down_proj")
    ]
    save_file(
        {f"{name}.{side}": np.zeros((2, 2), np.float32) for name in names for side in "AB"}, path
    )
    after = _plan(
        SEVEN, devices=(GPU,), train=TrainSettings(targets="attention"), served=True, adapter=path
    )
    before = _plan(SEVEN, devices=(GPU,), train=TrainSettings(targets="attention"))
    mlp = (
        sum(
            t.elements * (BITS["Q8_0"] - BITS["Q4_K"]) / 8
            for t in SEVEN.tensors
            if t.name.startswith("blk.27.ffn")
        )
        * 13
    )
    attention = (
        sum(
            t.elements * (BITS["Q8_0"] - BITS["Q4_K"]) / 8
            for t in SEVEN.tensors
            if t.name.startswith("blk.27.attn")
        )
        * after.layer_count
    )
    assert before.first_layer == 0 < after.first_layer
    assert after.bytes_per_token_ratio == pytest.approx(
        1 + (mlp + attention) / SEVEN.bytes_per_token, rel=1e-3
    )


def test_no_rank_beyond_what_the_smallest_matrix_has() -> None:
    assert _plan(train=TrainSettings(rank=256)).rank == 192  # the rows of SmolLM2's k and v
    assert _plan(train=TrainSettings(rank=256, targets="mlp")).rank == 256
    assert _plan(_model(4, 32, 64, 100, kv=4)).rank == 4


def test_preferences_weigh_something_where_there_are_some() -> None:
    pair = Pair("t1", "h", "edit", "", "", "", (1,), (2,), (3,))
    some = replace(_snapshot(), pairs=(pair,))
    assert (_plan().preference_weight, _plan(snapshot=some).preference_weight) == (0.0, 0.1)
    assert _plan(snapshot=some, train=TrainSettings(preference=0.3)).preference_weight == 0.3
    assert "weigh 0.1 beside that" in "\n".join(reasons(_plan(snapshot=some)))
    assert "Preferences" not in "\n".join(reasons(_plan()))


def test_the_budget_is_the_dial_and_numbers_by_hand_win() -> None:
    bold = _plan(train=TrainSettings(kl_budget=0.08))
    assert (bold.kl_budget, bold.lambda_general, bold.lambda_past) == (
        0.08,
        pytest.approx(50),
        pytest.approx(150),
    )
    assert bold.general_strength is not None
    assert bold.general_strength.value == bold.lambda_general
    hand = _plan(train=TrainSettings(kl_budget=0.08, lambda_past=7.0), served=True)
    assert (hand.lambda_general, hand.lambda_past, hand.past_strength) == (
        pytest.approx(50),
        7.0,
        None,
    )
    assert "Strength for past work: set by hand." in reasons(hand)


def test_what_the_last_run_measured_decides_how_strongly_the_next_is_held() -> None:
    first = _plan()
    measured = replace(
        RESULT,
        divergence_general=Divergence(0.08, 0.08 / EXPECTED["kfac", "general"], 16, 1520),
        divergence_past=Divergence(0.001, None, 16, 900),
    )
    second = _plan(served=True, last=(first, measured))
    assert (second.lambda_general, second.lambda_past) == (pytest.approx(200), pytest.approx(300))
    assert second.general_strength is not None
    assert second.general_strength.tightened == 2
    told = "\n".join(reasons(second))
    assert "the last run moved 0.08 of a budget of 0.02" in told
    assert "x 2 for runs that went over" in told


def test_less_memory_means_smaller_batches_of_the_same_step_then_less_kept() -> None:
    snapshot = _snapshot(tokens=1000)
    plans = [
        _plan(snapshot=snapshot, devices=(replace(GPU, free=int(free * GB)),))
        for free in (64, 4, 2.5, 1.2, 0.37)
    ]
    assert [(p.batch_size, p.gradient_checkpointing) for p in plans] == [
        (8, False),
        (2, False),
        (1, False),
        (8, True),
        (1, True),
    ]
    assert {p.batch_size * p.accumulation for p in (*plans, _plan())} == {8}
    assert (_plan().batch_size, _plan().gradient_checkpointing) == (8, False)
    assert not any("computed twice" in line for line in reasons(plans[2]))
    assert any("computed twice" in line for line in reasons(plans[3]))


def test_a_base_that_does_not_fit_in_sixteen_bits_is_held_in_four_where_that_can_be() -> None:
    card, memory = replace(GPU, free=11 * GB), replace(CPU, free=60 * GB)
    bnb = Packages({"bitsandbytes": "0.50.2"})
    assert _plan(SEVEN, devices=(card, memory)).device == "cpu"  # nobody can quantise
    plan = _plan(SEVEN, devices=(card, memory), packages=bnb)
    assert (plan.hardware.device, plan.hardware.four_bit) == ("cuda:0", True)
    assert any("4 bits" in line and "toy model" in line for line in reasons(plan))
    assert not _plan(SEVEN, devices=(GPU, memory), packages=bnb).four_bit  # it fits as it is
    assert _plan(SEVEN, devices=(GPU, memory), packages=bnb).may_be_four_bit
    with pytest.raises(Refused):  # the computer cannot even read it
        _plan(SEVEN, devices=(card, replace(CPU, free=16 * GB)), packages=bnb)
    with pytest.raises(Refused):  # no bfloat16, nothing to compute with
        _plan(SEVEN, devices=(replace(card, bf16=False), replace(CPU, free=20 * GB)), packages=bnb)


def test_a_step_is_split_over_gpus_that_are_alike_and_have_room() -> None:
    second, third = replace(GPU, index=1), replace(GPU, index=2, free=2 * GB)
    plan = _plan(SEVEN, devices=(GPU, second, third, replace(GPU, name="another", index=3), CPU))
    assert (plan.hardware.device, plan.hardware.devices) == ("cuda:0", ("cuda:0", "cuda:1"))
    assert any("split over cuda:0, cuda:1" in line for line in reasons(plan))
    assert _plan(SEVEN, devices=(GPU, third, CPU)).devices == ()
    assert _plan().devices == ()


def test_unsloth_trains_where_it_can_and_on_one_gpu(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"")
    there = Packages({"unsloth": "2026.10.9", "unsloth_zoo": "2026.10.9"})
    train = TrainSettings(base_weights=str(tmp_path), python="/env/bin/python")
    plan = _plan(SEVEN, devices=(GPU, CPU), train=train, packages=there)
    assert (plan.hardware.backend, plan.lora.first_layer) == ("unsloth", 0)
    assert any("On an H200" in line for line in reasons(plan))
    assert (
        _plan(SEVEN, devices=(GPU, replace(GPU, index=1)), train=train, packages=there).backend
        == "plain"
    )
    asked = _plan(
        SEVEN,
        devices=(GPU, replace(GPU, index=1)),
        train=replace(train, backend="unsloth"),
        packages=there,
    )
    assert (asked.backend, asked.devices) == ("unsloth", ())
    assert (
        _plan(SEVEN, devices=(GPU,), train=replace(train, backend="plain"), packages=there).backend
        == "plain"
    )
    with pytest.raises(Refused, match=r"full-precision weights"):
        _plan(SEVEN, devices=(GPU,), train=TrainSettings(backend="unsloth"), packages=there)
    assert _plan(SEVEN, devices=(GPU,), packages=there).backend == "plain"


def test_sequences_are_cut_to_what_the_device_and_base_can_hold() -> None:
    assert _plan(snapshot=_snapshot(tokens=3000)).max_length == 1024
    assert _plan(snapshot=_snapshot(tokens=3000), devices=(GPU,)).max_length == 3000
    assert _plan(replace(SMOLLM2, context=512), snapshot=_snapshot(tokens=3000)).max_length == 512


def test_a_full_card_leaves_the_work_to_the_cpu() -> None:
    full = replace(GPU, free=1 * GB)
    assert _plan(SEVEN, devices=(full, replace(CPU, free=64 * GB))).device == "cpu"
    with pytest.raises(Refused, match=r"cuda:0 has 1\.0 GiB free and needs .*cpu has 8\.0 GiB"):
        _plan(SEVEN, devices=(full, CPU))
    with pytest.raises(Refused, match="this machine has none"):
        _plan(train=TrainSettings(device="cuda"))
    assert _plan(devices=(GPU, CPU), train=TrainSettings(device="cpu")).device == "cpu"
    assert _plan(devices=(replace(CPU, bf16=False),)).dtype == "float32"


def test_with_full_precision_weights_all_layers_of_a_card_change_in_the_bases_own_types(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    plan = _plan(SEVEN, devices=(GPU,), train=TrainSettings(base_weights=str(tmp_path)))
    assert (
        plan.lora.first_layer,
        plan.lora.layer_count,
        plan.lora.touched_type,
        plan.lora.bytes_per_token_ratio,
        plan.base.weights,
    ) == (0, 28, "base", 1.0, str(tmp_path))
    assert any("full precision" in line for line in reasons(plan))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    weights = TrainSettings(base_weights=str(tmp_path))
    with pytest.raises(SettingsError, match="no readable config"):
        _plan(train=weights)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"no \*\.safetensors"):
        _plan(train=weights)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError, match="holds a `gemma3` model"):
        _plan(train=weights)


def test_an_unsupported_architecture_is_named_with_what_is_supported() -> None:
    with pytest.raises(UnsupportedArchitecture, match="`gemma3`; only llama, qwen2, qwen3"):
        _plan(replace(SMOLLM2, architecture="gemma3"))


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(Refused, match="no training example"):
        _plan(snapshot=Snapshot("s", 0.0, "ab", ()))


def test_the_general_fishers_cache_is_named_by_all_it_depends_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({}, tmp_path / "model.safetensors")
    names = {
        _plan().general_fisher,
        _plan(train=TrainSettings(fisher="diagonal")).general_fisher,
        _plan(snapshot=replace(_snapshot(), base_digest="cd" * 32)).general_fisher,
        _plan(snapshot=replace(_snapshot(), anchors=_snapshot().anchors[:2])).general_fisher,
        _plan(devices=(GPU,)).general_fisher,
        _plan(train=TrainSettings(base_weights=str(tmp_path))).general_fisher,
    }
    assert len(names) == 6
    assert _plan(snapshot=_snapshot(41), served=True).general_fisher in names


def test_a_fisher_in_another_form_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    past = tmp_path / "past_fisher.safetensors"
    Fisher("kfac", {}, 1, 1, 0, 0.0, "ab" * 32).save(past)
    assert _plan(served=True, past=past).fisher == "kfac"
    with pytest.raises(SettingsError, match="remembers past work in the form `kfac`"):
        _plan(served=True, past=past, train=TrainSettings(fisher="diagonal"))
    past.write_bytes(b"damaged")  # the worker says so
    assert (
        _plan(served=True, past=past, train=TrainSettings(fisher="diagonal")).fisher == "diagonal"
    )


def test_the_reasons_say_the_numbers() -> None:
    text = "\n".join(reasons(_plan(served=True)))
    for said in (
        "cpu in bfloat16",
        "Layers 20 to 29",
        "rank 8",
        "48 steps of 8",
        "0.001",
        "37.5%",
        "12.5%",
        "100 x",
        "300 x",
        "3 looks",
        "4 hours",
        "Q8_0",
        "1.16 x",
    ):
        assert said in text, said
    assert "none yet" not in text
    assert "none yet" in "\n".join(reasons(_plan()))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_a_real_file_is_read(tmp_path: Path, architecture: str) -> None:
    path = write_tiny_model(
        tmp_path / "m.gguf",
        architecture,
        layers=3,
        width=64,
        feed=128,
        tensor_type="Q4_0",
        tied=False,
    )  # type: ignore[arg-type]
    base = read_base(path)
    assert (base.architecture, base.layers, base.hidden, base.feed_forward) == (
        architecture,
        3,
        64,
        128,
    )
    assert base.parameters == sum(t.elements for t in base.tensors)
    assert base.bytes_per_token == sum(
        t.bytes for t in base.tensors if t.name != "token_embd.weight"
    )
    plan = _plan(base)
    assert plan.lora.first_layer == 2
    assert plan.lora.bytes_per_token_ratio > 1


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError):
        read_base(tmp_path / "text.gguf")
    with pytest.raises(NotFound):
        read_base(tmp_path / "absent.gguf")


def test_without_replay_the_penalty_on_past_work_is_dearer() -> None:
    usual, alone = _plan(), _plan(train=TrainSettings(replay=0))
    assert (usual.replay_share, usual.generic_share) == (0.375, 0.125)
    assert (alone.replay_share, alone.generic_share) == (0.0, 0.25)
    assert alone.lambda_past == pytest.approx(150 * usual.lambda_past)
    assert alone.lambda_general == pytest.approx(usual.lambda_general)
    assert alone.learning_rate == usual.learning_rate
    assert any("train.replay = 0" in reason for reason in reasons(alone))
    assert not any("train.replay = 0" in reason for reason in reasons(usual))
    assert _plan(train=TrainSettings(replay=0, lambda_past=7.0)).lambda_past == 7.0, "set by hand"
