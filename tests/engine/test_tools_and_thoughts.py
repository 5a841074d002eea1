"""Tools and thinking, as far as a model's own template has them: what the template is given, and
how an answer is taken apart.

The tiny models say nothing sensible, so a form (`format`) makes them write what a trained model
would, and the parts of longer answers are taken apart from texts, in pieces of every size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qi_learn.engine.answer_parts import marks_of, take_apart
from qi_learn.engine.generate import AnswerEnd, Piece
from tests.support.engine_questions import HI, ask
from tests.support.engine_server import Server
from tests.support.tiny_models import write_tiny_model

QWEN = (
    "{% if tools %}<|im_start|>system\n<tools>"
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>"
    " Answer with <tool_call>{...}</tool_call>.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function.name }}:"
    "{{ call.function.arguments | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
BARE = QWEN.replace("<tool_call>", "").replace("</tool_call>", "").replace("think>", "thought>")
TOOL = {
    "type": "function",
    "function": {
        "name": "write_file",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def able(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    directory = tmp_path_factory.mktemp("able")
    server.create("able", write_tiny_model(directory / "a.gguf", seed=1, template=QWEN))
    server.create("bare", write_tiny_model(directory / "b.gguf", seed=2, template=BARE))
    return server


def rendered(server: Server, **body: Any) -> str:
    shown = ask(server, model="able", _debug_render_only=True, **body)
    return str(shown["_debug_info"]["rendered_template"])


def test_what_a_template_can_is_told(able: Server) -> None:
    shown = able.post("/api/show", {"model": "able"}).json()
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    assert able.post("/api/show", {"model": "bare"}).json()["capabilities"] == [
        *("completion", "tools", "thinking")
    ]  # it asks for enable_thinking
    assert able.post("/api/show", {"model": "tiny"}).json()["capabilities"] == ["completion"]


def test_the_template_is_given_tools_calls_and_thoughts(able: Server) -> None:
    called = {"function": {"name": "write_file", "arguments": {"path": "a.py"}}}
    messages = [
        *HI,
        {"role": "assistant", "content": "", "thinking": "so", "tool_calls": [called]},
        {"role": "tool", "tool_name": "write_file", "content": "done"},
    ]
    text = rendered(able, messages=messages, tools=[TOOL])
    assert json.dumps(TOOL, separators=(", ", ": ")) in text
    assert '<think>so</think><tool_call>write_file:{"path": "a.py"}</tool_call><|im_end|>' in text
    assert "<|im_start|>tool\ndone<|im_end|>" in text
    assert "<tools>" not in rendered(able)
    assert rendered(able, think=False).endswith("<think>\n\n</think>\n\n")
    assert rendered(able, think=True).endswith("assistant\n")


def test_openais_calls_are_the_same_calls(able: Server) -> None:
    """Arguments that came as text are given to the template as the object they are."""
    call = {"id": "call_1", "type": "function"}
    call |= {"function": {"name": "write_file", "arguments": '{"path": "a.py"}'}}  # type: ignore[dict-item]
    messages = [*HI, {"role": "assistant", "content": None, "tool_calls": [call]}]
    body = {"model": "able", "messages": messages, "tools": [TOOL], "max_tokens": 1}
    usage = able.post("/v1/chat/completions", body).json()["usage"]
    own = [*HI, {"role": "assistant", "content": "", "tool_calls": [dict(call)]}]
    own[1]["tool_calls"][0] = {"function": {"name": "write_file", "arguments": {"path": "a.py"}}}  # type: ignore[index]
    count = ask(able, model="able", messages=own, tools=[TOOL], options={"num_predict": 1})
    assert usage["prompt_tokens"] == count["prompt_eval_count"]


FORM = {
    "type": "object",
    "properties": {
        "name": {"const": "write_file"},
        "arguments": {
            "type": "object",
            "properties": {"path": {"enum": ["a.py"]}},
            "required": ["path"],
        },
    },
    "required": ["name", "arguments"],
}


def test_a_call_is_told_apart_from_text(able: Server) -> None:
    asked = {"model": "bare", "messages": HI, "tools": [TOOL], "format": FORM}
    asked |= {"options": {"num_predict": 200}}
    whole = able.post("/api/chat", {**asked, "stream": False}).json()
    (call,) = whole["message"]["tool_calls"]
    assert call["function"] == {"index": 0, "name": "write_file", "arguments": {"path": "a.py"}}
    assert (whole["message"]["content"], whole["done_reason"]) == ("", "stop")
    lines = [json.loads(line) for line in able.post("/api/chat", asked).text.splitlines()]
    assert [line["message"]["tool_calls"][0]["function"] for line in lines[:-1]] == [
        call["function"]
    ]
    without = able.post("/api/chat", {**asked, "tools": [], "stream": False}).json()
    assert "tool_calls" not in without["message"]


def test_a_call_in_openais_words(able: Server) -> None:
    form = {"type": "json_schema", "json_schema": {"schema": FORM}}
    asked = {"model": "bare", "messages": HI, "tools": [TOOL], "response_format": form}
    choice = able.post("/v1/chat/completions", asked).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert (call["index"], call["type"], call["id"][:5]) == (0, "function", "call_")
    assert json.loads(call["function"]["arguments"]) == {"path": "a.py"}
    text = able.post("/v1/chat/completions", {**asked, "stream": True}).text
    events = [json.loads(e.removeprefix("data: ")) for e in text.split("\n\n") if "{" in e]
    assert events[0]["choices"][0]["delta"]["tool_calls"][0]["function"] == call["function"]
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"tools": [1]}, 400),
        ({"tools": [{"type": "function"}]}, 400),
        ({"think": "loud"}, 400),
        ({"think": "high", "options": {"num_predict": 1}}, 200),
        ({"messages": [*HI, {"role": "assistant", "tool_calls": [1]}]}, 400),
        ({"messages": [*HI, {"role": "assistant", "tool_calls": "x"}]}, 400),
        ({"messages": [*HI, {"role": "tool", "content": "x"}], "options": {"num_predict": 1}}, 200),
    ],
    ids=str,
)
def test_odd_tools_and_thoughts(able: Server, more: dict[str, Any], status: int) -> None:
    answer = able.post("/api/chat", {"model": "able", "messages": HI, "stream": False, **more})
    assert answer.status_code == status, answer.text
    assert able.process.poll() is None


# --- an answer taken apart ------------------------------------------------------------------------

THINK, CALL = "{{ enable_thinking }}<think></think>", "<tool_call></tool_call>"


def apart(
    text: str, size: int, template: str = THINK + CALL, prompt: str = "", *, tools: bool = True
) -> tuple[str, str, list[tuple[str, dict[str, Any], int]], bool]:
    """Text, thoughts and calls of an answer that comes in pieces of this size."""

    def answer() -> Iterator[Piece | AnswerEnd]:
        for at in range(0, len(text), size):
            yield Piece(text[at : at + size])
        yield AnswerEnd("stop", 1, 1, 0.0, 0.0, ())

    items = list(take_apart(answer(), marks_of(template, think=True, tools=tools), prompt=prompt))
    pieces = [item for item in items if isinstance(item, Piece)]
    assert all(piece.text or piece.thinking or piece.calls for piece in pieces)
    end = items[-1]
    assert isinstance(end, AnswerEnd)
    calls = [(c.name, dict(c.arguments), c.index) for p in pieces for c in p.calls]
    return "".join(p.text for p in pieces), "".join(p.thinking for p in pieces), calls, end.calls


A, B = {"path": "a.py"}, {"path": "b.py", "content": "x = '</think>'\n"}
ONE = f'<tool_call>\n{{"name": "w", "arguments": {json.dumps(A)}}}\n</tool_call>'
TWO = f'{ONE}\n<tool_call>\n{{"name": "w", "arguments": {json.dumps(B)}}}\n</tool_call>'
BOTH = [("w", A, 0), ("w", B, 1)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("just text < and <thin", ("just text < and <thin", "", [])),
        ("<think>\nhm\n</think>\n\nYes.", ("Yes.", "hm", [])),
        (f"<think>hm</think>\n{ONE}", ("", "hm", [("w", A, 0)])),
        (f"Let me.\n{TWO}", ("Let me.\n", "", BOTH)),
        ("say <think> aloud", ("say <think> aloud", "", [])),
        ("<tool_call>no JSON</tool_call> so", ("<tool_call>no JSON</tool_call>so", "", [])),
        ('{"a": 1}', ('{"a": 1}', "", [])),
        ("<think>never ends", ("", "never ends", [])),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_parts_are_the_same_in_pieces_of_any_size(
    text: str, parts: tuple[str, str, list[Any]], size: int
) -> None:
    assert apart(text, size) == (*parts, bool(parts[2]))


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_other_templates_calls(size: int) -> None:
    mistral = f'[TOOL_CALLS] [{{"name": "w", "arguments": {json.dumps(A)}}}]'
    assert apart(mistral, size, "{{ tools }}[TOOL_CALLS]")[2] == [("w", A, 0)]
    llama = f'{{"name": "w", "parameters": {json.dumps(A)}}}'
    assert apart(llama, size, "{{ tools }}<|python_tag|>")[2] == [("w", A, 0)]
    many = f'{llama}; {{"name": "w", "parameters": {json.dumps(B)}}}'
    assert apart(many, size, "{{ tools }}")[2] == BOTH
    assert apart('{"name": 3}', size, "{{ tools }}")[0] == '{"name": 3}'
    coder = (
        "<tool_call>\n<function=w>\n<parameter=path>\na.py\n</parameter>\n</function>\n</tool_call>"
    )
    assert apart(coder, size)[2] == [("w", A, 0)]


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_template_may_begin_the_thought_itself(size: int) -> None:
    assert apart("hm</think>Yes.", size, prompt="<|assistant|><think>\n")[:2] == ("Yes.", "hm")


def test_without_tools_nothing_is_a_call(tmp_path: Path) -> None:
    assert apart(ONE, 3, tools=False)[0] == ONE
