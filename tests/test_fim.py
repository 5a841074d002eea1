"""Every family's prompt for a gap is read: what stands before it, and what behind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from qi_learn.fim import FAMILIES, Gap, find_gap, is_chat

PREFIX, SUFFIX = "import os\n\n\ndef add(", "):\n    return first\n"

TEMPLATES = {
    "qwen": "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>",
    "qwen with a repository": (
        "<|repo_name|>r\n<|file_sep|>a.py\nx = 1\n<|file_sep|>b.py\n"
        "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>"
    ),
    "codegemma": "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>",
    "granite 4": "<|fim_prefix|>{p}<|fim_suffix|>{s}<|fim_middle|>",
    "granite and starcoder": "<fim_prefix>{p}<fim_suffix>{s}<fim_middle>",
    "starcoder with a file": "<filename>b.py\n<fim_prefix>{p}<fim_suffix>{s}<fim_middle>",
    "starcoder, suffix first": "<fim_prefix><fim_suffix>{s}<fim_middle>{p}",
    "santacoder": "<fim-prefix>{p}<fim-suffix>{s}<fim-middle>",
    "codellama": "<PRE> {p} <SUF>{s} <MID>",
    "codellama, suffix first": "<PRE> <SUF>{s} <MID> {p}",
    "deepseek": "<｜fim▁begin｜>{p}<｜fim▁hole｜>{s}<｜fim▁end｜>",
    "codestral": "[SUFFIX]{s}[PREFIX]{p}",
    "codegeex": (
        "###PATH:stats.py\n###LANGUAGE:python\n###MODE:BLOCK\n"
        "<|code_suffix|>{s}<|code_prefix|>{p}<|code_middle|>"
    ),
    "codegeex, and a line end": "<|code_suffix|>{s}<|code_prefix|>{p}<|code_middle|>\n",
    "mellum": "<filename>b.py\n<fim_suffix>{s}<fim_prefix>{p}<fim_middle>",
    "seed": "<[fim-suffix]>{s}<[fim-prefix]>{p}<[fim-middle]>",
    "an example in front": (
        "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>c<|fim_prefix|>{p}<|fim_suffix|>{s}"
        "<|fim_middle|>"
    ),
}


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_two_sides_of_a_gap(family: str) -> None:
    prompt = TEMPLATES[family].replace("{p}", PREFIX).replace("{s}", SUFFIX)
    assert find_gap(prompt) == Gap(PREFIX, SUFFIX)
    assert not is_chat(prompt)


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_gap_in_code_without_markers_is_certain(family: str) -> None:
    for p, s in ((PREFIX, SUFFIX), (PREFIX, ""), (PREFIX * 50, SUFFIX * 50)):
        gap = find_gap(TEMPLATES[family].replace("{p}", p).replace("{s}", s))
        assert gap is not None
        assert gap.certain


@pytest.mark.parametrize("family", TEMPLATES)
def test_an_empty_side_is_empty(family: str) -> None:
    prompt = TEMPLATES[family].replace("{p}", PREFIX).replace("{s}", "")
    assert find_gap(prompt) == Gap(PREFIX, "")


def test_what_is_begun_behind_the_markers_goes_on() -> None:
    prompt = f"<|fim_prefix|>{PREFIX}<|fim_suffix|>{SUFFIX}<|fim_middle|>first, "
    assert find_gap(prompt) == Gap(PREFIX + "first, ", SUFFIX)


def markers_of(family: str) -> list[str]:
    """The markers of a family's prompt, each once, in the order in which they come."""
    template = TEMPLATES[family]
    known = [m for f in FAMILIES for m in (f.prefix, f.suffix, f.middle) if m and m in template]
    return sorted(dict.fromkeys(known), key=template.rindex)


def a_list(family: str) -> str:
    return f"MARKERS = {markers_of(family)!r}\n"


def a_template(family: str) -> str:
    return f'TEMPLATE = f"{"{x}".join(markers_of(family))}"\n'


def in_json(family: str) -> str:
    return f"call = {json.dumps(json.dumps(markers_of(family), ensure_ascii=False))}\n"


def in_docs(family: str) -> str:
    return "# Written as " + " and ".join(f"`{m}`" for m in markers_of(family)) + ".\n"


def the_last_one(family: str) -> str:
    return f"END = '{markers_of(family)[-1]}'\n"


def the_first_one(family: str) -> str:
    return f'BEGIN = ["{markers_of(family)[0]}"]\n'


def the_second_one(family: str) -> str:
    return f"text.split('{markers_of(family)[1]}')\n"


