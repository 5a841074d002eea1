"""The model read from a GGUF is the one that transformers' own loader reads, tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from qi_learn.errors import ModelError, NotFound, UnsupportedArchitecture
from qi_learn.train.dequantized import load_dequantized
from tests.support.tiny_models import Architecture, write_tiny_model


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("tied", [True, False])
# transformers' loader, not ours
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_it_is_the_model_that_transformers_reads(
    tmp_path: Path, architecture: Architecture, tied: bool
) -> None:
    write_tiny_model(tmp_path / "m.gguf", architecture, tensor_type="Q4_1", tied=tied, seed=3)
    transformers_logging.disable_progress_bar()
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="m.gguf", dtype=torch.float32
    ).eval()
    ours = load_dequantized(tmp_path / "m.gguf", torch.float32, attention="eager").eval()
    expected, own = theirs.state_dict(), ours.state_dict()
    assert own.keys() == expected.keys()
    assert [name for name in own if not torch.equal(own[name], expected[name])] == []
    assert (ours.lm_head.weight.data_ptr() == ours.model.embed_tokens.weight.data_ptr()) == tied
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.allclose(ours(ids).logits, theirs(ids).logits, rtol=1e-5, atol=1e-5)


def test_any_precision(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "m.gguf", tensor_type="F16")
    loaded = load_dequantized(tmp_path / "m.gguf", torch.bfloat16)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.bfloat16}


def test_files_that_cannot_be_trained_are_refused(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf")
    with pytest.raises(NotFound):
        load_dequantized(tmp_path / "absent.gguf", torch.float32)
    other = tmp_path / "gemma.gguf"
    other.write_bytes(path.read_bytes().replace(b"llama", b"gemma"))
    with pytest.raises(UnsupportedArchitecture, match="gemma"):
        load_dequantized(other, torch.float32)
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(path.read_bytes().replace(b"blk.1.attn_v.weight", b"blk.1.attn_z.weight"))
    with pytest.raises(ModelError, match=r"blk\.1\.attn_z\.weight"):
        load_dequantized(strange, torch.float32)


@pytest.mark.parametrize("how", ["key", "tensor"])
def test_scaled_rotary_frequencies_are_refused(tmp_path: Path, how: str) -> None:
    """Llama 3.1 and long-context Qwen: the file tells less of them than transformers needs."""
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    if how == "key":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_tensor(
        "token_embd.weight" if how == "key" else "rope_freqs.weight", np.zeros((4, 32), np.float32)
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedArchitecture, match=r"train\.base_weights"):
        load_dequantized(tmp_path / "m.gguf", torch.float32)
