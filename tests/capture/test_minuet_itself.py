"""minuet-ai.nvim itself, in Neovim, through the gateway: what was taken is known of its turn.

`QI_LEARN_MINUET` names a checkout of it. A scripted server stands for Ollama.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from qi_learn.capture.wire import decode
from qi_learn.store.database import open_store
from qi_learn.store.feedback import suggestions_of as stored
from qi_learn.store.ingest import drain
from qi_learn.track.suggestions import suggestions_of
from tests.support.fake_ollama import FakeOllama, Step, a_gateway, stream
from tests.support.left_out import absent
from tests.support.neovim import ESCAPE, F2, F3, Editor

SETUP = """
vim.opt.rtp:prepend("{plugin}")
require("minuet").setup({{
  provider = "openai_fim_compatible",
  n_completions = 1,
  throttle = 0,
  debounce = 50,
  notify = "error",
  virtualtext = {{ auto_trigger_ft = {{}}, keymap = {{ accept = "<F3>", next = "<F2>" }} }},
  provider_options = {{
    openai_fim_compatible = {{
      api_key = "TERM",
      name = "Ollama",
      end_point = "{url}/v1/completions",
      model = "qwen2.5-coder:7b",
      stream = true,
    }},
  }},
}})
"""


def completion(*pieces: str) -> list[Step]:
    """A completion as Ollama streams it."""
    choices = [{"text": text, "index": 0, "finish_reason": None} for text in pieces]
    choices.append({"text": "", "index": 0, "finish_reason": "stop"})
    lines = [json.dumps({"object": "text_completion", "choices": [each]}) for each in choices]
    told = [f"data: {line}\n\n".encode() for line in (*lines, "[DONE]")]
    return stream(told, "text/event-stream")


@pytest.mark.slow
def test_what_is_taken_with_minuet_is_told_of_its_turn(tmp_path: Path) -> None:
    plugin = os.environ.get("QI_LEARN_MINUET")
    if plugin is None:
        absent("minuet", "NOT TESTED: QI_LEARN_MINUET names no checkout of minuet-ai.nvim")
    with FakeOllama() as ollama, a_gateway(ollama.url, tmp_path / "home") as gateway:
        ollama.play(completion("sum(", "values)"))
        more = SETUP.format(plugin=plugin, url=gateway.url)
        text = "def mean(values):\n    return \n\n\ndef spread(values):\n    return 0\n"
        editor = Editor(tmp_path, text, ["-"], more=more)
        editor.type("2GA", F2)
        ollama.wait_asked()
        editor.draw(2.0)
        editor.type(F3)
        events = editor.told(lambda events: len(events) == 2)
        assert editor.messages() == ""
        editor.type(ESCAPE)
        editor.quit()
        assert "    return sum(values)\n" in editor.file.read_text()
    assert sorted(event.kind for event in events) == ["sign", "turn"]
    with open_store(editor.paths.database) as store:
        memory = drain(
            store, editor.paths.spool, decode=decode, suggest=suggestions_of, now=time.time()
        )
        (turn,) = memory.turns
        assert memory.heard == (turn,)
        (suggestion,) = stored(store, turn)
        assert (suggestion.text, suggestion.said) == ("sum(values)", "accepted")
        assert suggestion.path == str(editor.file)
