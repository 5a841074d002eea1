"""Tiny random models for tests: real GGUF files that llama.cpp and transformers load, made in well
under a second.

    path = write_tiny_model(tmp_path / "m.gguf", "qwen2", seed=1)

They know a small byte-level BPE (so every text has tokens and decodes to itself), ChatML's special
tokens, a chat template and an end of turn. Their words mean nothing. The same arguments give the
same bytes. Rows are multiples of 32 by default (Q8_0, Q4_0, ...); ask for `width=256, feed=512` if
K-quants (blocks of 256) are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from numpy.typing import NDArray

Architecture = Literal["llama", "qwen2", "qwen3"]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_WORDS = (
    "the",
    "def",
    "return",
    "import",
    "self",
    "for",
    "in",
    "if",
    "else",
    "class",
    "print",
    "user",
    "assistant",
    "system",
    "int",
    "str",
    "list",
    "None",
)


def write_tiny_model(
    path: Path,
    architecture: Architecture = "llama",
    *,
    seed: int = 0,
    layers: int = 2,
    width: int = 64,
    feed: int = 128,
    heads: int = 4,
    kv_heads: int = 2,
    context: int = 2048,
    tensor_type: str = "F32",
    tensor_types: Mapping[str, str] | None = None,
    tied: bool = True,
    add_bos: bool = False,
    fim: bool = False,
    template: str | None = CHATML,
    name: str = "tiny",
) -> Path:
    """Write a random model and return `path`.

    `tensor_type` is the ggml type of every matrix (F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1);
    `tensor_types` changes single tensors by name (`{"token_embd.weight": "Q8_0"}`). Vectors are
    F32. `context` is what the file says the model was trained with.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_type("model")
    writer.add_file_type(
        gguf.LlamaFileType.ALL_F32
        if tensor_type == "F32"
        else gguf.LlamaFileType[f"MOSTLY_{tensor_type}"]
    )
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    # every published Qwen3 has 128, and transformers' loader assumes it
    head = 128 if architecture == "qwen3" else width // heads
    if architecture == "llama":
        writer.add_rope_dimension_count(head)
    if architecture == "qwen3":
        writer.add_key_length(head)
        writer.add_value_length(head)
    vocabulary = _add_vocabulary(writer, add_bos=add_bos, fim=fim, template=template)
    writer.add_vocab_size(vocabulary)  # transformers reads it; llama.cpp counts the tokens
    for tensor, values in _weights(
        architecture, vocabulary, layers, width, feed, heads, kv_heads, head, tied, seed
    ).items():
        kind = gguf.GGMLQuantizationType[
            (tensor_types or {}).get(tensor, tensor_type if values.ndim == 2 else "F32")
        ]
        writer.add_tensor(tensor, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _weights(
    architecture: str,
    vocabulary: int,
    layers: int,
    width: int,
    feed: int,
    heads: int,
    kv_heads: int,
    head: int,
    tied: bool,
    seed: int,
) -> dict[str, NDArray[np.float32]]:
    """Random tensors by name, shaped (out, in).

    Their size makes logits spread over a few nats, so that greedy choices are clear.
    """
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, gain: float = 1.0) -> NDArray[np.float32]:
        return rng.normal(0.0, gain / np.sqrt(columns), (rows, columns)).astype(np.float32)

    def norm(size: int) -> NDArray[np.float32]:
        return rng.normal(1.0, 0.1, size).astype(np.float32)

    tensors = {"token_embd.weight": matrix(vocabulary, width, 3.0)}
    if not tied:
        tensors["output.weight"] = matrix(vocabulary, width, 3.0)
    for n in range(layers):
        block = {
            "attn_norm.weight": norm(width),
            "attn_q.weight": matrix(heads * head, width),
            "attn_k.weight": matrix(kv_heads * head, width),
            "attn_v.weight": matrix(kv_heads * head, width),
            "attn_output.weight": matrix(width, heads * head),
            "ffn_norm.weight": norm(width),
            "ffn_gate.weight": matrix(feed, width),
            "ffn_up.weight": matrix(feed, width),
            "ffn_down.weight": matrix(width, feed),
        }
        if architecture == "qwen2":
            sizes = {
                "attn_q.bias": heads * head,
                "attn_k.bias": kv_heads * head,
                "attn_v.bias": kv_heads * head,
            }
            block |= {
                name: rng.normal(0.0, 0.1, size).astype(np.float32) for name, size in sizes.items()
            }
        if architecture == "qwen3":
            block |= {"attn_q_norm.weight": norm(head), "attn_k_norm.weight": norm(head)}
        tensors |= {f"blk.{n}.{name}": values for name, values in block.items()}
    tensors["output_norm.weight"] = norm(width)
    return tensors


def _add_vocabulary(
    writer: gguf.GGUFWriter, *, add_bos: bool, fim: bool, template: str | None
) -> int:
    """Add specials, the 256 bytes and a few words, in GPT-2's writing; the number of tokens."""
    specials = SPECIALS + (FIM if fim else ())
    letters = list(_byte_letters().values())
    merges, words = _merges()
    tokens = [*specials, *letters, *words]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL] * len(specials)
        + [gguf.TokenType.NORMAL] * (len(tokens) - len(specials))
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0 if add_bos else 1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(add_bos)
    writer.add_add_space_prefix(False)
    if fim:
        for number, part in enumerate(("pre", "suf", "mid"), start=len(SPECIALS)):
            writer.add_uint32(f"tokenizer.ggml.fim_{part}_token_id", number)
    if template:
        writer.add_chat_template(template)
    return len(tokens)


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(others)}


def _merges() -> tuple[list[str], list[str]]:
    """Merges that build a few common words letter by letter, with and without the space before
    them, and runs of spaces; and the tokens that they make.
    """
    merges: list[str] = []
    made: list[str] = []
    space = _byte_letters()[ord(" ")]
    for word in (space * 4, *_WORDS, *(space + w for w in _WORDS)):
        left = word[0]
        for letter in word[1:]:
            if left + letter not in made:
                merges.append(f"{left} {letter}")
                made.append(left + letter)
            left += letter
    return merges, made
