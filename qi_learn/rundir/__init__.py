"""The files that processes hand each other in a run's directory.

Its snapshot, its adapter, its progress and its failure; beside them the two files by which gateway
and cycle give way to each other.

A file is complete when it has its name: it is renamed into place, and the one that says "done"
comes last.

Called by the cycle, the steps from dataset to pack, the gateway (which marks that requests are
answered), the daemon, commands, bench, demo, and what reports.
May import nothing but the vocabulary.
Never touches the database or a model.
"""
