"""Step 4: what is learned from: chosen, rendered by the server that serves, split by sessions,
frozen.

Once frozen a data set never changes; what judges is never trained on.

Called by the cycle, and the benchmark.
May import the vocabulary and rundir, store.
Never asks a model anything but to render and to cut into tokens.
"""
