"""The files that processes hand each other: a run's directory, its snapshot, its adapter, its
progress, its failure.

A file is complete when it has its name: it is renamed into place, and the one that says "done"
comes last.

Called by the cycle, the steps from dataset to pack, the gateway (which marks that requests are
answered), the daemon, and what reports.
May import nothing but the vocabulary.
Never touches the database or a model.
"""
