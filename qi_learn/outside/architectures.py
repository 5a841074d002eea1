"""The architectures that can be trained and packed, and the names of their linear layers.

They store their linear layers one to one: `llama` (Llama, Mistral, SmolLM2), `qwen2`, `qwen3`.
Fused projections, experts and everything else are refused with a sentence rather than packed
wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping

SUPPORTED = ("llama", "qwen2", "qwen3")
"""What is trained and packed, by the GGUF's `general.architecture`."""
UNSLOTH = ("llama", "qwen2", "qwen3")
"""Those whose LoRA gets fused kernels by Unsloth 2026.10.9 (`FastLlamaModel.patch_peft_model`)."""
GGUF_NAMES: Mapping[str, str] = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
"""The seven linear modules of a layer: transformers' name, and GGUF's."""
LINEAR = (*GGUF_NAMES, "lm_head")
"""The modules that an adapter may change."""
