"""Step 7: base + adapter = a complete GGUF: touched tensors merged and quantised, all others
copied byte for byte.

Two packs of the same input are the same file.

Called by the cycle, the benchmark, the demonstration's repack.
May import the vocabulary and outside, rundir.
Never loads torch, or trusts a length that a file names.
"""
