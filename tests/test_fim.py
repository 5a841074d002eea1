"""Every family's prompt for a gap is read: what stands before it, and what behind."""

from __future__ import annotations

import pytest

from qi_learn.fim import Gap, find_gap, is_chat

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
def test_an_empty_side_is_empty(family: str) -> None:
    prompt = TEMPLATES[family].replace("{p}", PREFIX).replace("{s}", "")
    assert find_gap(prompt) == Gap(PREFIX, "")


def test_what_is_begun_behind_the_markers_goes_on() -> None:
    prompt = f"<|fim_prefix|>{PREFIX}<|fim_suffix|>{SUFFIX}<|fim_middle|>first, "
    assert find_gap(prompt) == Gap(PREFIX + "first, ", SUFFIX)


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
