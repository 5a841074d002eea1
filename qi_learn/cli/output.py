"""What every command shares: where things are, one JSON object, a text that is given."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qi_learn.errors import NotFound
from qi_learn.paths import Paths
from qi_learn.settings import Settings, load_settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def open_settings() -> tuple[Paths, Settings]:
    """For the commands that need the settings; the others work with a broken `config.toml` too."""
    paths = Paths.default()
    return paths, load_settings(paths.settings_file)


def print_json(value: Any) -> None:
    from qi_learn.codec import plain

    typer.echo(json.dumps(_finite(plain(value)), allow_nan=False))


def _finite(value: Any) -> Any:
    """JSON knows neither NaN nor infinity: unknown, in JSON's words."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_input(place: Path) -> str:
    try:
        text = (sys.stdin.buffer.read() if str(place) == "-" else place.read_bytes()).decode(
            "utf-8"
        )
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(
            f"{place} cannot be read: {error}",
            "Give the path of a UTF-8 text file, or - for the input.",
        ) from error
    if "\0" in text:
        raise NotFound(
            f"{place} is no text file.", "Give the path of a UTF-8 text file, or - for the input."
        )
    return text
