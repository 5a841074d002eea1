"""Settings of the person's tools that name the gateway's port: told, never changed.

What `qi-learn launch --config` wrote is undone elsewhere (`client_settings`), and not told here.
The files are those that the documentation names, and the shells' own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from qi_learn.commands.client_settings import written_settings
from qi_learn.commands.removal import Removals
from qi_learn.commands.uninstall_shell import shell_files
from qi_learn.paths import user_config
from qi_learn.settings import Settings

LARGEST = 1 << 20
"""A settings file that is larger is not looked into, bytes."""
BELOW_HOME = (
    *(".continue/config.yaml", ".continue/config.json", ".aider.conf.yml", ".claude/settings.json"),
    *(".codex/config.toml", ".env", ".goosehints", ".config/goose/config.yaml", ".profile"),
)
BELOW_CONFIG = (
    *("zed/settings.json", "opencode/opencode.json", "opencode/opencode.jsonc"),
    *("Code/User/settings.json", "Code/User/chatLanguageModels.json"),
    *("Code - Insiders/User/settings.json", "VSCodium/User/settings.json"),
    *("Cursor/User/settings.json", "io.datasette.llm/extra-openai-models.yaml"),
    *("environment.d/*.conf", "nvim/init.lua", "nvim/init.vim", "nvim/lua/**/*.lua"),
)


def find_client_settings(home: Path, settings: Settings, env: Mapping[str, str]) -> Removals:
    """Lines of tools' settings that name the gateway's address."""
    port = settings.gateway.port
    if not port:
        return Removals()
    address = re.compile(rb"(?:127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0):" + b"%d(?![0-9])" % port)
    told = []
    undone = {file for _, file in written_settings(home, env)}
    for file in dict.fromkeys(_files(home, env)):
        if file in undone:
            continue
        try:
            if file.stat().st_size > LARGEST:
                continue
            lines = file.read_bytes().splitlines()
        except OSError:
            continue  # it went, or may not be read: it is no setting of ours
        told += [
            f"{file}, line {number}, points a tool at the gateway; point it back at "
            f"{settings.serve.ollama}."
            for number, line in enumerate(lines, 1)
            if address.search(line) and not line.lstrip().startswith(b"#")
        ]
    if any(address.search(value.encode("utf-8", "replace")) for value in _variables(env)):
        told.append("A variable of this shell (OLLAMA_HOST or the like) names the gateway.")
    return Removals(left=tuple(told))


def _files(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    config = user_config(home, env)
    yield from shell_files(home, env)
    yield from (home / name for name in BELOW_HOME)
    for pattern in BELOW_CONFIG:
        yield from sorted(config.glob(pattern))
    support = home / "Library" / "Application Support"
    yield from (support / name for name in BELOW_CONFIG if "*" not in name)


def _variables(env: Mapping[str, str]) -> Iterator[str]:
    yield from (value for name, value in env.items() if name.endswith(("_HOST", "_BASE", "_URL")))
