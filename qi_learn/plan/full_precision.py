"""The base's full-precision weights (`train.base_weights`), checked before they are used."""

from __future__ import annotations

import json
from pathlib import Path

from qi_learn.errors import SettingsError
from qi_learn.plan.base_model import BaseModel


def full_precision_weights(setting: str, base: BaseModel) -> Path | None:
    """The directory of full-precision weights that the setting names; None if it names none.

    Raises SettingsError if the directory holds no safetensors weights of the base's architecture.
    """
    if not setting:
        return None
    directory = Path(setting).expanduser()
    try:
        kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise SettingsError(
            f"train.base_weights: {directory} has no readable config.json ({error}).",
            "Point it at the directory with config.json and *.safetensors, or empty it.",
        ) from error
    if not any(directory.glob("*.safetensors")):
        raise SettingsError(
            f"train.base_weights: {directory} has no *.safetensors file.",
            "Other formats can carry code and are not loaded; convert them, or empty the setting.",
        )
    if kind not in (base.architecture, *(("mistral",) if base.architecture == "llama" else ())):
        raise SettingsError(
            f"train.base_weights: {directory} holds a `{kind}` model, the base is "
            f"`{base.architecture}`.",
            "Give the weights that the GGUF was made from.",
        )
    return directory.absolute()
