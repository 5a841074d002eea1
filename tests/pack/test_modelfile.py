"""Modelfiles: ours and Ollama's are read, what is written reads back the same, and a version
inherits everything the base says.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qi_learn.errors import ModelError, NotFound
from qi_learn.pack.modelfile import modelfile_for, read_template
from qi_learn.pack.modelfile_text import ModelfileSpec, parse_modelfile, write_modelfile
from qi_learn.records import Message

ROOT = Path(__file__).parent.parent.parent


def shown(version: str, name: str) -> dict[str, Any]:
    """What a real Ollama answered to /api/show."""
    recording = json.loads(
        (ROOT / "tests" / "support" / "recordings" / f"{version}.json").read_text(encoding="utf-8")
    )
    chunks = next(
        exchange["chunks"] for exchange in recording["exchanges"] if exchange["name"] == name
    )
    show: dict[str, Any] = json.loads("".join(chunks))
    return show


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0-rc2"])
def test_a_real_base_is_carried_over_whole(version: str) -> None:
    show = shown(version, "show full")
    assert modelfile_for(show, "default").as_create() == {
        "template": show["template"],
        "system": "You are terse.",
        "parameters": {"num_ctx": 1024, "stop": ["<|im_end|>", "STOP"], "temperature": 0.2},
        "license": ["Apache-2.0"],
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    }


@pytest.mark.parametrize("version", ["0.24.0", "0.33.0-rc2"])
@pytest.mark.parametrize("name", ["show", "show full"])
def test_what_ollama_prints_is_read_and_says_the_same_as_its_fields(
    version: str, name: str
) -> None:
    show = shown(version, name)
    read = parse_modelfile(show["modelfile"])
    assert read.source.startswith("MODELS/blobs/sha256-")
    assert read.as_create() == modelfile_for(show, "default").as_create()
    assert parse_modelfile(write_modelfile(read)) == read


def test_renderer_and_parser_are_found_and_not_in_other_texts() -> None:
    system = "line one\nRENDERER from-the-system-prompt\nPARSER wrong"
    modelfile = (
        f'FROM /blobs/sha256-1\nTEMPLATE {{{{ .Prompt }}}}\nSYSTEM "{system}"\n'
        "RENDERER qwen3-coder\nPARSER qwen3-coder\nPARAMETER top_k 3\n"
    )
    spec = modelfile_for(
        {
            "modelfile": modelfile,
            "template": "{{ .Prompt }}",
            "system": system,
            "parameters": "top_k 3",
        },
        "default",
    )
    assert (spec.renderer, spec.parser, spec.system, spec.parameters) == (
        "qwen3-coder",
        "qwen3-coder",
        system,
        {"top_k": 3},
    )


def test_the_files_own_jinja_and_retired_parameters_are_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    parameters = (
        'mirostat                       1\nstop                           "a\\n\\u00e9\\x00"\n'
        "use_mmap                       true\ntypical_p 0.7"
    )
    spec = modelfile_for(
        {
            "modelfile": "FROM x\n",
            "template": "{% for m in messages %}{% endfor %}",
            "parameters": parameters,
        },
        "default",
    )
    assert spec.as_create() == {"parameters": {"stop": ["a\né\0"], "use_mmap": True}}
    assert "mirostat" in caplog.text
    assert "typical_p" in caplog.text


@pytest.mark.parametrize(
    ("show", "says"),
    [
        ({"modelfile": "FROM /blobs/a\nADAPTER /blobs/b\n"}, "an adapter"),
        ({"modelfile": "FROM /blobs/a\nFROM /blobs/b\n"}, "more than one model file"),
        ({"modelfile": "FROM /blobs/a\nDRAFT /blobs/b\n"}, "a draft model"),
        (
            {"modelfile": "FROM /blobs/a\n", "parameters": "temperature __import__('os')"},
            "cannot be read",
        ),
    ],
)
def test_a_base_that_one_file_cannot_replace_is_refused(show: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        modelfile_for(show, "default")


def test_quotes_comments_and_case() -> None:
    text = """\ufeff# a comment
from  model.gguf
Parameter Temperature 1
"""
    with pytest.raises(ModelError, match=r"line 3 .* unknown parameter Temperature"):
        parse_modelfile(text)
    spec = parse_modelfile(
        '''
  # indented comment
FROM "a model.gguf"
TEMPLATE """first "quoted"
  second  
