"""Step 5: every number of a training run, derived from data, base and devices, and written down.

What cannot be trained is refused here, in words, before anything is loaded.

Called by the cycle, the training worker, the report and the benchmark.
May import the vocabulary and outside, rundir.
Never needs torch.
"""
