"""Which examples are measured, how answers are rated (through a small real server), and NLL of a
random model's own file.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qi_learn.errors import ServerError
from qi_learn.gate.measure import measure_behaviour, measure_nll
from qi_learn.gate.suite import (
    choose_questions,
    gate_suite,
    old_suite,
    with_shots,
    within,
)
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.llama_cpp_nll import score_sequences
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Example, Snapshot
from tests.support import fake_models_server as fake
from tests.support.tiny_models import write_tiny_model

ADD = "def add(a, b):\n    return a + b\n"
FENCED = f"Here it is:\n```python\n{ADD}```"


def example(
    name: str, *, question: str = "q", prompt: int = 4, target: int = 6, **more: Any
) -> Example:
    ask = {"endpoint": "/api/chat", "body": {"messages": [{"role": "user", "content": question}]}}
    ids = tuple(range(1, prompt + 1)), tuple(range(10, 10 + target))
    given: dict[str, Any] = {
        "id": name,
        "hash": f"h-{name}",
        "prompt": "p",
        "target": FENCED,
        "kept_code": ADD,
        "ask": ask,
        "session": f"s-{name}",
    }
    return Example(
        prompt_ids=ids[0], target_ids=ids[1], code_mask=(True,) * target, **{**given, **more}
    )


def snapshot(*examples: Example, base: str = "b", replay: tuple[Example, ...] = ()) -> Snapshot:
    return Snapshot("S", 0.0, base, examples, replay)


# --- suites ---------------------------------------------------------------------------------------


def test_the_gate_is_the_snapshots_split() -> None:
    frozen = snapshot(
        example("a", split="train"), example("b", split="dev"), example("c", split="gate")
    )
    assert [e.id for e in gate_suite(frozen)] == ["c"]


def test_the_old_suite_takes_every_cycle_in_turn_and_nothing_that_is_trained_on() -> None:
    gates = [
        snapshot(*(example(f"{c}{i}", split="gate") for i in range(5)), example(f"{c}-train"))
        for c in "xyz"
    ]
    other = snapshot(example("o", split="gate"), base="another")
    now = snapshot(example("z1"), replay=(example("y0"),))
    assert [e.id for e in old_suite(now, [*gates, other], limit=8)] == [
        "z0",
        "y1",
        "x0",
        "z2",
        "y2",
        "x1",
        "z3",
        "y3",
    ]
    assert old_suite(now, []) == ()


def test_an_example_counts_once_in_the_old_suite() -> None:
    twice = snapshot(example("a", split="gate")), snapshot(example("a", split="gate"))
    assert len(old_suite(snapshot(), twice)) == 1


def test_what_is_too_long_is_cut_or_left_out() -> None:
    examples = [
        example("a", prompt=8, target=4),
        example("b", target=10),
        example("c", target=0),
        example("d", prompt=2, target=3),
    ]
    fitting = within(examples, max_tokens=100, context=10)
    assert [(e.id, e.prompt_ids) for e in fitting] == [("a", (3, 4, 5, 6, 7, 8)), ("d", (1, 2))]


def test_over_the_limit_examples_are_taken_evenly() -> None:
    examples = [example(str(i), target=10) for i in range(100)]
    fitting = within(examples, max_tokens=250, context=100)
    assert [int(e.id) for e in fitting] == list(range(3, 100, 4))
    assert sum(len(e.target_ids) for e in fitting) == 250
    assert [e.id for e in choose_questions(examples, limit=4)] == ["0", "25", "50", "75"]
    assert choose_questions(examples[:3], limit=4) == tuple(examples[:3])


def test_shots_are_earlier_turns_of_a_chat_and_text_before_a_prompt() -> None:
    shots = [example("a", question="one", target=3), example("b", question="two", target=3)]
    chat = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    ask = {"endpoint": "/api/chat", "body": {"messages": chat}}
    messages = with_shots(ask, shots)["body"]["messages"]
    assert [(m["role"], m["content"]) for m in messages] == [
        ("system", "s"),
        ("user", "one"),
        ("assistant", FENCED),
        ("user", "two"),
        ("assistant", FENCED),
        ("user", "q"),
    ]
    assert len(chat) == 2
    raw = with_shots({"endpoint": "/api/generate", "body": {"prompt": "q", "raw": True}}, shots[:1])
    assert raw["body"] == {"prompt": f"one\n{FENCED}\n\nq", "raw": True}


# --- answers --------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Ollama]:
    with fake.FakeModels(tmp_path / "store") as models, Ollama(models.url) as client:
        yield client


def answering(server: Ollama, directory: Path, name: str, **behaviour: Any) -> None:
    content = fake.gguf(**behaviour)
    (directory / "m.gguf").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    server.upload_blob(directory / "m.gguf", digest)
    server.create(name, files={"m.gguf": digest})


UNCLOSED = f"```python\n{ADD}"
LOOPING = "and again " * 40


@pytest.mark.parametrize(
    ("answer", "likeness", "coherent"),
    [
        (FENCED, 1.0, True),
        (ADD, 1.0, True),
        ("```python\ndef add(a, b):\n    return b + a\n```", 1 - 2 / 12, True),
        ("```python\ndef add(a, b:\n    return a + b\n```", 1 - 1 / 12, False),
        (UNCLOSED, 1.0, False),
        ("```sh\nls -l |\n```", None, True),
        ("", 0.0, False),
        (LOOPING, None, False),
        ("I cannot.", None, True),
    ],
)
def test_how_an_answer_is_rated(
    server: Ollama, tmp_path: Path, answer: str, likeness: float | None, coherent: bool
) -> None:
    answering(server, tmp_path, "m:1", say=answer)
    behaviour = measure_behaviour(server, "m:1", [example("a")], answer_tokens=200)
    assert behaviour.ids == ("a",)
    assert behaviour.answers == (answer,)
    assert behaviour.coherent == (coherent,)
    assert likeness is None or behaviour.similarity == pytest.approx((likeness,))


class ToolCalling(BaseHTTPRequestHandler):
    """A server that answers every chat with a call of a tool."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        call = {"function": {"name": "write_file", "arguments": {"path": "a.py", "content": ADD}}}
        body = json.dumps(
            {
                "message": {"role": "assistant", "content": "I write it.", "tool_calls": [call]},
                "done": True,
                "eval_count": 5,
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing on the terminal."""


def test_what_is_said_in_a_tool_call_is_part_of_the_answer() -> None:
    """It is what a coding agent would write to the disk: what leaks is looked for there too."""
    with ThreadingHTTPServer(("127.0.0.1", 0), ToolCalling) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        with Ollama(f"http://127.0.0.1:{serving.server_port}") as client:
            behaviour = measure_behaviour(client, "m:1", [example("a")], answer_tokens=50)
        serving.shutdown()
        thread.join()
    assert behaviour.answers == (f"I write it.\na.py\n{ADD}",)


def test_an_answer_that_is_cut_is_a_fault_unless_the_reference_is_as_long(
    server: Ollama, tmp_path: Path
) -> None:
    answering(server, tmp_path, "m:1", say=FENCED)
    short, long = example("short", target=3), example("long", target=50)
    behaviour = measure_behaviour(server, "m:1", [short, long], answer_tokens=5)
    assert behaviour.answers[0] == " ".join(FENCED.split(" ")[:5])
    assert behaviour.coherent == (False, True)
    assert behaviour.similarity[0] < 0.7
    assert behaviour.similarity[1] == 1.0


def test_an_answer_that_is_cut_before_any_code_is_not_like_it(
    server: Ollama, tmp_path: Path
) -> None:
    answering(server, tmp_path, "m:1", say="# one two three four five six seven eight nine ten")
    assert measure_behaviour(
        server, "m:1", [example("long", target=50)], answer_tokens=5
    ).similarity == (0.0,)


def test_a_reference_that_does_not_parse_asks_no_parsing(server: Ollama, tmp_path: Path) -> None:
    answering(server, tmp_path, "m:1", say="```\nfn main() {}\n```")
    assert measure_behaviour(
        server, "m:1", [example("a", kept_code="fn main() {}\n")], answer_tokens=50
    ).coherent == (True,)


def test_each_question_is_asked_greedily_and_speed_is_the_median(
    server: Ollama, tmp_path: Path
) -> None:
    answering(server, tmp_path, "m:1", say={"one": "a b c", "two": "d"}, rate=40.0)
    asked = [
        example("1", question="one", kept_code="a b c"),
        example("2", question="two", kept_code="d"),
    ]
    behaviour = measure_behaviour(server, "m:1", asked, answer_tokens=8)
    assert behaviour.answers == ("a b c", "d")
    assert behaviour.similarity == (1.0, 1.0)
    assert behaviour.tokens_per_second == pytest.approx(40.0)


def test_nothing_asked_nothing_known(server: Ollama, tmp_path: Path) -> None:
    behaviour = measure_behaviour(server, "m:1", [], answer_tokens=8)
    assert behaviour.ids == ()
    assert math.isnan(behaviour.tokens_per_second)


def test_a_model_that_is_not_there_is_an_error(server: Ollama) -> None:
    with pytest.raises(ServerError, match="not found"):
        measure_behaviour(server, "none:1", [example("a")], answer_tokens=8)


# --- NLL ------------------------------------------------------------------------------------------


def test_nll_is_llama_cpps_per_example(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    with load_vocabulary(path) as vocabulary:
        texts = [
            ("Write add.", ADD),
            ("Write one.", "x = 1\n"),
            ("Write more.", "for i in range(9):\n    print(i)\n"),
        ]
        cut = [
            (
                vocabulary.prompt_ids(p),
                vocabulary.tokenize(t, add_special=False, parse_special=False),
            )
            for p, t in texts
        ]
    examples = [
        replace(
            example(str(i)),
            prompt_ids=tuple(p),
            target_ids=tuple(t),
            code_mask=tuple(j % 2 == 0 for j in range(len(t))),
        )
        for i, (p, t) in enumerate(cut)
    ]
    measured = measure_nll(path, "gate", examples, max_tokens=1000, context=256)
    direct = score_sequences(
        path, [(e.prompt_ids, e.target_ids, e.code_mask) for e in examples], context=256
    )
    assert measured.ids == ("0", "1", "2")
    assert measured.units == ("s-0", "s-1", "s-2")
    assert measured.nll == pytest.approx([s.nll for s in direct])
    assert measured.tokens == tuple(len(t) for _, t in cut)
    assert measured.code_tokens == tuple((len(t) + 1) // 2 for _, t in cut)
    assert measured.per_token == pytest.approx(sum(s.nll for s in direct) / sum(measured.tokens))
    assert all(0 < c < n for c, n in zip(measured.code_nll, measured.nll, strict=True))
    again = measure_nll(path, "gate", examples, max_tokens=measured.tokens[0], context=256)
    assert sum(again.tokens) <= measured.tokens[0]


def test_an_empty_suite_needs_no_model(tmp_path: Path) -> None:
    measured = measure_nll(tmp_path / "none.gguf", "old", [], max_tokens=10, context=10)
    assert measured.ids == ()
    assert math.isnan(measured.per_token)


def test_sessions_are_the_units_however_few(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    measured = measure_nll(
        path,
        "gate",
        [example(str(i), session=f"s{i % 3}") for i in range(16)],
        max_tokens=1000,
        context=64,
    )
    assert measured.units == tuple(f"s{i % 3}" for i in range(16))


def test_what_was_measured_is_cached_for_good(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf", "llama", seed=1)
    examples = [example(str(i), session=f"s{i}") for i in range(4)]
    cache = tmp_path / "cache"
    first = measure_nll(path, "gate", examples[:3], max_tokens=1000, context=64, cache=cache)
    (file,) = cache.iterdir()
    file.write_text(file.read_text() + '[1, "torn')
    again = measure_nll(path, "old", examples, max_tokens=1000, context=64, cache=cache)
    assert again.nll[:3] == first.nll
    assert again.nll == pytest.approx(
        measure_nll(path, "gate", examples, max_tokens=1000, context=64).nll, abs=1e-3
    )
    other = measure_nll(
        write_tiny_model(tmp_path / "b.gguf", "llama", seed=2),
        "gate",
        examples,
        max_tokens=1000,
        context=64,
        cache=cache,
    )
    assert other.nll != again.nll, "another file has its own numbers"
    assert len(list(cache.iterdir())) == 2
