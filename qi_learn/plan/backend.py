"""The code that runs the training's passes: transformers and PEFT as they are, or Unsloth.

Unsloth's fused kernels are taken if they can work. The choice never imports Unsloth, which changes
transformers the moment it is imported, and fails without a GPU: everything that it needs is checked
first, and what is missing is reported. On the one GPU that this project has run it on
(docs/internals/log) its losses and gradients were the plain backend's, with less memory and no more
speed. The plain backend is the reference: a run whose Unsloth fails or disagrees with it goes on
with the plain one.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from qi_learn.errors import Refused, ToolMissing
from qi_learn.outside.architectures import UNSLOTH
from qi_learn.outside.gpu import Device
from qi_learn.outside.python_env import Packages
from qi_learn.records import Plan

Backend = Literal["plain", "unsloth"]
LOOKED_FOR = ("unsloth", "unsloth_zoo", "bitsandbytes")
"""Packages that the training's interpreter may have beyond the necessary."""
SEEN = (
    "On an H200 it trained a 7B shape in 0.86 of the plain backend's memory, at 0.91 of its speed, "
    "after a minute or more of compiling; a whole run to its end was not seen yet "
    "(docs/internals/log)."
)


def choose_backend(
    wish: str,
    *,
    architecture: str,
    device: Device,
    weights: Path | None,
    packages: Packages,
    four_bit: bool,
    gpus: int = 1,
) -> tuple[Backend, str]:
    """The backend and the reason for it.

    Raises Refused if Unsloth is asked for by name and cannot work.
    """
    if wish == "plain":
        return "plain", "as `train.backend` says"
    problems = list(
        unsloth_problems(
            architecture=architecture,
            device=device,
            weights=weights,
            packages=packages,
            four_bit=four_bit,
            gpus=gpus,
        )
    )
    if not problems:
        version = packages.versions["unsloth"]
        return "unsloth", f"Unsloth {version} and all that it needs are there. {SEEN}"
    if wish == "unsloth":
        raise Refused(
            f"train.backend is `unsloth`, which cannot work here: {'; '.join(problems)}.",
            'Mend that, or set `train.backend = "auto"` (`qi-learn doctor`).',
        )
    return "plain", f"Unsloth cannot work here: {problems[0]}"


def unsloth_problems(
    *,
    architecture: str,
    device: Device,
    weights: Path | None,
    packages: Packages,
    four_bit: bool,
    gpus: int,
) -> Iterator[str]:
    """What keeps Unsloth from working, one by one; nothing if it can work."""
    if device.kind != "cuda":
        yield f"it needs an NVIDIA GPU, and the training is on the {device.kind}"
    elif not device.bf16:
        yield f"the {device.name} does not compute in bfloat16"
    yield from missing(packages)
    if architecture not in UNSLOTH:
        yield f"it has no fused kernels for `{architecture}`"
    if weights is None:
        yield (
            "it needs the base's full-precision weights (`train.base_weights`); it cannot train "
            "from a GGUF file"
        )
    elif not any(
        (weights / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")
    ):
        yield f"it loads the tokenizer with the model, and {weights} has none"
    if four_bit:
        yield (
            "the base is held in 4 bits here, into which what is served cannot be merged behind "
            "its loader"
        )
    if gpus > 1:
        yield f"the training is split over {gpus} GPUs, which is done with the plain backend"


def missing(packages: Packages) -> Iterator[str]:
    """What the interpreter lacks for Unsloth."""
    for name in ("unsloth", "unsloth_zoo"):
        if packages.unmet.get(name):
            unmet = ", ".join(packages.unmet[name])
            named = f"{name} {packages.versions.get(name, '')}".rstrip()
            yield f"{named} does not fit what is installed: {unmet}"
        elif name not in packages.versions:
            yield f"{name} is not installed for the training's interpreter (`train.python`)"


def import_unsloth(run: Path, *, cuda: bool) -> None:
    """Import Unsloth into this process, before transformers, which it changes.

    What it compiles goes into the run's directory. Raises ToolMissing if it cannot be imported.
    """
    if not cuda:
        raise ToolMissing(
            "Unsloth needs a CUDA device, and this Python's torch sees none.",
            'Set `train.backend = "plain"`.',
        )
    # without this: a folder in the working directory, which Unsloth puts on the import path
    os.environ["UNSLOTH_COMPILE_LOCATION"] = str(run / "unsloth")
    try:
        importlib.import_module("unsloth")
    except (ImportError, NotImplementedError, RuntimeError, OSError) as error:
        raise ToolMissing(
            f"Unsloth cannot be imported: {error}",
            'Mend its environment (`train.python`), or set `train.backend = "plain"`.',
        ) from error


def backend_sentence(plan: Plan) -> str:
    """The backend of a plan and its reason, for `explain`."""
    name = {
        "plain": "transformers and PEFT",
        "unsloth": "Unsloth (its Fisher and its check are made with transformers and PEFT)",
    }[plan.hardware.backend]
    why = f": {plan.hardware.backend_reason}" if plan.hardware.backend_reason else ""
    return f"Passes are run by {name}{why}".removesuffix(".") + "."
