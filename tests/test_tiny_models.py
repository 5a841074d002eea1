"""The tiny models that other tests stand on: llama.cpp loads them, tokenises with them and
evaluates them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.tiny_models import Architecture, write_tiny_model

TEXT = "def add(a, b):\n    return a + b  # größer ≤ 🐍\n"


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_llama_cpp_runs_a_tiny_model(tmp_path: Path, architecture: Architecture) -> None:
    import llama_cpp

    model = write_tiny_model(tmp_path / "m.gguf", architecture)
    llama = llama_cpp.Llama(str(model), n_ctx=128, verbose=False, n_threads=1)
    ids = llama.tokenize(TEXT.encode(), add_bos=False, special=True)
    assert llama.detokenize(ids).decode() == TEXT
    assert len(ids) < len(TEXT.encode())
    assert llama.tokenize(b"<|im_end|>", add_bos=False, special=True) == [2] == [llama.token_eos()]
    llama.eval(ids)
    assert llama.n_tokens == len(ids)
    llama.close()


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    one, two, other = (
        write_tiny_model(tmp_path / f"{n}.gguf", seed=s) for n, s in ((1, 5), (2, 5), (3, 6))
    )
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()