# no comment in here
third"""   
SYSTEM ""
parameter temperature 0.5
PARAMETER temperature 1
PARAMETER stop "  padded  "
PARAMETER stop """a
b"""
message user "two
lines"
MESSAGE assistant say "hi" now
LICENSE MIT
LICENSE """Apache
2.0"""
REQUIRES 0.6.0
'''  # noqa: W291 (the spaces at the ends of lines are the test)
    )
    assert spec == ModelfileSpec(
        source="a model.gguf",
        template='first "quoted"\n  second  \n# no comment in here\nthird',
        parameters={"temperature": 1.0, "stop": ("  padded  ", "a\nb")},
        messages=(Message("user", "two\nlines"), Message("assistant", 'say "hi" now')),
        license=("MIT", "Apache\n2.0"),
        requires="0.6.0",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("SYSTEM x", "no FROM"),
        ("FROM a\nFROM b", "line 2 .* a second FROM"),
        ("FROM a\nADAPTER b", "line 2 .* ADAPTER is not used here"),
        ("FROM a\nRUN rm -rf /", "line 2 .* unknown instruction RUN"),
        ("FROM a\n\nPARAMETER num_ctx many", "line 3 .* num_ctx cannot be 'many'"),
        ("FROM a\nPARAMETER use_mmap 3", "use_mmap cannot be '3'"),
        ("FROM a\nPARAMETER nonsense 3", "unknown parameter nonsense"),
        ("FROM a\nPARAMETER", "unknown parameter"),
        ("FROM a\nMESSAGE tool x", "role 'tool'"),
        ('FROM a\nSYSTEM """never\nclosed', "line 2 .* not closed"),
        ('FROM a\nSYSTEM "never', "line 2 .* not closed"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        parse_modelfile(text)


def test_a_text_with_three_quotation_marks_cannot_be_written() -> None:
    with pytest.raises(ModelError, match='with """ in it'):
        write_modelfile(ModelfileSpec(source="a", system='say """ twice'))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda t: '"""' not in t
)
VALUES = {
    "num_ctx": st.integers(0, 1 << 20),
    "temperature": st.floats(0, 2),
    "use_mmap": st.booleans(),
    "stop": st.lists(TEXTS, min_size=1).map(tuple),
}
ROUND = st.builds(
    ModelfileSpec,
    source=TEXTS,
    template=TEXTS,
    system=TEXTS,
    parameters=st.fixed_dictionaries({}, optional=VALUES),
    license=st.lists(TEXTS, max_size=2).map(tuple),
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=TEXTS),
        max_size=3,
    ).map(tuple),
)


@given(ROUND)
@example(ModelfileSpec(source="a", system="spaces behind the first line  \nstay"))
def test_what_is_written_reads_back_the_same(spec: ModelfileSpec) -> None:
    text = write_modelfile(spec, comment=["Version 1.2.0\nof today"])
    assert text.startswith("# Version 1.2.0\n# of today\n")
    assert parse_modelfile(text) == spec
    assert write_modelfile(parse_modelfile(text), comment=["Version 1.2.0\nof today"]) == text


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse_modelfile("FROM a\n" + text).source == "a"
    except ModelError as error:
        message = error.what
    else:
        return
    assert message.startswith("line ")


@pytest.mark.parametrize("path", sorted((ROOT / "modelfiles").glob("*")), ids=lambda p: p.name)
def test_every_shipped_template_is_read_and_explained(path: Path) -> None:
    spec = read_template(path.name.removesuffix(".Modelfile"))
    assert spec.source == "model.gguf"
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert parse_modelfile(write_modelfile(spec)) == spec


def test_the_default_says_nothing_so_the_file_speaks() -> None:
    assert modelfile_for(None, "default").as_create() == {}


def test_the_coder_template_completes_and_chats() -> None:
    spec = modelfile_for(None, "qwen2.5-coder")
    assert "{{ .Suffix }}" in spec.template
    assert "{{- range .Messages }}" in spec.template
    assert spec.parameters["stop"] == (
        "<|im_end|>",
        "<|endoftext|>",
        "<|file_sep|>",
        "<|repo_name|>",
    )
    assert spec.template.count("{{ end }}") + spec.template.count("{{- end }}") == sum(
        spec.template.count(f"{{{{- {word} ") for word in ("if", "range")
    )


@pytest.mark.parametrize("name", ["nothing", "../pyproject", "", "default.Modelfile"])
def test_an_unknown_template_names_those_there_are(name: str) -> None:
    with pytest.raises(NotFound, match=r"default, qwen2\.5-coder"):
        modelfile_for(None, name)


def test_an_installed_package_reads_its_own_copy(tmp_path: Path) -> None:
    """As the wheel has it: the folder inside the package, no checkout around it."""
    shutil.copytree(
        ROOT / "qi_learn", tmp_path / "qi_learn", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "modelfiles", tmp_path / "qi_learn" / "modelfiles")
    code = (
        "from qi_learn.pack.modelfile import read_template as r; "
        "print(r('qwen2.5-coder').source, *__import__('sys').modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed[0] == "model.gguf"
    assert "numpy" not in printed
