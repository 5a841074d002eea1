"""Reading a packed file back: every foreign byte is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qi_learn.errors import ModelError
from qi_learn.outside.gguf import read_head
from qi_learn.pack.splice import pack
from qi_learn.pack.verify import verify_packed
from tests.support.packing import touched
from tests.support.tiny_adapters import random_adapter
from tests.support.tiny_models import write_tiny_model


def test_every_foreign_byte_is_found(tmp_path: Path) -> None:
    base = write_tiny_model(tmp_path / "base.gguf", "llama", tensor_type="Q4_1")
    packed = pack(base, random_adapter(base, [1], ["mlp.up_proj"]), tmp_path / "out.gguf")
    head = read_head(tmp_path / "out.gguf")
    content = (tmp_path / "out.gguf").read_bytes()

    untouched, changed = head.tensors["blk.0.attn_q.weight"], head.tensors["blk.1.ffn_up.weight"]
    spoiled = tmp_path / "spoiled.gguf"
    for at, value, says in (
        (content.index(b"tiny"), b"T", "head of"),
        (
            untouched.start + 5,
            bytes([content[untouched.start + 5] ^ 1]),
            r"blk\.0\.attn_q\.weight in .* differs",
        ),
        (changed.start, np.float16(np.nan).tobytes(), "not finite"),
    ):
        spoiled.write_bytes(content[:at] + value + content[at + len(value) :])
        with pytest.raises(ModelError, match=says):
            verify_packed(base, spoiled, touched(packed), load=False)
    with pytest.raises(ModelError, match=r"differs|head of"):
        verify_packed(base, tmp_path / "out.gguf", [], load=False)
    verify_packed(base, tmp_path / "out.gguf", touched(packed), load=False)
