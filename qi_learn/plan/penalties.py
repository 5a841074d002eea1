"""What holds the weights back: both penalties, their strengths and the files of their Fishers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.outside.architectures import GGUF_NAMES
from qi_learn.plan.strength import PARTS, Part, last_strength, strength
from qi_learn.plan.trained_layers import TouchedLayers
from qi_learn.records import PenaltyStrength, Plan, PlannedPenalties, Snapshot, TrainResult
from qi_learn.settings import TrainSettings


def plan_penalties(
    train: TrainSettings,
    last: tuple[Plan, TrainResult] | None,
    *,
    past_price: float,
    past_fisher: Path | None,
    general_fisher: Path,
) -> PlannedPenalties:
    """Both penalties. `past_price` multiplies the price of a change of past work."""
    general, past = (_strength(part, train, last, past_price) for part in PARTS)
    return PlannedPenalties(
        lambda_general=general.value if general else train.lambda_general,
        lambda_past=past.value if past else train.lambda_past,
        past_fisher=str(past_fisher) if past_fisher else None,
        general_fisher=str(general_fisher),
        fisher="diagonal" if train.fisher == "diagonal" else "kfac",
        kl_budget=train.kl_budget,
        general_strength=general,
        past_strength=past,
    )


def check_form(form: str, past_fisher: Path | None) -> None:
    """Raises SettingsError if past work is remembered in another form than the plan's.

    The worker would find that out after an hour. A file that cannot be read is for the worker to
    report.
    """
    if past_fisher is None:
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(past_fisher, framework="numpy") as file:
            remembered = json.loads((file.metadata() or {})["about"])["form"]
    except (OSError, SafetensorError, KeyError, ValueError):
        return
    if remembered != form:
        raise SettingsError(
            f"train.fisher is `{form}`, and the live version remembers past work in the form "
            f"`{remembered}`; one cannot be made of the other.",
            f'Set `train.fisher = "{remembered}"`; another form can begin where nothing was '
            "learned yet (`qi-learn versions`).",
        )


def fisher_cache(
    directory: Path, snapshot: Snapshot, layers: TouchedLayers, form: str, weights: Path | None
) -> Path:
    """The cache file of the anchors' Fisher: its name holds all that the Fisher depends on.

    That of a base in 4 bits has a name of its own beside it (`train/run.py`).
    """
    digest = snapshot.base_digest[:16]
    anchors = _short_hash("".join(sorted(example.hash for example in snapshot.anchors)), 8)
    some = set(layers.targets) != set(GGUF_NAMES)
    targets = f"-{_short_hash(' '.join(sorted(layers.targets)), 4)}" if some else ""
    whole = f"-{_short_hash(str(weights), 4)}w" if weights else ""
    depth = f"{layers.first}-{layers.base.layers}"
    return directory / f"{digest}-{anchors}-{form}-{depth}{targets}{whole}.safetensors"


def _strength(
    part: Part,
    train: TrainSettings,
    last: tuple[Plan, TrainResult] | None,
    past_price: float,
) -> PenaltyStrength | None:
    """How strong a penalty is by the budget; None if the settings give its lambda."""
    if (train.lambda_general if part == "general" else train.lambda_past) >= 0:
        return None
    return strength(
        part,
        train.kl_budget,
        train.fisher,
        last_strength(part, *last) if last else None,
        dearer=past_price if part == "past" else 1.0,
    )


def _short_hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
