"""Step 4, the data set: chosen, rendered by the server that serves, split by sessions, frozen.

Once frozen a data set never changes; what judges is never trained on.

Called by the cycle, the trigger, the demo, the benchmark, and by what explains a run.
May import the vocabulary and rundir, store.
Never asks the server for anything but rendered prompts, and never writes the database.
"""
