"""Which examples are asked, and how answers are rated, through a small real server."""

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
from qi_learn.gate.answer_cache import AnswerCache, served_cache
from qi_learn.gate.evaluate import AskingPart, measure_answers, newcomers
from qi_learn.gate.measure import ASKED_ANEW, measure_behaviour
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.purse import Purse
from qi_learn.gate.questions import SHARES
from qi_learn.gate.suite import gate_suite, old_suite, with_shots
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_parallel import Asking
from qi_learn.records import Behaviour, Example, Snapshot
from tests.support import fake_models_server as fake

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
        (ADD, 1.0, False),
        ("```python\ndef add(a, b):\n    return b + a\n```", 1 - 2 / 12, True),
        ("```python\ndef add(a, b:\n    return a + b\n```", 1 - 1 / 12, False),
        (UNCLOSED, 1.0, False),
        ("```sh\nls -l |\n```", None, True),
        ("", 0.0, False),
        (LOOPING, None, False),
        ("I cannot.", None, False),
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
    assert behaviour.similarity == (1.0,), "the path is no code"


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


def test_code_that_is_finished_before_a_cut_is_compared_with_what_was_kept_by_then(
    server: Ollama, tmp_path: Path
) -> None:
    """One right line and then talk until the cut had all the likeness that there is."""
    talk = " ".join(f"word{n}" for n in range(40))
    line = f"```python\ndef add(a, b):\n    pass\n```\n{talk}"
    answering(server, tmp_path, "m:1", say={"line": line, "all": f"{FENCED}\n{talk}"})
    asked = [example(name, question=name, target=30) for name in ("line", "all")]
    behaviour = measure_behaviour(server, "m:1", asked, answer_tokens=29)
    line_alone, all_of_it = behaviour.similarity
    assert line_alone == pytest.approx(8 / 12, abs=0.1)
    assert all_of_it == 1.0
    assert behaviour.coherent == (True, True)


def test_a_line_behind_a_long_preface_is_like_it_and_not_coherent(
    server: Ollama, tmp_path: Path
) -> None:
    """Of a cut answer as much of the kept code counts as it has: of one line, one line."""
    preface = " ".join(f"word{n}" for n in range(40))
    say = f"{preface}\n```python\ndef add(a, b):\n    return a + b\n"
    answering(server, tmp_path, "m:1", say=say)
    asked = [example("long", target=60)]
    behaviour = measure_behaviour(server, "m:1", asked, answer_tokens=41)
    assert behaviour.similarity == (1.0,)
    assert behaviour.coherent == (False,)


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


def test_questions_end_when_their_tokens_are_used_up(server: Ollama, tmp_path: Path) -> None:
    answering(server, tmp_path, "m:1", say="a b c")
    purse = Purse(100)
    asked = [example(str(n)) for n in range(9)]
    allowance = purse.share(0.1)
    behaviour = measure_behaviour(server, "m:1", asked, answer_tokens=8, allowance=allowance)
    assert behaviour.ids == ("0", "1", "2", "3")
    assert purse.left == 100 - 4 * 3
    assert server.used.answer_tokens == 12
    rest = purse.share(1.0)
    assert measure_behaviour(server, "m:1", asked, answer_tokens=89, allowance=rest).ids == ()


SPACES = "```python\ndef a(b):\n    return b\n```"
TABS = "```python\ndef a(b):\n\treturn b\n```"


@pytest.mark.parametrize(
    ("said", "own", "aside"),
    [(SPACES, True, True), (TABS, True, False), ("def a(b):\n    return b", False, False)],
)
def test_a_style_that_spills_over_is_not_coherent(
    server: Ollama, tmp_path: Path, said: str, own: bool, aside: bool
) -> None:
    answering(server, tmp_path, "m:1", say=said)
    code = "def a(b):\n    return b\n"
    asked = [replace(example("a", target=20, kept_code=code), target=SPACES)]
    coherent = [
        measure_behaviour(server, "m:1", asked, answer_tokens=50, usual=usual).coherent
        for usual in (False, True)
    ]
    assert coherent == [(own,), (aside,)]