@pytest.mark.parametrize(
    "code", [a_list, a_template, in_json, in_docs, the_last_one, the_first_one, the_second_one]
)
@pytest.mark.parametrize("family", TEMPLATES)
def test_markers_in_the_code_are_code(family: str, code: Callable[[str], str]) -> None:
    template, held = TEMPLATES[family], code(family)
    prefix, suffix = held + PREFIX, SUFFIX + held
    for p, s in ((prefix, SUFFIX), (PREFIX, suffix), (prefix, suffix), (prefix, "")):
        assert find_gap(template.replace("{p}", p).replace("{s}", s)) == Gap(p, s)


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_gap_between_quotation_marks_is_one(family: str) -> None:
    far = "x = 1\n" * 50
    for before, behind in (("", ""), (a_list(family) + far, ""), ("", far + a_list(family))):
        gap = Gap(f'{before}import os\nname = "', f'"\n{behind}')
        prompt = TEMPLATES[family].replace("{p}", gap.prefix).replace("{s}", gap.suffix)
        assert find_gap(prompt) == gap


def test_the_code_may_hold_the_markers_of_another_family() -> None:
    for family in TEMPLATES:
        for other in TEMPLATES:
            gap = Gap(a_template(other) + PREFIX, SUFFIX + a_list(other))
            prompt = TEMPLATES[family].replace("{p}", gap.prefix).replace("{s}", gap.suffix)
            assert find_gap(prompt) == gap, (family, other)


def bare(family: str) -> str:
    return "".join(f"{m}{{text}}" for m in markers_of(family)).removesuffix("{text}") + "\n"


def by_line(family: str) -> str:
    return "".join(f"{m}\n" for m in markers_of(family))


def in_comments(family: str) -> str:
    return "".join(f"  TOKEN_{n}, // {m}\n" for n, m in enumerate(markers_of(family)))


def in_a_test(family: str) -> str:
    return f"assert encode('a{markers_of(family)[-1]}b') == [1, 2]\n"


CURSORS = 20
HELD = [bare, by_line, in_comments, in_a_test, a_list, a_template, in_json, in_docs]


def a_file(family: str, held: int, rng: random.Random) -> str:
    """A file about filling in, with so many places that hold markers."""
    code = [
        "import os\n",
        "\n",
        "def add(a, b):\n",
        "    return a + b\n",
        "x = 'name'\n",
        "# word\n",
    ]
    lines = [rng.choice(code) for _ in range(40)]
    for _ in range(held):
        lines.insert(rng.randrange(len(lines)), rng.choice(HELD)(family))
    return "".join(lines)


@pytest.mark.parametrize(("held", "known"), [(0, 1.0), (1, 0.7), (5, 0.25), (20, 0.05)])
def test_of_a_cursor_in_a_file_about_markers_nothing_wrong_is_claimed(
    held: int, known: float
) -> None:
    """How the line at the cursor begins and ends: it is right, or (33 in 34) it is not certain."""
    rng, right, wrong = random.Random(held), 0, 0
    for family in list(TEMPLATES) * CURSORS:
        text = a_file(family, held, rng)
        at = rng.randrange(len(text))
        cut = Gap(text[:at], text[at:])
        gap = find_gap(TEMPLATES[family].replace("{p}", cut.prefix).replace("{s}", cut.suffix))
        if gap is not None and gap.certain:
            right += line_at(gap) == line_at(cut)
            wrong += line_at(gap) != line_at(cut)
    assert wrong <= len(TEMPLATES) * CURSORS // 34
    assert right >= len(TEMPLATES) * CURSORS * known


def line_at(gap: Gap) -> tuple[str, str]:
    return gap.prefix.rsplit("\n", 1)[-1].strip(), gap.suffix.split("\n", 1)[0].strip()


def test_very_many_markers_are_weighed_in_a_moment() -> None:
    code = "'<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'\n" * 3000
    prompt = f"<|fim_prefix|>{code}{PREFIX}<|fim_suffix|>{SUFFIX}{code}<|fim_middle|>"
    assert find_gap(prompt) == Gap(code + PREFIX, SUFFIX + code)


@pytest.mark.parametrize(
    "prompt",
    [
        "What do `<|fim_prefix|>`, `<|fim_suffix|>` and `<|fim_middle|>` mean?",
        "Rename files: [PREFIX]name[SUFFIX].txt, please write the function",
        "Rename files: [SUFFIX]name[PREFIX].txt",
    ],
)
def test_words_about_markers_are_no_gap(prompt: str) -> None:
    assert find_gap(prompt) is None


@pytest.mark.parametrize(
    "prompt", ["def add(", "<|fim_prefix|>a", "[PREFIX]a", "<fim_suffix>a<fim_middle>", ""]
)
def test_other_prompts_have_no_gap(prompt: str) -> None:
    assert find_gap(prompt) is None


@pytest.mark.parametrize(
    "end",
    [
        "<|im_start|>assistant\n",
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        " [/INST]",
        "<start_of_turn>model\n",
        "<|assistant|>\n",
        "### Response:\n",
        "<｜Assistant｜>",
    ],
)
def test_a_prompt_that_a_client_rendered_is_a_conversation(end: str) -> None:
    assert is_chat(f"Question?{end}")
    assert not is_chat(f"Question?{end}and more")
