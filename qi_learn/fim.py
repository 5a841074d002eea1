"""Fill in the middle: what stands before and behind the gap, read from a prompt's own markers.

An editor that asks with `raw` (or through `/v1/completions`) writes the markers of the model into
the prompt itself. Every family of models has its own, and some put the suffix first:

    prefix, suffix, middle   Qwen, CodeGemma, Granite, StarCoder, StableCode, CodeLlama, DeepSeek
    suffix, prefix, middle   Mellum, CodeGeeX, Seed-Coder; StarCoder and CodeLlama in their "SPM"
    suffix, prefix           Codestral

Of several gaps (files of context in front) the last one is asked for. Where what is written behind
the last marker is more than white space, the completion goes on from there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """The two sides of the place that a completion fills."""

    prefix: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Markers:
    """The markers of one family; `spaced` if it puts a space on their inner sides."""

    prefix: str
    suffix: str
    middle: str = ""
    spaced: bool = False


FAMILIES = (
    Markers("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    Markers("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    Markers("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    Markers("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),
    Markers("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    Markers("<|fim▁begin|>", "<|fim▁hole|>", "<|fim▁end|>"),
    Markers("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    Markers("<PRE>", "<SUF>", "<MID>", spaced=True),
    Markers("[PREFIX]", "[SUFFIX]"),
)
_ASSISTANTS_TURN = re.compile(
    r"(?:<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|\[/INST\]"
    r"|<start_of_turn>model|<\|assistant\|>|<\|start_of_role\|>assistant<\|end_of_role\|>"
    r"|<｜Assistant｜>|<\|start\|>assistant(?:<\|channel\|>\w+)?(?:<\|message\|>)?"
    r"|###\s*(?:Response|Assistant)\s*:)"
    r"\s*(?:<think>\s*(?:</think>\s*)?)?\Z"
)


def find_gap(prompt: str) -> Gap | None:
    """The gap that a prompt asks to fill; None if it has no markers of one."""
    for markers in FAMILIES:
        if markers.suffix in prompt and (gap := _gap(prompt, markers)) is not None:
            return gap
    return None


def is_chat(prompt: str) -> bool:
    """Whether a raw prompt ends where an assistant's turn in a conversation begins.

    Such a prompt was rendered by the client: what answers it is no continuation of code.
    """
    return _ASSISTANTS_TURN.search(prompt[-2000:]) is not None


def _gap(prompt: str, markers: Markers) -> Gap | None:
    text, rest = prompt, ""
    if markers.middle:
        text, found, rest = prompt.rpartition(markers.middle)
        if not found:
            return None
    before, after = text.rfind(markers.prefix), text.rfind(markers.suffix)
    if before < 0 or after < 0:
        return None
    behind_prefix, behind_suffix = before + len(markers.prefix), after + len(markers.suffix)
    if before < after:
        prefix, suffix = text[behind_prefix:after], text[behind_suffix:]
    else:
        prefix, suffix = text[behind_prefix:], text[behind_suffix:before]
    if markers.spaced:
        prefix, suffix = prefix.removeprefix(" ").removesuffix(" "), suffix.removesuffix(" ")
        rest = rest.removeprefix(" ")
    return Gap(prefix + rest if rest.strip() else prefix, suffix)
