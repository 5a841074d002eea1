"""The choice of the backend: each missing thing in words, and what a failed backend leaves."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn import codec
from qi_learn.errors import Refused, ToolMissing
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.plan.backend import SEEN, backend_sentence, choose_backend, import_unsloth
from qi_learn.plan.fallback import fall_back, read_plan, read_rungs
from tests.outside.test_python_env import write_package
from tests.support.tiny_training import tiny_plan

GPU = Device("cuda", "RTX 4090", 24 << 30, 22 << 30, bf16=True)
THERE = Packages(
    {"unsloth": "2026.10.9", "unsloth_zoo": "2026.10.9"}, {"unsloth": (), "unsloth_zoo": ()}
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def _choose(weights: Path | None, wish: str = "auto", **changes: Any) -> tuple[str, str]:
    options: dict[str, Any] = {
        "architecture": "qwen2",
        "device": GPU,
        "packages": THERE,
        "four_bit": False,
        **changes,
    }
    return choose_backend(wish, weights=weights, **options)


def test_unsloth_is_chosen_where_everything_is_there_with_what_was_seen_of_it(
    weights: Path,
) -> None:
    for wish in ("auto", "unsloth"):
        name, why = _choose(weights, wish)
        assert name == "unsloth"
        assert why.endswith(SEEN)
    assert _choose(weights, "plain") == ("plain", "as `train.backend` says")
    assert "Unsloth" in backend_sentence(
        tiny_plan(backend="unsloth", backend_reason=_choose(weights)[1])
    )
    assert backend_sentence(tiny_plan()) == "Passes are run by transformers and PEFT."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": Device("cpu", "a laptop", 1, 1, bf16=True)}, "needs an NVIDIA GPU"),
        ({"device": replace(GPU, bf16=False)}, "does not compute in bfloat16"),
        ({"packages": Packages()}, "unsloth is not installed"),
        ({"packages": Packages({"unsloth": "2026.10.9"})}, "unsloth_zoo is not installed"),
        (
            {
                "packages": replace(
                    THERE, unmet={"unsloth": ("transformers 5.23.0 is there, <=5.17.0 is wanted",)}
                )
            },
            "unsloth 2026.10.9 does not fit.*5.17",
        ),
        ({"architecture": "gemma3"}, "no fused kernels for `gemma3`"),
        ({"four_bit": True}, "in 4 bits"),
        ({"gpus": 2}, "split over 2 GPUs"),
    ],
)
def test_each_missing_thing_is_said(weights: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        _choose(weights, "unsloth", **changes)
    name, why = _choose(weights, **changes)
    assert name == "plain"
    assert why.startswith("Unsloth cannot work here: ")


def test_it_needs_weights_with_their_tokenizer(weights: Path) -> None:
    with pytest.raises(Refused, match=r"full-precision weights \(`train.base_weights`\)"):
        _choose(None, "unsloth")
    (weights / "tokenizer.json").unlink()
    with pytest.raises(Refused, match="has none"):
        _choose(weights, "unsloth")


def test_it_is_not_imported_where_it_cannot_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ToolMissing, match="sees none"):
        import_unsloth(tmp_path, cuda=False)
    write_package(tmp_path / "site", "unsloth", "1")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "")
    with pytest.raises(ToolMissing, match="cannot be imported: imported"):
        import_unsloth(tmp_path, cuda=True)
    assert "unsloth" not in sys.modules


def test_a_backend_that_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(codec.dumps(tiny_plan(backend="unsloth")))
    (tmp_path / "checkpoints" / "step-000008").mkdir(parents=True)
    (tmp_path / "trained.json").write_text("{}")
    (tmp_path / "before.json").write_text("{}")
    fall_back(tmp_path, "no kernel image", now=1.0)
    assert read_plan(tmp_path).hardware.backend == "plain"
    assert (
        json.loads((tmp_path / "adapted.json").read_text())["rungs"][0]["reason"]
        == "no kernel image"
    )
    assert read_rungs(tmp_path).deferred == 0
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "trained.json").exists()
    assert not (tmp_path / "before.json").exists()