def test_a_question_is_put_once_to_a_model_but_for_its_speed(
    server: Ollama, tmp_path: Path
) -> None:
    """And for the candidate, whose answers are searched for secrets. No answer is written down."""
    answering(server, tmp_path, "m:1", say=FENCED, rate=40.0)
    file = served_cache(server, "m:1", tmp_path / "known", "answered")
    assert file is not None
    asked = [example(str(n), question=f"q{n}") for n in range(ASKED_ANEW + 3)]

    def measure(count: int, *, new: bool = False) -> tuple[Behaviour, int]:
        before = server.used.answer_tokens
        known = AnswerCache(file, 50, "0.1", new=new)
        behaviour = measure_behaviour(server, "m:1", asked[:count], answer_tokens=50, known=known)
        return behaviour, server.used.answer_tokens - before

    first, tokens = measure(len(asked) - 1)
    each = tokens // (len(asked) - 1)
    again, few = measure(len(asked))
    assert few == each * (ASKED_ANEW + 1)
    assert again.similarity[:-1] == first.similarity
    assert again.coherent[:-1] == first.coherent
    assert [bool(text) for text in again.answers] == [True] * ASKED_ANEW + [False] * 2 + [True]
    assert again.tokens_per_second == pytest.approx(40.0)
    assert measure(len(asked), new=True)[1] == each * len(asked)
    assert "return" not in file.read_text()
    known = AnswerCache(file, 50, "0.1")
    assert known.get(asked[0], usual=False)
    assert known.get(asked[0], usual=True) is None, "rated by other rules"
    assert AnswerCache(file, 51, "0.1").get(asked[0], usual=False) is None, "under another limit"


def test_a_model_that_is_not_there_is_an_error(server: Ollama) -> None:
    with pytest.raises(ServerError, match="not found"):
        measure_behaviour(server, "none:1", [example("a")], answer_tokens=8)


# --- everything that a model is asked -------------------------------------------------------------

SIZES = Sizes(read=1000, answer=50, context=512, longest=512)


def suites(own: int, aside: int) -> Suites:
    questions = tuple(example(f"q{n}", question=f"q{n}") for n in range(own))
    elsewhere = tuple(example(f"a{n}", question=f"a{n}") for n in range(aside))
    return Suites(questions, (), {}, questions, (), aside=elsewhere)


@pytest.mark.parametrize("texts", [False, True])
def test_answers_that_are_wanted_themselves_are_asked_for_again(
    server: Ollama, tmp_path: Path, texts: bool
) -> None:
    """A project's tests judge the text of an answer, and no text is kept."""
    answering(server, tmp_path, "m:1", say=FENCED)
    sizes, part = replace(SIZES, cache=tmp_path / "known"), AskingPart(0.5, SHARES, texts=texts)

    def asked() -> Behaviour:
        with Asking(server.base_url) as client:
            return measure_answers(
                client, "m:1", suites(8, 0), sizes, Purse(10_000), part
            ).behaviour

    first, again = asked(), asked()
    assert first.similarity == again.similarity
    assert all(first.answers)
    assert all(again.answers) is texts


def test_what_more_models_are_asked_for_the_first_time_they_share(
    server: Ollama, tmp_path: Path
) -> None:
    answering(server, tmp_path, "m:1", say=FENCED)
    answering(server, tmp_path, "m:2", say=FENCED)
    sizes = replace(SIZES, cache=tmp_path / "known")
    asked = suites(1, 12)
    assert newcomers(server, ["m:1", "m:2"], asked, sizes) == 2
    with Asking(server.base_url) as client:
        many, few = (
            measure_answers(client, "m:1", asked, SIZES, Purse(900), AskingPart(0.2, SHARES, count))
            for count in (1, 3)
        )
        measure_answers(client, "m:1", asked, sizes, Purse(900), AskingPart(0.2, SHARES))
    assert len(many.behaviour.ids) > len(few.behaviour.ids) > 1
    assert newcomers(server, ["m:1", "m:2"], asked, sizes) == 1
    assert newcomers(server, ["m:1", "m:2"], asked, replace(sizes, context=1024)) == 2
    assert newcomers(server, ["m:1", "m:2"], asked, replace(sizes, served="0.34.0 cpu")) == 2
    assert newcomers(server, ["m:1"], asked, sizes) == 1, "the candidate is asked anew"


class Short(BaseHTTPRequestHandler):
    """A server whose context one question does not fit into."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        long = "long" in asked["messages"][-1]["content"]
        body = {"error": "too long"} if long else {"message": {"content": FENCED}, "done": True}
        told = json.dumps(body).encode()
        self.send_response(400 if long else 200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing on the terminal."""


def test_a_question_that_does_not_fit_into_the_context_is_left_out() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Short) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        asked = [example(n, question=n) for n in ("a", "long", "b")]
        allowance = Purse(100).share(1.0)
        with Ollama(f"http://127.0.0.1:{serving.server_port}") as client:
            behaviour = measure_behaviour(
                client, "m:1", asked, answer_tokens=50, allowance=allowance
            )
        serving.shutdown()
        thread.join()
    assert behaviour.ids == ("a", "b")
