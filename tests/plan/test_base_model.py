"""What a plan reads of the base, and the bases and weights that are refused in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.errors import ModelError, NotFound, SettingsError, UnsupportedArchitecture
from qi_learn.plan.base_model import read_base
from qi_learn.settings import TrainSettings
from tests.support.planning import SMOLLM2, make_plan
from tests.support.tiny_models import Architecture, write_tiny_model


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_a_real_file_is_read(tmp_path: Path, architecture: Architecture) -> None:
    path = write_tiny_model(
        tmp_path / "m.gguf", architecture, layers=3, tensor_type="Q4_0", tied=False
    )
    base = read_base(path)
    assert (base.architecture, base.layers) == (architecture, 3)
    assert (base.hidden, base.feed_forward) == (64, 128)
    assert base.parameters == sum(t.elements for t in base.tensors)
    assert base.bytes_per_token == sum(
        t.bytes for t in base.tensors if t.name != "token_embd.weight"
    )
    plan = make_plan(base)
    assert plan.lora.first_layer == 2
    assert plan.lora.bytes_per_token_ratio > 1


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError):
        read_base(tmp_path / "text.gguf")
    with pytest.raises(NotFound):
        read_base(tmp_path / "absent.gguf")


def test_an_unsupported_architecture_is_named_with_what_is_supported() -> None:
    with pytest.raises(UnsupportedArchitecture, match="`gemma3`; only llama, qwen2, qwen3"):
        make_plan(replace(SMOLLM2, architecture="gemma3"))


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    weights = TrainSettings(base_weights=str(tmp_path))
    with pytest.raises(SettingsError, match="no readable config"):
        make_plan(train=weights)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"no \*\.safetensors"):
        make_plan(train=weights)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SettingsError, match="holds a `gemma3` model"):
        make_plan(train=weights)
