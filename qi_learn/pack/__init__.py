"""Step 7, base + adapter = a complete GGUF.

Touched tensors are merged and quantised, all others copied byte for byte. Two packs of the same
input are the same file.

Called by the cycle, the benchmark, the daemon (the base version's Modelfile).
May import the vocabulary and outside, rundir.
Never loads torch, and never trusts a length that a file names.
"""
