"""The frozen base in four bits (QLoRA).

If its 16-bit weights do not fit on the GPU, bitsandbytes holds the layers' linear modules as NF4.
The base is loaded as always, in the computer's memory, and what is served is merged into it first:
so the model that is trained on holds the served change, as far as four bits can tell. transformers'
own way (a quantised load) would have to add that change to weights that are quantised already, in
which small changes die. Embeddings, norms and the head keep their precision, and the delta is
merged into the base's own weights afterwards: nothing of this is in the file that is served.
bitsandbytes is imported here alone, when it is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qi_learn.errors import ToolMissing
from qi_learn.outside.installation import how_to_add


def quantise(decoder: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Replace every linear module of the layers by its NF4 form on `device`, one by one.

    Computing is done in `dtype`. Doing it again changes nothing. Raises ToolMissing if bitsandbytes
    is not there.
    """
    kind = _linear_4bit()
    for layer in decoder.layers:
        for name, module in list(layer.named_modules()):
            if isinstance(module, nn.Linear) and not isinstance(module, kind):
                parent, _, own = name.rpartition(".")
                setattr(layer.get_submodule(parent), own, _quantised(module, kind, device, dtype))


def _linear_4bit() -> Any:
    try:
        from bitsandbytes.nn import Linear4bit
    except ImportError as error:
        raise ToolMissing(
            f"Training on a base in 4 bits needs bitsandbytes, which cannot be imported: {error}",
            f"It is for the interpreter in `train.python`. {how_to_add('qlora')}",
        ) from error
    return Linear4bit


def _quantised(module: nn.Linear, kind: Any, device: torch.device, dtype: torch.dtype) -> nn.Module:
    made: nn.Module = kind(
        module.in_features,
        module.out_features,
        bias=module.bias is not None,
        compute_dtype=dtype,
        compress_statistics=True,
        quant_type="nf4",
        device="meta",
    )
    weight: Any = made.weight
    made.weight = type(weight)(
        module.weight.data.to(dtype),
        requires_grad=False,
        compress_statistics=True,
        quant_type="nf4",
        module=made,
    )
    made.bias = module.bias
    return made.to(device)  # here it is quantised
