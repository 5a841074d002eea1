"""The Fisher information by module: what it holds, how estimates add up over cycles, its file.

`fisher_estimate.py` says what the numbers are, and makes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from torch import Tensor

from qi_learn.errors import ModelError
from qi_learn.train.adapter import load_tensors, save_tensors
from qi_learn.train.factor import Factor, Form

FORMAT, READABLE = "qi-learn fisher 2", ("qi-learn fisher 1", "qi-learn fisher 2")


@dataclass(frozen=True, slots=True)
class ModuleFisher:
    """The Fisher of one module: S (out side) and C (in side), summed up over `cycles` estimates."""

    S: Factor
    C: Factor
    cycles: int = 1


@dataclass(frozen=True, slots=True)
class Fisher:
    """Factors by module name, with the amount of data behind them."""

    form: Form
    modules: dict[str, ModuleFisher]
    sequences: int
    tokens: int
    skipped: int = 0
    """Sequences left out because of values that were not finite."""
    seconds: float = 0.0
    base: str = ""
    """sha256 of the base's GGUF."""

    def accumulated(self, new: Fisher) -> Fisher:
        """This and one more estimate.

        S is summed (each cycle's work counts in full), C averaged over cycles. Raises ModelError if
        forms or bases differ.
        """
        if self.form != new.form or self.base != new.base:
            raise ModelError(
                f"A Fisher of form {self.form!r} cannot be added to one of form {new.form!r} of "
                "another run or base.",
                "Start from the base, or set `train.fisher` back.",
            )
        joined = dict(self.modules)
        for name, fresh in new.modules.items():
            joined[name] = _accumulated(joined[name], fresh) if name in joined else fresh
        return replace(
            new,
            modules=joined,
            sequences=self.sequences + new.sequences,
            tokens=self.tokens + new.tokens,
            skipped=self.skipped + new.skipped,
        )

    def save(self, path: Path) -> None:
        tensors = {
            f"{name}.{side}.{part}": value
            for name, both in self.modules.items()
            for side in ("S", "C")
            for part, value in getattr(both, side).parts().items()
        }
        about = {
            "form": self.form,
            "sequences": self.sequences,
            "tokens": self.tokens,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "cycles": {name: both.cycles for name, both in self.modules.items()},
        }
        save_tensors(
            path, tensors, {"format": FORMAT, "base": self.base, "about": json.dumps(about)}
        )


def load_fisher(path: Path, base_digest: str) -> Fisher:
    """The Fisher in a file. Raises ModelError if it is missing, damaged or of another base."""
    tensors, metadata = load_tensors(path)
    if metadata.get("format") not in READABLE or metadata.get("base") != base_digest:
        raise ModelError(
            f"{path} holds no Fisher of this base.", "Delete it; the general one is computed anew."
        )
    about = json.loads(metadata["about"])
    if about["form"] not in get_args(Form):
        raise ModelError(
            f"{path} holds a Fisher of unknown form {about['form']!r}.",
            "Delete it; the general one is computed anew.",
        )
    modules = {
        name: ModuleFisher(_factor(tensors, f"{name}.S"), _factor(tensors, f"{name}.C"), cycles)
        for name, cycles in about["cycles"].items()
    }
    return Fisher(
        about["form"],
        modules,
        about["sequences"],
        about["tokens"],
        about["skipped"],
        about["seconds"],
        base_digest,
    )


def _accumulated(old: ModuleFisher, new: ModuleFisher) -> ModuleFisher:
    cycles = old.cycles + new.cycles
    return ModuleFisher(
        old.S.combined(1.0, new.S, 1.0),
        old.C.combined(old.cycles / cycles, new.C, new.cycles / cycles),
        cycles,
    )


def _factor(tensors: dict[str, Tensor], name: str) -> Factor:
    """The factor whose parts begin with `name`.

    They are taken out of `tensors`, so that a large file is not in memory twice.
    """
    kept = {
        part: tensors.pop(f"{name}.{part}")
        for part in ("variance", "correlation", "triangle", "matrix", "diagonal")
        if f"{name}.{part}" in tensors
    }
    return Factor.of_parts(kept)
