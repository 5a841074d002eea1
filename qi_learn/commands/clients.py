"""The tools that can be pointed at the gateway, and how each is: one table.

Most read a variable or take an option, so nothing of theirs changes for good. The invariant: what a
tool is given names the gateway's address and the model, and no secret; the key is a word that it
wants and the gateway passes by. What speaks an API that the gateway does not have (Gemini CLI) is
not in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY = "qi-learn"
"""What tools are given that insist on a key."""


@dataclass(frozen=True, slots=True)
class GatewayTarget:
    """What a tool is pointed at."""

    url: str
    """The gateway's, without a path."""
    model: str
    directory: Path = Path()
    """Where files may be put that are for one start."""

    @property
    def openai(self) -> str:
        return f"{self.url}/v1"

    @property
    def host(self) -> str:
        """Without the scheme, as Ollama's own client has it."""
        return self.url.partition("://")[2]


@dataclass(frozen=True, slots=True)
class Pointing:
    """What points one start of a tool."""

    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    """In front of the person's own."""
    files: Mapping[Path, str] = field(default_factory=dict)
    """What is to be written before: files of ours, for this start."""


@dataclass(frozen=True, slots=True)
class CodingTool:
    """A tool and how it is pointed."""

    name: str
    """As `qi-learn launch` has it, and as the tool's program is called, if `program` is empty."""
    title: str
    how: str
    """In words: by which variables or options."""
    install: str
    """The command that installs it, or where it is described."""
    point: Callable[[GatewayTarget], Pointing] | None
    """None if only its own settings name the server: `--config`."""
    program: str = ""
    needs_ollama: bool = False
    """Whether it speaks an API that the embedded engine refuses."""

    @property
    def command(self) -> str:
        return self.program or self.name


def _claude(target: GatewayTarget) -> Pointing:
    models = ("ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL")
    kinds = (f"ANTHROPIC_DEFAULT_{kind}_MODEL" for kind in ("OPUS", "SONNET", "HAIKU"))
    return Pointing(
        {
            "ANTHROPIC_BASE_URL": target.url,
            "ANTHROPIC_AUTH_TOKEN": KEY,
            "ANTHROPIC_API_KEY": "",
            **dict.fromkeys((*models, *kinds), target.model),
        },
        ("--model", target.model),
    )


def _codex(target: GatewayTarget) -> Pointing:
    provider = "model_providers.qi_learn"
    given = {
        "model_provider": "qi_learn",
        f"{provider}.name": "qi-learn",
        f"{provider}.base_url": target.openai,
        f"{provider}.wire_api": "responses",
    }
    options = (("-c", f"{name}={json.dumps(value)}") for name, value in given.items())
    return Pointing({}, (*(word for pair in options for word in pair), "-m", target.model))


def _opencode(target: GatewayTarget) -> Pointing:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "qi-learn",
        "options": {"baseURL": target.openai, "apiKey": KEY},
        "models": {target.model: {"name": target.model}},
    }
    given = {"model": f"qi-learn/{target.model}", "provider": {"qi-learn": provider}}
    return Pointing({"OPENCODE_CONFIG_CONTENT": json.dumps(given)})


def _openai(target: GatewayTarget) -> dict[str, str]:
    return {"OPENAI_BASE_URL": target.openai, "OPENAI_API_KEY": KEY, "OPENAI_MODEL": target.model}


def _qwen(target: GatewayTarget) -> Pointing:
    return Pointing(_openai(target), ("--auth-type", "openai", "--model", target.model))


def _aider(target: GatewayTarget) -> Pointing:
    return Pointing({"OLLAMA_API_BASE": target.url}, ("--model", f"ollama_chat/{target.model}"))


def _goose(target: GatewayTarget) -> Pointing:
    chosen = {"GOOSE_PROVIDER": "ollama", "GOOSE_MODEL": target.model}
    return Pointing({"OLLAMA_HOST": target.url, **chosen})


def _copilot(target: GatewayTarget) -> Pointing:
    return Pointing(
        {
            "COPILOT_PROVIDER_BASE_URL": target.openai,
            "COPILOT_PROVIDER_API_KEY": KEY,
            "COPILOT_MODEL": target.model,
        }
    )


def continue_models(target: GatewayTarget) -> str:
    """The models of Continue's `config.yaml`: a list of two, one of them to complete with."""
    model = json.dumps(target.model)
    lines = ("provider: ollama", f"model: {model}", f"apiBase: {json.dumps(target.url)}")
    roles = (("qi-learn", "chat, edit, apply"), ("qi-learn completion", "autocomplete"))
    return "".join(
        f"- name: {name}\n" + "".join(f"  {each}\n" for each in (*lines, f"roles: [{of}]"))
        for name, of in roles
    )


def _continue(target: GatewayTarget) -> Pointing:
    file = target.directory / "continue.yaml"
    text = f"name: qi-learn\nversion: 1.0.0\nschema: v1\nmodels:\n{continue_models(target)}"
    return Pointing({}, ("--config", str(file)), {file: text})


def _host(target: GatewayTarget) -> Pointing:
    return Pointing({"OLLAMA_HOST": target.host})


def _url(target: GatewayTarget) -> Pointing:
    return Pointing({"OLLAMA_HOST": target.url})


TOOLS: Mapping[str, CodingTool] = {
    tool.name: tool
    for tool in (
        CodingTool(
            "claude",
            "Claude Code",
            "ANTHROPIC_BASE_URL and --model",
            "npm install -g @anthropic-ai/claude-code",
            _claude,
            needs_ollama=True,
        ),
        CodingTool(
            "codex",
            "Codex",
            "-c model_providers... and -m",
            "npm install -g @openai/codex",
            _codex,
            needs_ollama=True,
        ),
        CodingTool(
            "opencode",
            "OpenCode",
            "OPENCODE_CONFIG_CONTENT",
            "npm install -g opencode-ai",
            _opencode,
        ),
        CodingTool(
            "qwen",
            "Qwen Code",
            "OPENAI_BASE_URL, OPENAI_MODEL and --auth-type",
            "npm install -g @qwen-code/qwen-code",
            _qwen,
        ),
        CodingTool(
            "aider", "aider", "OLLAMA_API_BASE and --model", "pip install aider-chat", _aider
        ),
        CodingTool("llm", "llm", "OLLAMA_HOST", "pip install llm llm-ollama", _url),
        CodingTool(
            "goose",
            "Goose",
            "OLLAMA_HOST, GOOSE_PROVIDER and GOOSE_MODEL",
            "see https://block.github.io/goose",
            _goose,
        ),
        CodingTool("ollama", "Ollama", "OLLAMA_HOST", "see https://ollama.com/download", _host),
        CodingTool(
            "copilot",
            "GitHub Copilot CLI",
            "COPILOT_PROVIDER_BASE_URL and COPILOT_MODEL",
            "npm install -g @github/copilot",
            _copilot,
        ),
        CodingTool(
            "continue",
            "Continue",
            "cn --config; for editors its config.yaml (--config)",
            "npm install -g @continuedev/cli",
            _continue,
            program="cn",
        ),
        CodingTool(
            "cline",
            "Cline",
            "its providers.json (--config)",
            "npm install -g cline",
            None,
        ),
    )
}
